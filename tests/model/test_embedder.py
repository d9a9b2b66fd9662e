"""Embedding in batches: the order of the input, whatever the batches; what cannot be embedded is named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.canonical.forms import canonical_forms
from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.errors import ConfigError, ShapeError
from molgiae.model import cloud
from molgiae.model.cloud import batches_by_size
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import shipped_names
from tests.conformers import conformer, mirrored, moved, random_conformer

SIZES = [9, 1, 16, 2, 5, 9, 3, 12, 9, 4, 16, 7]
MIXED = ConformerBlock.of([random_conformer(n, seed) for seed, n in enumerate(SIZES)])
WATER = conformer([8, 1, 1], [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
METHANE = conformer(
    [6, 1, 1, 1, 1], np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.63
)
CARBON_DIOXIDE = conformer([6, 8, 8], [[0, 0, 0], [0, 0, 1.16], [0, 0, -1.16]])
BENZENE = conformer(
    [6] * 6 + [1] * 6,
    [[r * np.cos(k * np.pi / 3), r * np.sin(k * np.pi / 3), 0] for r in (1.39, 2.48) for k in range(6)],
)
SPECIAL = [
    WATER,
    METHANE,
    CARBON_DIOXIDE,
    BENZENE,
    conformer([6], [[3.0, -2.0, 7.0]]),
    random_conformer(2, 5),
]


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Largest relative deviation of rows."""
    return float((np.linalg.norm(a - b, axis=-1) / np.linalg.norm(b, axis=-1)).max())


def assert_same(found: Result, expected: Result) -> None:
    assert found.columns.keys() == expected.columns.keys()
    assert relative(found["embedding"], expected["embedding"]) <= 1e-6
    for name in ("rotation", "translation", "canonical_position"):
        assert_allclose(found[name], expected[name], atol=1e-9)
    for name in ("permutation", "pose_defined", "order_defined", "in_domain"):
        assert_array_equal(found[name], expected[name])


def assert_convention(result: Result) -> None:
    """What the HDF5 schema promises."""
    for m, c in enumerate(result.block):
        atoms = slice(result.block.offset[m], result.block.offset[m + 1])
        back = result["canonical_position"][atoms] @ result["rotation"][m].T + result["translation"][m]
        assert_allclose(c.position[result["permutation"][atoms]], back, atol=1e-9)
        assert_allclose(np.linalg.det(result["rotation"][m]), 1.0)


@pytest.mark.parametrize("batch_size", [1, 5, 256])
def test_results_stand_in_the_order_of_the_input_whatever_the_batch_size(model_path, batch_size):
    result = Embedder(model_path, device="cpu", batch_size=batch_size).embed(MIXED)
    assert result.block is MIXED
    singles = Embedder(model_path, device="cpu")
    for m, c in enumerate(MIXED):
        alone = singles.embed([c])
        atoms = slice(MIXED.offset[m], MIXED.offset[m + 1])
        assert relative(result["embedding"][m : m + 1], alone["embedding"]) <= 1e-6
        assert_allclose(result["canonical_position"][atoms], alone["canonical_position"], atol=1e-9)
        assert_array_equal(result["permutation"][atoms], alone["permutation"])


def test_embeddings_tell_conformers_apart(embedder):
    """Without this, the tests above would hold for a constant."""
    y = embedder.embed(MIXED)["embedding"].astype(float)
    apart = np.linalg.norm(y[:, None] - y[None], axis=-1) / np.linalg.norm(y, axis=-1)
    assert apart[~np.eye(len(y), dtype=bool)].min() > 1e-3


def test_batch_mates_do_not_matter(embedder):
    alone = embedder.embed([MIXED[4]])
    mates = embedder.embed([random_conformer(16, 99), MIXED[4], random_conformer(3, 98)])
    assert relative(mates["embedding"][1:2], alone["embedding"]) <= 1e-6
    assert relative(mates["embedding"][:1], alone["embedding"]) > 1e-3


def test_the_same_input_twice_gives_the_same_bits(embedder):
    first, second = (embedder.embed(MIXED, reconstruct=True) for _ in range(2))
    for name, column in first.columns.items():
        assert (column.tolist() if column.dtype == object else column.tobytes()) == (
            second[name].tolist() if column.dtype == object else second[name].tobytes()
        ), name


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reach", [1.0, 1000.0])
def test_embeddings_are_invariant(embedder, seed, reach):
    conformers = [*MIXED, *SPECIAL]
    copies = embedder.embed([moved(c, seed, reach) for c in conformers])
    assert relative(copies["embedding"], embedder.embed(conformers)["embedding"]) <= 1e-5


def test_mirror_images_of_asymmetric_conformers_differ_those_of_planar_ones_do_not(embedder):
    chiral = [c for c in MIXED if len(c) > 4]
    here, there = embedder.embed(chiral), embedder.embed([mirrored(c) for c in chiral])
    assert (np.linalg.norm(here["embedding"] - there["embedding"], axis=1) > 1e-3).all()
    water, image = (embedder.embed([c])["embedding"] for c in (WATER, mirrored(WATER)))
    assert relative(image, water) <= 1e-5


def test_convention_holds(embedder):
    conformers = [moved(c, m) for m, c in enumerate([*MIXED, *SPECIAL])]
    assert_convention(embedder.embed(conformers))
    assert_convention(canonical_forms(conformers))


def test_convention_test_can_fail(embedder):
    result = embedder.embed(MIXED)
    result["permutation"][:9] = result["permutation"][:9][::-1].copy()
    with pytest.raises(AssertionError):
        assert_convention(result)


def test_strangers_are_refused_by_name_and_the_others_kept(embedder):
    chloride = conformer([17, 1], [[0, 0, 0], [0, 0, 1.27]], title="known")
    silane = conformer([14, 1, 53], [[0, 0, 0], [0, 0, 1.5], [2.0, 0, -0.5]], title="silane")
    big = Conformer(
        *(getattr(random_conformer(17, 1), n) for n in ("atomic_number", "position")),
        title="big",
        source="a.sdf",
        record=7,
        line=90,
    )
    result = embedder.embed([silane, chloride, big, *MIXED])
    assert result.block.title == ["known", *MIXED.title]
    assert_same(result, embedder.embed([chloride, *MIXED]))
    first, second = result.block.rejected
    assert (
        first.title == "silane"
        and "element Si, I is unknown to the model, which knows H C N O F Cl" in first.reason
    )
    assert (second.source, second.record, second.title, second.line) == ("a.sdf", 7, "big", 90)
    assert second.reason.startswith("17 atoms, the model takes up to 16")


def test_all_refused_is_an_empty_result(embedder):
    result = embedder.embed([conformer([92], [[0, 0, 0]])])
    assert len(result) == 0 and len(result.block.rejected) == 1
    assert result["embedding"].shape == (0, embedder.dimension)


@pytest.mark.parametrize("method", ["embed", "canonicalize"])
def test_conformers_without_meaning_are_refused(embedder, method):
    bad = [
        conformer([], [], title="nothing"),
        conformer([6, 0], [[0, 0, 0], [0, 0, 1.5]], title="dummy"),
        conformer([6, 1], [[0, 0, 0], [0, np.nan, 1.1]], title="nan"),
        conformer([6, 119], [[0, 0, 0], [0, 0, 1.5]], title="beyond"),
    ]
    compute = {"embed": embedder.embed, "canonicalize": canonical_forms}[method]
    result = compute([bad[0], WATER, bad[1], METHANE, bad[2], bad[3]])
    assert [(r.title, r.reason) for r in result.block.rejected] == [
        ("nothing", "no atoms"),
        ("dummy", "atom 2 has atomic number 0"),
        ("nan", "a coordinate is not a finite number"),
        ("beyond", "atom 2 has atomic number 119"),
    ]
    assert_array_equal(result.block.n_atoms, [3, 5])
    assert np.isfinite(result["canonical_position"]).all()


@pytest.mark.parametrize(
    ("strange", "inside"),
    [
        (WATER, True),
        (conformer([6], [[0, 0, 0]]), False),  # fewer atoms than any in training
        (random_conformer(15, 0), False),  # more atoms
        (conformer([17, 1], [[0, 0, 0], [0, 0, 1.27]]), False),  # an element the model knows, but rare
        (conformer([8, 1, 1], [[0, 0, 0], [0, 0.76, 0.5], [0, -0.3, 0.3]]), False),  # atoms too close
        (conformer([8, 1, 1], [[0, 0, 0], [0, 0.76, 0.5], [0, -5.0, 0.5]]), False),  # a stray atom
        (conformer([8, 1], [[0, 0, 0], [0, 0, 0.97]], charge=-1), False),
    ],
)
def test_conformers_outside_of_the_training_data_are_flagged(embedder, strange, inside):
    """By the ranges alone: the model is untrained and gives nothing back."""
    result = Embedder(embedder.checkpoint, device="cpu", check=False).embed([METHANE, strange, BENZENE])
    assert len(result) == 3
    assert result["in_domain"].tolist() == [True, inside, True]


def test_canonicalize_takes_every_element_and_size(embedder):
    heavy = conformer(list(range(1, 119)), random_conformer(118, 3).position)
    big = random_conformer(300, 4, elements=(6, 14, 79))
    result = canonical_forms([heavy, WATER, big])
    assert not result.block.rejected
    assert "embedding" not in result.columns
    assert_convention(result)
    copies = canonical_forms([moved(heavy, 1), moved(WATER, 2), moved(big, 3)])
    assert_allclose(copies["canonical_position"], result["canonical_position"], atol=1e-6)


def test_nothing_gives_nothing(embedder):
    for result in (embedder.embed([], reconstruct=True), canonical_forms([])):
        assert len(result) == 0
        assert all(len(column) == 0 for column in result.columns.values())
    assert embedder.embed([])["embedding"].shape == (0, embedder.dimension)


def test_poses_that_are_not_defined_are_said_to_be(embedder):
    result = embedder.embed(SPECIAL)
    assert result["pose_defined"].tolist()[:5] == ["axis", "none", "none", "none", "none"]
    assert result["order_defined"].tolist() == [0, 0, 0, 0, 1, 1]
    for column in result.columns.values():
        assert column.dtype.kind in "SUO" or np.isfinite(column).all()


def test_reconstructions_are_those_of_the_model(embedder):
    result = embedder.embed(MIXED, reconstruct=True)
    assert set(np.unique(result["reconstructed_atomic_number"])) <= {0, *embedder.model.config.elements}
    for m, c in enumerate(MIXED):
        atoms = slice(MIXED.offset[m], MIXED.offset[m + 1])
        square = np.square(result["reconstructed_position"][atoms] - c.position).sum(axis=1)
        assert_allclose(result["rmsd"][m], np.sqrt(square.mean()))


def test_reconstructions_follow_pose_and_order(embedder):
    """They come from embedding and group action alone, so a moved input moves them, nothing else."""
    c = MIXED[2]
    rng = np.random.default_rng(1)
    order, shift = rng.permutation(len(c)), np.array([4.0, -3.0, 2.0])
    copy = Conformer(c.atomic_number[order], c.position[order] * [-1, -1, 1] + shift)
    here, there = (embedder.embed([x], reconstruct=True) for x in (c, copy))
    assert_allclose(
        there["reconstructed_position"],
        here["reconstructed_position"][order] * [-1, -1, 1] + shift,
        atol=1e-4,
    )
    assert_array_equal(there["reconstructed_atomic_number"], here["reconstructed_atomic_number"][order])


@pytest.mark.parametrize("max_pairs", [1, 200, 10_000])
def test_batches_hold_every_conformer_once_and_few_pairs(monkeypatch, max_pairs):
    monkeypatch.setattr(cloud, "MAX_PAIRS", max_pairs)
    sizes = np.random.default_rng(0).integers(1, 40, 50)
    batches = list(batches_by_size(sizes, 8))
    assert sorted(np.concatenate(batches).tolist()) == list(range(50))
    for batch in batches:
        assert len(batch) <= 8
        assert len(batch) == 1 or len(batch) * sizes[batch].max() ** 2 <= max_pairs


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_a_conformer_at_least(size):
    with pytest.raises(ConfigError, match=f"batch size {size}: must be at least 1"):
        list(batches_by_size(np.array([3]), size))


def test_small_batches_for_large_conformers_do_not_change_results(embedder, monkeypatch):
    expected = embedder.embed(MIXED)
    monkeypatch.setattr(cloud, "MAX_PAIRS", 100)
    assert_same(embedder.embed(MIXED), expected)


def test_a_model_may_be_a_path_or_a_checkpoint(model_path, embedder):
    from pathlib import Path  # noqa: PLC0415

    for model in (Path(model_path), embedder.checkpoint):
        assert_same(Embedder(model, device="cpu").embed(MIXED), embedder.embed(MIXED))


def test_wrong_options_are_errors(model_path):
    with pytest.raises(ConfigError, match="batch size 0"):
        Embedder(model_path, batch_size=0)
    with pytest.raises(ConfigError, match="device 'tpu' is unknown; use one of auto, cpu, cuda"):
        Embedder(model_path, device="tpu")


def test_cuda_that_is_not_there_is_an_error(model_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device; use --device cpu"):
        Embedder(model_path, device="cuda")


def test_encode_itself_refuses_too_many_atoms(embedder):
    big = canonical_forms([random_conformer(17, 0)])
    from molgiae.model.cloud import pack  # noqa: PLC0415

    with pytest.raises(ShapeError, match="17 atoms, the model takes up to 16"):
        embedder.model.encode(pack(big.block.atomic_number, big.block.position, big.block.offset))


@pytest.mark.skipif("qm9" not in shipped_names(), reason="no weights in this checkout")
def test_the_shipped_model_remembers_molecules():
    result = Embedder("qm9", device="cpu").embed(
        [moved(c, 1) for c in (WATER, BENZENE, METHANE)], reconstruct=True
    )
    assert result["rmsd"].max() < 0.05
    assert (result["reconstructed_atomic_number"] == result.block.atomic_number).all()
    assert result["in_domain"].all()


def test_the_size_of_batches_changes_round_off_alone():
    """As the help says: matrix products of another size add up in another order."""
    block = ConformerBlock.of([random_conformer(4 + seed % 8, seed) for seed in range(40)])
    first, *others = (Embedder("qm9", device="cpu", batch_size=size).embed(block) for size in (256, 7, 1))
    for other in others:
        assert np.abs(other["embedding"] - first["embedding"]).max() < 1e-5
        assert np.abs(other["canonical_position"] - first["canonical_position"]).max() < 1e-12
        assert np.array_equal(other["permutation"], first["permutation"])


@pytest.mark.parametrize("names", ["features", "color", "detail", "overlay,shape"])
def test_parts_that_are_not_wanted_are_not_computed(names, embedder, monkeypatch):
    some = Embedder(embedder.checkpoint, device="cpu", parts=names)
    whole, rebuilt = embedder.embed(MIXED), some.embed(MIXED, reconstruct=True)
    columns = np.concatenate([np.r_[embedder.part(name).columns] for name in names.split(",")])
    encoder = embedder.model.encoder
    makers = {
        "features": encoder.features,
        "overlay": encoder.overlay,
        "color": encoder.overlay,
        "shape": encoder.shape,
        "detail": encoder.slots,
    }
    for idle in set(makers.values()) - {makers[name] for name in names.split(",")}:
        monkeypatch.setattr(idle, "forward", None)
    for found in (some.embed(MIXED), rebuilt):
        assert relative(found["embedding"], whole["embedding"][:, columns]) <= 1e-5
