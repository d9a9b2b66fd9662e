"""HDF5 files: what goes in comes out, whole or not at all."""

from __future__ import annotations

import os
import resource
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.hdf5 import writer as hdf5
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS, PART_ATTRIBUTES, SCHEMA, property_name, schema_table
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.errors import ConfigError, MolgiaeError, ShapeError
from molgiae.parts import PARTS as NAMED_PARTS
from molgiae.parts import Part, parts_of

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "hdf5.md"
CHECK = Path(__file__).parents[2] / "benchmarks" / "check_hdf5.py"
DIMENSION = 4
PARTS = parts_of({"shape": 2, "detail": DIMENSION - 2})


def make_conformers(count: int, seed: int = 0) -> list[Conformer]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, count)
    return [
        Conformer(
            atomic_number=rng.integers(1, 10, n).astype(np.uint8),
            position=rng.normal(size=(n, 3)),
            title=f"molecule {m}",
            charge=m % 3 - 1,
            source="some dir/in.sdf",
            record=m + 1,
            line=10 * m + 1,
            properties={"energy": f"-{m}.5"} if m % 2 else {},
            text="not kept",
        )
        for m, n in enumerate(sizes)
    ]


def embed(block: ConformerBlock, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns that fulfil the convention."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[Any]] = {name: [] for name in EMBEDDING_COLUMNS}
    for conformer in block:
        rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        rotation *= np.linalg.det(rotation)
        translation = rng.normal(size=3)
        permutation = rng.permutation(len(conformer))
        columns["rotation"].append(rotation)
        columns["translation"].append(translation)
        columns["permutation"].append(permutation)
        columns["canonical_position"].append((conformer.position[permutation] - translation) @ rotation)
    joined = {
        name: np.concatenate(columns[name]) if len(block) else np.empty((0, 3)[: 1 + len(SCHEMA[name].shape)])
        for name in ("permutation", "canonical_position")
    }
    return {
        **joined,
        "embedding": rng.normal(size=(len(block), DIMENSION)).astype(np.float32),
        "rotation": np.reshape(columns["rotation"], (-1, 3, 3)),
        "translation": np.reshape(columns["translation"], (-1, 3)),
        "pose_defined": np.array(["full", "axis", "none"])[np.arange(len(block)) % 3],
        "order_defined": np.ones(len(block), bool),
        "symmetry_number": np.ones(len(block)),
        "point_group": np.full(len(block), "C1"),
        "stability": np.full(len(block), 0.1),
        "in_domain": np.arange(len(block)) % 2,
        "domain_reason": ["" if m % 2 else f"atoms: {m}" for m in range(len(block))],
    }


def write(
    path: Path, conformers: Sequence[Conformer], rejected: Sequence[Rejected] = (), **options: Any
) -> None:
    block = ConformerBlock.of(conformers, rejected)
    with Hdf5Writer(path, parts=PARTS, **options) as writer:
        writer.append(block, embed(block))


def as_version_1(path: Path, shape: int = 2) -> Path:
    """Turn a file into one as they were before embeddings had named parts."""
    with h5py.File(path, "r+") as file:
        for name in PART_ATTRIBUTES:
            del file["embedding"].attrs[name]
        file.attrs["schema_version"] = 1
        if shape:
            file.attrs["shape_dimension"] = shape
    return path


def contents(path: Path) -> dict[str, Any]:
    """Every dataset, for comparisons."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()].tolist()} if hasattr(item, "shape") else {})
        )
    return found


def run_check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(CHECK), str(path)], capture_output=True, text=True, check=False
    )


TEXT = st.text(max_size=12)
KEYS = st.one_of(TEXT, st.sampled_from(["", ".", "..", "/", "a/b", "%", "%other", "%2F", "ключ", "a\0b"]))
REJECTED = st.builds(Rejected, TEXT, st.integers(1, 2**40), TEXT, st.integers(1, 2**40), TEXT)


@st.composite
def conformers(draw: st.DrawFn) -> Conformer:
    n = draw(st.integers(1, 5))
    coordinate = st.floats(-1e6, 1e6)
    return Conformer(
        atomic_number=np.array(draw(st.lists(st.integers(1, 118), min_size=n, max_size=n)), np.uint8),
        position=np.array(
            draw(st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=n, max_size=n))
        ),
        title=draw(TEXT),
        charge=draw(st.integers(-9, 9)),
        source=draw(TEXT),
        record=draw(st.integers(1, 2**40)),
        properties=draw(st.dictionaries(KEYS, TEXT, max_size=4)),
    )


def as_stored(text: str) -> str:
    return text.replace("\0", "\ufffd")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(conformers(), max_size=6), st.lists(REJECTED, max_size=3), st.integers(1, 4))
def test_round_trip(
    tmp_path_factory: Any, items: list[Conformer], rejected: list[Rejected], size: int
) -> None:
    path = tmp_path_factory.mktemp("hdf5") / "x.h5"
    with Hdf5Writer(path, columns=()) as writer:
        for first in range(0, len(items), size):
            writer.append(ConformerBlock.of(items[first : first + size]))
            writer.flush()
        writer.append(ConformerBlock.of([], rejected))
    back = [c for block in EmbeddingFile(path).blocks(size) for c in block]
    assert len(back) == len(items)
    for old, new in zip(items, back, strict=True):
        assert np.array_equal(old.atomic_number, new.atomic_number)
        assert np.array_equal(old.position, new.position)
        assert (as_stored(old.title), old.charge, as_stored(old.source), old.record) == (
            new.title,
            new.charge,
            new.source,
            new.record,
        )
        assert {as_stored(k): as_stored(v) for k, v in old.properties.items() if v} == new.properties
    with EmbeddingFile(path) as file:
        refused = [
            (as_stored(r.source), r.record, as_stored(r.title), r.line, as_stored(r.reason)) for r in rejected
        ]
        assert [(r.source, r.record, r.title, r.line, r.reason) for r in file.rejected()] == refused


@settings(deadline=None)
@given(KEYS, KEYS)
def test_property_names_are_distinct_and_legal(first: str, second: str) -> None:
    assert (property_name(first) == property_name(second)) == (first == second)
    name = property_name(first)
    assert name and "/" not in name and "\0" not in name and not name.startswith(".") and name != "%other"


def test_columns_come_back(tmp_path: Path) -> None:
    block = ConformerBlock.of(make_conformers(50))
    columns = embed(block)
    columns["rmsd"] = np.linspace(0, 1, 50)
    with Hdf5Writer(tmp_path / "x.h5", parts=PARTS, columns=(*EMBEDDING_COLUMNS, "rmsd")) as writer:
        writer.append(block, columns)
        writer.append(ConformerBlock.of([]), {k: v[:0] for k, v in columns.items()})
    with EmbeddingFile(tmp_path / "x.h5") as file:
        assert len(file) == 50 and file.dimension == DIMENSION
        for name, values in columns.items():
            assert np.array_equal(file.column(name), values), name
        atoms = slice(block.offset[10], block.offset[20])
        assert np.array_equal(file.column("permutation", 10, 20), columns["permutation"][atoms])
        assert np.array_equal(file.column("atom_offset", 10, 20), block.offset[10:21])
        assert file.conformer(-1).title == file.conformer(49).title == "molecule 49"
        for wrong in (50, -51):
            with pytest.raises(MolgiaeError, match="no conformer"):
                file.conformer(wrong)
        with pytest.raises(MolgiaeError, match="no column"):
            file.column("energy")


def test_parts_of_the_embedding_come_back_as_plain_attributes(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", make_conformers(3))
    with h5py.File(tmp_path / "x.h5") as file:
        about = {name: file["embedding"].attrs[name].tolist() for name in PART_ATTRIBUTES}
    assert about["parts"] == ["shape", "detail"] and about["part_unit"] == ["angstrom", "1"]
    assert (about["part_start"], about["part_stop"]) == ([0, 2], [2, 4])
    with EmbeddingFile(tmp_path / "x.h5") as file:
        assert file.parts == PARTS and file.part("detail") == Part("detail", 2, 4)
        assert file.summary()["parts"][0] == {
            "name": "shape", "start": 0, "stop": 2, "unit": "angstrom", "meaning": about["part_meaning"][0],
        }  # fmt: skip
        with pytest.raises(
            ConfigError, match=r"x\.h5: .* no part overlay; its parts are shape, detail: make"
        ):
            file.part("overlay")
    with Hdf5Writer(tmp_path / "plain.h5", columns=()) as writer:
        writer.append(ConformerBlock.of(make_conformers(2)))
    with EmbeddingFile(tmp_path / "plain.h5") as file:
        assert file.parts == () and file.summary()["parts"] == []
        with pytest.raises(ConfigError, match="no part shape; it has none at all"):
            file.part("shape")


@pytest.mark.parametrize(("shape", "names"), [(0, ["detail"]), (2, ["shape", "detail"]), (4, ["shape"])])
def test_files_of_version_1_are_read(tmp_path: Path, shape: int, names: list[str]) -> None:
    write(tmp_path / "x.h5", make_conformers(5))
    before = contents(tmp_path / "x.h5")
    path = as_version_1(tmp_path / "x.h5", shape)
    assert contents(path) == before
    with EmbeddingFile(path) as file:
        file.verify()
        assert [part.name for part in file.parts] == names
        assert [part.stop for part in file.parts][-1] == DIMENSION and file.parts[0].stop in (
            shape,
            DIMENSION,
        )
        assert file.summary()["schema_version"] == 1


def test_buffers_of_the_caller_may_be_used_again(tmp_path: Path) -> None:
    block = ConformerBlock.of(make_conformers(5))
    columns = embed(block)
    expected = columns["embedding"].copy()
    with Hdf5Writer(tmp_path / "x.h5", parts=PARTS) as writer:
        writer.append(block, columns)
        columns["embedding"][:] = 0
    with EmbeddingFile(tmp_path / "x.h5") as file:
        assert np.array_equal(file.column("embedding"), expected)


def test_blocks_of_any_size_give_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "FLUSH_ROWS", 64)
    items = make_conformers(300)
    rejected = [Rejected("in.sdf", 7, "x", 70, "empty record")]
    whole = ConformerBlock.of(items, rejected)
    columns = embed(whole)
    with Hdf5Writer(tmp_path / "whole.h5", parts=PARTS) as writer:
        writer.append(whole, columns)
    with Hdf5Writer(tmp_path / "parts.h5", parts=PARTS) as writer:
        for first in range(0, 300, 7):
            rows, atoms = (
                slice(first, first + 7),
                slice(whole.offset[first], whole.offset[min(first + 7, 300)]),
            )
            part = ConformerBlock.of(items[rows], rejected if first == 70 else ())
            writer.append(
                part, {k: v[atoms if SCHEMA[k].per == "atom" else rows] for k, v in columns.items()}
            )
    assert contents(tmp_path / "whole.h5") == contents(tmp_path / "parts.h5")


def test_every_dataset_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", make_conformers(3), command="molgiae embed in.sdf " + "x" * 100_000)
    plain = (np.integer, str)
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["schema_version"] == 2 and file.attrs["created"].endswith("Z")
        assert {"molgiae_version", "model", "model_sha256", "command", "convention"} <= set(file.attrs)
        assert all(isinstance(value, plain) and value != "" for value in file.attrs.values())

        def visit(name: str, item: h5py.HLObject) -> None:
            if isinstance(item, h5py.Dataset):
                assert item.attrs["unit"] and item.attrs["description"], name
                assert item.dtype.kind in "iufSO" and item.compression is None, name

        file.visititems(visit)
        assert set(file) - {"properties", "rejected"} <= set(SCHEMA)


def test_the_page_of_the_file_has_the_schema_as_it_is() -> None:
    assert schema_table() in PAGE.read_text(encoding="utf-8")


def test_the_page_of_the_file_has_the_parts_as_they_are() -> None:
    table = "".join(f"| `{name}` | {unit} | {meaning} |\n" for name, (unit, meaning) in NAMED_PARTS.items())
    assert table in PAGE.read_text(encoding="utf-8")


def test_schema_table_has_a_row_for_every_dataset() -> None:
    table = schema_table()
    assert all(
        f"| `{name}` |" in table
        for name in (
            *SCHEMA,
            "properties/KEY",
            "atom_data/NAME",
            "predictions/SYMBOL",
            "predictions/SYMBOL_std",
            "predictions/SYMBOL_95",
        )
    )
    assert len(table.splitlines()) == len(SCHEMA) + 2 + 6  # two lines of heading, six patterns
    assert "| `predictions/SYMBOL` | (M,) | float64 | of the property |" in table
    assert "| `embedding` | (M, D) | float32 |" in table and "| `atom_offset` | (M + 1,) | int64 |" in table


def test_absent_properties_are_stored_not_left_unwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A string never written is NULL, on which R's rhdf5 crashes; "" has a heap address."""
    monkeypatch.setattr(hdf5, "FLUSH_ROWS", 4)
    with Hdf5Writer(tmp_path / "x.h5", columns=()) as writer:
        for m in range(11):
            keys = {"late/key": "1"} if m == 9 else {"early": "2"} if m == 0 else {}
            writer.append(
                ConformerBlock.of([Conformer(np.ones(1, np.uint8), np.zeros((1, 3)), properties=keys)])
            )
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file["properties"]) == {"early", "late%2Fkey"}
        assert file["properties/late%2Fkey"].attrs["key"] == "late/key"
        for dataset in file["properties"].values():
            assert len(dataset) == 11
            stored = np.frombuffer(dataset.id.read_direct_chunk((0,))[1], "u4").reshape(-1, 4)[:11]
            assert np.all(stored[:, 1] > 0)


def test_keys_without_end_do_not_make_datasets_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "MAX_PROPERTIES", 3)
    keys = [{f"key {m}": str(m), "x" * 5000: "long"} for m in range(9)]
    items = [Conformer(np.ones(1, np.uint8), np.zeros((1, 3)), properties=k) for k in keys]
    with Hdf5Writer(tmp_path / "x.h5", columns=()) as writer:
        writer.append(ConformerBlock.of(items))
    with h5py.File(tmp_path / "x.h5") as file:
        assert set(file["properties"]) == {"key 0", "key 1", "key 2", "%other"}
    with EmbeddingFile(tmp_path / "x.h5") as file:
        assert file.properties() == keys
        assert file.summary()["properties"] == ["key 0", "key 1", "key 2"]


def test_no_conformers_is_a_valid_file(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", [], [Rejected("in.sdf", m, "", m, f"record {m} is empty") for m in range(1, 4)])
    with EmbeddingFile(tmp_path / "x.h5") as file:
        summary = file.summary()
    assert (summary["conformers"], summary["atoms"], summary["rejected"]) == (0, 0, 3)
    assert summary["rejected_reasons"] == {"record # is empty": 3}
    assert summary["dimension"] == DIMENSION
    assert list(EmbeddingFile(tmp_path / "x.h5").blocks()) == []
    assert run_check(tmp_path / "x.h5").returncode == 0


def test_summary(tmp_path: Path) -> None:
    write(tmp_path / "x.h5", make_conformers(6), model="small", command="embed \udcff")
    with EmbeddingFile(tmp_path / "x.h5") as file:
        summary = file.summary()
    assert (summary["model"], summary["conformers"], summary["properties"]) == ("small", 6, ["energy"])
    assert summary["pose_defined"] == {"full": 2, "axis": 2, "none": 2}
    assert sum(summary["atomic_numbers"].values()) == summary["atoms"]
    assert summary["bytes"] == (tmp_path / "x.h5").stat().st_size


def test_wrong_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no column colour"):
        Hdf5Writer(tmp_path / "x.h5", columns=("colour",))
    with pytest.raises(ConfigError, match="no parts of the embedding were given, expected at least 1"):
        Hdf5Writer(tmp_path / "x.h5")
    block = ConformerBlock.of(make_conformers(3))
    good = embed(block)
    bad: list[tuple[dict[str, Any], type[MolgiaeError]]] = [
        ({k: v for k, v in good.items() if k != "rotation"}, ShapeError),
        (good | {"rotation": good["rotation"][:2]}, ShapeError),
        (good | {"embedding": good["embedding"][:, :3]}, ShapeError),
        (good | {"pose_defined": np.array(["full", "half", "none"])}, ConfigError),
        (good | {"in_domain": np.array([0, 1, 2])}, ConfigError),
    ]
    for columns, error in bad:
        with pytest.raises(error), Hdf5Writer(tmp_path / "x.h5", parts=PARTS) as writer:
            writer.append(block, columns)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept_unless_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write(path, make_conformers(2))
    with pytest.raises(MolgiaeError, match="exists already"):
        write(path, make_conformers(3))
    with pytest.raises(ZeroDivisionError), Hdf5Writer(path, columns=(), overwrite=True):
        raise ZeroDivisionError
    with EmbeddingFile(path) as file:
        assert len(file) == 2
    write(path, make_conformers(3), overwrite=True)
    with EmbeddingFile(path) as file:
        assert len(file) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_links_are_followed_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "real.h5", make_conformers(2))
    (tmp_path / "link.h5").symlink_to("real.h5")
    write(tmp_path / "link.h5", make_conformers(3), overwrite=True)
    assert (tmp_path / "link.h5").is_symlink()
    with EmbeddingFile(tmp_path / "real.h5") as file:
        assert len(file) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing/x.h5", "there is no directory"), (".", "not a file"), (os.devnull, "not a file")],
)
def test_impossible_outputs_are_one_line(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(MolgiaeError, match=message) as caught:
        Hdf5Writer(tmp_path / name, columns=(), overwrite=True)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MolgiaeError, match="no permission"):
        Hdf5Writer(tmp_path / "x.h5", columns=())


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    block = ConformerBlock.of(make_conformers(20))
    with pytest.raises(KeyboardInterrupt), Hdf5Writer(tmp_path / "x.h5", parts=PARTS) as writer:
        writer.append(block, embed(block))
        writer.flush()
        assert len(list(tmp_path.iterdir())) == 1
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


CHILD = """
import sys
from pathlib import Path
import numpy as np
from molgiae.data.conformer import ConformerBlock, Conformer
from molgiae.data.hdf5.writer import Hdf5Writer
block = ConformerBlock.of([Conformer(np.ones(4, np.uint8), np.ones((4, 3)))] * 500)
with Hdf5Writer(Path(sys.argv[1]), columns=()) as writer:
    for _ in range(int(sys.argv[2])):
        writer.append(block)
        writer.flush()
        print("row", flush=True)
"""


def test_kill_leaves_no_file_that_looks_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), "100000"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child.stdout:
        for _ in range(20):
            assert child.stdout.readline() == b"row\n"
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not path.exists()
    assert [p.name.startswith(".x.h5.part-") for p in tmp_path.iterdir()] == [True]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    limit = 2_000_000
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "x.h5"), "1000"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        check=False,
    )
    assert done.returncode == 1
    assert (
        "MolgiaeError" in done.stderr.splitlines()[-1] and "cannot be written" in done.stderr.splitlines()[-1]
    )
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    write(good, make_conformers(3))
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "cut.h5").write_bytes(good.read_bytes()[:5000])
    h5py.File(tmp_path / "other.h5", "w").close()
    newer = tmp_path / "newer.h5"
    newer.write_bytes(good.read_bytes())
    with h5py.File(newer, "r+") as file:
        file.attrs["schema_version"] = 3
        file.attrs["molgiae_version"] = "9.1"
    broken = tmp_path / "broken.h5"
    broken.write_bytes(good.read_bytes())
    with h5py.File(broken, "r+") as file:
        file["atom_offset"][-1] += 1
    lacking = tmp_path / "lacking.h5"
    lacking.write_bytes(good.read_bytes())
    with h5py.File(lacking, "r+") as file:
        del file["title"]
    messages = {
        "missing.h5": "no such file",
        "text.h5": "cannot be read as HDF5",
        "cut.h5": "cannot be read as HDF5",
        "other.h5": "not written by molgiae",
        "newer.h5": r"schema version 3.*install molgiae 9\.1",
        "broken.h5": "damaged: permutation has .* rows, expected .* as atom_offset says",
        "lacking.h5": "damaged: title missing",
    }
    for name, message in messages.items():
        with pytest.raises(MolgiaeError, match=message):
            EmbeddingFile(tmp_path / name)


def test_the_check_passes_good_files_and_finds_each_fault(tmp_path: Path) -> None:
    good = tmp_path / "good.h5"
    write(good, make_conformers(30), [Rejected("in.sdf", 31, "", 1, "empty")])
    done = run_check(good)
    assert done.returncode == 0 and "conformers 30" in done.stdout and "refused 1" in done.stdout
    check = runpy.run_path(str(CHECK))["check"]

    def shift(file: h5py.File) -> None:
        file["translation"][29] = file["translation"][29] + 1e-4

    def mirror(file: h5py.File) -> None:
        file["rotation"][3] = -file["rotation"][3]

    def repeat(file: h5py.File) -> None:
        file["permutation"][...] = 0

    def nan(file: h5py.File) -> None:
        file["position"][0] = np.nan

    def shorten(file: h5py.File) -> None:
        file["rejected/reason"].resize(0, axis=0)

    def strip(file: h5py.File) -> None:
        del file["charge"].attrs["unit"]

    def overlap(file: h5py.File) -> None:
        file["embedding"].attrs["part_start"] = [0, 1]

    def unnamed(file: h5py.File) -> None:
        del file["embedding"].attrs["part_unit"]

    for spoil in (shift, mirror, repeat, nan, shorten, strip, overlap, unnamed):
        bad = tmp_path / f"{spoil.__name__}.h5"
        bad.write_bytes(good.read_bytes())
        with h5py.File(bad, "r+") as file:
            spoil(file)
        assert not check(str(bad), 1e-6), spoil.__name__
    assert check(str(good), 1e-6)
    assert check(str(as_version_1(good)), 1e-6)
    with h5py.File(good, "r+") as file:
        file.attrs["shape_dimension"] = 5
    assert not check(str(good), 1e-6)
    assert "molgiae" not in {
        line.split()[1] for line in CHECK.read_text().splitlines() if line.startswith("import")
    }


def test_point_groups_of_five_letters_are_kept_and_files_with_four_are_read(tmp_path: Path) -> None:
    """Columns of the first files were as narrow as C12v."""
    path = tmp_path / "a.h5"
    block = ConformerBlock.of(make_conformers(1))
    with Hdf5Writer(path, parts=PARTS) as writer:
        writer.append(block, {**embed(block), "point_group": np.array(["C137v"])})
    with h5py.File(path, "r+") as file:
        assert file["point_group"][()].tolist() == [b"C137v"]
        file["point_group"][...] = b"C12v"
        attributes = dict(file["point_group"].attrs)
        narrow = file["point_group"][()].astype("S4")
        del file["point_group"]
        file.create_dataset("point_group", data=narrow).attrs.update(attributes)
    with EmbeddingFile(path) as file:
        file.verify()
        assert file.summary()["point_group"] == {"C12v": 1}
