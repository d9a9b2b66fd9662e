"""Canonical forms, judged on clouds: equal for x and g x, whatever the symmetry, with honest flags."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from ase.collections import g2 as g2_names
from torch import Tensor, nn

from molgiae.canonical.completion import MIN_FRAME_LENGTH, well_conditioned
from molgiae.canonical.point_group import POSES
from molgiae.config import ModelConfig
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud
from tests.geometries import (
    CHIRAL,
    SYMMETRIES,
    WithVectors,
    action_of,
    by_graph,
    g2,
    jittered,
    mirrored,
    named,
    one,
    random_action,
    random_cloud,
    together,
)

EVERY_G2 = together(*(g2(name) for name in g2_names.names))
LINES = ("HCN", "CO2", "C2H2", "NCCN", "OCS", "N2O", "CS2")


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


CONFIG = ModelConfig(max_atoms=29, embedding_dim=4, width=8, layers=1, shape_dim=0, features_dim=0)
torch.manual_seed(0)
MODEL = build(CONFIG)


FRAMED = ConformerAutoencoder(CONFIG, WithVectors(MODEL.encoder), MODEL.decoder)


def assert_canonical_is_invariant(
    model: ConformerAutoencoder, x: Cloud, seed: int, tolerance: float = 1e-9, reach: float = 1.0
) -> None:
    found, expected = model.canonical(x.moved(random_action(x, seed, reach))), model.canonical(x)
    assert torch.equal(found.z, expected.z)
    differ = (found.pos - expected.pos).abs().amax(dim=(1, 2)) > tolerance
    assert not differ.any(), f"conformers {torch.nonzero(differ).flatten().tolist()} differ"


@pytest.mark.parametrize("seed", range(3))
def test_canonical_form_is_invariant_for_all_of_g2(seed):
    assert_canonical_is_invariant(MODEL, EVERY_G2, seed)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_canonical_form_is_invariant_for_every_point_group(name):
    x = named(name)
    assert_canonical_is_invariant(MODEL, together(x, x, x), seed=3)


@pytest.mark.parametrize("noise", [1e-7, 1e-5, 1e-3, 1e-2, 1e-1])
def test_canonical_form_is_invariant_for_nearly_symmetric_conformers(noise):
    assert_canonical_is_invariant(MODEL, jittered(EVERY_G2, noise, seed=5), seed=6, tolerance=2e-7)


@pytest.mark.parametrize("bend", [1e-6, 1e-4, 5e-3])
def test_canonical_form_is_invariant_for_slightly_bent_lines(bend):
    """A bend too small for the flags still gives the second axis."""
    x = together(*(jittered(g2(name), bend, seed=7) for name in LINES))
    assert_canonical_is_invariant(MODEL, x, seed=8, tolerance=2e-7)


def test_canonical_form_is_invariant_a_thousand_angstrom_away():
    assert_canonical_is_invariant(MODEL, EVERY_G2, seed=9, reach=1000.0)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_flags_follow_the_point_group(name):
    x = named(name)
    group, pose, number = SYMMETRIES[name]
    action = action_of(MODEL, x.moved(random_action(x, seed=0)))
    assert (group, POSES[int(action.pose_defined)]) == (group, pose)
    assert int(action.symmetry_number) == number
    # an axis through every atom exchanges none of them, a symmetry otherwise does
    exchanges = number > 1 or (number == 0 and group == "D*h")
    assert bool(action.order_defined) is not exchanges


def test_flags_do_not_depend_on_pose_or_order():
    action = action_of(MODEL, EVERY_G2)
    other = action_of(MODEL, EVERY_G2.moved(random_action(EVERY_G2, seed=1)))
    for flag in ("pose_defined", "order_defined", "symmetry_number"):
        assert torch.equal(getattr(action, flag), getattr(other, flag)), flag
    assert action.point_group == other.point_group


def test_stability_does_not_depend_on_pose_order_or_batch_mates():
    x = together(EVERY_G2, random_cloud([1, 2, 9, 20], seed=2))
    whole = by_graph(x.moved(random_action(x, seed=1))).stability
    alone = torch.cat([by_graph(x[m : m + 1]).stability for m in range(len(x))])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("x", [EVERY_G2, random_cloud([1, 2, 3, 29], seed=0)], ids=["G2", "random"])
def test_group_action_is_an_exact_group_element_that_gives_x_back(x):
    g = MODEL.group_function(x)
    eye = torch.eye(3, dtype=torch.float64).expand(len(x), 3, 3)
    torch.testing.assert_close(g.rotation.matrix @ g.rotation.matrix.mT, eye, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.linalg.det(g.rotation.matrix), eye[:, 0, 0], rtol=0, atol=1e-12)
    back = MODEL.canonical(x).moved(g)
    assert torch.equal(back.z, x.z)
    torch.testing.assert_close(back.pos, x.pos, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SYMMETRIES)
def test_mirror_image_has_the_same_canonical_form_exactly_if_achiral(name):
    x = named(name)
    apart = (MODEL.canonical(mirrored(x)).pos - MODEL.canonical(x).pos).abs().max()
    assert (float(apart) > 0.1) is (SYMMETRIES[name][0] in CHIRAL)
    assert float(apart) > 0.1 or float(apart) < 1e-9


def test_batch_mates_and_padding_change_nothing():
    together_now = MODEL.canonical(together(EVERY_G2, slots=40))
    for m in range(0, len(EVERY_G2), 16):
        alone = MODEL.canonical(g2(g2_names.names[m]))
        n = alone.z.shape[1]
        assert torch.equal(together_now.z[m, :n], alone.z[0])
        torch.testing.assert_close(together_now.pos[m, :n], alone.pos[0], rtol=0, atol=1e-9)
        assert not together_now.pos[m, n:].any()


class Broken(nn.Module):
    """Mu of the untrained model, spoilt."""

    def __init__(self, spoil: Callable[[Cloud, Equivariant], Equivariant]) -> None:
        super().__init__()
        self.spoil = spoil

    def equivariant(self, x: Cloud) -> tuple[Equivariant, None]:
        return self.spoil(x, FRAMED.encoder.equivariant(x)[0]), None


def fixed_direction(x: Cloud, y: Equivariant) -> Equivariant:
    return y._replace(vectors=y.vectors + torch.tensor([0.3, 0.0, 0.0]))


def first_atom(x: Cloud, y: Equivariant) -> Equivariant:
    return y._replace(translation=x.pos[:, 0])


def order_of_input(x: Cloud, y: Equivariant) -> Equivariant:
    places = torch.arange(x.z.shape[1], dtype=torch.float64).expand(x.z.shape)
    return y._replace(scores=torch.where(x.mask, places, torch.inf))


def origin(x: Cloud, y: Equivariant) -> Equivariant:
    return y._replace(translation=torch.zeros_like(y.translation))


@pytest.mark.parametrize("spoil", [fixed_direction, first_atom, order_of_input, origin])
def test_the_check_fails_for_a_broken_mu(spoil):
    broken = ConformerAutoencoder(FRAMED.config, Broken(spoil), FRAMED.decoder)
    with pytest.raises(AssertionError):
        assert_canonical_is_invariant(broken, random_cloud([9, 12], seed=3), seed=4)


def vectors(first: list[float], second: list[float]) -> Tensor:
    return torch.tensor([[first, second]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (vectors([1, 0, 0], [0, 1, 0]), True),
        (vectors([1, 0, 0], [5, 1.1 * MIN_FRAME_LENGTH, 0]), True),
        (vectors([1, 0, 0], [5, 0.9 * MIN_FRAME_LENGTH, 0]), False),
        (vectors([0.9 * MIN_FRAME_LENGTH, 0, 0], [0, 1, 0]), False),
        (vectors([0, 0, 0], [0, 0, 0]), False),
    ],
)
def test_vectors_are_judged_by_length_and_by_what_is_orthogonal(pair, expected):
    assert bool(well_conditioned(pair.numpy())[0]) is expected


def test_conformers_that_symmetry_leaves_alone_are_not_completed():
    action = action_of(MODEL, together(one([6], [[5.0, 5.0, 5.0]]), random_cloud([10], seed=1)))
    assert action.pose_defined.tolist() == [POSES.index("none"), POSES.index("full")]
    assert action.symmetry_number.tolist() == [0, 1]


SOUND = together(*(named(name) for name in SYMMETRIES), EVERY_G2)


def forms_agree(x: Cloud, y: Cloud, seed: int) -> Tensor:
    """(B,) root mean square distance of the canonical clouds of x and of moved y; infinite for other elements."""
    moved = y.moved(random_action(y, seed))
    first, second = (c.moved(by_graph(c).g.inverse()) for c in (x, moved))
    square = (first.pos - second.pos).square().sum(dim=(1, 2)) / x.mask.sum(dim=1)
    return torch.where((first.z == second.z).all(dim=1), square.sqrt(), torch.inf)


def test_no_pose_is_called_full_that_a_rotation_leaves_alone():
    flags = by_graph(EVERY_G2)
    full = flags.pose_defined == POSES.index("full")
    assert (flags.symmetry_number[full] == 1).all()
    assert flags.order_defined[full].all()
    # turned by the symmetry of another candidate frame, a form with a stabilizer falls upon itself
    assert not flags.order_defined[flags.symmetry_number > 1].any()


def test_copies_written_with_four_decimals_get_the_same_form():
    x = SOUND
    for seed in range(3):
        g = random_action(x, seed)
        written = Cloud(x.moved(g).z, x.moved(g).pos.round(decimals=4))
        first, second = x.moved(by_graph(x).g.inverse()), written.moved(by_graph(written).g.inverse())
        assert torch.equal(first.z, second.z)
        assert float((first.pos - second.pos).norm(dim=-1).max()) < 5e-3


def test_noise_seldom_changes_the_form_of_symmetric_molecules():
    apart = torch.stack([forms_agree(SOUND, jittered(SOUND, 0.02, seed), seed) for seed in range(4)])
    assert float((apart < 0.1).double().mean()) > 0.96


def test_stability_says_which_forms_jump():
    x = random_cloud([8] * 200 + [14] * 200, seed=10)
    stability = by_graph(x).stability
    noise = 0.01
    jumps = torch.stack([forms_agree(x, jittered(x, noise, seed), seed) > 0.1 for seed in range(10)])
    share = jumps.double().mean(dim=0)
    doubtful, sound = stability < 0.5 * noise, stability > 5 * noise
    assert doubtful.sum() > 10
    assert sound.sum() > 50
    assert float(share[doubtful].mean()) > 0.2
    assert float(share[sound].mean()) < 0.02
