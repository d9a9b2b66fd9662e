"""Figures are right on subjects whose figures are known, and broken subjects are caught."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn

from molgiae.canonical.forms import canonical_forms
from molgiae.commands.evaluate import evaluate, read_data
from molgiae.config import Domain, ModelConfig
from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.data.npz import has_splits, read_npz
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.evaluation.descriptors import (
    CANONICAL_COORDINATES,
    RANDOM_WEIGHTS,
    Panel,
    baselines,
    canonical_coordinates,
    coulomb_eigenvalues,
    embedding,
    random_weights,
    sample,
    scales,
    sorted_distances,
    typical_distance,
    with_atoms,
)
from molgiae.evaluation.distance_fidelity import (
    fidelity,
    nearest,
    neighbours,
    pairs_of_one_formula,
    pairs_of_one_molecule,
    slope,
    symmetry_corrected_rmsd,
)
from molgiae.evaluation.embedding_map import embedding_map, read_colour
from molgiae.evaluation.invariance import (
    batch_effect,
    invariance,
    mirror_distances,
    mirror_images,
    random_copies,
)
from molgiae.evaluation.linear_baseline import inertial_coordinates, linear_baseline
from molgiae.evaluation.plots import plots
from molgiae.evaluation.reconstruction import canonical_reconstruction, reconstruction, throughput
from molgiae.evaluation.report import NOTES, ROWS, Report, angstrom, look_up, percent
from molgiae.evaluation.sections import SECTIONS, Settings
from molgiae.evaluation.smoothness import angle, order_differs, smoothness
from molgiae.model.architectures import CanonicalEncoder, build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud
from molgiae.model.embedder import Embedder
from molgiae.nn.slots import SlotPrediction
from molgiae.parts import TOGETHER, Part
from tests.cli.invoke import molgiae_
from tests.conformers import conformer, moved, random_conformer
from tests.conftest import TINY_DOMAIN

SLOTS = 12
ELEMENTS = (1, 6, 7, 8)
DOMAIN = Domain(elements=ELEMENTS, n_atoms=(2, SLOTS), radius=20.0, nearest=(0.5, 3.0))
BLOCK = ConformerBlock.of(
    [random_conformer(n, seed) for seed, n in enumerate([9, 4, 12, 7, 9, 10, 12, 5] * 3)]
)
SMALL = Settings(
    invariance_pairs=1, pairs=20, linear_dimensions=(8, 4), mirror_conformers=8, throughput_conformers=24
)


class Flatten(nn.Module):
    """Eta that forgets nothing: elements and coordinates of the canonical form, padded."""

    def forward(self, z: Tensor, pos: Tensor) -> Tensor:
        padded = nn.functional.pad(torch.cat([z[..., None], pos], dim=-1), (0, 0, 0, SLOTS - z.shape[1]))
        return padded.flatten(1).float()


class Unflatten(nn.Module):
    """Delta that undoes it, or decodes what is turned and has two slots swapped."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.turned = turned

    def forward(self, embedding: Tensor) -> SlotPrediction:
        z, pos = embedding.unflatten(1, (SLOTS, 4)).split([1, 3], dim=-1)
        if self.turned:
            pos = pos[:, [1, 0, *range(2, SLOTS)]] @ torch.tensor(
                [[0.8, 0.6, 0.0], [-0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]
            )
        kind = torch.searchsorted(torch.tensor([0, *ELEMENTS]), z[..., 0].round().long())
        return SlotPrediction(nn.functional.one_hot(kind, len(ELEMENTS) + 1).float(), pos)


def keeper(turned: bool = False, **dimensions: int) -> Embedder:
    """A model that reconstructs perfectly, or up to pose and order; parts of its embedding by their dimensions."""
    torch.manual_seed(0)
    config = ModelConfig(
        elements=ELEMENTS,
        max_atoms=SLOTS,
        embedding_dim=4 * SLOTS,
        width=8,
        layers=1,
        **{"shape_dim": 0, "features_dim": 0, **dimensions},
    )
    encoder = CanonicalEncoder(None, None, None, None, nn.Identity(), None)
    eta = Flatten()
    encoder.invariant = lambda shared, canonical: eta(canonical.z, canonical.pos)
    model = ConformerAutoencoder(config, encoder, Unflatten(turned)).eval().requires_grad_(False)
    return Embedder(Checkpoint("keeper", model, DOMAIN), device="cpu")


@pytest.fixture(scope="module")
def perfect() -> Embedder:
    return keeper()


def panel_of(embedder: Embedder, **descriptors) -> Panel:
    return Panel(embedder.embed, {"model": embedding, **descriptors})


def as_they_stand(result: Result) -> np.ndarray:
    """Not invariant: the sums of coordinates and of their squares."""
    x = result.block.position
    return np.add.reduceat(np.hstack([x, x * x]), result.block.offset[:-1])


class TestReconstruction:
    def test_perfect_model(self, perfect):
        figures = reconstruction(perfect, BLOCK)
        assert figures["rmsd_p100"] < 1e-6
        assert figures["solved_rmsd_p100"] < 1e-6
        for name in ("rmsd_below_0.05", "rmsd_below_0.25", "type_accuracy", "formula_accuracy"):
            assert figures[name] == 1

    def test_solving_finds_pose_and_order(self):
        carbons = ConformerBlock.of([replace(c, atomic_number=np.full(len(c), 6, np.uint8)) for c in BLOCK])
        figures = reconstruction(keeper(turned=True), carbons)
        assert figures["rmsd_mean"] > 0.3
        assert figures["solved_rmsd_mean"] < 0.5 * figures["rmsd_mean"]
        assert np.median(figures["series"]["solved_rmsd"]) < 1e-6

    def test_solved_never_worse(self, perfect):
        figures = reconstruction(random_weights(perfect, 1), BLOCK)
        predicted, solved = (np.array(figures["series"][name]) for name in ("rmsd", "solved_rmsd"))
        assert len(predicted) == len(BLOCK)
        assert (solved <= predicted + 1e-6).all()
        assert figures["type_accuracy"] < 1
        assert figures["formula_accuracy"] < 1

    def test_by_atoms(self, perfect):
        figures = reconstruction(random_weights(perfect, 1), BLOCK)
        rmsd, sizes = (np.array(figures["series"][name]) for name in ("rmsd", "n_atoms"))
        bins = figures["by_atoms"]
        assert {size: found["conformers"] for size, found in bins.items()} == {"1-9": 15, "10-19": 9}
        assert_allclose(bins["10-19"]["rmsd_mean"], rmsd[sizes >= 10].mean(), atol=1e-6)
        assert_allclose(bins["1-9"]["rmsd_p100"], rmsd[sizes < 10].max(), atol=1e-6)
        total = sum(found["conformers"] * found["formula_accuracy"] for found in bins.values())
        assert_allclose(total / 24, figures["formula_accuracy"])
        assert bins["1-9"]["solved_rmsd_mean"] <= bins["1-9"]["rmsd_mean"]

    def test_by_charge_and_kind(self, perfect):
        charge, kind = np.arange(24) % 3 - 1, ["ring", "chain"]
        named = replace(BLOCK, charge=charge, title=[f"{kind[m % 2]} {m}" for m in range(24)])
        figures = reconstruction(random_weights(perfect, 1), named)
        rmsd = np.array(figures["series"]["rmsd"])
        assert list(figures["by_charge"]) == ["-1", "+0", "+1"] and list(figures["by_kind"]) == [
            "chain",
            "ring",
        ]
        assert_allclose(figures["by_charge"]["-1"]["rmsd_mean"], rmsd[::3].mean(), atol=1e-6)
        assert_allclose(figures["by_kind"]["chain"]["rmsd_p100"], rmsd[1::2].max(), atol=1e-6)
        assert not figures["by_length"]  # all of the code or nothing
        names = replace(BLOCK, title=[f"{chr(97 + m)}x" for m in range(24)])
        assert not reconstruction(perfect, names)["by_kind"]

    def test_by_length_of_a_nested_code(self):
        config = ModelConfig(
            architecture="nested", elements=(1, 6, 7, 8), max_atoms=20, embedding_dim=64, features_dim=0, shape_dim=0,
            width=8, layers=1, property_width=0, atom_width=0,
        )  # fmt: skip
        embedder = Embedder(Checkpoint("nested", build(config).eval(), TINY_DOMAIN))
        figures = reconstruction(embedder, BLOCK)
        assert list(figures["by_length"]) == ["4", "36", "64"]
        assert figures["by_length"]["64"]["rmsd_p100"] < 1e-5
        assert figures["by_length"]["4"]["rmsd_mean"] > 0.1
        assert all(found["formula_accuracy"] == 1 for found in figures["by_length"].values())

    def test_by_element(self, perfect):
        embedder = random_weights(perfect, 1)
        figures = reconstruction(embedder, BLOCK)
        result = embedder.embed(BLOCK, reconstruct=True)
        found = figures["by_element"]
        assert list(found) == ["H", "C", "N", "O"]
        assert sum(row["atoms"] for row in found.values()) == len(BLOCK.atomic_number)
        nitrogen = BLOCK.atomic_number == 7
        away = np.linalg.norm((result["reconstructed_position"] - BLOCK.position)[nitrogen], axis=1)
        assert_allclose(found["N"]["displacement"], np.sqrt((away**2).mean()), rtol=1e-6)
        with_it = [m for m, c in enumerate(BLOCK) if 7 in c.atomic_number]
        assert found["N"]["conformers"] == len(with_it) < 24
        assert_allclose(found["N"]["rmsd_mean"], result["rmsd"][with_it].mean(), rtol=1e-6)
        right = sum(row["atoms"] * row["type_accuracy"] for row in found.values())
        assert_allclose(right / len(BLOCK.atomic_number), figures["type_accuracy"])

    def test_worst_are_the_worst(self, perfect):
        figures = reconstruction(random_weights(perfect, 1), BLOCK)
        rmsd = [w["rmsd"] for w in figures["worst"]]
        assert rmsd == sorted(rmsd, reverse=True)
        assert rmsd[0] == figures["rmsd_p100"]
        assert len(rmsd) == 10

    def test_one_wrong_element(self, perfect):
        wrong = keeper()
        decode = wrong.model.decode

        def hydrogen_first(embedding):
            decoded = decode(embedding)
            decoded.z[:, 0] = 99
            return Cloud(decoded.z, decoded.pos)

        wrong.model.decode = hydrogen_first
        figures = reconstruction(wrong, BLOCK)
        assert figures["type_accuracy"] == 1 - len(BLOCK) / BLOCK.n_atoms.sum()
        assert figures["formula_accuracy"] == 0
        assert figures["rmsd_p100"] < 1e-6

    def test_canonical_coordinates_are_lossless(self, perfect):
        assert canonical_reconstruction(canonical_forms(BLOCK))["rmsd_p100"] < 1e-9

    def test_throughput(self, perfect):
        figures = throughput(perfect, BLOCK, 30)
        assert figures["conformers_per_second"] > 0
        assert figures["threads"] == torch.get_num_threads()


class TestInvariance:
    def test_copies_are_copies(self):
        copies = random_copies(BLOCK, 1000.0, np.random.default_rng(0))
        assert np.abs(copies.position).max() > 100
        assert not np.array_equal(copies.atomic_number, BLOCK.atomic_number)
        for before, after in zip(BLOCK, copies, strict=True):
            assert sorted(before.atomic_number) == sorted(after.atomic_number)
            spread = [
                np.sort(np.linalg.norm(c.position - c.position.mean(axis=0), axis=1)) for c in (before, after)
            ]
            assert_allclose(*spread, atol=1e-9)

    def test_broken_embedding_is_caught(self, perfect):
        figures = invariance(panel_of(perfect, broken=as_they_stand), BLOCK, pairs=2, reach=1000.0)
        assert figures["model"]["change_max"] <= 1e-6
        assert figures["model"]["exact_share"] == 1
        assert figures["model"]["pairs"] == 2 * len(BLOCK)
        assert figures["broken"]["change_max"] > 1
        assert figures["broken"]["exact_share"] == 0

    def test_order_alone_is_caught(self, perfect):
        def first_element(result):
            return result.block.atomic_number[result.block.offset[:-1]][:, None].astype(float)

        figures = invariance(panel_of(perfect, broken=first_element), BLOCK, pairs=2, reach=0.0)
        assert figures["broken"]["change_max"] > 0.1

    def test_batch_effect(self, perfect):
        def embed(block):
            return embedding(perfect.embed(block))

        calls = iter(range(10))
        good = batch_effect(embed, embed, BLOCK, seed=0)
        assert good == {"batch_change_max": 0.0, "repeat_is_bitwise_equal": True}
        assert batch_effect(embed, lambda b: embed(b) + 1e-2, BLOCK, seed=0)["batch_change_max"] > 1e-5
        assert not batch_effect(lambda b: embed(b) + next(calls), embed, BLOCK, 0)["repeat_is_bitwise_equal"]


class TestMirrorImages:
    def test_blind_embedding_is_caught(self, perfect):
        block = BLOCK.take(BLOCK.n_atoms > 4)
        figures = mirror_images(panel_of(perfect, blind=sorted_distances), block)
        assert figures["model"]["chiral"] == len(block)
        assert figures["model"]["chiral_told_apart"] == figures["model"]["chiral_differ"] == 1
        assert figures["blind"]["chiral_told_apart"] == figures["blind"]["chiral_differ"] == 0
        assert figures["blind"]["different_share"] == 0
        assert figures["model"]["achiral_equal"] is None

    def test_a_third_of_the_rmsd_is_what_keeps_them_apart(self, perfect):
        block = BLOCK.take(BLOCK.n_atoms > 4)
        mirrored = with_atoms(block, block.position * [1.0, 1.0, -1.0])
        both = ConformerBlock.of([*block, *mirrored])
        pairs = np.arange(len(both)).reshape(2, -1).T
        rmsd = symmetry_corrected_rmsd(both, pairs, match="bonds")
        known = dict(zip(block.title, rmsd, strict=True))

        def of_hand(result):  # half of the RMSD to each side
            hand = [np.sign(np.linalg.det(c.position[1:4] - c.position[0])) for c in result.block]
            return (np.array(hand) * [known[title] / 2 for title in result.block.title])[:, None]

        panel = panel_of(
            perfect, exact=of_hand, much=lambda r: 0.34 * of_hand(r), little=lambda r: 0.32 * of_hand(r)
        )
        figures = mirror_distances(panel, block)
        assert figures["exact"] == {"compared": np.sum(rmsd > 0.1), "apart": 1}
        assert figures["much"]["apart"] == 1 and figures["little"]["apart"] == 0
        flat = random_copies(
            with_atoms(block, block.position * [1.0, 1.0, 0.0]), 5.0, np.random.default_rng(1)
        )
        assert mirror_distances(panel_of(perfect), flat)["model"] == {"compared": 0, "apart": None}

    def test_achiral(self, perfect):
        flat = with_atoms(BLOCK, BLOCK.position * [1.0, 1.0, 0.0])
        tilted = random_copies(flat, 5.0, np.random.default_rng(1))
        figures = mirror_images(panel_of(perfect, broken=as_they_stand), tilted)
        assert figures["model"]["achiral"] == len(BLOCK)
        assert figures["model"]["chiral_told_apart"] is None
        assert figures["model"]["achiral_equal"] == figures["model"]["rounded_equal"] == 1
        assert figures["broken"]["achiral_equal"] < 0.5


class TestSmoothness:
    def test_step_is_a_jump(self, perfect):
        steps = {"n": 0}

        def restless(result):
            steps["n"] += 1
            return embedding(result) + 100.0 * steps["n"]

        panel = panel_of(perfect, smooth=sorted_distances, restless=restless)
        figures = smoothness(
            panel,
            BLOCK,
            (1e-5, 0.01),
            framed=("model", "restless"),
            exact={"smooth": lambda a, b: np.full(len(a), 1e9)},
        )
        assert figures["smooth"]["0.01"]["jumps"] == 0
        assert 0 < figures["smooth"]["1e-05"]["change_median"] < figures["smooth"]["0.01"]["change_median"]
        assert "jumps_frame" not in figures["smooth"]["0.01"]
        assert figures["smooth"]["0.01"]["jumps_exact"] == 1
        still = figures["restless"]["1e-05"]
        assert still["jumps"] == 1
        assert still["jumps_frame"] + still["jumps_order"] + still["jumps_other"] == pytest.approx(1)
        assert still["jumps_other"] > 0.9

    def test_order_is_the_cause(self, perfect):
        """Two carbons at nearly one height in the canonical frame change places."""
        panel = panel_of(perfect)
        block = ConformerBlock.of([random_conformer(12, seed, (6,)) for seed in range(60)])
        figures = smoothness(panel, block, (0.05,), framed=("model",), exact={})["model"]["0.05"]
        assert figures["jumps"] == pytest.approx(
            sum(figures[f"jumps_{cause}"] for cause in ("frame", "order", "other"))
        )
        assert figures["jumps_order"] > 0

    def test_angle_and_order(self, perfect):
        quarter = np.array([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])
        assert_allclose(angle(quarter, np.eye(3)[None]), [90.0])
        result = perfect.embed(BLOCK)
        other = Result(BLOCK, {**result.columns, "permutation": result["permutation"].copy()})
        other["permutation"][[BLOCK.offset[2], BLOCK.offset[2] + 1]] = other["permutation"][
            [BLOCK.offset[2] + 1, BLOCK.offset[2]]
        ]
        assert_array_equal(np.flatnonzero(order_differs(result, other)), [2])


def stretched(lengths: list[float], title: str) -> list:
    return [conformer([6, 8], [[0, 0, 0], [0, 0, length]], title=title) for length in lengths]


class TestFidelity:
    def test_embedding_that_is_the_distance(self, perfect):
        """Diatomics: the RMSD is half the difference of bond lengths."""
        lengths = np.random.default_rng(0).uniform(0.9, 1.6, 12).tolist()
        block = ConformerBlock.of([moved(c, k) for k, c in enumerate(stretched(lengths, "CO"))])
        pairs = pairs_of_one_molecule(block, 1000, 0)
        assert len(pairs) == 66
        rmsd = symmetry_corrected_rmsd(block, pairs, match="atoms")
        assert_allclose(rmsd, [abs(lengths[a] - lengths[b]) / 2 for a, b in pairs], atol=1e-9)

        def folded(result):
            return 1 / (1e-3 + np.abs(sorted_distances(result) - 1.25))

        panel = panel_of(
            perfect, distance=sorted_distances, folded=folded, constant=lambda r: np.ones((len(r), 1))
        )
        figures = fidelity(panel, block, pairs, match="atoms", lengths=["distance"])
        assert figures["distance"]["spearman"] == pytest.approx(1)
        assert figures["distance"]["slope"] == pytest.approx(0.5)
        assert "slope" not in figures["folded"] and slope(np.zeros(2), np.ones(2)) is None
        assert figures["distance"]["spearman_each"] == pytest.approx(1)
        assert figures["folded"]["spearman"] < 0.5
        assert figures["constant"]["spearman"] is None

    def test_pairs_of_one_molecule(self):
        block = ConformerBlock.of(
            [*stretched([1, 1.1], "a"), *stretched([1, 1.2], ""), *stretched([1, 1.1, 1.2], "b")]
        )
        assert_array_equal(pairs_of_one_molecule(block, 100, 0), [[0, 1], [4, 5], [4, 6], [5, 6]])
        assert len(pairs_of_one_molecule(block, 2, 0)) == 2

    def test_pairs_of_one_formula(self):
        block = ConformerBlock.of(
            [*stretched([1, 1.1], "a"), *stretched([1.2], "b"), conformer([6, 7], np.eye(3)[:2])]
        )
        assert {tuple(pair) for pair in pairs_of_one_formula(block, 50, 0).tolist()} == {(0, 2), (1, 2)}
        assert not len(pairs_of_one_formula(block.take(np.array([0, 3])), 50, 0))

    def test_symmetry_corrected_rmsd_of_copies(self, perfect):
        block = ConformerBlock.of([c for k in range(4) for c in (BLOCK[k], moved(BLOCK[k], k))])
        pairs = np.array([[0, 1], [2, 3], [4, 5], [6, 7]])
        assert symmetry_corrected_rmsd(block, pairs, match="atoms").max() < 1e-6

    def test_neighbours(self, perfect):
        block = ConformerBlock.of(
            [*stretched([1.0, 1.01, 1.02], "a"), *stretched([1.5, 1.51], "b"), *stretched([1.3], "c")]
        )
        figures = neighbours(panel_of(perfect, blind=lambda r: (np.arange(6.0) % 3)[:, None]), block)
        assert figures["model"] == {"gallery": 6, "queries": 5, "same": 1.0}
        assert figures["blind"]["same"] == 0

    def test_nearest(self):
        values = np.random.default_rng(0).normal(size=(2000, 3))
        apart = np.linalg.norm(values[:50, None] - values, axis=-1)
        apart[np.arange(50), np.arange(50)] = np.inf
        assert_array_equal(nearest(values)[:50], apart.argmin(axis=1))


class TestDescriptors:
    def test_every_dummy_is_invariant(self, perfect):
        panel = Panel(perfect.embed, baselines(random_weights(perfect, 0)))
        for figures in invariance(panel, BLOCK, pairs=1, reach=100.0).values():
            assert figures["exact_share"] == 1

    def test_values(self, perfect):
        water = ConformerBlock.of(
            [
                conformer([8, 1, 1], [[0, 0, 0], [3, 0, 0], [0, 4, 0]]),
                conformer([1, 1], [[0, 0, 0], [0, 0, 1]]),
            ]
        )
        result = perfect.embed(water)
        assert_allclose(sorted_distances(result), [[5, 4, 3], [1, 0, 0]])
        coupling = 0.529177210903
        assert_allclose(coulomb_eigenvalues(result)[1], [0.5 + coupling, 0.5 - coupling, 0], atol=1e-12)
        assert canonical_coordinates(result).shape == (2, 9)

    def test_random_weights_are_seeded(self, perfect):
        state = torch.random.get_rng_state()
        first, second, other = (random_weights(perfect, seed).embed(BLOCK)["embedding"] for seed in (0, 0, 1))
        assert_array_equal(first, second)
        assert not np.array_equal(first, other)
        assert torch.equal(state, torch.random.get_rng_state())

    def test_parts_are_divided_by_their_spread_and_count_as_together(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(500, 5)) * [1, 1, 100, 100, 0]
        parts = Part("features", 0, 2), Part("shape", 2, 4), Part("detail", 4, 5)
        scaled = values / scales(values, parts)
        spread = [np.sqrt(scaled[:, part.columns].var(axis=0).sum()) for part in parts]
        assert_allclose(spread, [TOGETHER["features"], 1, 0])
        assert_allclose(scaled[:, 0] / values[:, 0], scaled[:, 1] / values[:, 1])

    def test_typical_distance(self):
        assert typical_distance(np.array([[0.0], [2.0]]), 0) == 2
        assert np.isnan(typical_distance(np.zeros((1, 3)), 0))

    def test_sample(self):
        assert sample(BLOCK, None, 0) is BLOCK
        assert len(sample(BLOCK, 5, 0)) == 5
        assert sample(BLOCK, 5, 0).title == sample(BLOCK, 5, 0).title != sample(BLOCK, 5, 1).title


class TestLinearBaseline:
    def test_exact_at_full_size_and_worse_below(self):
        figures = linear_baseline(BLOCK, BLOCK, (36, 20, 8, 2))
        means = [row["rmsd_mean"] for row in figures.values()]
        assert means[0] < 1e-9
        assert all(a < b for a, b in pairwise(means))

    def test_frame_is_invariant_and_keeps_distances(self):
        block = BLOCK.take(BLOCK.n_atoms > 4)
        rows = inertial_coordinates(block, SLOTS)
        assert_allclose(
            inertial_coordinates(random_copies(block, 10.0, np.random.default_rng(0)), SLOTS), rows, atol=1e-8
        )
        first = rows[0].reshape(SLOTS, 3)[: block.n_atoms[0]]
        spread = [np.sort(np.linalg.norm(x - x.mean(axis=0), axis=1)) for x in (first, block[0].position)]
        assert_allclose(*spread)

    def test_mirror_images_differ(self):
        block = BLOCK.take(BLOCK.n_atoms > 4)
        mirrored = with_atoms(block, block.position * [1.0, 1.0, -1.0])
        assert (
            np.abs(inertial_coordinates(block, SLOTS) - inertial_coordinates(mirrored, SLOTS))
            .max(axis=1)
            .min()
            > 0.1
        )


def write_qm9(path: Path, block: ConformerBlock, split: list[int]) -> None:
    value = np.round(block.position * 1e4).astype(np.int64)
    np.savez(
        path,
        gdb_index=np.arange(len(block)),
        n_atoms=block.n_atoms,
        atomic_number=block.atomic_number,
        position_high=(value >> 8).astype(np.int16),
        position_low=(value & 255).astype(np.uint8),
        split=np.array(split, dtype=np.uint8),
    )


class TestNpz:
    def test_qm9(self, tmp_path):
        write_qm9(tmp_path / "qm9.npz", BLOCK, [0, 1, 2] * 8)
        assert has_splits(tmp_path / "qm9.npz")
        assert read_npz(tmp_path / "qm9.npz", "test").title == [f"gdb {k}" for k in range(2, 24, 3)]
        assert_allclose(read_npz(tmp_path / "qm9.npz").position, BLOCK.position, atol=6e-5)

    def test_plain_arrays(self, tmp_path):
        path = tmp_path / "plain.npz"
        arrays = {"n_atoms": BLOCK.n_atoms, "atomic_number": BLOCK.atomic_number}
        np.savez(
            path, **arrays, position_mA=(BLOCK.position * 1000).astype(np.int16), molecule=np.arange(24) // 2
        )
        block = read_npz(path)
        assert not has_splits(path)
        assert_allclose(block.position, BLOCK.position, atol=1e-3)
        assert block.title[:3] == ["molecule 0", "molecule 0", "molecule 1"]
        with pytest.raises(ConfigError, match="no splits"):
            read_npz(path, "test")
        np.savez(path, **arrays)
        with pytest.raises(
            MolgiaeError, match=r"no array position; expected .* position or position_mA, found"
        ):
            read_npz(path)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"position": BLOCK.position[:-1]}, "position is float64 of shape .* expected numbers of shape"),
            ({"atomic_number": BLOCK.atomic_number[1:]}, "atomic_number is uint8 of shape"),
            ({"atomic_number": BLOCK.atomic_number * 1.0}, "expected a row of whole numbers"),
            (
                {"atomic_number": np.full_like(BLOCK.atomic_number, 200)},
                "atomic_number 200 of atom 0 is no el",
            ),
            ({"n_atoms": BLOCK.n_atoms[:0]}, "n_atoms needs at least one conformer"),
            ({"molecule": np.arange(3)}, "molecule is int64 of shape"),
            ({"formal_charge": np.zeros(25)}, "formal_charge is float64 of shape"),
            ({"position": np.where(BLOCK.position < 0, np.nan, BLOCK.position)}, "is not a finite number"),
        ],
    )
    def test_arrays_that_do_not_fit_are_named(self, tmp_path, change, reason):
        arrays = {"n_atoms": BLOCK.n_atoms, "atomic_number": BLOCK.atomic_number, "position": BLOCK.position}
        np.savez(tmp_path / "a.npz", **arrays)
        assert len(read_npz(tmp_path / "a.npz")) == 24
        np.savez(tmp_path / "a.npz", **(arrays | change))
        with pytest.raises(MolgiaeError, match=rf"a\.npz: .*{reason}"):
            read_npz(tmp_path / "a.npz")

    def test_conformers_of_one_molecule_and_charges_are_known(self, perfect, tmp_path):
        """As in a test file of drug-like conformers: what evaluate says of ensembles needs no titles."""
        rng = np.random.default_rng(0)
        pairs = ConformerBlock.of(
            [
                replace(c, position=c.position + rng.normal(0, s, c.position.shape))
                for c in BLOCK
                for s in (0, 0.01)
            ]
        )
        np.savez(
            tmp_path / "a.npz",
            n_atoms=pairs.n_atoms.astype(np.uint8),
            atomic_number=pairs.atomic_number,
            position_mA=np.round(pairs.position * 1000).astype(np.int16),
            molecule=np.arange(48, dtype=np.int32) // 2,
            formal_charge=np.arange(48, dtype=np.int8) % 3 - 1,
        )
        assert read_npz(tmp_path / "a.npz").charge.tolist()[:4] == [-1, 0, 1, -1]
        found = evaluate(tmp_path / "a.npz", perfect, settings=SMALL)
        assert found.about["conformers"] == 48 and found.about["out_of_domain"] >= 32
        assert found.sections["neighbours"]["keeper"]["queries"] == 48
        assert found.sections["conformers"]["keeper"]["pairs"] >= 10
        assert found.sections["mirror"]["keeper"]["chiral_told_apart"] is not None
        table = found.table()
        assert "| 10-19 | 18 | 0.0000 |" in table and "by element" in table and "| N | " in table

    def test_not_an_npz(self, tmp_path):
        (tmp_path / "bad.npz").write_text("no")
        with pytest.raises(MolgiaeError, match=r"bad\.npz: cannot be read"):
            read_npz(tmp_path / "bad.npz")
        with pytest.raises(MolgiaeError, match="no such file"):
            read_npz(tmp_path / "none.npz")


PARTS = ("features", "overlay", "color", "shape", "detail", "smooth parts")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    path = tmp_path_factory.mktemp("data") / "qm9.npz"
    rng = np.random.default_rng(0)
    bent = [replace(c, position=c.position + rng.normal(0, 0.2, c.position.shape)) for c in BLOCK]
    write_qm9(path, ConformerBlock.of([*BLOCK, *bent]), [0] * 24 + [2] * 24)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays, mu=np.tile(np.arange(24.0), 2))
    several = ConformerBlock.of([c for pair in zip(BLOCK, bent, strict=True) for c in pair])
    model = keeper(features_dim=4, overlay_dim=8, color_dim=4, shape_dim=12)
    return evaluate(path, model, conformers=several, targets=["mu"], settings=SMALL)


ABSENT = ("isomers/spearman", "mirror/methyl_apart", "overlay/found")
"""Figures of data that these are not, or of options."""


class TestEvaluate:
    def test_every_section_is_measured(self, report):
        assert list(report.sections) == [name for name in SECTIONS if name != "isomers"]
        assert report.about["seconds"].keys() == SECTIONS.keys()
        assert report.about["conformers"] == 24
        assert report.about["data"] == "qm9.npz, split test"
        assert list(report.sections["linear_baseline"]) == ["48", "8", "4"]
        assert list(report.sections["mirror"]) == [
            "keeper",
            *(f"keeper, {part}" for part in PARTS),
            *baselines(keeper()),
        ]

    def test_parts_estimate_overlays_and_are_learned_from(self, report):
        assert "keeper, overlay + color" in report.sections["overlay"]
        learned = report.sections["features"]
        assert {"keeper, features", "composition", "USR", "USRCAT", "Morgan counts"} <= learned.keys()
        assert learned["keeper"].keys() == {"mu, 24 labels"}
        assert report.rows.keys() - ROWS.keys() == {
            "features/mu, 24 labels/mae",
            "features/mu, 24 labels/rmse",
        }
        assert "| MAE of mu, 24 labels (D) |" in report.table()

    def test_every_row_finds_its_figure(self, report):
        for path in ROWS:
            section, *keys, last = path.split("/")
            if path not in ABSENT:
                # None is a legitimate figure: no conformer of the data is achiral
                found = [look_up(figures, keys) for figures in report.sections[section].values()]
                assert any(last in figures for figures in found if figures), path
        assert NOTES.keys() <= SECTIONS.keys()

    def test_json(self, report, tmp_path):
        report.save(tmp_path / "report.json")
        assert Report(**json.loads((tmp_path / "report.json").read_text())) == report
        json.dumps(report.to_dict(), allow_nan=False)

    def test_table(self, report):
        table = report.table()
        assert "| RMSD as predicted, mean (Å) | 0.0000 |" in table
        assert "| Atom types right | 100 % |" in table
        assert "Linear baseline" in table
        assert "10 worst" in table
        assert "- Taken over 24 pairs of conformer and g, " in table
        for block in table.split("\n\n"):
            rows = [line for line in block.splitlines() if line.startswith("|")]
            assert len({len(re.findall(r"\|", row)) for row in rows}) <= 1

    def test_some_sections(self, perfect):
        found = evaluate(BLOCK, perfect, sections=["reconstruction", "linear_baseline"], settings=SMALL)
        assert list(found.sections) == ["reconstruction"]
        assert found.about["data"] == "conformers in memory"
        assert list(found.sections["reconstruction"]) == ["keeper", RANDOM_WEIGHTS, CANONICAL_COORDINATES]
        alone = evaluate(BLOCK, perfect, sections=["reconstruction"], settings=replace(SMALL, dummies=False))
        assert list(alone.sections["reconstruction"]) == ["keeper"]

    def test_seeded(self, perfect):
        settings = replace(SMALL, conformers=6)
        first, second = (
            evaluate(BLOCK, perfect, sections=["mirror", "smoothness"], settings=settings) for _ in "ab"
        )
        assert first.sections == second.sections

    def test_one_conformer(self, perfect):
        found = evaluate(BLOCK.take(np.array([0])), perfect, settings=SMALL)
        assert found.sections["smoothness"]["keeper"]["0.01"]["change_median"] is None
        assert "RMSD" in found.table()

    def test_refused_are_counted(self, perfect):
        sulphur = conformer([16, 1, 1], np.eye(3))
        found = evaluate(ConformerBlock.of([*BLOCK, sulphur]), perfect, sections=["reconstruction"])
        assert (found.about["conformers"], found.about["refused"]) == (24, 1)
        with pytest.raises(ConfigError, match="accepts none of 1"):
            evaluate(ConformerBlock.of([sulphur]), perfect)

    def test_unknown_section(self, perfect):
        with pytest.raises(ConfigError, match="no section speed; known are reconstruction"):
            evaluate(BLOCK, perfect, sections=["speed"])

    def test_files(self, embedder, sdf, xyz):
        for path in (sdf, xyz):
            found = evaluate(path, embedder, sections=["reconstruction"], settings=SMALL)
            assert found.about["conformers"] == 20
            assert found.about["data"] == path.name
            assert found.model == "tiny"

    def test_options_of_the_command(self, sdf, model_path, monkeypatch):
        monkeypatch.setattr("molgiae.properties.kernels.WIDTHS", (1.0,))
        monkeypatch.setattr("molgiae.properties.kernels.FOLDS", 2)
        asked = {name: SECTIONS[name] for name in ("overlay", "features")}
        monkeypatch.setattr("molgiae.commands.evaluate.SECTIONS", asked)
        words = ("--model", model_path, "-t", "k", "--pairs", 30, "--top", "--json", "-q")
        done = molgiae_("evaluate", sdf, *words)
        assert done.exit_code == 0, done.output
        sections = json.loads(done.stdout)["sections"]
        assert sections["overlay"]["tiny"]["pairs"] == 30 and sections["overlay"]["USR"]["found"] == 1
        assert list(sections["features"]["tiny, shape"]) == ["k, 15 labels"]
        with pytest.raises(ConfigError, match="in memory"):
            evaluate(BLOCK, model_path, targets=["k"])

    def test_small_lengths_are_not_rounded_to_nothing(self):
        assert [angstrom(v) for v in (1e-16, 2.34e-5, 0.0123, 1.5)] == [
            "0.0000",
            "0.000023",
            "0.0123",
            "1.5000",
        ]

    def test_percent_never_rounds_up_to_all(self):
        assert [percent(v) for v in (1.0, 0.99999, 0.5, 0.0)] == ["100 %", "> 99.99 %", "50.00 %", "0.00 %"]


class TestMap:
    """Embeddings in the plane."""

    def test_colours(self, sdf, perfect):
        block = read_data(sdf)
        values = embedding(perfect.embed(BLOCK))[: len(block)]
        figures = embedding_map(values, block, read_colour(sdf, "k"), 0)
        assert figures["colour"] == list(range(len(block))) and figures["colour_label"] == "k"
        heavy = [z[z > 1] for z in (c.atomic_number for c in block)]
        assert figures["hetero"] == pytest.approx([np.mean(z != 6) for z in heavy], abs=1e-4)
        assert len(figures["x"]) == len(figures["y"]) == len(block)

    def test_enthalpy_of_an_npz_file_is_that_of_atomisation(self, tmp_path):
        path = tmp_path / "qm9.npz"
        write_qm9(path, BLOCK, [0, 1, 2] * 8)
        block = read_data(path, "test")
        assert read_colour(path, None) is None, "it has none"
        with np.load(path) as file:
            arrays = dict(file)
        free = {1: -0.497912, 6: -37.844411, 7: -54.581501, 8: -75.062219}
        enthalpy = np.array([sum(free[z] for z in c.atomic_number.tolist()) - 0.1 * len(c) for c in BLOCK])
        np.savez(path, **arrays, H=np.where(np.arange(24) == 2, np.nan, enthalpy))
        colour = read_colour(path, None)
        assert colour.label == "H [eV] per atom"
        assert np.isnan(colour.of(block)[0]), "a conformer without a value"
        assert_allclose(colour.of(block)[1:], -0.1 * 27.211386, rtol=1e-5)

    def test_what_is_not_there_is_said_before_anything_is_measured(self, sdf, perfect):
        assert read_colour(sdf, None) is None
        with pytest.raises(ConfigError, match="nothing_such"):
            evaluate(sdf, perfect, colour="nothing_such")
        with pytest.raises(ConfigError, match="in memory"):
            evaluate(BLOCK, perfect, colour="k")

    def test_of_few_numbers(self, perfect):
        values = embedding(perfect.embed(BLOCK))
        line = embedding_map(values[:, :1], BLOCK, None, 0)
        assert line["method"] == "principal components" and not any(line["y"])
        figures = embedding_map(values[:, 1:4], BLOCK, None, 0)
        assert figures["method"] == "principal components" and "colour" not in figures
        assert np.var(figures["x"]) > np.var(figures["y"]) > 0


class TestPlots:
    def test_written(self, report, tmp_path):
        files = plots(report, tmp_path / "plots")
        assert [file.name for file in files] == [
            "rmsd.png",
            "rmsd_by_size.png",
            "worst.png",
            "jumps.png",
            "map.png",
        ]
        assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
        assert plots(Report(report.about), tmp_path) == []

    def test_without_matplotlib(self, report, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ConfigError, match="need matplotlib"):
            plots(report, tmp_path)
