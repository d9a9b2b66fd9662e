"""How many files of molgiae one record of `molgiae embed` enters, and how often it goes from one file to another.

    python benchmarks/files_entered.py
    python benchmarks/files_entered.py --model auto examples/trajectory.xyz

The first record of a file is embedded by the library's command twice: once to import what is needed and to fill caches,
once with every call of a function traced, in all threads. Files are printed in the order in which they are entered,
with the calls into each, first those that load the model and open the output, then those that the record goes through
from reading to writing (`molgiae.commands.run.run`); a file may be in both. What a reader of the code has to open is
these lists. The number of changes is that of calls into another file than the call before. The exit code is 1 if the
record enters more files than `MOST_FILES`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

from ase.io import read as read_structure
from ase.io import write as write_structure

import molgiae.cli
from molgiae.commands.embed import embed

EXAMPLE = Path(__file__).parents[1] / "examples" / "conformers.sdf"
ROOMS = {Path(molgiae.__file__).parent: "molgiae", Path(molgiae.cli.__file__).parent: "cli"}
RECORD_BEGINS = "molgiae/commands/run.py", "run"
"""File and function in which everything is open and reading starts."""
MOST_FILES = 25


class Trace:
    """Calls of functions in files of molgiae, in their order.

    Attributes:
        calls: file to the number of calls into it from reading on, files in the order of their first.
        changes: calls into another file than the call before.
        opening: the same of calls before that.
        opening_changes: the same of changes.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.opening: Counter[str] = Counter()
        self.changes = self.opening_changes = 0
        self._last = ""
        self._names: dict[str, str] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Count a call; lines are not traced."""
        path = frame.f_code.co_filename
        if path not in self._names:
            self._names[path] = named(Path(path))
        name = self._names[path]
        if event != "call" or not name or frame.f_code.co_name == "<module>":
            return
        if (name, frame.f_code.co_name) == RECORD_BEGINS:
            self.opening, self.calls = self.calls, Counter()
            self.opening_changes, self.changes = self.changes, 0
        self.calls[name] += 1
        self.changes += bool(self._last) and name != self._last
        self._last = name

    def __enter__(self) -> Trace:
        """Trace this thread and those that start from now on."""
        threading.settrace(self)
        sys.settrace(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Trace no longer."""
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]


def named(path: Path) -> str:
    """Return the name of a file of molgiae within its room, empty for any other."""
    for folder, room in ROOMS.items():
        if folder in path.parents:
            return f"{room}/{path.relative_to(folder)}"
    return ""


def first_record(source: Path, folder: Path) -> Path:
    """Write the first record of an SDF, or of any other file that ase reads, to a file of its own."""
    target = folder / source.name
    if source.suffix == ".sdf":
        target.write_text(source.read_text().partition("$$$$\n")[0] + "$$$$\n")
    else:
        write_structure(target, read_structure(source, index=0))
    return target


def main() -> None:
    """Embed once, trace once, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=EXAMPLE, help="its first record is embedded")
    parser.add_argument("--model", default="qm9", help="a shipped model, auto or a checkpoint")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = first_record(options.file, Path(folder))
        output = Path(folder) / "output.h5"
        embed(str(record), output=output, model=options.model)
        with Trace() as trace:
            embed(str(record), output=output, model=options.model, overwrite=True)
    phases = (
        ("to open", trace.opening, trace.opening_changes),
        ("for the record", trace.calls, trace.changes),
        ("in all", trace.opening + trace.calls, trace.opening_changes + trace.changes),
    )
    for phase, calls, changes in phases:
        if phase != "in all":
            print("\n".join(f"{count:6d}  {name}" for name, count in calls.items()))
        print(f"{phase}: {len(calls)} files, {calls.total()} calls, {changes} changes of file")
    sys.exit(len(trace.calls) > MOST_FILES)


if __name__ == "__main__":
    main()
