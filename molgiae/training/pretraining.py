"""Pretraining of autoencoders: its stages, what each draws its batches from, what it trains, and by which loss.

An encoder that fixes the group action goes through all of them: a network of atoms and a features part that know
labels and displaced atoms; on its frozen places overlay and color parts whose inner products are overlaps, and a
shape part whose distances are symmetry-corrected RMSDs; and, with all of that frozen and all canonical forms made once,
the autoencoder. Other encoders are trained whole, in the last stage.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from molgiae import __version__
from molgiae.config import Domain, ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.errors import ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import CanonicalEncoder, build
from molgiae.model.autoencoder import ConformerAutoencoder
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud, batches
from molgiae.model.domain import measure_domain
from molgiae.training.batches import (
    EVALUATE_BATCH,
    by_size,
    distort,
    drawn,
    mean_over_pieces,
    padded,
    trimmed,
    whole,
)
from molgiae.training.components import fit_features, start_from_components
from molgiae.training.labels import Labels, label_loss, standardize
from molgiae.training.loop import Metrics, Run, Stage, Trainer
from molgiae.training.losses import (
    conditioning_loss,
    denoising_loss,
    reconstruction_loss,
    shape_loss,
    squared_deviation,
)
from molgiae.training.metrics import reconstruct
from molgiae.training.overlays import Overlays, overlay_loss
from molgiae.training.pairs import conformer_pairs

ATOM_BATCH = 64
OVERLAY_GROUPS = 4
SHAPE_PIECES, ATOM_PIECES, PIECES = 8, 4, 8
"""Of a batch of each stage, the last that of the autoencoder, whose shape part costs the square of the atoms, too."""
SMOOTH_BATCH, MAX_POOLED = 64, 20_000
"""Conformers whose smooth parts are made at once, and most that the features part is made by."""
FEATURE_NOISE = 0.05
"""Standard deviation of displacements, angstrom, that features should hardly see."""
SMOOTH = ("features_dim", "overlay_dim", "color_dim", "shape_dim", "atom_width", "atom_layers", "atom_rounds")
"""Fields of `ModelConfig` that smooth parts depend on."""
PAIR_NOISE = 0.15
"""Largest standard deviation of the displacements of pairs, angstrom."""


@dataclass(frozen=True)
class Data:
    """Training and validation conformers.

    Attributes:
        train: conformers to learn from.
        validation: conformers to choose weights by.
        name: what provenance calls them.
        sha256: of the files.
        rejected: records that could not be read.
        left_out: conformers of validation and test molecules that came with the training conformers.
        labels: what the network of atoms learns from in place of denoising, if anything.
        overlays: what the overlay part learns from, if there is one.
        learned: names of the files of these, and of the model to start from, by option of `molgiae pretrain`.
    """

    train: ConformerBlock
    validation: ConformerBlock
    name: str
    sha256: dict[str, str]
    rejected: tuple[Rejected, ...] = ()
    left_out: int = 0
    labels: Labels | None = None
    overlays: Overlays | None = None
    learned: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What the makers of stages need: a model on the device of the run, conformers, the recipe, where and how."""

    model: ConformerAutoencoder
    data: Data
    config: TrainConfig
    run: Run

    def stage(
        self,
        name: str,
        steps: int,
        size: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Tensor, torch.Generator], Tensor],
        **more: Any,
    ) -> Stage:
        """Return a stage with the schedule of the recipe; the loss is that of places (b,) below `size`."""
        config, run = self.config, self.run

        def loss_of_step(step: int) -> Tensor:
            return loss(*drawn(size, config.batch_size, config.seed, step, run.device))

        groups, every = [(parameters, 1.0)], run.evaluate_every
        return Stage(name, steps, groups, loss_of_step, config.warmup_steps, config.clip, every, **more)

    def conformers(self) -> Cloud:
        """Return all training conformers in one padded batch."""
        return whole(self.data.train, self.model.config.max_atoms)

    def last_stage(
        self,
        size: int,
        parameters: list[nn.Parameter],
        loss: Callable[[Tensor, torch.Generator], Tensor],
        **more: Any,
    ) -> Stage:
        """Return the stage of the autoencoder, which is validated and keeps the best weights."""
        more |= {"bf16": True, "validate": self.validate, "criterion": "rmsd_mean", "keep": self.keep}
        return self.stage("autoencoder", self.config.steps, size, parameters, loss, **more)

    def validate(self, mean: ConformerAutoencoder) -> Metrics:
        """Return how well validation conformers are reconstructed."""
        return reconstruct(on_cpu(mean), self.data.validation).summary()

    def keep(self, mean: ConformerAutoencoder, row: Metrics) -> None:
        """Write ``model.safetensors`` with its row of the log."""
        provenance = {
            "molgiae": __version__,
            "torch": torch.__version__,
            "data": self.data.name,
            "data_sha256": self.data.sha256,
            "learned": self.data.learned,
            "train_conformers": len(self.data.train),
            "rejected_records": len(self.data.rejected),
            "training": self.config.to_dict(),
            "step": row["step"],
            "seconds": round(row["seconds"]),
            "device": self.run.device,
            "validation": row,
            "units": {"length": "angstrom"},
        }
        checkpoint.save(self.run.directory / "model.safetensors", on_cpu(mean), self.domain, provenance)

    @cached_property
    def domain(self) -> Domain:
        """What the training conformers cover."""
        return measure_domain(self.data.train)


def train(
    data: Data,
    model_config: ModelConfig,
    config: TrainConfig,
    run: Run,
    resume: bool,
    start_from: Checkpoint[ConformerAutoencoder] | None = None,
) -> Metrics:
    """Train an autoencoder and keep the weights that are best on validation in ``model.safetensors``.

    Args:
        data: conformers.
        model_config: the network, which is enlarged to the elements and the largest conformer of the data.
        config: the recipe.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.
        start_from: a model whose smooth parts are taken as they are, so that detail and decoder alone are trained.

    Returns:
        validation metrics of the last evaluation, with "step" and "complete" (1.0 if all steps are done).

    Raises:
        ConfigError: if there are no conformers.
        CheckpointError: if the run to resume was made with other settings.
    """
    for block, name in ((data.train, "training"), (data.validation, "validation")):
        if not len(block):
            raise ConfigError(f"no {name} conformers")
    torch.manual_seed(config.seed)
    if start_from is not None:
        smooth = {name: getattr(start_from.model.config, name) for name in SMOOTH}
        model_config = replace(model_config, **smooth)
    model = build(fitted(model_config, data)).to(run.device)
    if start_from is not None:
        take_smooth_parts(model, start_from.model)
    trainer = pretrainer(model, data, config, run, "" if start_from is None else start_from.sha256)
    if resume and trainer.last.exists():
        trainer.restore()
    return trainer.fit()


def fitted(model: ModelConfig, data: Data) -> ModelConfig:
    """Return the configuration with room for every element and the largest conformer of the data."""
    blocks = data.train, data.validation
    elements = set(model.elements).union(*(block.atomic_number.tolist() for block in blocks))
    largest = max(int(block.n_atoms.max()) for block in blocks)
    return replace(model, elements=tuple(sorted(elements)), max_atoms=max(model.max_atoms, largest))


def take_smooth_parts(model: ConformerAutoencoder, origin: ConformerAutoencoder) -> None:
    """Give a model the smooth parts of another.

    Raises:
        ConfigError: if the other has none, or the architecture of one knows none.
    """
    ours: Any
    theirs: Any
    ours, theirs = model.encoder, origin.encoder
    if len(origin.config.parts) == 1:
        raise ConfigError("the model to start from has no smooth parts")
    if len(model.config.parts) == 1:
        raise ConfigError(f"architecture {model.config.architecture} has no smooth parts to start from")
    for name in ("atoms", "features", "overlay", "shape", "labels"):
        if getattr(ours, name) is not None:
            getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())


def pretrainer(
    model: ConformerAutoencoder, data: Data, config: TrainConfig, run: Run, start_from: str = ""
) -> Trainer:
    """Return the run that trains a model, which is on its device; the run may be resumed with more steps.

    With the sha256 of a model whose smooth parts it has, `start_from`, only its last stage is run.

    Raises:
        ConfigError: if one of its stages has nothing to learn from.
    """
    stages = stages_of(model)[-1:] if start_from else stages_of(model)
    if overlay_stage in stages and data.overlays is None:
        raise ConfigError(
            "the overlay part learns from overlays: give --overlays, or --overlay-dim 0 and --color-dim 0"
        )
    task = Task(model, data, config, run)
    identity = {
        "training": {key: value for key, value in config.to_dict().items() if key != "steps"},
        "config": model.config.to_dict(),
        "data": [len(data.train), len(data.validation), *sorted(data.sha256.values())],
        "start_from": start_from,
    }
    return Trainer(model, [partial(make, task) for make in stages], config, run, identity)


def on_cpu(model: ConformerAutoencoder) -> ConformerAutoencoder:
    """Return a copy for inference."""
    return deepcopy(model).cpu().eval().requires_grad_(False)


def stages_of(model: ConformerAutoencoder) -> list[Callable[[Task], Stage]]:
    """Return what makes the stages that a model goes through, in turn."""
    encoder: Any = model.encoder
    if not getattr(encoder, "fixes_action", False):
        return [joint_stage]
    first = {"atoms": atom_stage, "features": features_stage, "overlay": overlay_stage, "shape": shape_stage}
    return [*(make for part, make in first.items() if getattr(encoder, part) is not None), canonical_stage]


def atom_stage(task: Task) -> Stage:
    """Make the stage of the network of atoms and the features part: by labels if there are any, else by denoising."""
    encoder: Any = task.model.encoder
    atoms, features, heads = encoder.atoms, encoder.features, encoder.labels
    device, config = task.run.device, task.config
    labels = None if task.data.labels is None or features is None else task.data.labels.to(device)

    def denoise(conformers: Cloud, generator: torch.Generator, piece: Tensor) -> Tensor:
        return denoising_loss(atoms, trimmed(conformers[piece]), config.atom_noise, generator)

    def taught(labels: Labels, piece: Tensor) -> Tensor:
        x = labels.conformers(piece)
        places = atoms.places(x.z, x.pos)
        seen = atoms.features_and_vectors(x.z, x.pos, places)
        pooled = features.pooled(places, *seen, x.pos, x.mask)
        direction = features.directions(torch.cat([seen[0], places], dim=-1), seen[1], x.pos, x.mask)[..., 0]
        return label_loss(heads, heads(pooled, places, *seen, x.mask), direction, labels, piece)

    if labels is None:
        conformers = task.conformers().to(device)
        sizes, trained = conformers.mask.sum(dim=1), [atoms]
    else:
        sizes, trained = labels.sizes, [atoms, features, heads]

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

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        x = overlays.conformers(index[:OVERLAY_GROUPS])
        parts = encoder.overlay(x.z, x.pos, encoder.atoms.places(x.z, x.pos))
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
    pairs = conformer_pairs(
        task.data.train, task.config.seed, task.run.directory / "pairs.npz", task.run.progress
    )
    ends, rmsd = torch.from_numpy(pairs.ends).to(device), torch.from_numpy(pairs.rmsd).float().to(device)
    conformers = whole(pairs.block, task.model.config.max_atoms).to(device)
    sizes, number = conformers.mask.sum(dim=1), len(conformers)
    encoder.atoms.requires_grad_(False)
    encoder.atoms.turn.requires_grad_(True)

    def embed(x: Cloud) -> Tensor:
        places = encoder.atoms.places(x.z, x.pos)
        return encoder.shape(x.z, x.pos, places, encoder.atoms.turns(x.z, x.pos, places))

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


def canonical_stage(task: Task) -> Stage:
    """Eta's detail and delta, on canonical forms that are made, distorted and given their smooth parts once."""
    model, config = task.model, task.config
    encoder: Any = model.encoder
    encoder.requires_grad_(False)
    encoder.slots.requires_grad_(True)
    forms = canonical_forms(task).to(task.run.device)
    noise = torch.Generator(task.run.device).manual_seed(config.seed)
    conformers = distort(forms, config.distortion, noise)
    smooth = smooth_parts(encoder, conformers, task.run.progress)
    sizes = conformers.mask.sum(dim=1)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            x = trimmed(conformers[piece])
            embedding = torch.cat([smooth[piece], encoder.slots(x.z, x.pos)], dim=-1)
            return reconstruction_loss(model.decoder(embedding), x, model.element, config.type_weight)

        return mean_over_pieces(of_piece, index, sizes, PIECES)

    def begin() -> None:
        if config.components:
            start_from_components(encoder.slots, model.decoder, conformers)

    parameters = [p for p in model.parameters() if p.requires_grad]
    return task.last_stage(len(conformers), parameters, loss, begin=begin)


@torch.no_grad()
def smooth_parts(encoder: CanonicalEncoder, conformers: Cloud, progress: bool) -> Tensor:
    """Return the smooth parts of many conformers, which come by size, side by side: (M, S)."""
    found = []
    for start in tqdm(range(0, len(conformers), SMOOTH_BATCH), desc="smooth parts", disable=not progress):
        x = trimmed(conformers[slice(start, start + SMOOTH_BATCH)])
        found.append(torch.cat([x.pos.new_empty(len(x), 0), *encoder.smooth(x.z, x.pos)], dim=-1))
    return torch.cat(found)


def joint_stage(task: Task) -> Stage:
    """Everything at once, from conformers in any pose and order."""
    model, config = task.model, task.config
    conformers = task.conformers().to(task.run.device)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        x = trimmed(distort(conformers[index], config.distortion, generator))
        prediction, target, vectors = model.prediction_and_target(x, config.tau)
        error = reconstruction_loss(prediction, target, model.element, config.type_weight)
        return error if vectors is None else error + config.frame_weight * conditioning_loss(vectors)

    return task.last_stage(len(conformers), list(model.parameters()), loss)


@torch.no_grad()
def canonical_forms(task: Task) -> Cloud:
    """Return canonical forms of all training conformers, float32, padded to the slots.

    They come by size. Mirror images of conformers are conformers as well, so if asked those are there, too.
    """
    block = by_size(task.data.train)
    signs = [1.0, -1.0] if task.config.mirror else [1.0]
    count = len(signs) * len(block)
    slots = task.model.config.max_atoms
    parts = []
    task.model.cpu()
    with tqdm(total=count, desc="canonical forms", unit="conformer", disable=not task.run.progress) as bar:
        for sign in signs:
            for x in batches(block.atomic_number, sign * block.position, block.offset, EVALUATE_BATCH):
                parts.append(padded(task.model.canonical(x), slots).to(dtype=torch.float32))
                bar.update(len(x))
    task.model.to(task.run.device)
    return Cloud(torch.cat([x.z for x in parts]), torch.cat([x.pos for x in parts]))
