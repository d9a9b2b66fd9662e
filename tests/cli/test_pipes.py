"""Embeddings as tables, standard output as an output, and what info says of tables."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

import molgiae
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.output.npz import ROW_KINDS
from molgiae.parts import column_names
from tests.cli.invoke import molgiae_

TOLERANCE = 1e-6


@pytest.fixture
def stored(sdf, model_path):
    """The embeddings of the molecules in HDF5, and their columns."""
    molgiae.embed(sdf, output="all.h5", model=str(model_path))
    with EmbeddingFile("all.h5") as file:
        names = column_names(file.parts)
        return file.column("embedding"), names, file.column("title").tolist()


@pytest.mark.parametrize("output", ["a.csv", "a.tsv.gz", "a.parquet", "-"])
def test_tables_hold_the_embeddings(sdf, model_path, stored, output):
    wanted, names, titles = stored
    if output == "a.parquet":
        pytest.importorskip("pyarrow")
    done = molgiae_("embed", sdf, "-m", model_path, "-o", output, "--quiet")
    assert done.exit_code == 0
    if output == "a.parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(output).to_pydict()
    else:
        text = done.stdout if output == "-" else read_text(output)
        rows = list(csv.DictReader(io.StringIO(text), delimiter="\t" if ".tsv" in output else ","))
        table = {name: [row[name] for row in rows] for name in rows[0]}
    assert list(table) == [*ROW_KINDS, *names] and table["title"] == titles
    assert [float(rmsd) >= 0 for rmsd in table["decoded_rmsd"]] == [True] * len(titles)
    found = np.array([table[name] for name in names], np.float32).T
    assert np.abs(found - wanted).max() < TOLERANCE
    assert output == "-" or done.stdout == ""


def read_text(name: str) -> str:
    import gzip  # noqa: PLC0415

    with (gzip.open if name.endswith(".gz") else open)(name, "rt", encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("command", ["convert", "dedup", "canonicalize"])
def test_structures_go_through_pipes(sdf, command):
    to_file = molgiae_(command, sdf, "-o", "a.sdf", "-q")
    to_pipe = molgiae_(command, sdf, "-o", "-", "-q")
    assert to_file.exit_code == to_pipe.exit_code == 0
    assert to_pipe.stdout == read_text("a.sdf") and to_pipe.stdout.count("$$$$") > 1
    again = molgiae_("convert", "-", "-o", "-", "-q", stdin=to_pipe.stdout.encode())
    assert again.stdout == to_pipe.stdout


def test_rejected_records_are_said_where_there_is_no_file(sdf):
    text = sdf.read_text() + "broken\n\n\n  1  0\n$$$$\n"
    done = molgiae_("convert", "-", "-o", "-", stdin=text.encode())
    assert done.exit_code == 3 and done.stdout == sdf.read_text()
    assert "1 rejected:" in done.stderr
    both = molgiae_("convert", sdf, "-o", "-", "--json")
    assert both.exit_code == 2 and "standard output" in both.stderr


def test_hits_go_to_sdf_and_info_knows_tables(sdf, model_path, stored):
    words = ("search", sdf, "all.h5", "-m", model_path, "-k", 2, "--by", "shape")
    words = words if any(name.startswith("shape") for name in stored[1]) else words[:-2]
    found = json.loads(molgiae_(*words, "--json").stdout)["hits"]
    for output in ("hits.sdf", "-"):
        done = molgiae_(*words, "-o", output, "-q")
        assert done.exit_code == 0
        text = done.stdout if output == "-" else read_text(output)
        assert text.count("$$$$") == len(found)
        assert text.count("<source>") == text.count("<query_record>") == len(found)
    for output in ("hits.h5", "hits.csv", "hits.json", "hits.tsv"):
        assert molgiae_(*words, "-o", output, "-q").exit_code == 0
        told = json.loads(molgiae_("info", output, "--json").stdout)
        assert (told["kind"], told["rows"]) == ("table", len(found))
        assert "rmsd" in [column["name"] for column in told["columns"]]
    assert "rmsd" in molgiae_("info", "hits.h5").stdout


def test_info_of_npz(sdf, model_path, stored):
    molgiae_("embed", sdf, "-m", model_path, "-o", "a.npz", "-q")
    told = json.loads(molgiae_("info", "a.npz", "--json").stdout)
    assert told["kind"] == "npz" and told["model"] == str(model_path)
    shape = "x".join(map(str, stored[0].shape))
    assert {"name": "arr_0", "shape": shape, "type": "float32"} in told["arrays"]
    assert sum(part["part_stop"] - part["part_start"] for part in told["parts"]) == stored[0].shape[1]
