"""Embeddings side by side: that of a model, and baselines that show what a figure is worth.

A descriptor maps what a model says of M conformers to M fixed-size vectors, so that the baselines that need a
canonical form share the one of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.data.fingerprints import morgan_counts, usr, usrcat
from molgiae.data.toolkits import to_ase
from molgiae.evaluation.report import Track
from molgiae.model.architectures import build
from molgiae.model.checkpoint import Checkpoint
from molgiae.model.cloud import Cloud, pack
from molgiae.model.embedder import Embedder
from molgiae.parts import TOGETHER, Part
from molgiae.properties.references import composition

Floats = NDArray[np.float64]
Descriptor = Callable[[Result], Floats]

RANDOM_WEIGHTS = "random weights"
CANONICAL_COORDINATES = "canonical coordinates"
USR, USRCAT, MORGAN, COMPOSITION = "USR", "USRCAT", "Morgan counts", "composition"
TYPICAL_PAIRS = 2000
"""Random pairs of conformers whose median distance is the unit of embedding space."""
BOHR = 0.529177210903
"""Angstrom (CODATA 2018)."""


@dataclass(frozen=True)
class Panel:
    """Descriptors of the same conformers, by name, and how they are compared."""

    embed: Callable[[ConformerBlock], Result]  # what the model says; must accept every conformer
    descriptors: Mapping[str, Descriptor]
    seed: int = 0  # of what is drawn at random
    track: Track = iter  # progress

    def __call__(self, block: ConformerBlock) -> tuple[Result, dict[str, Floats]]:
        """Return what the model says, and name to (M, D) descriptors."""
        result = self.embed(block)
        return result, {name: describe(result) for name, describe in self.descriptors.items()}


def embedding(result: Result, columns: slice = slice(None), scale: Floats | float = 1.0) -> Floats:
    """Return (M, D) the embedding itself, or some columns of it, divided by scales (D,)."""
    return (result["embedding"].astype(np.float64) / scale)[:, columns]


def scales(values: Floats, parts: Iterable[Part]) -> Floats:
    """Return (D,) for each column of (M, D) the root mean square distance of rows from their mean in its part.

    1 in parts that are constant. Divided by how much the part counts (`TOGETHER`): what an embedding is divided by
    where its parts are compared together.
    """
    found = np.ones(values.shape[1])
    for part in parts:
        spread = float(np.sqrt(values[:, part.columns].var(axis=0).sum()))
        found[part.columns] = spread / TOGETHER.get(part.name, 1.0) if spread else 1.0
    return found


def sorted_distances(result: Result) -> Floats:
    """Return (M, n (n - 1) / 2) all interatomic distances, angstrom, largest first, 0 where there are fewer atoms."""
    x = _packed(result.block)
    apart = _distances(x) * (x.mask[:, :, None] & x.mask[:, None, :])
    above = torch.triu_indices(apart.shape[1], apart.shape[1], offset=1)
    return -np.sort(-apart[:, above[0], above[1]].numpy(), axis=1)


def coulomb_eigenvalues(result: Result) -> Floats:
    """Return (M, n) eigenvalues of the Coulomb matrix in hartree, largest magnitude first.

    Rupp et al., PRL 108, 058301 (2012): charges in elementary charges, distances in bohr.
    """
    x = _packed(result.block)
    z = x.z.double()
    apart = (_distances(x) / BOHR).clamp(min=1e-6)  # padding coincides, with charge 0
    diagonal = torch.eye(apart.shape[1], dtype=torch.bool)
    matrix = torch.where(diagonal, 0.5 * z[:, :, None] ** 2.4, z[:, :, None] * z[:, None, :] / apart)
    values = np.linalg.eigvalsh(matrix.numpy())
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=1), axis=1)


def canonical_coordinates(result: Result) -> Floats:
    """Return (M, 3 n) coordinates in the canonical frame and order of the model, flattened, angstrom.

    Lossless and invariant without any training, which is why neither says much of an embedding.
    """
    block = result.block
    x = pack(block.atomic_number, result["canonical_position"], block.offset)
    return x.pos.flatten(1).numpy()


def soap(result: Result) -> Floats:
    """Return (M, P) SOAP power spectra averaged over atoms (dscribe; cutoff 5 angstrom, n_max 6, l_max 4)."""
    from dscribe.descriptors import SOAP  # noqa: PLC0415 (an optional peer)

    species = [SYMBOLS[z] for z in np.unique(result.block.atomic_number)]
    spectrum = SOAP(species=species, r_cut=5.0, n_max=6, l_max=4, average="inner", periodic=False)
    return np.atleast_2d(spectrum.create([to_ase(conformer) for conformer in result.block]))


def numbers_of_atoms(result: Result) -> Floats:
    """Return (M, E) the atoms of each element."""
    return composition(result.block, np.unique(result.block.atomic_number).tolist())


def each(function: Callable[[Conformer], Floats]) -> Descriptor:
    """Return the descriptor that describes one conformer after another."""
    return lambda result: np.stack([function(conformer) for conformer in result.block])


CHEMISTRY: dict[str, Descriptor] = {
    COMPOSITION: numbers_of_atoms,
    USR: each(usr),
    USRCAT: each(usrcat),
    MORGAN: each(morgan_counts),
}
"""Baselines of overlays and of learning properties; the last two need molecules, a millisecond or more for each."""


def baselines(untrained: Embedder) -> dict[str, Descriptor]:
    """Return name to descriptor, with the random weights of an untrained model, and SOAP where it is installed."""
    return {
        RANDOM_WEIGHTS: lambda result: embedding(untrained.embed(result.block)),
        "sorted distances": sorted_distances,
        "Coulomb eigenvalues": coulomb_eigenvalues,
        CANONICAL_COORDINATES: canonical_coordinates,
        **({"SOAP": soap} if find_spec("dscribe") else {}),
    }


def random_weights(embedder: Embedder, seed: int) -> Embedder:
    """Return the same network before training, with a canonical frame of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build(embedder.model.config).eval().requires_grad_(False)
    checkpoint = Checkpoint(RANDOM_WEIGHTS, model, embedder.checkpoint.domain)
    return Embedder(checkpoint, device=embedder.device, batch_size=embedder.batch_size, check=False)


def typical_distance(values: Floats, seed: int) -> float:
    """Return the median distance of random pairs of rows, the unit in which changes of an embedding are given.

    NaN where there is no such unit: of a single row, and of rows that are equal.
    """
    if len(values) < 2:
        return float("nan")
    rng = np.random.default_rng(seed)
    first = rng.integers(len(values), size=TYPICAL_PAIRS)
    second = (first + rng.integers(1, len(values), size=TYPICAL_PAIRS)) % len(values)
    return float(np.median(np.linalg.norm(values[first] - values[second], axis=1))) or float("nan")


def with_atoms(
    block: ConformerBlock, position: Floats, atomic_number: NDArray[np.uint8] | None = None
) -> ConformerBlock:
    """Return the conformers with other coordinates (N, 3), angstrom, and other elements (N,) if given."""
    number = block.atomic_number if atomic_number is None else atomic_number
    return replace(block, position=position, atomic_number=number, rejected=[])


def sample(block: ConformerBlock, size: int | None, seed: int) -> ConformerBlock:
    """Return at most so many conformers, drawn at random, in the order of the block; None for all."""
    if size is None or size >= len(block):
        return block
    chosen = np.random.default_rng(seed).choice(len(block), size, replace=False)
    return block.take(np.sort(chosen))


def _packed(block: ConformerBlock) -> Cloud:
    return pack(block.atomic_number, block.position, block.offset).centered()


def _distances(x: Cloud) -> Tensor:
    """Return (M, n, n) distances, angstrom, to the last digit also where atoms are near."""
    return torch.cdist(x.pos, x.pos, compute_mode="donot_use_mm_for_euclid_dist")
