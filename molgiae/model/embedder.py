"""From conformers to embeddings and group actions: batches sorted by size, results in the order of the input."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.canonical.forms import FormColumns
from molgiae.config import BATCH_SIZE, ModelConfig
from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.given import Given, conformers_of
from molgiae.data.hdf5.decoded import DECODED_RMSD, RECONSTRUCTED_RMSD
from molgiae.data.hdf5.schema import allocated
from molgiae.errors import ConfigError
from molgiae.model.checkpoint import Checkpoint, load
from molgiae.model.cloud import as_numpy, pack
from molgiae.model.decoded import Decoded
from molgiae.model.device_memory import DeviceMemory
from molgiae.model.domain import accepted, domain_reasons
from molgiae.model.refined import check_refines, refined
from molgiae.model.shipped import ShippedModel, catalogue
from molgiae.parallel.memory import keep_memory
from molgiae.parallel.threads import cores
from molgiae.parts import Part, chosen_parts, parts_of

DEVICES = ("auto", "cpu", "cuda")


class Embedder:
    """A model in use.

    Args:
        model: name of a shipped model, "auto" for the default one, path of a checkpoint, or a loaded one.
        device: "auto" takes CUDA if it is there.
        batch_size: conformers in a batch, fewer where the memory of a GPU runs out; changes speed and
            memory, and results by round-off alone: matrix products of other sizes add up in another order (embeddings
            1.3e-6, positions 1e-15 angstrom from size 1 to 256).
        parts: names of the parts of the embedding that are wanted, also as a text with commas; None for all.
        check: whether conformers are decoded again and count as in the domain only if they come back, see
            `molgiae.model.decoded`; never where parts are left out, as nothing can be decoded from the others.

    Attributes:
        checkpoint: the model with its origin.
        parts: of the embeddings that come out, and their columns there.
        checks: whether `embed` decodes them, too.

    Examples:
        >>> embedder = molgiae.Embedder("auto", parts="shape")
        >>> embedder.embed("conformers.sdf")["embedding"].shape
        (74, 128)
        >>> embedder.checkpoint.name, [part.name for part in embedder.parts]
        ('drug', ['shape'])

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if the device or the batch size cannot be, or the model has no such part.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Checkpoint,
        *,
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
        parts: str | Iterable[str] | None = None,
        check: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch size {batch_size}: must be at least 1")
        keep_memory()
        self.checkpoint = model if isinstance(model, Checkpoint) else load(os.fspath(model))
        self.device = choose_device(device)
        self.model = self.checkpoint.model.to(self.device)
        self.batch_size, self.memory = batch_size, DeviceMemory()
        every = self.model.config.parts
        wanted = every if parts is None else chosen_parts(every, parts, f"model {self.checkpoint.name}")
        self.parts = parts_of({part.name: part.size for part in wanted})
        self._columns = np.concatenate([np.arange(part.start, part.stop) for part in wanted])
        self.checks = check and self.is_whole

    @property
    def dimension(self) -> int:
        """D, size of the embeddings that come out."""
        return len(self._columns)

    @property
    def is_whole(self) -> bool:
        """Whether its embeddings have all parts of the model."""
        return self.parts == self.model.config.parts

    def part(self, name: str) -> Part:
        """Return a part of the embeddings that come out.

        Raises:
            ConfigError: if they have no such part.
        """
        return chosen_parts(self.parts, [name], f"model {self.checkpoint.name}")[0]

    @property
    def workers(self) -> int:
        """Blocks worth computing at a time: as many as there are threads; one on a GPU."""
        return cores() if self.device == "cpu" else 1

    def embed(self, conformers: Given, *, reconstruct: bool = False, refine: bool = False) -> Result:
        """Return embedding, group action and canonical form of each conformer, and if asked its reconstruction.

        Conformers with elements the model does not know or with too many atoms are rejected by name.

        Args:
            conformers: files, RDKit molecules with all of theirs, ASE atoms, conformers, one or several; or a block.
            reconstruct: whether to add the columns of the reconstruction and its RMSD, which is `decoded_rmsd`, too.
            refine: whether that is refined, see `molgiae.model.refined`.

        Raises:
            ConfigError: if the model cannot be refined.
        """
        if refine:
            check_refines(self.model)
        block = conformers_of(conformers)
        config = self.model.config
        beyond = np.flatnonzero(~accepted(config, block)).tolist()
        shipped = catalogue() if beyond else []
        block = block.reject({m: _limit(block[m], config, shipped) for m in beyond})
        return self._run(block, reconstruct=reconstruct, refine=refine)

    @torch.no_grad()
    def _run(self, block: ConformerBlock, *, reconstruct: bool, refine: bool) -> Result:
        forms = FormColumns(block)
        names = ["embedding"]
        if reconstruct:
            names += ["reconstructed_position", "reconstructed_atomic_number"]
        columns = allocated(names, len(block), len(block.atomic_number), self.dimension) | forms.columns
        # others are not computed, unless they are needed to decode
        wanted = {} if self.is_whole or reconstruct else {"parts": [part.name for part in self.parts]}
        check = Decoded(len(block)) if self.checks or reconstruct else None

        def fill(chosen: NDArray[np.int64]) -> None:
            part, rows = block.take(chosen), forms.rows(chosen)
            x = pack(part.atomic_number, part.position, part.offset, part.isotope).to(self.device)
            encoding = self.model.encode(x, **wanted)
            g, mask = encoding.action, as_numpy(x.mask)
            forms.fill(
                chosen,
                rotation=as_numpy(g.rotation.matrix),
                translation=as_numpy(g.translation.vector),
                order=as_numpy(g.permutation.index)[mask],
                canonical=as_numpy(encoding.canonical.pos)[mask],
                diagnosis=encoding.diagnosis,
            )
            embedding = as_numpy(encoding.embedding)
            columns["embedding"][chosen] = embedding if wanted else embedding[:, self._columns]
            if check is None:
                return
            decoded = self.model.decode(encoding.embedding)
            if refine:
                decoded = refined(self.model, decoded, encoding.embedding)
            check.fill(chosen, decoded, encoding.canonical)
            if reconstruct:
                predicted = self.model.place(decoded, g, x)
                columns["reconstructed_position"][rows] = as_numpy(predicted.pos)[mask]
                columns["reconstructed_atomic_number"][rows] = as_numpy(predicted.z)[mask]

        self.memory.each(block.n_atoms, self.batch_size, fill)
        reasons = domain_reasons(self.checkpoint.domain, block)
        if check is not None:
            check.add_to(reasons, block)
            columns |= check.columns(RECONSTRUCTED_RMSD if reconstruct else DECODED_RMSD)
        columns |= {"in_domain": (reasons == "").astype(np.uint8), "domain_reason": reasons}
        return Result(block, columns, self.parts)


def choose_device(name: str) -> str:
    """Return the device to use.

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
        f"use --model {takers[-1]}"
        if takers
        else "no shipped model takes it, train one with molgiae pretrain"
    )
    return f"{reason}; {remedy}"
