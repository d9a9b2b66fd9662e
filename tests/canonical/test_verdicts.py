"""Verdicts of commands as they are written: what is not proven, or mirrored, is said to be so wherever it is said."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import molgiae
from molgiae.commands.search import search
from molgiae.data.readers import read_conformers
from molgiae.data.writers import StructureWriter
from molgiae.matching import superpose_pairs
from tests.conformers import mirrored, moved, random_conformer
from tests.geometries import SYMMETRIES, by_graph, completed, g2, named, random_action, random_cloud, together

FIRST, OTHER = (random_conformer(16, seed, elements=(6,)) for seed in (1, 2))
"""Sixteen atoms of one element: of two that are unrelated nothing is proven within the budget of a search."""
RECORDS = [
    replace(c, title=title)
    for title, c in {
        "first": FIRST, "copy": moved(FIRST, 3), "other": OTHER, "image": moved(mirrored(FIRST), 4)
    }.items()
]  # fmt: skip
PROVEN, REFLECTED = ["1", "1", "0", "1"], ["0", "0", None, "1"]


@pytest.fixture
def records(tmp_path) -> Path:
    with StructureWriter(tmp_path / "records.xyz") as writer:
        for c in RECORDS:
            writer.write(c)
    return tmp_path / "records.xyz"


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_align_says_what_is_proven_and_what_is_mirrored(records, tmp_path, model_path):
    options = {"model": model_path, "match": "atoms", "allow_reflection": True}
    summary = molgiae.align(records, output=tmp_path / "out.csv", **options)
    assert summary.notes == ["matched 4 by atoms; 3 of 4 proven to be the least RMSD"]
    rows = rows_of(tmp_path / "out.csv")
    molgiae.align(records, output=tmp_path / "out.sdf", **options)
    properties = [c.properties for c in read_conformers(tmp_path / "out.sdf")]
    molgiae.align(records, output=tmp_path / "out.h5", **options)
    with h5py.File(tmp_path / "out.h5") as file:
        stored = {name: file[name][:].astype(int).astype(str).tolist() for name in ("proven", "reflected")}
    for name, expected in (("proven", PROVEN), ("reflected", REFLECTED)):
        for found in ([r[name] for r in rows], [p[f"molgiae_{name}"] for p in properties], stored[name]):
            assert all(e in (None, f) for f, e in zip(found, expected, strict=True)), name


def test_align_without_reflection_mirrors_nothing(records, tmp_path, model_path):
    molgiae.align(records, output=tmp_path / "out.csv", model=model_path, match="atoms")
    rows = rows_of(tmp_path / "out.csv")
    assert [row["reflected"] for row in rows] == ["0"] * 4
    assert float(rows[3]["rmsd"]) > 0.1 and rows[3]["proven"] == "0"


@pytest.mark.parametrize("mirror", ["distinct", "same"])
def test_dedup_says_what_is_proven_and_what_is_mirrored(records, tmp_path, mirror):
    result = molgiae.deduplicate(
        records, output=tmp_path / "out.xyz", match="atoms", mirror=mirror, threshold=0.3, overwrite=True
    )
    rows = rows_of(Path(result.table))
    assert [row["status"] for row in rows] == [
        "kept",
        "merged",
        "kept",
        "merged" if mirror == "same" else "kept",
    ]
    assert [row["mirror"] for row in rows] == ["0", "0", "0", "1" if mirror == "same" else "0"]
    matches = {
        (i, j): superpose_pairs([RECORDS[i]], [RECORDS[j]], match="atoms", allow_reflection=mirror == "same")
        for i, j in ((0, 2), (0, 3), (2, 3))
    }
    assert all(m.proven[0] == (mirror == "same" and pair == (0, 3)) for pair, m in matches.items())
    assert [row["proven"] for row in rows[:2]] == ["1", "1"]
    assert result.unproven == sum(row["status"] == "kept" and row["proven"] == "0" for row in rows)


def test_search_says_what_is_proven_and_how_hits_are_related(records, tmp_path, model_path):
    molgiae.embed(records, output=tmp_path / "all.h5", model=model_path)
    with StructureWriter(tmp_path / "query.xyz") as writer:
        writer.write(RECORDS[0])
    for match in ("bonds", "atoms"):
        hits = search(tmp_path / "query.xyz", tmp_path / "all.h5", model=model_path, match=match).hits
        found = superpose_pairs([RECORDS[0]] * 4, [RECORDS[hit.row] for hit in hits], match=match)
        for k, hit in enumerate(hits):
            matched = not found.reason[k]
            assert hit.proven == (bool(found.proven[k]) if matched else None)
            assert hit.rmsd is None or hit.rmsd == pytest.approx(found.rmsd[k], abs=1e-4)
        by_title = {hit.title: hit for hit in hits}
        assert by_title["copy"].proven
        if match == "atoms":
            assert not by_title["other"].proven and not by_title["image"].proven
        else:
            assert by_title["copy"].relation == by_title["image"].relation == "molecule"
            assert by_title["other"].relation == "formula"


# What a canonical form claims of itself


def test_where_order_and_pose_are_called_defined_a_copy_gets_the_same_ones():
    """psi(g x) = g psi(x), atom by atom; of what is called undefined, some do not: the flags are no mere caution."""
    x = together(
        *(named(name) for name in SYMMETRIES), *(g2(name) for name in ("CH3CH2OH", "CH3CHO", "HCN", "H2O"))
    )
    first, order_kept, pose_kept = by_graph(x), [], []
    for seed in range(4):
        g = random_action(x, seed)
        copy = by_graph(x.moved(g))
        both = g @ first.g
        order_kept.append((both.permutation.index == copy.g.permutation.index).all(dim=1))
        turned = (both.rotation.matrix - copy.g.rotation.matrix).abs().amax(dim=(1, 2))
        pose_kept.append(turned < 1e-6)
        assert torch.equal(first.order_defined, copy.order_defined)
    full = first.pose_defined == 2
    assert torch.stack(order_kept).all(dim=0)[first.order_defined & full].all()
    assert torch.stack(pose_kept).all(dim=0)[full & first.order_defined].all()
    assert not torch.stack(order_kept).all(dim=0)[~first.order_defined].all()
    assert torch.stack(pose_kept).all(dim=0)[~full].double().mean() < 0.2, "a symmetry always leaves a choice"


def test_stability_is_the_margin_of_the_most_doubtful_decision():
    """Of bonds, frame and order each is the most doubtful one somewhere, and none takes part without a choice."""
    x = together(random_cloud([9, 12] * 30, seed=4), named("CH4"), named("C6H6"), named("atom"))
    found = completed(x)
    assert (found.diagnosis.stability == found.margins.min(axis=1)).all()
    assert set(found.margins.argmin(axis=1).tolist()) == {0, 1, 2}
    assert (found.margins > 0).all()
    assert np.isinf(found.margins[-1, [0, 2]]).all(), "one atom has no bonds and one order"
