"""Overlays to learn from: groups as they are read, mirror images, and a loss that perfect vectors do not pay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor

from molgiae.errors import MolgiaeError
from molgiae.training.overlays import Overlays, overlay_loss, read_overlays, tanimoto
from tests.training.made_up import overlays_in_memory, overlays_of, some_conformers, vectors_of, write

CONFORMERS = some_conformers(12)


@pytest.fixture
def overlays() -> Overlays:
    return overlays_in_memory()


def perfect(overlays: Overlays, groups: Tensor) -> list[Tensor]:
    """The vectors that the similarities were made of."""
    found = vectors_of(overlays.index.numpy(), overlays.mirrored.numpy(), len(CONFORMERS))
    return [torch.from_numpy(part)[groups].flatten(0, 1).float() for part in found]


def test_groups_hold_conformers_and_mirror_images(overlays):
    assert len(overlays) == 6
    x = overlays.conformers(torch.tensor([4, 1]))
    assert len(x) == 10
    for place, (z, pos) in enumerate(zip(x.z, x.pos, strict=True)):
        group = (4, 1)[place // 5]
        c = CONFORMERS[int(overlays.index[group, place % 5])]
        assert_array_equal(z[: len(c)], c.atomic_number)
        sign = -1 if place % 5 == 4 else 1
        assert_allclose(pos[: len(c)], sign * (c.position - c.position.mean(axis=0)), atol=1e-5)
        assert not z[len(c) :].any() and not pos[len(c) :].any()


def test_groups_of_several_files_keep_their_conformers(tmp_path):
    parts = [CONFORMERS[:7], CONFORMERS[7:]]
    files = [
        write(tmp_path / f"{k}.npz", overlays_of(part, groups=2, of=4, seed=k))
        for k, part in enumerate(parts)
    ]
    both = read_overlays(files)
    alone = read_overlays(files[1:])
    assert (len(both), len(alone)) == (4, 2)
    groups = torch.tensor([0, 1])
    found, expected = both.conformers(groups + 2), alone.conformers(groups)
    assert torch.equal(found.z, expected.z) and torch.equal(found.pos, expected.pos)
    assert torch.equal(both.tanimoto[2:], alone.tanimoto) and torch.equal(
        both.color_volume[2:], alone.color_volume
    )


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "an array is missing": ({"tanimoto": None}, "lacks an array"),
    "similarities of fewer": ({"tanimoto": np.ones((6, 4, 4, 2))}, r"tanimoto .*of shape \(6, 5, 5, 2\)"),
    "similarities of shape alone": ({"tanimoto": np.ones((6, 5, 5))}, r"tanimoto .*of shape \(6, 5, 5, 2\)"),
    "similarities that are not known": ({"tanimoto": np.full((6, 5, 5, 2), np.nan)}, "tanimoto of shapes"),
    "a list of places": ({"index": np.arange(5)}, r"index .*of shape \(5, 'G'\)"),
    "places that are not there": ({"index": np.full((6, 5), 12)}, "index needs .* from 0 to 11"),
    "places before the first": ({"index": np.full((6, 5), -1)}, "index needs .* from 0 to 11"),
    "no group": (
        {
            "index": np.zeros((0, 5), int),
            "mirrored": np.zeros((0, 5), bool),
            "tanimoto": np.zeros((0, 5, 5, 2)),
            "color_volume": np.zeros((0, 5)),
        },
        "index needs groups",
    ),
    "volumes of fewer": ({"color_volume": np.ones((6, 4))}, "color_volume .*of shape"),
    "fewer atoms": ({"atomic_number": np.ones(3, int)}, "atomic_number .*of shape"),
    "coordinates in the plane": ({"position": np.ones((3, 2))}, "position .*of shape"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_files_that_are_no_overlays_are_one_line(case, tmp_path):
    changes, message = BROKEN[case]
    path = write(tmp_path / "overlays.npz", overlays_of(CONFORMERS), **changes)
    with pytest.raises(MolgiaeError, match=rf"overlays\.npz: .*{message}") as error:
        read_overlays([path])
    assert "\n" not in str(error.value)


def test_groups_are_of_one_size(tmp_path):
    files: list[Path] = [write(tmp_path / f"{of}.npz", overlays_of(CONFORMERS, of=of)) for of in (4, 5)]
    with pytest.raises(
        MolgiaeError, match=r"5\.npz: groups of 5 conformers, those of .*4\.npz are of another size"
    ):
        read_overlays(files)


def test_perfect_vectors_cost_nothing(overlays):
    groups = torch.tensor([5, 0, 3])
    parts = perfect(overlays, groups)
    assert_allclose(tanimoto(parts[0].unflatten(0, (3, 5))), overlays.tanimoto[groups][..., 0], atol=1e-5)
    assert float(overlay_loss(parts, overlays, groups)) < 1e-4
    assert float(overlay_loss(parts[:1], overlays, groups)) < 1e-4, "without color"


def test_every_flaw_costs(overlays):
    groups = torch.tensor([5, 0, 3])
    shape, color = perfect(overlays, groups)
    noise = 0.3 * torch.randn(shape.shape, generator=torch.Generator().manual_seed(0))
    flaws = {
        "shapes": [shape + noise, color],
        "colors": [shape, color + noise[:, :4]],
        "the volume of color, which similarities do not know": [shape, 2 * color],
        "other groups": [shape.roll(5, 0), color],
    }
    for flaw, parts in flaws.items():
        assert float(overlay_loss(parts, overlays, groups)) > 0.02, flaw


def test_vectors_are_found_by_descent(overlays):
    groups = torch.arange(2)
    random = torch.Generator().manual_seed(0)
    parts = [
        (part + torch.randn(part.shape, generator=random)).requires_grad_(True)
        for part in perfect(overlays, groups)
    ]
    optimizer = torch.optim.Adam(parts, lr=0.05)
    losses = []
    for _ in range(60):
        loss = overlay_loss(parts, overlays, groups)
        optimizer.zero_grad()
        loss.backward()
        assert all(part.grad.isfinite().all() for part in parts)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_gradients_are_finite_where_all_conformers_are_alike(overlays):
    groups = torch.arange(2)
    for value in (0.0, 1.0):
        parts = [torch.full((10, size), value, requires_grad=True) for size in (6, 4)]
        overlay_loss(parts, overlays, groups).backward()
        assert all(part.grad.isfinite().all() for part in parts)


def test_groups_of_unknown_color_teach_shape_alone(overlays):
    groups = torch.tensor([5, 0, 3])
    parts = perfect(overlays, groups)
    unknown = torch.tensor([0, 1, 2])
    overlays.tanimoto[unknown, ..., 1] = overlays.color_volume[unknown] = torch.nan
    assert float(overlay_loss(parts, overlays, groups)) < 1e-4
    wrong = [parts[0], parts[1].clone()]
    wrong[1][5:10] *= -3  # of group 0, whose color is not known
    assert float(overlay_loss(wrong, overlays, groups)) < 1e-4
    wrong[1][:5] *= 3
    assert float(overlay_loss(wrong, overlays, groups)) > 0.02
    wrong[0] = 2 * wrong[0].roll(1, 0)
    assert float(overlay_loss(wrong, overlays, torch.tensor([0, 0, 0]))) > 0.02, "no color at all"
