"""Pretraining of autoencoders: its stages, what each draws its batches from, what it trains, and by which loss.

An encoder that fixes the group action goes through all of them: a shape part whose distances
are symmetry-corrected RMSDs, a network of atoms that knows displaced ones, and, with all of that frozen and all
canonical forms made once, the autoencoder. Other encoders are trained whole, in the last stage.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from molgiae import __version__
from molgiae.config import Domain, ModelConfig, TrainConfig
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.errors import ConfigError
from molgiae.model import checkpoint
from molgiae.model.architectures import build
from molgiae.model.autoencoder import ConformerAutoencoder
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
from molgiae.training.components import start_from_components
from molgiae.training.loop import Metrics, Run, Stage, Trainer
from molgiae.training.losses import (
    conditioning_loss,
    denoising_loss,
    reconstruction_loss,
    shape_loss,
    squared_deviation,
)
from molgiae.training.metrics import reconstruct
from molgiae.training.pairs import conformer_pairs

ATOM_BATCH = 64
SHAPE_PIECES, ATOM_PIECES, PIECES = 8, 4, 8
"""Of a batch of each stage, the last that of the autoencoder, whose shape part costs the square of the atoms, too."""
ISOMERS = 0.4
"""Share of the pairs of the shape part that are of isomers; the others are of conformers of one molecule."""
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
    """

    train: ConformerBlock
    validation: ConformerBlock
    name: str
    sha256: dict[str, str]
    rejected: tuple[Rejected, ...] = ()
    left_out: int = 0


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


def train(data: Data, model_config: ModelConfig, config: TrainConfig, run: Run, resume: bool) -> Metrics:
    """Train an autoencoder and keep the weights that are best on validation in ``model.safetensors``.

    Args:
        data: conformers.
        model_config: the network, which is enlarged to the elements and the largest conformer of the data.
        config: the recipe.
        run: where and how.
        resume: continue from ``last.pt`` if it is there.

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
    trainer = pretrainer(build(fitted(model_config, data)).to(run.device), data, config, run)
    if resume and trainer.last.exists():
        trainer.restore()
    return trainer.fit()


def fitted(model: ModelConfig, data: Data) -> ModelConfig:
    """Return the configuration with room for every element and the largest conformer of the data."""
    blocks = data.train, data.validation
    elements = set(model.elements).union(*(block.atomic_number.tolist() for block in blocks))
    largest = max(int(block.n_atoms.max()) for block in blocks)
    return replace(model, elements=tuple(sorted(elements)), max_atoms=max(model.max_atoms, largest))


def pretrainer(model: ConformerAutoencoder, data: Data, config: TrainConfig, run: Run) -> Trainer:
    """Return the run that trains a model, which is on its device; the run may be resumed with more steps."""
    task = Task(model, data, config, run)
    identity = {
        "training": {key: value for key, value in config.to_dict().items() if key != "steps"},
        "config": model.config.to_dict(),
        "data": [len(data.train), len(data.validation), *sorted(data.sha256.values())],
    }
    return Trainer(model, [partial(make, task) for make in stages_of(model)], config, run, identity)


def on_cpu(model: ConformerAutoencoder) -> ConformerAutoencoder:
    """Return a copy for inference."""
    return deepcopy(model).cpu().eval().requires_grad_(False)


def stages_of(model: ConformerAutoencoder) -> list[Callable[[Task], Stage]]:
    """Return what makes the stages that a model goes through, in turn."""
    if not getattr(model.encoder, "fixes_action", False):
        return [joint_stage]
    first = {"shape": shape_stage, "atoms": atom_stage}
    parts = [make for part, make in first.items() if getattr(model.encoder, part) is not None]
    return [*parts, canonical_stage]


def shape_stage(task: Task) -> Stage:
    """Make the stage of the shape part, by `molgiae.training.losses.shape_loss`: four pairs for each that is distorted.

    Both ends of a pair may be mirrored, which leaves their RMSD as it is. Both are displaced a little, so that no pair
    is seen twice; displacements that are not those of the shapes add to its square.
    """
    shape: Any = task.model.encoder.shape
    device, train = task.run.device, task.data.train
    found = conformer_pairs(train, task.config.seed, task.run.directory / "pairs.npz", task.run.progress)
    kinds = [
        (share, torch.from_numpy(pairs.ends).to(device), torch.from_numpy(pairs.rmsd).float().to(device))
        for share, pairs in zip((1 - ISOMERS, ISOMERS), found, strict=True)
        if len(pairs)
    ]
    every = sum(share for share, _, _ in kinds)
    conformers = task.conformers()
    classes, conformers = classes_of(conformers).to(device), conformers.to(device)
    sizes, number = conformers.mask.sum(dim=1), len(conformers)

    def batch(places: Tensor) -> tuple[Cloud, Tensor]:
        """Conformers, or from `number` on their mirror images, and the classes of their atoms."""
        index = places % number
        x = trimmed(conformers[index])
        sign = torch.where(places < number, 1.0, -1.0)[:, None, None]
        return Cloud(x.z, sign * x.pos), classes[index, : x.z.shape[1]]

    def draw_pairs(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return (P, 2) ends and (P,) RMSD, P up to so many."""
        both, target = [torch.empty(0, 2, dtype=torch.int64, device=device)], [torch.empty(0, device=device)]
        for share, ends, rmsd in kinds:
            count = round(size * share / every)
            index = torch.randint(len(rmsd), (count,), generator=generator, device=device)
            mirrored = torch.randint(2, (len(index), 1), generator=generator, device=device)
            both.append((ends[index] + number * mirrored) % (2 * number))
            target.append(rmsd[index])
        return torch.cat(both), torch.cat(target)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        alone = index[: max(len(index) // 8, 1)]
        both, target = draw_pairs(max(len(index) // 2, 2), generator)
        parts = min(SHAPE_PIECES, len(alone))
        ones = alone[sizes[alone].argsort()].tensor_split(parts)
        twos = sizes[both[:, 0] % number].argsort().tensor_split(parts)
        total = torch.zeros((), device=index.device)
        for one, two in zip(ones, twos, strict=True):
            pair, rmsd = None, target[two]
            if len(two):
                x, kind = batch(both[two].flatten())
                moved = distort(x, PAIR_NOISE, generator)
                shift = squared_deviation(moved.pos, x).view(-1, 2).sum(dim=1)
                pair, rmsd = (moved, kind), (rmsd.square() + shift).sqrt()
            share = (len(one) + len(two)) / (len(alone) + len(both))
            total = total + share * shape_loss(shape, batch(one), pair, rmsd, generator)
        return total

    return task.stage("shape", task.config.shape_steps, number, list(shape.parameters()), loss)


def atom_stage(task: Task) -> Stage:
    """Make the stage of the network that properties are learned from, see `molgiae.training.losses.denoising_loss`."""
    atoms: Any = task.model.encoder.atoms
    conformers = task.conformers().to(task.run.device)
    sizes = conformers.mask.sum(dim=1)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            return denoising_loss(atoms, trimmed(conformers[piece]), task.config.atom_noise, generator)

        return mean_over_pieces(of_piece, index[:ATOM_BATCH], sizes, ATOM_PIECES)

    parameters = list(atoms.parameters())
    return task.stage("atoms", task.config.atom_steps, len(conformers), parameters, loss, bf16=True)


def canonical_stage(task: Task) -> Stage:
    """Eta's detail and delta, on canonical forms that are made once."""
    model, config = task.model, task.config
    for network in (model.encoder.shape, model.encoder.atoms):
        if network is not None:
            network.requires_grad_(False)
    forms, classes = canonical_forms(task)
    conformers, classes = forms.to(task.run.device), classes.to(task.run.device)
    sizes = conformers.mask.sum(dim=1)

    def loss(index: Tensor, generator: torch.Generator) -> Tensor:
        def of_piece(piece: Tensor) -> Tensor:
            x = trimmed(distort(conformers[piece], config.distortion, generator))
            embedding = model.encoder.invariant(classes[piece, : x.z.shape[1]], x)
            return reconstruction_loss(model.decoder(embedding), x, model.element, config.type_weight)

        return mean_over_pieces(of_piece, index, sizes, PIECES)

    def begin() -> None:
        if config.components:
            start_from_components(model.encoder.slots, model.decoder, conformers)

    parameters = [p for p in model.parameters() if p.requires_grad]
    return task.last_stage(len(conformers), parameters, loss, begin=begin)


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


def classes_of(x: Cloud) -> Tensor:
    """Return (B, n) graph classes of many conformers, see `molgiae.canonical.bond_graph`; 0 where padded."""
    classes = torch.zeros_like(x.z)
    for index in x.mask.sum(dim=1).argsort().split(EVALUATE_BATCH):
        part = trimmed(x[index])
        classes[index, : part.z.shape[1]] = torch.from_numpy(part.graph.classes).to(x.z.device) * part.mask
    return classes


@torch.no_grad()
def canonical_forms(task: Task) -> tuple[Cloud, Tensor]:
    """Return canonical forms of all training conformers, float32, padded to the slots, and the classes of their atoms.

    They come by size. Mirror images of conformers are conformers as well, so if asked those are there, too.
    """
    block = by_size(task.data.train)
    signs = [1.0, -1.0] if task.config.mirror else [1.0]
    count = len(signs) * len(block)
    slots = task.model.config.max_atoms
    parts, classes = [], []
    task.model.cpu()
    with tqdm(total=count, desc="canonical forms", unit="conformer", disable=not task.run.progress) as bar:
        for sign in signs:
            for x in batches(block.atomic_number, sign * block.position, block.offset, EVALUATE_BATCH):
                form = task.model.canonical(x)
                kinds = torch.from_numpy(form.graph.classes)
                classes.append(nn.functional.pad(kinds, (0, slots - form.z.shape[1])))
                parts.append(padded(form, slots).to(dtype=torch.float32))
                bar.update(len(x))
    task.model.to(task.run.device)
    return Cloud(torch.cat([x.z for x in parts]), torch.cat([x.pos for x in parts])), torch.cat(classes)
