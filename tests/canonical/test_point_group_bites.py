"""Encoders and decoders broken on purpose: each check of `symmetry` fails for one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from molgiae.config import ModelConfig
from molgiae.groups import SE3xSn
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder, Equivariant
from molgiae.model.cloud import Cloud
from tests import symmetry
from tests.geometries import WithVectors, g2, named, random_cloud, together

CONFIG = ModelConfig(
    elements=(1, 6, 7, 8, 9, 17, 35),
    max_atoms=14,
    embedding_dim=6,
    width=8,
    layers=1,
    shape_dim=2,
    features_dim=0,
    atom_width=8,
    property_width=8,
    property_layers=1,
    atom_rounds=2,
)
GENERIC = random_cloud([5, 9, 12], seed=0)


@dataclass(frozen=True)
class Spoilt:
    """What is done to mu and to eta of a sound model."""

    mu: Callable[[Cloud, Equivariant], Equivariant] = lambda x, y: y
    eta: Callable[[Cloud, Tensor], Tensor] = lambda x, embedding: embedding
    xi: Callable[[SE3xSn], SE3xSn] = lambda action: action


class SpoiltEncoder(nn.Module):
    def __init__(self, sound: nn.Module, spoilt: Spoilt) -> None:
        super().__init__()
        self.sound, self.spoilt = sound, spoilt

    def equivariant(self, x: Cloud) -> tuple[Equivariant, tuple[Cloud, Any]]:
        y, shared = self.sound.equivariant(x)
        return self.spoilt.mu(x, y), (x, shared)

    def invariant(self, shared: tuple[Cloud, Any], canonical: Cloud) -> Tensor:
        x, inner = shared
        return self.spoilt.eta(x, self.sound.invariant(inner, canonical))


class SpoiltAutoencoder(ConformerAutoencoder):
    def xi(self, y: Any) -> SE3xSn:
        return self.encoder.spoilt.xi(super().xi(y))


def broken(spoilt: Spoilt) -> ConformerAutoencoder:
    torch.manual_seed(0)
    sound = build(CONFIG)
    return SpoiltAutoencoder(
        CONFIG, SpoiltEncoder(WithVectors(sound.encoder), spoilt), sound.decoder
    ).double()


def index_features(x: Cloud, embedding: Tensor) -> Tensor:
    places = torch.arange(1, 1 + x.z.shape[1], dtype=torch.float64)
    return embedding + (places * x.z).sum(dim=1, keepdim=True) / 100


def absolute_positions(x: Cloud, embedding: Tensor) -> Tensor:
    return embedding + x.pos[..., :1].sum(dim=1) / 1000


def batch_statistics(x: Cloud, embedding: Tensor) -> Tensor:
    return embedding - embedding.mean(dim=0, keepdim=True)


def padding_counted(x: Cloud, embedding: Tensor) -> Tensor:
    return embedding + x.z.shape[1]


def distances_only(x: Cloud, embedding: Tensor) -> Tensor:
    return torch.cdist(x.pos, x.pos).sum(dim=(1, 2))[:, None].expand_as(embedding)


def handedness_of_places(x: Cloud, embedding: Tensor) -> Tensor:
    return embedding + torch.linalg.det(x.centered().pos[:, [0, 1, 4]])[:, None]


def division_by_size(x: Cloud, embedding: Tensor) -> Tensor:
    size = x.centered().pos.norm(dim=-1).sum(dim=1, keepdim=True)
    return embedding / torch.where(size < 1e-6, 0.0, 1.0)


def root_of_zero(x: Cloud, embedding: Tensor) -> Tensor:
    return embedding + (0 * embedding).abs().sqrt()


def fixed_direction(x: Cloud, y: Equivariant) -> Equivariant:
    return y._replace(vectors=y.vectors + torch.tensor([0.3, 0.0, 0.0]))


def order_of_input(x: Cloud, y: Equivariant) -> Equivariant:
    places = torch.arange(x.z.shape[1], dtype=torch.float64)
    return y._replace(scores=torch.where(x.mask, places, torch.inf))


def far_origin(x: Cloud, y: Equivariant) -> Equivariant:
    """Centring in float32."""
    rounded = (x.pos.float().sum(dim=1) / x.mask.sum(dim=1, keepdim=True)).double()
    return y._replace(translation=rounded)


def mirrored_frame(action: SE3xSn) -> SE3xSn:
    action.rotation.matrix[..., 2] *= -1
    return action


FLAT = together(g2("CH3OH"), g2("H2CCHCl"))
CHIRAL = together(named("CHFClBr"), g2("H2O2"))
ATOM = together(named("atom"), g2("H2O"))

BITES = {
    "index features": (symmetry.embedding_is_invariant, Spoilt(eta=index_features), GENERIC, 1e-9),
    "absolute positions": (symmetry.embedding_is_invariant, Spoilt(eta=absolute_positions), GENERIC, 1e-9),
    "fixed direction": (symmetry.group_function_is_equivariant, Spoilt(mu=fixed_direction), GENERIC, 1e-9),
    "order of input": (symmetry.group_function_is_equivariant, Spoilt(mu=order_of_input), GENERIC, 1e-9),
    "canonical form": (symmetry.canonical_form_is_invariant, Spoilt(mu=fixed_direction), GENERIC, 1e-9),
    "canonical order": (symmetry.canonical_form_is_invariant, Spoilt(mu=order_of_input), GENERIC, 1e-9),
    "reconstruction": (symmetry.reconstruction_is_equivariant, Spoilt(mu=fixed_direction), GENERIC, 1e-9),
    "loss": (symmetry.loss_is_invariant, Spoilt(mu=fixed_direction), GENERIC, 1e-5),
    "batch statistics": (symmetry.batch_is_singles, Spoilt(eta=batch_statistics), GENERIC, 1e-9),
    "leak": (symmetry.batch_mates_do_not_leak, Spoilt(eta=batch_statistics), GENERIC, 1e-9),
    "padding": (symmetry.padding_is_irrelevant, Spoilt(eta=padding_counted), GENERIC, 1e-6),
    "distances only": (symmetry.mirror_images_differ, Spoilt(eta=distances_only), CHIRAL, 1e-6),
    "handed": (symmetry.mirror_images_agree, Spoilt(eta=handedness_of_places), FLAT, 1e-6),
    "not a number": (symmetry.everything_is_finite, Spoilt(eta=division_by_size), ATOM),
    "determinant": (symmetry.everything_is_finite, Spoilt(xi=mirrored_frame), GENERIC),
    "gradient": (symmetry.gradients_are_finite, Spoilt(eta=root_of_zero), GENERIC),
}


@pytest.mark.parametrize("name", BITES)
@torch.no_grad()
def test_check_fails_for_what_it_looks_for(name):
    check, spoilt, *arguments = BITES[name]
    check(broken(Spoilt()), *arguments)
    with pytest.raises(AssertionError):
        check(broken(spoilt), *arguments)


@torch.no_grad()
def test_far_translations_show_rounding_that_near_ones_hide():
    model = broken(Spoilt(mu=far_origin))
    symmetry.canonical_form_is_invariant(model, GENERIC, 1e-5)
    with pytest.raises(AssertionError):
        symmetry.canonical_form_is_invariant(model, GENERIC, 1e-5, symmetry.FAR)
