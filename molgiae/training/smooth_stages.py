"""The stages of pretraining that make the smooth parts of an embedding, each a task to a stage.

A network of atoms and a features part learn from labels and displaced atoms; on its frozen places overlay and color
parts learn inner products that are overlaps, and a shape part distances that are symmetry-corrected RMSDs.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from molgiae.model.cloud import Cloud, batches, squared_deviation
from molgiae.nn.labels import Taught
from molgiae.parallel import ranks
from molgiae.training.batches import distort, mean_over_pieces, trimmed, whole
from molgiae.training.components import fit_features
from molgiae.training.labels import Labels, label_loss, standardize
from molgiae.training.loop import Stage
from molgiae.training.losses import denoising_loss, shape_loss
from molgiae.training.overlays import overlay_loss
from molgiae.training.pairs import conformer_pairs
from molgiae.training.task import Task

ATOM_BATCH, OVERLAY_GROUPS = 64, 4
"""Most conformers in a batch of the network of atoms, and groups of conformers in one of the overlay part."""
SHAPE_PIECES, ATOM_PIECES = 8, 4
"""Of a batch of these stages, conformers of similar size in each."""
SMOOTH_BATCH, MAX_POOLED = 64, 20_000
"""Conformers whose smooth parts are made at once, and most that the features part is made by."""
FEATURE_NOISE = 0.05
"""Standard deviation of displacements, angstrom, that features should hardly see."""
PAIR_NOISE = 0.15
"""Largest standard deviation of the displacements of pairs, angstrom."""


def atom_stage(task: Task) -> Stage:
    """Make the stage of the network of atoms and the features part: by labels if there are any, else by denoising."""
    encoder: Any = task.model.encoder
    atoms, features, heads = encoder.atoms, encoder.features, encoder.labels
    device, config = task.run.device, task.config
    labels = None if task.data.labels is None or features is None else task.data.labels.to(device)

    def denoise(conformers: Cloud, generator: torch.Generator, piece: Tensor) -> Tensor:
        return denoising_loss(atoms, trimmed(conformers[piece]), config.atom_noise, generator)

    def read(z: Tensor, pos: Tensor) -> tuple[Tensor, ...]:
        mask, places = z > 0, atoms.places(z, pos)
        seen = atoms.features_and_vectors(z, pos, places)
        pooled = features.pooled(places, *seen, pos, mask)
        direction = features.directions(torch.cat([seen[0], places], dim=-1), seen[1], pos, mask)[..., 0]
        return *heads(pooled, places, *seen, mask), direction

    def taught(labels: Labels, piece: Tensor) -> Tensor:
        x = labels.conformers(piece)
        *found, direction = ranks.shared(read, x.z, x.pos)
        return label_loss(heads, Taught(*found), direction, labels, piece)

    if labels is None:
        conformers = task.conformers().to(device)
        sizes, trained = conformers.mask.sum(dim=1), [atoms]
    else:
        sizes, trained = labels.sizes.to(device), [atoms, features, heads]

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        of_piece = partial(denoise, conformers, generator) if labels is None else partial(taught, labels)
        return mean_over_pieces(of_piece, index[:ATOM_BATCH], sizes, ATOM_PIECES)

    def begin() -> None:
        if labels is not None:
            standardize(heads, labels)

    parameters = [p for network in trained for p in network.parameters()]
    return task.stage("atoms", config.atom_steps, len(sizes), parameters, loss, begin=begin)


def features_stage(task: Task) -> Stage:
    """Make the stage that compresses what the features part pools; it has no steps."""
    encoder: Any = task.model.encoder
    features = encoder.features

    def sums(x: Cloud) -> Tensor:
        places = encoder.atoms.places(x.z, x.pos)
        seen = encoder.atoms.features_and_vectors(x.z, x.pos, places)
        return features.sums(features.pooled(places, *seen, x.pos, x.mask), x.pos, x.mask)

    @torch.no_grad()
    def begin() -> None:
        rng = np.random.default_rng(task.config.seed)
        titles = [title or str(m) for m, title in enumerate(task.data.train.title)]
        molecule = np.unique(titles, return_inverse=True)[1]
        # all conformers of a molecule, or none
        chosen = np.argsort(rng.permutation(len(molecule))[molecule], kind="stable")[:MAX_POOLED]
        chosen = chosen[np.argsort(task.data.train.n_atoms[chosen], kind="stable")]
        block = task.data.train.take(chosen)
        noise = torch.Generator(task.run.device).manual_seed(task.config.seed)
        parts = []
        for piece in batches(block.atomic_number, block.position, block.offset, SMOOTH_BATCH):
            x = piece.centered().to(task.run.device, torch.float32)
            shift = torch.randn(x.pos.shape, generator=noise, device=x.pos.device) * x.mask[..., None]
            parts.append((sums(x), sums(Cloud(x.z, x.pos + FEATURE_NOISE * shift).centered())))
        there, moved = (torch.cat(part) for part in zip(*parts, strict=True))
        fit_features(features, there, moved, torch.from_numpy(molecule[chosen]).to(there.device))

    return task.stage(
        "features", 0, 1, list(features.compress.parameters()), lambda i, g: i.sum(), begin=begin
    )


def overlay_stage(task: Task) -> Stage:
    """Make the stage of the overlay and color parts, which learn from overlays on the frozen places of atoms."""
    encoder: Any = task.model.encoder
    assert task.data.overlays is not None, "checked before the first stage"
    overlays = task.data.overlays.to(task.run.device)
    encoder.atoms.requires_grad_(False)

    def read(z: Tensor, pos: Tensor) -> tuple[Tensor, ...]:
        return tuple(encoder.overlay(z, pos, encoder.atoms.places(z, pos)))

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        x = overlays.conformers(index[:OVERLAY_GROUPS])
        parts = ranks.shared(read, x.z, x.pos)
        return overlay_loss(parts, overlays, index[:OVERLAY_GROUPS])

    parameters = list(encoder.overlay.parameters())
    return task.stage("overlay", task.config.overlay_steps, len(overlays), parameters, loss)


def shape_stage(task: Task) -> Stage:
    """Make the stage of the shape part, by `molgiae.training.losses.shape_loss`: four pairs for each that is distorted.

    Both ends of a pair may be mirrored, which leaves their RMSD as it is. Both are displaced a little, so that no pair
    is seen twice; displacements that are not those of the shapes add to its square.
    """
    encoder: Any = task.model.encoder
    device = task.run.device
    file = task.run.directory / "pairs.npz"
    pairs = ranks.of_first(
        lambda: conformer_pairs(task.data.train, task.config.seed, file, task.run.progress)
    )
    ends, rmsd = torch.from_numpy(pairs.ends).to(device), torch.from_numpy(pairs.rmsd).float().to(device)
    conformers = whole(pairs.block, task.model.config.max_atoms).to(device)
    sizes, number = conformers.mask.sum(dim=1), len(conformers)
    encoder.atoms.requires_grad_(False)
    encoder.atoms.turn.requires_grad_(True)

    def read(z: Tensor, pos: Tensor) -> Tensor:
        places = encoder.atoms.places(z, pos)
        found: Tensor = encoder.shape(z, pos, places, encoder.atoms.turns(z, pos, places))
        return found

    def embed(x: Cloud) -> Tensor:
        return ranks.shared(read, x.z, x.pos)

    def batch(places: Tensor) -> Cloud:
        """Conformers, or from `number` on their mirror images."""
        x = trimmed(conformers[places % number])
        sign = torch.where(places < number, 1.0, -1.0)[:, None, None]
        return Cloud(x.z, sign * x.pos)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        alone = index[: max(len(index) // 8, 1)]
        chosen = torch.randint(len(rmsd), (max(len(index) // 2, 2),), generator=generator, device=device)
        mirrored = torch.randint(2, (len(chosen), 1), generator=generator, device=device)
        both = (ends[chosen] + number * mirrored) % (2 * number)
        parts = min(SHAPE_PIECES, len(alone))
        ones = alone[sizes[alone].argsort()].tensor_split(parts)
        twos = sizes[both[:, 0] % number].argsort().tensor_split(parts)
        total = torch.zeros((), device=index.device)
        for one, two in zip(ones, twos, strict=True):
            x = batch(both[two].flatten())
            moved = distort(x, PAIR_NOISE, generator)
            shift = squared_deviation(moved.pos, x).view(-1, 2).sum(dim=1)
            target = (rmsd[chosen[two]].square() + shift).sqrt()
            share = (len(one) + len(two)) / (len(alone) + len(both))
            total = total + share * shape_loss(embed, batch(one), moved, target, generator)
        return total

    parameters = [*encoder.shape.parameters(), *encoder.atoms.turn.parameters()]
    return task.stage("shape", task.config.shape_steps, number, parameters, loss)
