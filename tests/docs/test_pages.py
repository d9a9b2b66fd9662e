"""README and pages: links lead somewhere, commands and options exist, and every page is in the list of pages."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import molgiae
from molgiae.cli import app
from molgiae.parts import WHAT_FOR

HOME = Path(__file__).parents[2]
if not (HOME / "docs").is_dir():
    pytest.skip("the pages are not there", allow_module_level=True)
sys.path.insert(0, str(HOME / "docs"))

from generate import BROUGHT, MADE, PAGES, all_commands, command_reference, led_home, python_reference  # noqa: E402

README = HOME / "README.md"
NAV = HOME / "docs" / "mkdocs.yml"
TEXTS = [README, *sorted(PAGES.rglob("*.md")), *sorted((HOME / ".github").glob("*.md"))]
LIMIT = 200
GUIDES = ("guides/embed", "guides/search", "guides/select")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)

all_texts = pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(HOME).as_posix())


def too_long(text: str) -> bool:
    return len(text.splitlines()) > LIMIT


def anchors_of(path: Path) -> set[str]:
    """Anchors of the headings of a page."""
    heads = re.findall(r"^#+ (.*)$", BLOCK.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def dead_links(text: str, place: Path) -> list[str]:
    """Relative links of a text in the folder `place` that lead to no file, or to no heading of it."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text)):
        name, _, anchor = link.partition("#")
        target = (place / name).resolve()
        there = target.is_file() or target in [PAGES / page for page in MADE]
        if "://" not in link and not (there and (not anchor or anchor in anchors_of(target))):
            dead.append(link)
    return dead


def calls(text: str) -> Iterator[list[str]]:
    """What follows `molgiae` wherever a text calls it: behind prompts, in blocks of a shell, and within lines."""
    lines = [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]
    lines += [line[2:] for _, block in BLOCK.findall(text) for line in block.splitlines() if line[:2] == "$ "]
    lines += [" ".join(code.split()) for code in re.findall(r"`(molgiae\s[^`]*)`", BLOCK.sub("", text))]
    for line in lines:
        words = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        words.whitespace_split = True
        for call in re.split(r"\0[|&;]+\0", "\0".join(words)):
            name, *rest = call.split("\0")
            if name == "molgiae":
                yield rest


def unknown_words(text: str) -> list[str]:
    """Commands and options that a text uses and molgiae does not have."""
    commands, unknown = {"": typer.main.get_command(app), **all_commands()}, []
    for words in calls(text):
        heads = [""] if words[0].startswith("-") else [" ".join(words[:n]) for n in (2, 1)]
        name = next((head for head in heads if head in commands), None)
        if name is None:
            unknown.append(" ".join(words))
            continue
        known = {"--help", *(o for p in commands[name].params for o in (*p.opts, *p.secondary_opts))}
        options = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
        unknown += [f"{name} {option}".strip() for option in options if option not in known]
    return unknown


def wrongly_listed(nav: str, pages: set[str]) -> set[str]:
    """Pages that the list of pages lacks, and those that it has and are not there."""
    return set(re.findall(r"[\w./-]+\.md", nav.partition("\nnav:")[2])) ^ pages


def strays(readme: str, pages: str) -> list[str]:
    """What the README shows of outputs and figures and no page has: blocks, and numbers in the table of figures."""
    blocks = [block for kind, block in BLOCK.findall(readme) if kind != "sh"]
    table = readme.partition("\n## Measured\n")[2].partition("\n## ")[0]
    cells = " | ".join(
        re.sub(r"\]\([^)]*\)", "]", line) for line in table.splitlines() if line.startswith("|")
    )
    numbers = re.findall(r"(?<![\w-])\d+(?:[ .]\d+)*", cells)
    whole = [n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?!\d|\.\d)", pages)]
    return [block for block in blocks if block not in pages] + whole


def test_the_readme_is_short():
    assert not too_long(README.read_text(encoding="utf-8"))


@all_texts
def test_every_link_leads_to_a_file(path):
    assert dead_links(path.read_text(encoding="utf-8"), path.parent) == []


@all_texts
def test_every_command_and_option_exists(path):
    if path.name != "CHANGELOG.md":  # which tells of former ones
        assert unknown_words(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", ["README.md", *(f"docs/pages/{n}.md" for n in ("index", "hdf5", *GUIDES))])
def test_what_vectors_are_for_is_said_in_one_wording(name):
    text = (HOME / name).read_text(encoding="utf-8").replace("*", "")
    assert WHAT_FOR in " ".join(text.split())


@pytest.mark.parametrize(
    "name", [name for name, c in all_commands().items() if {"by", "parts"} & {p.name for p in c.params}]
)
def test_commands_that_compare_or_choose_parts_say_so(name):
    assert WHAT_FOR in " ".join((all_commands()[name].help or "").split())


def test_every_page_is_listed():
    pages = {page.relative_to(PAGES).as_posix() for page in PAGES.rglob("*.md")}
    brought = {path for path in BROUGHT if path.endswith(".md")}
    assert wrongly_listed(NAV.read_text(encoding="utf-8"), pages | brought | set(MADE)) == set()


def test_the_readme_shows_what_the_pages_have():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.rglob("*.md"))
    assert strays(README.read_text(encoding="utf-8"), pages) == []


def test_the_texts_call_most_commands():
    """Else the checks above would see nothing."""
    called = {words[0] for path in TEXTS for words in calls(path.read_text(encoding="utf-8"))}
    assert called >= {name.split()[0] for name in all_commands()} - {"info"}


def test_the_citation_names_this_version():
    assert f"\nversion: {molgiae.__version__}\n" in (HOME / "CITATION.cff").read_text(encoding="utf-8")


def test_broken_texts_are_found():
    assert too_long("line\n" * (LIMIT + 1)) and not too_long("line\n" * LIMIT)
    good = "[a](LICENSE) [b](https://example.org/x) [c](docs/pages/figures.md#alignment)\n```sh\n[d](none)\n```\n"
    assert dead_links(good, HOME) == []
    for bad in ("LICENCE", "docs/pages/figures.md#alinement", "docs/pages/figures"):
        assert dead_links(f"{good} [e]({bad})", HOME) == [bad]
    assert dead_links(good, PAGES) == ["LICENSE", "docs/pages/figures.md#alignment"]
    assert wrongly_listed("\nnav:\n  - A: a.md\n  - B: b/c.md\n", {"a.md", "b/d.md"}) == {"b/c.md", "b/d.md"}


def test_what_the_readme_shows_alone_is_found():
    page = "```console\n$ a\n12 s\n```\n| 0.25 Å | 1 934 |\n"
    readme = (
        "```console\n$ a\n12 s\n```\n\n## Measured\n\n| [x2](y#z-3) | 0.25 Å; {} |\n\n## Limits\n\n| 77 |\n"
    )
    assert strays(readme.format("1 934"), page) == []
    assert strays(readme.format("93"), page) == ["93"]
    assert strays(readme.replace("12 s", "13 s").format("0.2"), page) == ["$ a\n13 s\n", "0.2"]


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("```console\n$ molgiae embed x.sdf -o x.h5 --parts=features\nmolgiae none\n```\n", []),
        ("```console\n$ molgiae embde x.sdf\n```\n", ["embde x.sdf"]),
        ("```console\n$ cat x | molgiae embed - --part features | cat --all\n```\n", ["embed --part"]),
        ("```sh\npip install . && molgiae align x.sdf --two title  # --three\n```\n", ["align --two"]),
        ("```sh\nmolgiae experiments list --quick\n```\n", ["experiments list --quick"]),
        ("```sh\nmolgiae models && molgiae experiments walk\n```\n", ["experiments walk"]),
        ("`molgiae --version`, `molgiae --verzion`", ["--verzion"]),
        ("of `molgiae\ndedup --treshold 1`, say", ["dedup --treshold"]),
    ],
)
def test_broken_calls_are_found(text, unknown):
    assert unknown_words(text) == unknown


def test_the_reference_has_every_command_and_option():
    text = command_reference()
    for name, command in all_commands().items():
        part = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert part and all(parameter.opts[0] in part for parameter in command.params)


def test_the_reference_has_every_public_name():
    names = re.findall(r"^::: molgiae\..*\.(\w+)$", python_reference(), re.MULTILINE)
    assert sorted(["__version__", *names]) == sorted(molgiae.__all__)


def test_links_out_of_the_pages_lead_to_what_the_site_has():
    text = "![a](../../../examples/figures/map.png) [b](../../../pretrained/qm9.md#data) [c](../limits.md)"
    led = "![a](../examples/figures/map.png) [b](../pretrained/qm9.md#data) [c](../limits.md)"
    assert led_home(text, "guides/embed.md") == led
    assert led_home("[d](../../LICENSE)", "limits.md") == "[d](../../LICENSE)"
