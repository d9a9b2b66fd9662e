"""What the documentation takes from the repository when it is built, as a hook of mkdocs.

The reference of all commands is made of the commands themselves, that of Python of the public names. Model cards and
pictures stay where they are: links that lead out of `docs/pages` to one of them work in the repository, and are led to
its copy in the site.

    python docs/generate.py        # prints the reference of all commands
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer.main

import molgiae
from molgiae.cli import app
from molgiae.cli.command import record_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

HOME = Path(__file__).resolve().parents[1]
PAGES = HOME / "docs" / "pages"
BROUGHT = sorted(
    path.relative_to(HOME).as_posix()
    for path in (*(HOME / "pretrained").glob("*.md"), *(HOME / "examples" / "figures").iterdir())
)
"""Files from outside of the pages that the site has under the path they have in the repository."""

LIST = re.compile(r"^(?![-\s])(.+)\n(?=- )", re.MULTILINE)
"""The line before a list that begins without an empty one, which GitHub takes and mkdocs does not."""

LINK = re.compile(r"(?<=\]\()[^)\s#]+")
"""Target of a link or picture of Markdown, without its anchor."""


def all_commands() -> dict[str, typer.core.TyperCommand]:
    """Every command by the words that call it, such as `experiments run`."""
    groups = {"": typer.main.get_command(app)}
    found = {}
    while groups:
        name, group = groups.popitem()
        for word, command in group.commands.items():
            (groups if hasattr(command, "commands") else found)[f"{name} {word}".strip()] = command
    return dict(sorted(found.items()))


def paragraphs(help_text: str) -> Iterator[str]:
    """The paragraphs of a help text; those whose lines are kept, which begin with a backspace, are examples."""
    for paragraph in help_text.split("\n\n"):
        kept = paragraph.startswith("\b")
        yield f"```sh\n{paragraph[1:].strip()}\n```" if kept else escaped(paragraph)


def escaped(text: str) -> str:
    """Text in which Markdown and HTML see no marks of theirs."""
    return re.sub(r"([|*_\[\]])", r"\\\1", html.escape(text, quote=False))


def command_reference() -> str:
    """The page of all commands, with a table of arguments and options for each."""
    lines = [
        "# All commands",
        "",
        "As `molgiae COMMAND --help` shows them; this page is made of the commands.",
        "",
    ]
    for name, command in all_commands().items():
        context = typer.Context(command, info_name=f"molgiae {name}")
        lines += [f"## {name}", "", *(f"{text}\n" for text in paragraphs(command.help or ""))]
        rows = [row for parameter in command.params if (row := record_of(parameter, context))]
        lines += ["| argument or option | meaning |", "| --- | --- |"]
        lines += [
            f"| `{' '.join(left.split())}` | {escaped(' '.join(right.split()))} |" for left, right in rows
        ]
        lines += [""]
    return "\n".join(lines)


def python_reference() -> str:
    """The page of the public names, classes first; what stands there of each is read from its docstring."""
    names = [f"::: {home}.{name}" for name, home in sorted(molgiae._HOME.items())]
    first = (
        "Every name can be had from `molgiae` itself, as `molgiae.Embedder`; this page is made of the docstrings. "
        "In their examples, which tests run, `mol` is ethanol in RDKit with 3 conformers, `conformers.sdf` the file "
        "of the examples, `measured.xyz` holds conformers with energies, and `mine.safetensors` is a model of yours."
    )
    return "\n\n".join(["# Python reference", first, *names])


MADE = {"commands.md": command_reference, "reference.md": python_reference}
"""Pages that are made when the site is built."""


def led_home(text: str, page: str) -> str:
    """The text of a page in which links to files that are brought lead to their places in the site."""
    place = HOME / page if page in BROUGHT else PAGES / page

    def lead(link: re.Match[str]) -> str:
        target = os.path.relpath(place.parent / link[0], HOME).replace(os.sep, "/")
        return (
            os.path.relpath(target, Path(page).parent).replace(os.sep, "/") if target in BROUGHT else link[0]
        )

    return LINK.sub(lead, text)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the references, the model cards and the pictures to the files of the site."""
    from mkdocs.structure.files import File  # noqa: PLC0415 (the script and the tests do without mkdocs)

    for page, make in MADE.items():
        files.append(File.generated(config, page, content=make()))
    for path in BROUGHT:
        files.append(File.generated(config, path, abs_src_path=str(HOME / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads the links of a page, and sets its lists apart."""
    return LIST.sub(r"\1\n\n", led_home(markdown, page.file.src_uri))


if __name__ == "__main__":
    print(command_reference())
