"""From conformers to embeddings and group actions: batches sorted by size, results in the order of the input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.canonical.cloud import Cloud, pack
from molgiae.canonical.group_action import POSES, GroupAction
from molgiae.config import BATCH_SIZE, Domain, ModelConfig
from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock, rows_of
from molgiae.data.elements import SYMBOLS
from molgiae.data.hdf5.schema import SCHEMA
from molgiae.errors import ConfigError
from molgiae.model.auto import Watch
from molgiae.model.checkpoint import Checkpoint, load
from molgiae.model.domain import accepted, domain_reasons
from molgiae.model.shipped import ShippedModel, by_default, catalogue

MAX_PAIRS = 1 << 20
"""Pairs of atoms in a batch, whose distances are held at once; large conformers go in smaller batches."""
DEVICES = ("auto", "cpu", "cuda")

Columns = dict[str, NDArray[Any]]
"""Name in the HDF5 schema to values: rows per conformer or per atom of a block."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a model says of a block.

    Attributes:
        block: the conformers it took; those it refused are in ``block.rejected``.
        columns: one array for each computed column of the HDF5 schema.
    """

    block: ConformerBlock
    columns: Columns

    def __len__(self) -> int:
        return len(self.block)

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


class Embedder:
    """A model in use.

    Args:
        model: name of a shipped model, path of a checkpoint, or a loaded one.
        device: "auto" takes CUDA if it is there.
        batch_size: conformers in a batch; changes speed and memory, and results by round-off alone: matrix products of
            other sizes add up in another order (embeddings 1.3e-6, positions 1e-15 angstrom from size 1 to 256).

    Attributes:
        watch: over the choice of the model, where it was chosen by itself.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if the device or the batch size cannot be.
    """

    watch: Watch | None = None

    def __init__(
        self,
        model: str | os.PathLike[str] | Checkpoint,
        *,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: must be at least 1")
        self.checkpoint = model if isinstance(model, Checkpoint) else load(os.fspath(model))
        self.device = choose_device(device)
        self.model = self.checkpoint.model.to(self.device)
        self.batch_size = batch_size

    @property
    def dimension(self) -> int:
        """D, size of the embedding."""
        return self.model.config.embedding_dim

    @property
    def shape_dimension(self) -> int:
        """How many columns of the embedding, from the first, are its shape part: distances in angstrom."""
        return self.model.config.shape_dimension

    @property
    def workers(self) -> int:
        """Blocks worth computing at a time: as many as torch has threads; one on a GPU."""
        return torch.get_num_threads() if self.device == "cpu" else 1

    def embed(self, conformers: ConformerBlock | Iterable[Conformer], *, reconstruct: bool = False) -> Result:
        """Embedding, group action and canonical form of each conformer, and if asked its reconstruction.

        Conformers with elements the model does not know or with too many atoms are refused by name.

        Args:
            conformers: a block, or any iterable of conformers.
            reconstruct: whether to add the columns of the reconstruction and its RMSD.
        """
        block = reject_meaningless(as_block(conformers))
        return self._run(self._accept(block), embed=True, reconstruct=reconstruct)

    def canonicalize(self, conformers: ConformerBlock | Iterable[Conformer]) -> Result:
        """Group action and canonical form alone; these need no training, so every element and size is taken."""
        return self._run(reject_meaningless(as_block(conformers)), embed=False, reconstruct=False)

    def _accept(self, block: ConformerBlock) -> ConformerBlock:
        """The conformers within the elements and slots of the model; the others are rejected."""
        config = self.model.config
        refused = ~accepted(config, block)
        if not refused.any():
            return block
        shipped = by_default(catalogue())
        return block.reject({m: _limit(block[m], config, shipped) for m in np.flatnonzero(refused).tolist()})

    @torch.no_grad()
    def _run(self, block: ConformerBlock, *, embed: bool, reconstruct: bool) -> Result:
        sizes, atoms = block.n_atoms, len(block.atomic_number)
        columns = _allocate(len(block), atoms, self.dimension if embed else 0, reconstruct)
        for chosen in batches_by_size(sizes, self.batch_size):
            part = block.take(chosen)
            x = pack(part.atomic_number, part.position, part.offset, part.isotope).to(self.device)
            rows = rows_of(block.offset[chosen], sizes[chosen])
            self._fill(columns, chosen, rows, x=x, embed=embed, reconstruct=reconstruct)
        columns |= domain_columns(self.checkpoint.domain, block)
        return Result(block, columns)

    def _fill(
        self,
        columns: Columns,
        chosen: NDArray[np.int64],
        rows: NDArray[np.int64],
        *,
        x: Cloud,
        embed: bool,
        reconstruct: bool,
    ) -> None:
        """Compute one batch and write it to its rows."""
        mask = x.mask
        if embed:
            encoding = self.model.encode(x)
            action: GroupAction = encoding.action
            columns["embedding"][chosen] = encoding.embedding.cpu().numpy()
        else:
            action = self.model.group_function(x)
        g = action.g
        columns["rotation"][chosen] = g.rotation.matrix.cpu().numpy()
        columns["translation"][chosen] = g.translation.vector.cpu().numpy()
        columns["pose_defined"][chosen] = np.array(POSES, dtype="S4")[action.pose_defined.numpy()]
        columns["order_defined"][chosen] = action.order_defined.numpy()
        columns["symmetry_number"][chosen] = action.symmetry_number.numpy()
        columns["point_group"][chosen] = action.point_group
        columns["stability"][chosen] = action.stability.numpy()
        columns["permutation"][rows] = g.permutation.index[mask].cpu().numpy()
        columns["canonical_position"][rows] = self.model.undo(action, x).pos[mask].cpu().numpy()
        if reconstruct:
            predicted = self.model.place(self.model.decode(encoding.embedding), action, x)
            columns["reconstructed_position"][rows] = predicted.pos[mask].cpu().numpy()
            columns["reconstructed_atomic_number"][rows] = predicted.z[mask].cpu().numpy()
            square = (predicted.pos - x.pos).square().sum(dim=(1, 2)) / mask.sum(dim=1)
            columns["rmsd"][chosen] = square.sqrt().cpu().numpy()


def domain_columns(domain: Domain, block: ConformerBlock) -> Columns:
    """Return the columns that say whether conformers are within a domain, and if not, why."""
    reasons = domain_reasons(domain, block)
    return {"in_domain": (reasons == "").astype(np.uint8), "domain_reason": reasons}


def batches_by_size(sizes: NDArray[np.int64], batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Indices of conformers in batches of similar size, none with more than `MAX_PAIRS` pairs if it has several.

    Args:
        sizes: (M,) atoms of each conformer.
        batch_size: most conformers in a batch.
    """
    by_size = np.argsort(sizes, kind="stable")
    start = 0
    while start < len(sizes):
        stop = min(start + batch_size, len(sizes))
        while stop > start + 1 and (stop - start) * int(sizes[by_size[stop - 1]]) ** 2 > MAX_PAIRS:
            stop = start + (stop - start) // 2
        yield by_size[start:stop]
        start = stop


def choose_device(name: str) -> str:
    """The device to use.

    Raises:
        ConfigError: if it is unknown or not there.
    """
    if name not in DEVICES:
        raise ConfigError(f"device {name!r} is unknown; use one of {', '.join(DEVICES)}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device cuda was asked for, but PyTorch sees no CUDA device; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


def _limit(conformer: Conformer, config: ModelConfig, shipped: Sequence[ShippedModel]) -> str:
    """Return the limit that the conformer exceeds, and a shipped model that takes it if there is one."""
    unknown = sorted(set(conformer.atomic_number.tolist()) - set(config.elements))
    if unknown:
        names = ", ".join(SYMBOLS[z] for z in unknown)
        knows = " ".join(SYMBOLS[z] for z in config.elements)
        reason = f"element {names} is unknown to the model, which knows {knows}"
    else:
        reason = f"{len(conformer)} atoms, the model takes up to {config.max_atoms}"
    alone = ConformerBlock.of([conformer])
    takers = [model.name for model in shipped if accepted(model.config, alone)[0]]
    remedy = (
        f"use --model {takers[0]}" if takers else "no shipped model takes it, train one with molgiae pretrain"
    )
    return f"{reason}; {remedy}"


def _allocate(conformers: int, atoms: int, dimension: int, reconstruct: bool) -> Columns:
    columns: Columns = {
        "rotation": np.empty((conformers, 3, 3)),
        "translation": np.empty((conformers, 3)),
        "permutation": np.empty(atoms, dtype=np.int32),
        "canonical_position": np.empty((atoms, 3)),
        "pose_defined": np.empty(conformers, dtype="S4"),
        "order_defined": np.empty(conformers, dtype=np.uint8),
        "symmetry_number": np.empty(conformers, dtype=np.int32),
        "point_group": np.empty(conformers, dtype=SCHEMA["point_group"].dtype),
        "stability": np.empty(conformers),
    }
    if dimension:
        columns["embedding"] = np.empty((conformers, dimension), dtype=np.float32)
    if reconstruct:
        columns["reconstructed_position"] = np.empty((atoms, 3))
        columns["reconstructed_atomic_number"] = np.empty(atoms, dtype=np.uint8)
        columns["rmsd"] = np.empty(conformers)
    return columns
