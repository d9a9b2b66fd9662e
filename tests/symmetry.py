"""What every architecture must satisfy: functions of a model and conformers that fail where one is broken."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.testing import assert_close

from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.cloud import Cloud
from molgiae.training.losses import conditioning_loss, reconstruction_loss
from tests.geometries import jittered, mirrored, one, random_action, together

TAU = 0.1
FAR = 1000.0
"""Angstrom."""


def agree(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert_close(found, expected, rtol=0, atol=tolerance)


def loss(model: ConformerAutoencoder, x: Cloud) -> Tensor:
    prediction, target, vectors = model.prediction_and_target(x, TAU)
    error = reconstruction_loss(prediction, target, model.element, 0.3)
    return error if vectors is None else error + conditioning_loss(vectors)


def embedding_is_invariant(
    model: ConformerAutoencoder, x: Cloud, tolerance: float, reach: float = 1.0
) -> None:
    agree(model.encode(x.moved(random_action(x, 1, reach))).embedding, model.encode(x).embedding, tolerance)


def group_function_is_equivariant(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    g = random_action(x, seed=2)
    found, expected = model.group_function(x.moved(g)), g @ model.group_function(x)
    agree(found.rotation.matrix, expected.rotation.matrix, tolerance)
    agree(found.translation.vector, expected.translation.vector, tolerance)
    assert torch.equal(found.permutation.index, expected.permutation.index)


def canonical_form_is_invariant(
    model: ConformerAutoencoder, x: Cloud, tolerance: float, reach: float = 1.0
) -> None:
    found, expected = model.canonical(x.moved(random_action(x, 3, reach))), model.canonical(x)
    assert torch.equal(found.z, expected.z)
    agree(found.pos, expected.pos, tolerance)


def reconstruction_is_equivariant(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    g = random_action(x, seed=4)
    found, expected = model.reconstruct(x.moved(g)), model.reconstruct(x)
    assert torch.equal(found.z, g.permutation.act(expected.z, dim=-1))
    agree(found.pos, g.act(expected.pos) * x.mask[..., None], tolerance)


def loss_is_invariant(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    agree(loss(model, x.moved(random_action(x, seed=5))), loss(model, x), tolerance)


def batch_is_singles(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    """Pose and reconstruction are compared where the stabilizer is trivial; elsewhere they are not unique."""
    encoding = model.encode(x)
    canonical = encoding.canonical
    back = model.place(model.decode(encoding.embedding), encoding.action, x)
    for b, n in enumerate(x.mask.sum(dim=1).tolist()):
        alone = one(x.z[b, :n], x.pos[b, :n])
        single = model.encode(alone)
        agree(encoding.embedding[b], single.embedding[0], tolerance)
        agree(canonical.pos[b, :n], single.canonical.pos[0], tolerance)
        if int(single.diagnosis.symmetry_number[0]) == 1:
            agree(encoding.action.rotation.matrix[b], single.action.rotation.matrix[0], tolerance)
            agree(encoding.action.translation.vector[b], single.action.translation.vector[0], tolerance)
            agree(back.pos[b, :n], model.reconstruct(alone).pos[0], tolerance)


def batch_mates_do_not_leak(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    """The first conformer is embedded the same beside others, and beside others at an infinite distance."""
    mates = jittered(x, 0.5, seed=6)
    changed = Cloud(torch.cat([x.z[:1], mates.z[1:]]), torch.cat([x.pos[:1], FAR + mates.pos[1:]]))
    changed = Cloud(changed.z, changed.pos * changed.mask[..., None])
    agree(model.encode(changed).embedding[0], model.encode(x).embedding[0], tolerance)


def padding_is_irrelevant(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    wide = together(x, slots=model.config.max_atoms)
    n = x.z.shape[1]
    assert wide.z.shape[1] > n
    agree(model.encode(wide).embedding, model.encode(x).embedding, tolerance)
    agree(model.reconstruct(wide).pos[:, :n], model.reconstruct(x).pos, tolerance)
    agree(loss(model, wide), loss(model, x), tolerance)


def mirror_images_differ(model: ConformerAutoencoder, x: Cloud, least: float) -> None:
    apart = (model.encode(x).embedding - model.encode(mirrored(x)).embedding).abs().amax(dim=1)
    assert (apart > least).all(), f"chiral conformers differ from their mirror images by {apart.tolist()}"


def mirror_images_agree(model: ConformerAutoencoder, x: Cloud, tolerance: float) -> None:
    agree(model.encode(mirrored(x)).embedding, model.encode(x).embedding, tolerance)


def everything_is_finite(model: ConformerAutoencoder, x: Cloud) -> None:
    encoding, back = model.encode(x), model.reconstruct(x)
    rotation = encoding.action.rotation.matrix
    for value in (encoding.embedding, rotation, encoding.action.translation.vector, back.pos):
        assert value.isfinite().all()
    agree(torch.linalg.det(rotation), torch.ones(len(x), dtype=torch.float64), 1e-12)
    agree(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64).expand(len(x), 3, 3), 1e-12)


def gradients_are_finite(model: ConformerAutoencoder, x: Cloud, largest: float = 1e4) -> None:
    model.zero_grad(set_to_none=True)
    with torch.enable_grad():
        value = loss(model, x)
        value.backward()
    assert value.isfinite()
    norms = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None])
    model.zero_grad(set_to_none=True)
    assert norms.isfinite().all()
    assert float(norms.max()) < largest
