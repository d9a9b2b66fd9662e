"""What every smooth part must satisfy: blind to pose, order and company, smooth, handed where it should be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from molgiae.config import ModelConfig
from molgiae.data.overlay import self_overlap
from molgiae.model.architectures import CanonicalEncoder, build
from molgiae.model.cloud import Cloud
from molgiae.nn.atoms import APART, BONDED, CUTOFF, TURNS
from molgiae.nn.overlay import OverlayEncoder
from tests.geometries import (
    CHIRAL,
    SYMMETRIES,
    g2,
    jittered,
    mirrored,
    named,
    one,
    random_action,
    random_cloud,
    together,
)

CONFIG = ModelConfig(
    max_atoms=40,
    embedding_dim=25,
    width=8,
    layers=1,
    features_dim=6,
    overlay_dim=6,
    color_dim=4,
    shape_dim=8,
    atom_width=16,
    property_width=8,
    property_layers=1,
    atom_layers=2,
    atom_rounds=2,
)
NAMES = ("features", "overlay", "color", "shape")
MOLECULES = together(random_cloud([5, 9, 12, 8], seed=0), *(named(name) for name in SYMMETRIES))
SIMPLE = {
    "atom": one([6], [[0.3, -0.2, 0.1]]),
    "hydrogen atom": one([1], [[0.0, 0.0, 0.0]]),
    "hydrogen": one([1, 1], [[0.0, 0.0, 0.37], [0.0, 0.0, -0.37]]),
    "nitrogen": g2("N2"),
    "carbon dioxide": g2("CO2"),
    "acetylene": g2("C2H2"),
    "atoms in one place": one([6, 8, 1, 1], [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
    "two neighbours in one direction": one([6, 1, 8], [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.2]]),
    "planar": g2("C6H6"),
    "far apart": one([6, 7, 8], [[0.0, 0.0, 0.0], [50.0, 0.0, 0.0], [0.0, 80.0, 0.0]]),
}  # fmt: skip


def encoder_of(dtype: torch.dtype) -> CanonicalEncoder:
    torch.manual_seed(0)
    return build(CONFIG).to(dtype).encoder


@pytest.fixture(scope="module")
def encoder() -> CanonicalEncoder:
    return encoder_of(torch.float64).requires_grad_(False)


def parts_of(encoder: CanonicalEncoder, x: Cloud) -> dict[str, Tensor]:
    """Return each smooth part by its name; the configuration says the same of their sizes."""
    found = dict(zip(NAMES, encoder.smooth(x.z, x.pos), strict=True))
    assert {name: part.shape[1] for name, part in found.items()} == {
        part.name: part.size for part in CONFIG.parts if part.name != "detail"
    }
    return found


def alike(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    for name in NAMES:
        assert_close(
            found[name], expected[name], rtol=0, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


# Blind to pose, order and company


@pytest.mark.parametrize("seed", range(3))
def test_pose_and_order_do_not_matter(encoder, seed):
    moved = MOLECULES.moved(random_action(MOLECULES, seed, reach=5.0))
    alike(parts_of(encoder, moved), parts_of(encoder, MOLECULES))


def test_padding_and_batch_mates_do_not_matter(encoder):
    expected = parts_of(encoder, MOLECULES)
    alike(parts_of(encoder, together(MOLECULES, slots=40)), expected)
    mates = jittered(MOLECULES, 0.5, seed=1)
    beside = parts_of(encoder, together(mates, MOLECULES))
    alike({name: part[len(mates) :] for name, part in beside.items()}, expected)
    for b, n in enumerate(MOLECULES.mask.sum(dim=1).tolist()):
        alone = parts_of(encoder, one(MOLECULES.z[b, :n], MOLECULES.pos[b, :n]))
        alike(alone, {name: part[b : b + 1] for name, part in expected.items()})


def test_single_precision_is_near_double(encoder):
    single = encoder_of(torch.float32).requires_grad_(False)
    found = parts_of(single, MOLECULES.to(dtype=torch.float32))
    expected = parts_of(encoder, MOLECULES)
    alike({name: part.double() for name, part in found.items()}, expected, 1e-4)


# Mirror images


def test_features_of_mirror_images_are_the_same(encoder):
    x, image = MOLECULES, mirrored(MOLECULES)
    assert_close(parts_of(encoder, image)["features"], parts_of(encoder, x)["features"], rtol=0, atol=1e-9)
    places = encoder.atoms.places(x.z, x.pos)
    assert_close(encoder.atoms.places(x.z, image.pos), places, rtol=0, atol=1e-9)
    assert_close(encoder.atoms(x.z, image.pos), encoder.atoms(x.z, x.pos), rtol=0, atol=1e-9)


def test_torsions_of_mirror_images_are_opposite_in_their_odd_half(encoder):
    def turns(x: Cloud) -> Tensor:
        return encoder.atoms.turns(x.z, x.pos, encoder.atoms.places(x.z, x.pos))

    x, found = MOLECULES, turns(MOLECULES)
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat_interleave(TURNS)
    assert_close(turns(mirrored(x)), sign * found, rtol=0, atol=1e-9)
    action = random_action(x, seed=4, reach=5.0)
    assert_close(turns(x.moved(action)), action.permutation.act(found, dim=-2), rtol=0, atol=1e-9)
    assert not found[~x.mask].any()
    flat = together(*(named(name) for name in ("CO2", "C6H6", "BF3", "H2O", "C2H4")))
    assert turns(flat)[..., TURNS:].abs().max() < 1e-12, "what is planar is its own mirror image"
    straight = together(*(named(name) for name in ("atom", "N2", "CO2", "C2H2", "H2O")))
    assert turns(straight).abs().max() < 1e-3, "and these have no torsions"


def test_overlay_and_shape_differ_between_mirror_images_of_chiral_conformers_alone(encoder):
    achiral = together(*(named(name) for name in SYMMETRIES if SYMMETRIES[name][0] not in CHIRAL))
    alike(parts_of(encoder, mirrored(achiral)), parts_of(encoder, achiral))
    x = named("CHFClBr")
    found, image = parts_of(encoder, x), parts_of(encoder, mirrored(x))
    for name in ("overlay", "color", "shape"):
        assert (found[name] - image[name]).norm() > 1e-5 * found[name].norm(), name


def rotor(angle: float) -> Cloud:
    """Methanol, its methyl group of threefold symmetry, turned by degrees from where it is eclipsed."""
    turn = np.radians(angle + np.array([0.0, 120.0, 240.0]))
    methyl = np.stack([np.full(3, -0.36), 1.03 * np.cos(turn), 1.03 * np.sin(turn)], axis=1)
    rest = [[0.0, 0.0, 0.0], [1.42, 0.0, 0.0], [1.74, 0.9, 0.0]]
    return one([6, 8, 1, 1, 1, 1], torch.from_numpy(np.concatenate([rest, methyl])))


def test_shape_differs_between_mirror_images_of_a_turned_rotor(encoder):
    def apart(angle: float) -> float:
        x = rotor(angle)
        return float((parts_of(encoder, x)["shape"] - parts_of(encoder, mirrored(x))["shape"]).norm())

    assert apart(0) < 1e-9 and apart(60) < 1e-9, "eclipsed and staggered are their own mirror images"
    assert apart(20) > 1e-4 and apart(40) > 1e-4
    a_third_on = parts_of(encoder, rotor(140))["shape"]
    assert_close(a_third_on, parts_of(encoder, rotor(20))["shape"], rtol=0, atol=1e-9)


# Smooth


def stretched(distance: float) -> Cloud:
    """Methanol with one C-H bond of this length, angstrom."""
    x = g2("CH3OH")
    pos = x.pos.clone()
    hydrogen = 2 + int((pos[0, 2:] - pos[0, 0]).norm(dim=1).argmin())
    bond = pos[0, hydrogen] - pos[0, 0]
    pos[0, hydrogen] = pos[0, 0] + bond * distance / bond.norm()
    return Cloud(x.z, pos)


def apart(distance: float) -> Cloud:
    """Water and ammonia, oxygen and nitrogen so far from each other."""
    water, ammonia = g2("H2O"), g2("NH3")
    turn = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    first, second = (water.pos - water.pos[:, :1]) @ turn.mT, ammonia.pos - ammonia.pos[:, :1]
    shift = torch.tensor([0.5, 0.7, 0.509902], dtype=torch.float64)
    second = second + distance * shift / shift.norm()
    return Cloud(torch.cat([water.z, ammonia.z], dim=1), torch.cat([first, second], dim=1))


SCANS: dict[str, tuple[Callable[[float], Cloud], float, float]] = {
    "a C-H bond is stretched": (stretched, 0.8, 2.2),
    "a bond is made": (apart, BONDED * 1.2, APART * 1.6),
    "an atom comes into sight": (apart, CUTOFF - 0.3, CUTOFF + 0.3),
    "far away": (apart, 6.5, 12.0),
    "a methyl group turns": (rotor, 0.0, 120.0),
}
POINTS = 161


def along(scan: str) -> Cloud:
    """Conformers at equal distances on the path."""
    make, start, stop = SCANS[scan]
    return together(*(make(float(at)) for at in np.linspace(start, stop, POINTS)))


def is_smooth(values: Tensor, most: float = 20.0) -> bool:
    """Steps (points, D) are half as large where there are twice as many, and up to so many times the usual one."""
    fine, coarse = (path.diff(dim=0).norm(dim=1) for path in (values, values[::2]))
    if fine.max() < 1e-9:
        return True
    typical = fine[fine > 1e-6 * fine.max()].median()
    return float(fine.max()) < min(0.65 * float(coarse.max()), most * float(typical))


@pytest.mark.parametrize("scan", SCANS)
def test_parts_and_their_slopes_are_smooth(encoder, scan):
    """Neither they nor their derivatives jump, and a jump would be seen."""
    x = along(scan)
    for name, found in parts_of(encoder, x).items():
        assert is_smooth(found), name
        assert is_smooth(found.diff(dim=0) * POINTS, most=torch.inf), f"slope of {name}"
        half = torch.arange(POINTS, dtype=torch.float64)[:, None] > POINTS / 2.3
        assert not is_smooth(found + 0.5 * found.std(dim=0).clamp_min(1e-3) * half), f"{name}, broken"


# Finite


@pytest.mark.parametrize("name", SIMPLE)
def test_values_and_gradients_are_finite(name):
    encoder = encoder_of(torch.float32)
    x = together(SIMPLE[name], g2("CH3OH")).to(dtype=torch.float32)
    pos = x.pos.clone().requires_grad_(True)
    total = sum(part.square().sum() + part.sum() for part in encoder.smooth(x.z, pos))
    assert total.isfinite()
    total.backward()
    assert pos.grad.isfinite().all()
    assert not pos.grad[~x.mask].any(), "padding does nothing"
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


# The overlay part


def test_square_lengths_of_overlay_parts_are_volumes(encoder):
    x = together(MOLECULES, *SIMPLE.values())
    x = x[(x.z > 1).any(dim=1)]
    found = parts_of(encoder, x)["overlay"].square().sum(dim=1)
    for volume, z, pos in zip(found.tolist(), x.z, x.pos, strict=True):
        assert volume == pytest.approx(self_overlap(pos[z > 1].numpy()), rel=1e-5)


def test_color_has_a_volume_of_its_own(encoder):
    square = parts_of(encoder, MOLECULES)["color"].square().sum(dim=1)
    assert (square > 0).all() and square.std() > 1e-6


def test_hydrogens_do_not_matter_to_overlay_but_by_the_places_they_give(encoder):
    """The same places and other hydrogens: the same overlay."""
    x = g2("CH3OH")
    places = encoder.atoms.places(x.z, x.pos)
    away = Cloud(x.z, torch.where((x.z == 1)[..., None], x.pos + 1, x.pos))
    for found, expected in zip(
        encoder.overlay(away.z, away.pos, places), encoder.overlay(x.z, x.pos, places), strict=True
    ):
        assert_close(found, expected, rtol=0, atol=1e-12)


def test_conformers_without_heavy_atoms_have_an_overlay_part(encoder):
    x = together(SIMPLE["hydrogen"], SIMPLE["hydrogen atom"], g2("CH3OH"))
    found = parts_of(encoder, x)["overlay"]
    assert found.isfinite().all() and (found.norm(dim=1) > 1).all()
    moved = x.moved(random_action(x, seed=2))
    alike(parts_of(encoder, moved), parts_of(encoder, x))


def test_an_overlay_part_needs_no_color():
    torch.manual_seed(0)
    network = OverlayEncoder(16, (5,)).double()
    x = g2("CH3OH")
    (found,) = network(x.z, x.pos, torch.randn(1, 6, 16, dtype=torch.float64))
    assert found.shape == (1, 5)


# Without some of them


@pytest.mark.parametrize("name", NAMES)
def test_each_part_is_made_without_the_others(name):
    sizes = {f"{other}_dim": 0 for other in NAMES} | {f"{name}_dim": 3}
    if name == "color":
        sizes["overlay_dim"] = 3
    torch.manual_seed(0)
    model = build(
        ModelConfig(
            embedding_dim=8,
            width=8,
            layers=1,
            atom_width=8,
            atom_rounds=1,
            property_width=8,
            property_layers=1,
            **sizes,
        )
    )
    embedding = model.encode(MOLECULES).embedding
    assert embedding.shape == (len(MOLECULES), 8) and embedding.isfinite().all()
    names = [part.name for part in model.config.parts]
    assert names == (["overlay", "color", "detail"] if name == "color" else [name, "detail"])
    starts = [part.start for part in model.config.parts]
    assert all(b > a for a, b in pairwise([*starts, 8]))
