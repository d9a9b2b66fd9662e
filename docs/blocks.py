"""Blocks of commands on the pages: run as a reader would, compared with what is shown, or written anew.

python docs/blocks.py docs/pages/tutorials/*.md        # what is printed today in place of what is shown
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).parents[1]
RUN = ("console", "sh", "python")
"""Kinds of blocks that are run, unless a comment before them says why not, or as what file the reader keeps them."""
BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>not run|file): (?P<word>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PROMPT = "$ "
GAP = "..."
CLOSED_PIPE = 141
"""Status of a command whose output a later one, as head, read a part of."""
TIMES = re.compile(r"\b[\d.]+ s\b|\([\d ]+/s\)")
PROGRESS = re.compile(r"\w+: \d+ of \S+[\w ]*, \d\d:\d\d|compiling kernels once")


@dataclass(frozen=True)
class Block:
    """A block of code on a page: its kind, its text, and why it is not run, or the name of its file."""

    kind: str
    body: str
    why: str | None = None
    file: str | None = None

    @classmethod
    def of(cls, found: re.Match[str]) -> Block:
        """The block that was found on a page."""
        word = {found["mark"]: found["word"]}
        return cls(found["kind"], found["body"], word.get("not run"), word.get("file"))

    @property
    def is_run(self) -> bool:
        """Whether it is run, or kept as a file."""
        return (self.kind in RUN or self.file is not None) and not self.why

    def calls(self) -> list[tuple[str, str]]:
        """Commands and what is shown below each; of a script, the whole of it, and nothing."""
        if self.file:
            return [(f"cat > {self.file} <<'END OF FILE'\n{self.body}END OF FILE\n", "")]
        if self.kind != "console":
            return [(self.body, "")]
        parts = re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]
        return [(command, shown) for command, _, shown in (part.partition("\n") for part in parts)]


def blocks_of(text: str) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    for found in BLOCK.finditer(text):
        yield Block.of(found)


def lost_marks(text: str) -> int:
    """How many comments say that something is not run, and stand before nothing that would be."""
    return text.count("<!-- not run") - sum(b.why is not None and b.kind in RUN for b in blocks_of(text))


def folder_of_reader(parent: Path) -> Path:
    """A folder with a copy of the example files, as a reader has them."""
    shutil.copytree(
        HOME / "examples", parent / "examples", ignore=shutil.ignore_patterns("figures", "*.ipynb")
    )
    return parent


def printed(command: str, folder: Path, kind: str = "console") -> str:
    """What a command, or a script of another kind, prints in a folder.

    Raises:
        RuntimeError: It failed; that records were rejected, or a pipe was closed, is no failure.
    """
    shell = [sys.executable, "-c"] if kind == "python" else ["bash", "-e", "-o", "pipefail", "-c"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [*shell, command],
        cwd=folder,
        env={**os.environ, "PATH": path, "MPLBACKEND": "Agg"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode not in (0, CLOSED_PIPE) and not (done.returncode == 3 and "rejected" in done.stdout):
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout}")
    return "".join(line for line in done.stdout.splitlines(keepends=True) if not PROGRESS.match(line))


def same_word(a: str, b: str) -> bool:
    """Whether two words are equal, or decimal numbers that differ in what compilers of RDKit differ in."""
    try:
        x, y = float(a.rstrip(",;")), float(b.rstrip(",;"))
    except ValueError:
        return a == b
    return a == b or ("." in a and "." in b and abs(x - y) <= 2e-3 + 1e-2 * abs(y))


def same_line(a: str, b: str) -> bool:
    """Whether two lines are equal but for times."""
    words, others = TIMES.sub("#", a).split(), TIMES.sub("#", b).split()
    return len(words) == len(others) and all(map(same_word, words, others))


def missing(shown: str, got: str) -> str | None:
    """The first line of what is shown that was not printed there; three dots on a line stand for any lines.

    A command below which nothing is shown may print anything.
    """
    lines, printed_lines, furthest = shown.splitlines(), got.splitlines(), 0

    def fits(i: int, j: int) -> bool:
        nonlocal furthest
        furthest = max(furthest, i)
        if i == len(lines):
            return j == len(printed_lines)
        if lines[i] == GAP:
            return any(fits(i + 1, k) for k in range(j, len(printed_lines) + 1))
        return j < len(printed_lines) and same_line(lines[i], printed_lines[j]) and fits(i + 1, j + 1)

    return None if not shown or fits(0, 0) else (*lines, "the end")[furthest]


def stale(text: str, folder: Path) -> Iterator[str]:
    """Runs the blocks of a page in a folder, and tells each command that prints something else than is shown."""
    for block in blocks_of(text):
        for command, shown in block.calls() if block.is_run else []:
            got = printed(command, folder, "sh" if block.file else block.kind)
            lost = missing(shown, got)
            if lost is not None:
                yield f"$ {command}\nshown:\n{lost}\nprinted:\n{got}"


def renewed(text: str, folder: Path) -> str:
    """A page with what its commands print today, where that is not what it shows."""

    def block_of_today(found: re.Match[str]) -> str:
        block, new = Block.of(found), found[0]
        for command, shown in block.calls() if block.is_run else []:
            print(f"$ {command}", flush=True)
            got = printed(command, folder, "sh" if block.file else block.kind)
            if block.kind == "console" and missing(shown or "\n", got) is not None:
                print(got, flush=True)
                new = new.replace(f"{PROMPT}{command}\n{shown}", f"{PROMPT}{command}\n{got}")
        return new

    return BLOCK.sub(block_of_today, text)


def main() -> None:
    """Writes anew the pages that are named."""
    for name in sys.argv[1:]:
        page = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            page.write_text(
                renewed(page.read_text(encoding="utf-8"), folder_of_reader(Path(folder))), encoding="utf-8"
            )


if __name__ == "__main__":
    main()
