"""How many files of molgiae one record of `molgiae embed` enters, and how often it goes from one file to another.

    python benchmarks/files_entered.py
    python benchmarks/files_entered.py --model auto examples/trajectory.xyz

The first record of a file is embedded by the library's command twice: once to import what is needed and to fill caches,
once with every call of a function traced, in all threads. Files are printed in the order in which they are entered,
with the calls into each. What a reader of the code has to open to follow a record is this list. The last line says the
number of files, and of changes: calls into another file than the call before. The exit code is 1 if there are more
files than `MOST_FILES`.
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
MOST_FILES = 25


class Trace:
    """Calls of functions in files of molgiae, in their order.

    Attributes:
        calls: file to the number of calls into it, files in the order of their first.
        changes: calls into another file than the call before.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes = 0
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
    for name, count in trace.calls.items():
        print(f"{count:6d}  {name}")
    print(f"{len(trace.calls)} files, {trace.calls.total()} calls, {trace.changes} changes of file")
    sys.exit(len(trace.calls) > MOST_FILES)


if __name__ == "__main__":
    main()
