"""Text of users in CSV files: never a formula to a spreadsheet, and back as it was."""

from __future__ import annotations

import ast
import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import molgiae
from molgiae.commands.align import align
from molgiae.commands.canonicalize import canonicalize
from molgiae.commands.dedup import deduplicate
from molgiae.commands.embed import embed
from molgiae.commands.search import search
from molgiae.data.conformer import Conformer
from molgiae.data.csv_cells import CsvWriter, as_given, inert
from molgiae.data.molecule_files import Molecule, read_molecules
from molgiae.data.writers import StructureWriter
from molgiae.properties.columns import table_columns

LIVE = ("=", "+", "-", "@", "\t", "\r")
FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1-2",
    "-2+3",
    "@SUM(1)",
    "'=1+1",
    "''@x",
    "-c1",
    "=",
    "-1.5",
    "plain",
    "'quoted'",
]
WITHOUT_WRITER = {"training/loop.py"}
"""The log of a run, whose columns are numbers."""


def is_live(cell: str) -> bool:
    """Whether a spreadsheet would evaluate a cell that is more than numbers."""
    try:
        return not [float(word) for word in cell.split()] and len(cell) > 1 and cell.startswith(LIVE)
    except ValueError:
        return len(cell) > 1 and cell.startswith(LIVE)


@given(st.one_of(st.text(), st.text("'=+-@\t\r1a", max_size=6)))
def test_any_text_is_inert_and_comes_back(text: str) -> None:
    cell = inert(text)
    assert isinstance(cell, str) and not is_live(cell)
    assert as_given(cell) == text
    file = io.StringIO(newline="")
    CsvWriter(file).row([text])
    file.seek(0)
    assert [as_given(cell) for row in csv.reader(file) for cell in row] == [text]


@pytest.mark.parametrize(
    "value", [None, 3, -1.5, "-1.5", "-inf", "-1 0.5 -2", "1e5", "+3", "-", "C=O", "a=b"]
)
def test_numbers_and_plain_words_are_left_alone(value: object) -> None:
    assert inert(value) == value


def test_there_is_no_other_writer_of_csv() -> None:
    root = Path(molgiae.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in ("writer", "DictWriter")
        and isinstance(node.value, ast.Name)
        and node.value.id == "csv"
    }
    assert found == WITHOUT_WRITER | {"data/csv_cells.py"}


def test_titles_are_inert_in_every_table_and_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    conformers = [
        Conformer(
            np.array([8, 1, 1], np.uint8),
            np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]) + rng.normal(scale=0.02, size=(3, 3)),
            title=title,
            properties={"=key()": title},
        )
        for title in FORMULAS
    ]
    with StructureWriter(tmp_path / "in.sdf") as writer:
        for conformer in conformers:
            writer.write(conformer)
    with open(tmp_path / "in.sdf", "a") as file:
        file.write("=bad()\n\nno table\n$$$$\n")
    source = str(tmp_path / "in.sdf")
    deduplicate(source, output=tmp_path / "unique.sdf")
    canonicalize(source, output=tmp_path / "canonical.sdf", model="qm9")
    embed(source, output=tmp_path / "e.h5", model="qm9")
    embed(source, output=tmp_path / "e.npz", model="qm9", drop_rejected=True)
    align(source, output=tmp_path / "align.csv")
    search(source, tmp_path / "e.h5", output=tmp_path / "hits.csv")
    tables = sorted(tmp_path.glob("*.csv"))
    assert len(tables) >= 4
    for table in tables:
        with table.open(newline="") as file:
            rows = list(csv.reader(file))
        assert not [cell for row in rows for cell in row if is_live(cell)], table
        titles = [as_given(row[rows[0].index("title")]) for row in rows[1:]]
        assert set(titles) >= ({"=bad()"} if "rejected" in table.name else set(FORMULAS)), table


def test_titles_are_found_again_in_a_table(tmp_path: Path) -> None:
    """By finetune, keyed by title, and by conformers."""
    with (tmp_path / "t.csv").open("w", newline="") as file:
        writer = CsvWriter(file)
        writer.row(["smiles", "title", "y"])
        writer.rows(["CCO", title, k] for k, title in enumerate(FORMULAS))
    assert table_columns(tmp_path / "t.csv", FORMULAS).column("y").values.tolist() == list(
        range(len(FORMULAS))
    )
    found = [item.title for item in read_molecules([tmp_path / "t.csv"]) if isinstance(item, Molecule)]
    assert found == FORMULAS
