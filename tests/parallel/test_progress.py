"""Bars are for terminals; a log gets a plain line every so often, and none of what is quick."""

from __future__ import annotations

import io
import sys

import pytest

from molgiae.parallel import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch, every: float = progress.EVERY, show: bool = True) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "EVERY", every)
    bar = progress.progress_bar(range(5), desc="read", unit=" conformers", show=show)
    for k in bar:
        bar.set_postfix(rejected=k)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "show"), [(io.StringIO(), True), (io.StringIO(), False), (Terminal(), False)]
)
def test_nothing_of_what_is_quick_or_quiet(stream, show, monkeypatch):
    assert shown(stream, monkeypatch, show=show) == ""


def test_a_bar_on_a_terminal(monkeypatch):
    assert "\r" in shown(Terminal(), monkeypatch)


def test_plain_lines_in_a_log(monkeypatch):
    lines = shown(io.StringIO(), monkeypatch, every=0).splitlines(keepends=True)
    assert lines[-1].startswith("read: 5 of 5 conformers, ")
    assert all(line.endswith("\n") and "\r" not in line and line.startswith("read: ") for line in lines)
