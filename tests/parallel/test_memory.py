"""The allocator is told to keep memory, on request it is not, and where there is none to tell nothing happens."""

from __future__ import annotations

import platform

import pytest

from molgiae.parallel import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of glibc")
def test_glibc_takes_all_settings():
    assert memory.keep_memory()


def test_the_environment_switches_it_off(monkeypatch):
    monkeypatch.setenv(memory.SWITCH, "0")
    assert not memory.keep_memory()


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not memory.keep_memory()
