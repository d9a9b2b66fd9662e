"""Every architecture, untrained and after some training, through all of `symmetry`."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy
from functools import cache

import pytest
import torch

from molgiae.canonical.completion import well_conditioned
from molgiae.canonical.point_group import POSES
from molgiae.config import ModelConfig
from molgiae.errors import ConfigError, ShapeError
from molgiae.model.architectures import ARCHITECTURES, build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from tests import symmetry
from tests.geometries import CHIRAL, SYMMETRIES, action_of, g2, named, random_action, random_cloud, together

PRECISIONS = {"float64": (torch.float64, 1e-9), "float32": (torch.float32, 1e-4)}

HANDED = 4e-6
"""By how much untrained embeddings of mirror images differ at least; round-off of float32 is below a quarter."""

GENERIC = random_cloud([5, 9, 12, 8], seed=0)
SPECIAL = together(*(named(name) for name in SYMMETRIES))
CHIRAL_ONES = together(*(named(name) for name in SYMMETRIES if SYMMETRIES[name][0] in CHIRAL))
ACHIRAL_ONES = together(*(named(name) for name in SYMMETRIES if SYMMETRIES[name][0] not in CHIRAL))


def config(architecture: str) -> ModelConfig:
    return ModelConfig(
        architecture=architecture,
        elements=(1, 5, 6, 7, 8, 9, 16, 17, 35),
        max_atoms=16,
        embedding_dim=34 if architecture == "nested" else 16,  # 13 smooth ones, 9 elements, 12 of waves
        width=16,
        layers=2,
        shape_dim=4,
        features_dim=4,
        overlay_dim=3,
        color_dim=2,
        atom_width=16,
        property_width=8,
        property_layers=1,
        atom_rounds=2,
    )


def train(model: ConformerAutoencoder, x: Cloud, steps: int, rate: float) -> list[float]:
    """The losses of a few steps."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = symmetry.loss(model, x)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value.item())
    return losses


@cache
def prepared(architecture: str, state: str, dtype: torch.dtype) -> ConformerAutoencoder:
    if dtype != torch.float32:
        return deepcopy(prepared(architecture, state, torch.float32)).to(dtype)
    torch.manual_seed(1)
    model = build(config(architecture))
    if state == "trained":
        losses = train(model, together(GENERIC, SPECIAL), steps=10, rate=3e-3)
        assert losses[-1] < losses[0] or architecture == "nested"  # which comes back as it is
    return model.eval()


@pytest.fixture(params=["untrained", "trained"])
def state(request):
    return request.param


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return PRECISIONS[request.param]


@pytest.fixture(params=ARCHITECTURES)
def model(request, state, precision):
    found = prepared(request.param, state, precision[0])
    with torch.no_grad():
        yield found


@pytest.fixture
def tolerance(precision):
    return precision[1]


def test_embedding_is_invariant(model, tolerance):
    symmetry.embedding_is_invariant(model, GENERIC, tolerance)
    symmetry.embedding_is_invariant(model, SPECIAL, tolerance)


def test_group_function_is_equivariant_where_the_stabilizer_is_trivial(model, tolerance):
    symmetry.group_function_is_equivariant(model, GENERIC, tolerance)


def test_canonical_form_is_invariant(model, tolerance):
    symmetry.canonical_form_is_invariant(model, GENERIC, tolerance)
    symmetry.canonical_form_is_invariant(model, SPECIAL, tolerance)


def test_a_thousand_angstrom_away_nothing_changes(model, tolerance):
    symmetry.embedding_is_invariant(model, GENERIC, tolerance, symmetry.FAR)
    symmetry.canonical_form_is_invariant(model, GENERIC, tolerance, symmetry.FAR)
    symmetry.canonical_form_is_invariant(model, SPECIAL, tolerance, symmetry.FAR)


def test_reconstruction_is_equivariant(model, tolerance):
    symmetry.reconstruction_is_equivariant(model, GENERIC, tolerance)


def test_loss_is_invariant(model):
    symmetry.loss_is_invariant(model, GENERIC, 1e-5)
    symmetry.loss_is_invariant(model, SPECIAL, 1e-5)


def test_batches_singles_mates_and_padding(model, tolerance):
    symmetry.batch_is_singles(model, GENERIC, tolerance)
    symmetry.batch_is_singles(model, SPECIAL[::3], tolerance)
    symmetry.batch_mates_do_not_leak(model, GENERIC, tolerance)
    symmetry.padding_is_irrelevant(model, GENERIC, max(tolerance, 1e-6))


def test_mirror_images_differ_exactly_where_the_conformer_is_chiral(model, tolerance):
    symmetry.mirror_images_differ(model, CHIRAL_ONES, least=HANDED)
    symmetry.mirror_images_agree(model, ACHIRAL_ONES, min(tolerance, HANDED / 4))


def test_symmetric_conformers_are_finite_and_flagged(model):
    symmetry.everything_is_finite(model, SPECIAL)
    action = action_of(model, SPECIAL.moved(random_action(SPECIAL, seed=7, reach=symmetry.FAR)))
    expected = [pose for _, pose, _ in SYMMETRIES.values()]
    assert [POSES[i] for i in action.pose_defined.tolist()] == expected
    assert action.symmetry_number.tolist() == [number for _, _, number in SYMMETRIES.values()]


@pytest.mark.parametrize("name", SYMMETRIES)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_of_the_loss_are_finite(architecture, name):
    symmetry.gradients_are_finite(prepared(architecture, "untrained", torch.float32), named(name))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_of_mixed_and_far_batches_are_finite(architecture):
    x = together(SPECIAL, GENERIC)
    model = prepared(architecture, "untrained", torch.float32)
    symmetry.gradients_are_finite(model, x.moved(random_action(x, seed=8, reach=symmetry.FAR)))


def test_pooled_vectors_of_most_asymmetric_conformers_define_a_frame():
    """Their length is a conditioning number in angstrom, so symmetry, not scale, makes them short."""
    torch.manual_seed(2)
    model = build(config("appendix-d"))
    with torch.no_grad():
        generic, _ = model.encoder.equivariant(random_cloud([8, 10, 12, 14, 16] * 8, seed=9))
        symmetric, _ = model.encoder.equivariant(SPECIAL)
    assert well_conditioned(generic.vectors.numpy()).mean() > 0.8
    whole = torch.tensor([pose == "full" and group != "Ci" for group, pose, _ in SYMMETRIES.values()])
    assert not well_conditioned(symmetric.vectors.numpy())[~whole.numpy()].any()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_conformers_of_too_many_atoms_are_refused(architecture):
    with pytest.raises(ShapeError, match="17 atoms"):
        build(config(architecture)).encode(random_cloud([17], seed=0))


def test_unknown_architectures_and_impossible_widths_are_refused():
    with pytest.raises(ConfigError, match="known are slots, nested, learned, appendix-d"):
        build(ModelConfig(architecture="none"))
    with pytest.raises(ConfigError, match="multiple of 4"):
        build(ModelConfig(architecture="appendix-d", width=18))


def test_appendix_d_predicts_in_canonical_order_what_it_predicts_in_the_order_of_the_input():
    """A hard assignment only permutes the prediction, and the rest of the slots is empty or not alike."""
    torch.manual_seed(3)
    model = build(config("appendix-d")).double()
    x = GENERIC
    with torch.no_grad():
        encoding = model.encode(x)
        permutation = encoding.action.permutation
        straight = torch.eye(x.z.shape[1], dtype=torch.float64) * x.mask[..., None]
        ordered = model.decoder(encoding.embedding, straight)
        mixed = model.decoder(encoding.embedding, permutation.act(straight))
    n = x.z.shape[1]
    symmetry.agree(mixed.pos[:, :n], permutation.act(ordered.pos[:, :n]), 1e-12)
    symmetry.agree(mixed.logits[:, :n, 1:], permutation.act(ordered.logits[:, :n, 1:]), 1e-12)
    assert torch.equal(mixed.logits[..., 0], ordered.logits[..., 0])


def test_appendix_d_learns():
    torch.manual_seed(4)
    model = build(config("appendix-d"))
    losses = train(model, together(g2("CH3OH"), g2("CH3CHO"), random_cloud([7], seed=3)), steps=80, rate=1e-2)
    assert losses[-1] < losses[0] / 3


def test_torch_geometric_is_imported_only_with_the_network_that_needs_it():
    code = (
        "import sys, molgiae.model.architectures as m; "
        "m.build(m.ModelConfig()); print('torch_geometric' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_only_embeddings_of_its_size_are_decoded():
    nested, slots = build(config("nested")), build(config("slots"))
    for model, sizes in ((nested, (22, 34)), (slots, (16, 16))):
        for size in sizes:
            assert len(model.decode(torch.zeros(2, size, dtype=torch.float64)).z) == 2
        for shape in ((2, sizes[0] - 1), (2, sizes[1] + 1), (sizes[0],)):
            with pytest.raises(ShapeError, match="numbers"):
                model.decode(torch.zeros(shape))


def test_where_two_atoms_of_a_learned_order_exchange_places_averages_go_on_and_slots_jump():
    model = prepared("learned", "trained", torch.float64)
    a = random_cloud([10], seed=3)
    b = Cloud(a.z, a.pos + 0.3 * random_cloud([10], seed=4).pos)

    def encoded(share: float) -> tuple[torch.Tensor, torch.Tensor]:
        encoding = model.encode(Cloud(a.z, torch.lerp(a.pos, b.pos, share)))
        return encoding.action.permutation.index[0], encoding.embedding[0]

    with torch.no_grad():
        low, high = 0.0, 1.0
        assert not torch.equal(encoded(low)[0], encoded(high)[0])
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if torch.equal(encoded(low)[0], encoded(middle)[0]) else (low, middle)
        step = (encoded(high)[1] - encoded(low)[1]).abs()
    averages = model.encoder.network.parts[0]
    assert step[:averages].max() < 1e-7
    assert 1e-5 < step[averages:].max() < 1e-2
