"""Cheap labels: what is read, what is not known, what they are measured by."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from molgiae.errors import MolgiaeError
from molgiae.nn.labels import OF_CONFORMER, LabelHeads, Taught
from molgiae.training.labels import LARGEST, Labels, label_loss, mean_error, read_labels, standardize
from tests.training.made_up import ENERGY, Arrays, labels_of, some_conformers, write

CONFORMERS = some_conformers(40)
EVERY = torch.arange(len(CONFORMERS))


def labels(tmp_path: Path, **changes: Any) -> Labels:
    return read_labels([write(tmp_path / "labels.npz", labels_of(CONFORMERS), **changes)])


def standardized(known: Labels) -> LabelHeads:
    torch.manual_seed(0)
    heads = LabelHeads(4, 3)
    standardize(heads, known)
    return heads


def perfect(heads: LabelHeads, known: Labels, index: Tensor) -> tuple[Taught, Tensor]:
    """What would be predicted by who knows all of it."""
    found = {
        name: known.of_atoms(name, index) for name in ("forces", "charges", "chemistry", "atomic_number")
    }
    energy = known.arrays["energy"][index] - heads.composition.double()[found["atomic_number"]].sum(dim=1)
    dipole = known.arrays["dipole"][index]
    columns = [
        energy,
        known.arrays["gap"][index],
        dipole.norm(dim=1),
        known.arrays["polarizability"][index],
        *found["chemistry"][..., :2].sum(dim=1).T,
    ]
    conformer = (torch.stack(columns, dim=1).float() - heads.center) / heads.scale
    member = 40 * (2 * found["chemistry"][..., 2:] - 1)
    chemistry = torch.cat([found["chemistry"][..., :2], member], dim=-1)
    return Taught(conformer, found["forces"], found["charges"], chemistry), dipole


def random_prediction(known: Labels, index: Tensor) -> tuple[Taught, Tensor]:
    """What an untrained network might say, each number a leaf."""
    torch.manual_seed(1)
    n = int(known.sizes[index].max())
    sizes = [(len(OF_CONFORMER),), (n, 3), (n,), (n, 9), (3,)]
    *taught, direction = (torch.randn(len(index), *size, requires_grad=True) for size in sizes)
    return Taught(*taught), direction


def test_labels_of_several_files_are_one_after_the_other(tmp_path):
    arrays = [labels_of(some_conformers(5)), labels_of(some_conformers(3, 20))]
    known = read_labels([write(tmp_path / f"{k}.npz", part) for k, part in enumerate(arrays)])
    assert len(known) == 8
    assert_array_equal(known.sizes, np.concatenate([part["n_atoms"] for part in arrays]))
    for name in ("energy", "dipole", "charges", "chemistry", "position"):
        expected = np.concatenate([part[name] for part in arrays])
        assert_allclose(known.arrays[name], expected, rtol=1e-6)
    x = known.conformers(torch.tensor([6, 0]))
    second = some_conformers(3, 20)[1]
    assert_array_equal(x.z[0][: len(second)], second.atomic_number)
    assert_allclose(x.pos[0][: len(second)], second.position - second.position.mean(axis=0), atol=1e-5)
    assert not x.pos[~x.mask].any() and not known.of_atoms("forces", torch.tensor([6, 0]))[~x.mask].any()


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an array is missing": ({"forces": None}, "lacks an array"),
    "another shape": ({"dipole": np.zeros(40)}, r"dipole .*expected numbers of shape \(40, 3\)"),
    "fewer atoms": ({"charges": np.zeros(7)}, "charges .*expected numbers of shape"),
    "other groups": ({"chemistry": np.zeros((7, 4))}, "chemistry .*expected numbers of shape"),
    "a text": ({"gap": np.array(["a"] * 40)}, "gap .*expected numbers"),
    "objects": ({"gap": np.array([None] * 40)}, "cannot be read as npz"),
    "no element": ({"atomic_number": np.full(1, 130)}, "atomic_number"),
    "no conformer": ({"n_atoms": np.zeros(0, int)}, "n_atoms needs at least one conformer"),
    "sizes that are no numbers of atoms": ({"n_atoms": np.full(40, 1.5)}, "n_atoms .*whole numbers"),
    "one number": ({"n_atoms": np.array(3)}, "n_atoms .*whole numbers"),
    "no place": ({"position": np.nan}, "position of atom 3 is not a finite number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_are_no_labels_are_one_line(case, tmp_path):
    changes, message = BROKEN[case]
    arrays = labels_of(CONFORMERS)
    if case == "no place":
        changes = {
            "position": np.where(np.arange(len(arrays["position"]))[:, None] == 3, np.nan, arrays["position"])
        }
    if case == "no element":
        changes = {"atomic_number": np.where(arrays["atomic_number"] == 8, 130, 6)}
    path = write(tmp_path / "labels.npz", arrays, **changes)
    with pytest.raises(MolgiaeError, match=rf"labels\.npz: .*{message}") as error:
        read_labels([path])
    assert "\n" not in str(error.value)


def test_no_file_and_no_npz_are_one_line(tmp_path):
    (tmp_path / "a.npz").write_text("rubbish")
    for name, message in (("a.npz", "cannot be read as npz"), ("b.npz", "no such file")):
        with pytest.raises(MolgiaeError, match=message):
            read_labels([tmp_path / name])


def test_energies_of_atoms_are_found_and_the_rest_is_standardized(tmp_path):
    known = labels(tmp_path)
    heads = standardized(known)
    for z, energy in ENERGY.items():
        assert float(heads.composition[z]) == pytest.approx(energy, abs=0.1)
    assert not heads.composition[[0, 2, 9]].any()
    taught, _ = perfect(heads, known, EVERY)
    low, middle, high = np.quantile(taught.conformer.numpy(), [0.25, 0.5, 0.75], axis=0)
    assert_allclose(middle, 0, atol=1e-4)
    assert_allclose(high - low, 1.35, atol=1e-3)


@pytest.mark.parametrize("names", [("energy",), ("energy", "gap", "dipole")])
def test_what_some_conformers_lack_is_learned_from_the_others(tmp_path, names):
    arrays = labels_of(CONFORMERS)
    some = {name: arrays[name].copy() for name in names}
    for array in some.values():
        array[::3] = np.nan
    heads = standardized(labels(tmp_path, **some))
    for z, energy in ENERGY.items():
        assert float(heads.composition[z]) == pytest.approx(energy, abs=0.15)
    assert all(buffer.isfinite().all() for buffer in heads.buffers()), (
        "else the model could not be read again"
    )
    assert float(heads.scale[0]) == pytest.approx(0.1 / 1.35, rel=0.5)


def test_what_all_conformers_lack_leaves_the_scales_alone(tmp_path):
    arrays = labels_of(CONFORMERS)
    nothing = {
        name: np.full_like(arrays[name], np.nan)
        for name in ("energy", "gap", "dipole", "polarizability", "chemistry")
    }
    heads = standardized(labels(tmp_path, **nothing))
    assert not heads.composition.any() and not heads.center.any() and (heads.scale == 1).all()


def test_perfect_predictions_cost_nothing(tmp_path):
    known = labels(tmp_path)
    heads, index = standardized(known), torch.tensor([3, 17, 8, 30])
    assert float(label_loss(heads, *perfect(heads, known, index), known, index)) == pytest.approx(0, abs=1e-4)
    assert label_loss(heads, *random_prediction(known, index), known, index).item() > 1


@pytest.mark.parametrize(
    "name", ["energy", "gap", "dipole", "polarizability", "forces", "charges", "chemistry"]
)
def test_labels_that_are_not_known_give_no_nan(tmp_path, name):
    """Of every third conformer, in which the padding of the others begins, or of all."""
    arrays = labels_of(CONFORMERS)
    sizes = arrays["n_atoms"]
    lacking = np.arange(len(sizes)) % 3 == 0
    of_atoms = len(arrays[name]) != len(sizes)
    some = arrays[name].copy()
    some[np.repeat(lacking, sizes) if of_atoms else lacking] = np.nan
    for changed in (some, np.full_like(some, np.nan)):
        known = labels(tmp_path, **{name: changed})
        heads, index = standardized(known), torch.arange(12)
        taught, direction = random_prediction(known, index)
        loss = label_loss(heads, taught, direction, known, index)
        loss.backward()
        assert loss.isfinite() and all(part.grad.isfinite().all() for part in (*taught, direction))
        own = direction if name == "dipole" else getattr(taught, name, taught.conformer)
        column = {"energy": 0, "gap": 1, "polarizability": 3}.get(name, slice(None))
        assert not own.grad[::3][..., column].any()
        if changed is some:
            assert own.grad[1::3][..., column].any()


def test_files_without_chemistry_do_not_take_it_from_the_others(tmp_path):
    """Whichever is named first: padding is read where the first atom stands."""
    bare = labels_of(some_conformers(10, 50))
    bare["chemistry"] = np.full_like(bare["chemistry"], np.nan)
    files = [write(tmp_path / "bare.npz", bare), write(tmp_path / "whole.npz", labels_of(CONFORMERS))]
    first, last = read_labels(files), read_labels(files[::-1])
    one, other = standardized(first), standardized(last)
    for name, buffer in one.named_buffers():
        assert_allclose(buffer, dict(other.named_buffers())[name], atol=1e-4), name
    index = torch.arange(20)
    with torch.no_grad():
        losses = [
            float(label_loss(one, *random_prediction(known, where), known, where))
            for known, where in ((first, 10 + index), (last, index))
        ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_broken_geometries_do_not_rule_the_loss(tmp_path):
    arrays: Arrays = labels_of(CONFORMERS)
    forces = arrays["forces"].copy()
    known = [
        labels(tmp_path, forces=np.where(np.arange(len(forces))[:, None] < 1, by, forces))
        for by in (100, 1e6)
    ]
    index = torch.tensor([0])
    found = [
        label_loss(heads, *random_prediction(one, index), one, index).item()
        for one in known
        for heads in [standardized(known[0])]
    ]
    assert LARGEST / 3 < found[0] < found[1] < found[0] + LARGEST * math.log(1e6 / 100)


@pytest.mark.parametrize("size", [0.1, 5.9, 6.1, 8.2, 20.0, 1e5])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_error_of_any_size_is_learned_from(size, sign):
    """Where it had no slope, cations kept an error of 8 eV."""
    found = torch.tensor([sign * size, 0.0], requires_grad=True)
    mean_error(found, torch.zeros(2), LARGEST).backward()
    assert found.grad[0].item() == pytest.approx(sign * min(1, LARGEST / size) / 2, rel=1e-5)
