"""De-duplication in shards keeps what the run on all inputs keeps, wherever the copies are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from molgiae.commands.dedup import deduplicate
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.errors import ConfigError
from molgiae.shards import dealing
from molgiae.shards.drive import in_shards
from tests.data.molfiles import molecule, sdf_record, xyz_frame
from tests.shards.test_drive import files, inline  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("inline")


@pytest.fixture
def copies(tmp_path):
    """Sixty molecules, each three times in other poses and orders and in several files, and two bad records."""
    rng = np.random.default_rng(0)
    texts = {"a.sdf": "garbage\n$$$$\n", "b.sdf": "", "c.xyz": ""}
    for k in range(60):
        atoms = molecule(k)
        for copy, name in enumerate(rng.permutation(sorted(texts))):
            order = rng.permutation(len(atoms))
            turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            turn *= np.sign(np.linalg.det(turn))
            moved = [(atoms[i][0], *(np.array(atoms[i][1:]) @ turn)) for i in order]
            place = {int(i): n + 1 for n, i in enumerate(order)}
            bonds = [tuple(sorted((place[i], place[i + 1]))) for i in range(len(atoms) - 1)]
            title = f"m{k} {copy}"
            texts[str(name)] += (
                xyz_frame(moved, title) if name == "c.xyz" else sdf_record(moved, title, bonds)
            )
    texts["c.xyz"] += "3\nbad\nC 0 0 0\nC 0 0 0\nC 0 0 0\n"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return [str(tmp_path / name) for name in texts]


def kept(directory):
    with open_stored(directory) as stored:
        return Counter(stored.column("title").tolist()), sorted(bad.reason for bad in stored.rejected())


@pytest.mark.parametrize(
    ("shards", "how"),
    [(1, {}), (12, {}), (12, {"match": "bonds"}), (5, {"match": "atoms", "heavy": True, "threshold": 0.5})],
)
def test_shards_keep_what_one_run_keeps(copies, tmp_path, shards, how):
    summary = in_shards("dedup", copies, tmp_path / "out", shards=shards, jobs=1, **how)
    whole = deduplicate(copies, output=tmp_path / "whole.h5", **how)
    with EmbeddingFile(tmp_path / "whole.h5") as file:
        titles = Counter(file.column("title").tolist())
    found, reasons = kept(tmp_path / "out")
    assert found == titles
    assert (summary.written, summary.merged, summary.rejected) == (whole.kept, whole.merged, whole.rejected)
    assert len(reasons) == whole.rejected == 2
    assert not (tmp_path / "out" / dealing.DEALT).exists()


def test_a_second_call_makes_nothing_and_deals_nothing(copies, tmp_path, monkeypatch):
    in_shards("dedup", copies, tmp_path / "out", shards=4, jobs=1)
    before = files(tmp_path / "out")
    monkeypatch.setattr(dealing, "deal", None)
    assert in_shards("dedup", copies, tmp_path / "out", shards=4, jobs=1).kept == 4
    assert files(tmp_path / "out") == before


def test_a_part_that_is_missing_is_made_again(copies, tmp_path):
    in_shards("dedup", copies, tmp_path / "out", shards=4, jobs=1)
    before = files(tmp_path / "out")
    (tmp_path / "out" / "part-00002-of-00004.h5").unlink()
    summary = in_shards("dedup", copies, tmp_path / "out", shards=4, jobs=1)
    assert (summary.made, summary.kept) == (1, 3)
    assert files(tmp_path / "out") == before


def test_copies_that_were_dealt_apart_are_seen_by_these_tests(copies, tmp_path, monkeypatch):
    monkeypatch.setattr(dealing, "formula_of", lambda conformer: conformer.title)
    summary = in_shards("dedup", copies, tmp_path / "out", shards=12, jobs=1)
    assert summary.written > deduplicate(copies, output=tmp_path / "whole.h5").kept


def test_one_shard_alone_is_refused(copies, tmp_path):
    with pytest.raises(ConfigError, match="copies are looked for in all inputs"):
        in_shards("dedup", copies, tmp_path / "out", shard="1/4")
