"""Tests of the command line run where names derived from inputs do not land in the tree."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("home"))
