"""README, tutorials and guides: every block of commands is run, or says why not, and shows what is printed today."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
if not (HOME / "docs").is_dir():
    pytest.skip("the pages are not there", allow_module_level=True)
sys.path.insert(0, str(HOME / "docs"))

from blocks import blocks_of, folder_of_reader, lost_marks, missing, printed, renewed, stale  # noqa: E402

DOCS = HOME / "docs" / "pages"
TUTORIALS = [HOME / "README.md", *sorted((DOCS / "tutorials").glob("*.md"))]
PAGES = [
    *TUTORIALS,
    *sorted((DOCS / "guides").glob("*.md")),
    *(DOCS / f"{name}.md" for name in ("start", "hdf5")),
]
MARK = "<!-- not run: {} -->\n"

all_pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def block(*lines: str, kind: str = "console") -> str:
    return "\n".join([f"```{kind}", *lines, "```"]) + "\n"


def badly_told(text: str) -> list[str]:
    """Blocks that the run below would pass over in silence: without a command, or marked without a reason."""
    found = [b.body for b in blocks_of(text) if b.kind == "console" and not b.body.startswith("$ ")]
    found += [b.body for b in blocks_of(text) if b.why is not None and len(b.why.split()) < 2]
    return found


@all_pages
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text(encoding="utf-8")
    assert badly_told(text) == [] and lost_marks(text) == 0


def test_most_blocks_are_run():
    blocks = [b for page in PAGES for b in blocks_of(page.read_text(encoding="utf-8"))]
    assert sum(b.is_run for b in blocks) > 2 * sum(b.why is not None for b in blocks)
    assert all(any(b.is_run for b in blocks_of(page.read_text(encoding="utf-8"))) for page in TUTORIALS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@all_pages
def test_a_page_shows_what_is_printed(page, tmp_path):
    assert list(stale(page.read_text(encoding="utf-8"), folder_of_reader(tmp_path))) == []


def test_blocks_that_are_passed_over_are_found():
    good = block("$ echo 1", "1") + MARK.format("takes 80 s") + block("$ molgiae finetune")
    assert badly_told(good) == [] and lost_marks(good) == 0
    assert [b.is_run for b in blocks_of(good)] == [True, False]
    assert badly_told(block("molgiae embed x.sdf")) == ["molgiae embed x.sdf\n"]
    assert badly_told(MARK.format("no") + block("$ a")) == ["$ a\n"]
    assert lost_marks(MARK.format("takes 80 s") + "\n" + block("$ a")) == 1


@pytest.mark.parametrize(
    ("shown", "got", "lost"),
    [
        ("", "anything", None),
        ("made 4 in 0.1 s (7/s) -> a", "made 4 in 20 s (1 007/s) -> a", None),
        ("made 4 in 0.1 s", "made 5 in 0.1 s", "made 4 in 0.1 s"),
        ("rmsd 0.6875 A", "rmsd   0.6871 A", None),
        ("rmsd 0.6875 A", "rmsd 0.7875 A", "rmsd 0.6875 A"),
        ("a\n...\nd", "a\nb\nc\nd", None),
        ("a\n...", "a", None),
        ("a\n...\nd", "a\nd\ne", "the end"),
        ("a", "a\nb", "the end"),
        ("a\nb", "a", "b"),
        ("...\nc\n...", "a\nb", "c"),
        ("a\n...\na\nb", "a\na\na\nb", None),
    ],
)
def test_what_was_not_printed_is_told(shown, got, lost):
    assert missing(shown, got) == lost


def test_pages_are_run_and_written_anew(tmp_path):
    page = (
        block("$ echo 1 > a; cat a", "2", "$ cat a | tr 1 3", "...", "3")
        + MARK.format("it fails")
        + block("$ exit 1")
        + "<!-- file: b.py -->\n"
        + block("print(4)", kind="python")
        + block("$ python b.py", "4")
    )
    assert len(list(stale(page, tmp_path))) == 1
    new = renewed(page, tmp_path)
    assert new == page.replace("\n2\n", "\n1\n") and list(stale(new, tmp_path)) == []
    with pytest.raises(RuntimeError, match="ended with 1"):
        printed("exit 1", tmp_path)
    with pytest.raises(RuntimeError, match="ended with 3"):
        printed("echo well; exit 3", tmp_path)
    assert printed("echo '2 rejected'; exit 3", tmp_path) == "2 rejected\n"
