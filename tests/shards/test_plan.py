"""Every record is in exactly one share, whatever the files and the number of shares."""

from __future__ import annotations

import gzip
from collections import Counter
from itertools import chain

import pytest

from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import read_inputs
from molgiae.data.readers import read_blocks
from molgiae.errors import ConfigError
from molgiae.shards.plan import Plan, estimated_records, halves
from tests.data.molfiles import molecule, sdf_record, xyz_frame


@pytest.fixture
def files(tmp_path):
    """Small and large files, packed and not, empty ones and one that is no molecule file by its name."""
    folder = tmp_path / "files"
    folder.mkdir()
    for name, numbers in (("a", range(30)), ("b", range(30, 31)), ("c", range(0)), ("d", range(31, 60))):
        (folder / f"{name}.sdf").write_text("".join(sdf_record(molecule(k), f"m{k}") for k in numbers))
    text = "".join(sdf_record(molecule(k), f"m{k}") for k in range(60, 90))
    (folder / "e.sdf.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "f.xyz").write_text("".join(xyz_frame(molecule(k), f"m{k}") for k in range(90, 120)))
    other = tmp_path / "other"
    other.write_text("".join(xyz_frame(molecule(k), f"m{k}") for k in range(120, 150)))
    return [str(folder), str(other)]


def flat(lists):
    return list(chain.from_iterable(lists))


def titles(names):
    blocks = read_inputs(names, allow_empty=True) if names else []
    return [c.title for block in blocks for c in block]


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 20, 64, 500])
def test_every_record_is_in_exactly_one_share_and_in_order(files, shards):
    plan = Plan(files, shards)
    found = [titles(plan.inputs_of(k)) for k in range(1, shards + 1)]
    assert flat(found) == [f"m{k}" for k in range(150)]
    assert flat(found) == titles(files)


def test_shares_are_about_equal(files):
    sizes = [len(titles(Plan(files, 10).inputs_of(k))) for k in range(1, 11)]
    assert max(sizes) <= 45  # a packed file is cut only where it makes more than a share


@pytest.mark.parametrize("shards", [1, 3, 8, 33])
def test_rows_of_hdf5_are_divided(tmp_path, sdf, shards):
    names = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    [block] = list(read_blocks(str(sdf)))
    for name in names:
        with Hdf5Writer(name, columns=()) as writer:
            writer.append(block)
    plan = Plan(names, shards)
    found = flat(titles(plan.inputs_of(k)) for k in range(1, shards + 1))
    assert Counter(found) == Counter({f"m{k}": 2 for k in range(20)})


def test_a_share_is_the_same_whoever_asks(files):
    whole = Plan(files, 9)
    names = [whole.inputs_of(k) for k in range(1, 10)]
    assert [Plan(files, 9).inputs_of(k) for k in range(1, 10)] == names


def test_records_are_estimated(files):
    assert 100 < estimated_records(Plan(files, 1)) < 220


def test_standard_input_is_refused():
    with pytest.raises(ConfigError, match="standard input"):
        Plan(["-"], 3)


@pytest.mark.parametrize("kind", ["sdf", "xyz", "gz"])
def test_halves_end_at_single_records(files, kind, tmp_path):
    [name] = [
        n for n in (f"{files[0]}/a.sdf", f"{files[0]}/f.xyz", f"{files[0]}/e.sdf.gz") if n.endswith(kind)
    ]
    single = []

    def divide(names):
        parts = halves(names)
        if parts is None:
            single.append(titles(names))
        for part in parts or ():
            divide(part)

    divide([name])
    assert [len(one) for one in single if one] == [1] * 30
    assert flat(single) == titles([name])
