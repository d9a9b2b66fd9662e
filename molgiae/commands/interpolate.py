"""The command that decodes conformers on the way between two embeddings, and says which of them can be believed."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from molgiae.commands.outcomes import Outcome
from molgiae.commands.run import Options, output_path
from molgiae.data.bonds import known_bonds, perceived_bonds
from molgiae.data.conformer import NO_BONDS, Conformer, ConformerBlock
from molgiae.data.given import Given, blocks_of
from molgiae.data.toolkits import with_table
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError
from molgiae.matching import superpose_pairs
from molgiae.matching.copies import THRESHOLD
from molgiae.matching.molecules import hill
from molgiae.model.cloud import as_numpy, pack
from molgiae.model.embedder import Embedder

STEPS = 10
MAX_STRAYED = THRESHOLD
"""Angstrom; a decoded conformer that re-embeds within it is the one that was asked for, as copies are to dedup."""


@dataclass(frozen=True, slots=True)
class Step:
    """A conformer on the way.

    Attributes:
        fraction: of the way from A, 0, to B, 1.
        formula: whether it has the atoms of A and B.
        bonds: whether its bonds, perceived from distances, are between the same elements as those of A, or of B.
        strayed: distance, in the shape part, of its embedding from the one it was decoded from, about an RMSD in
            angstrom; that of whole embeddings where the model has no such part; None without the right formula.
        rmsd_a, rmsd_b: symmetry-corrected RMSD to A and to B, angstrom; None where they cannot be superposed.
    """

    fraction: float
    formula: bool
    bonds: bool
    strayed: float | None
    rmsd_a: float | None
    rmsd_b: float | None

    @property
    def holds(self) -> bool:
        """Whether formula and bonds are right, and it embeds to where it is from."""
        return self.formula and self.bonds and self.strayed is not None and self.strayed <= MAX_STRAYED


@dataclass
class Interpolation(Outcome):
    """What `interpolate` did.

    Attributes:
        model: name of the model.
        steps: on the way from A to B, both ends among them.
        conformers: decoded, in the pose and order of A, one for each step.
    """

    model: str = ""
    steps: list[Step] = field(default_factory=list)
    conformers: list[Conformer] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, without the conformers."""
        plain = replace(self, conformers=[])
        return {key: value for key, value in Outcome.to_dict(plain).items() if key != "conformers"}


def interpolate(
    a: Given, b: Given, options: Options | None = None, *, n: int = STEPS, **changes: Any
) -> Interpolation:
    """Decode conformers at equal distances on the straight line between two embeddings.

    Args:
        a: where it starts: a file, of which the first conformer is taken, a conformer, RDKit molecule or ASE atoms.
        b: where it ends, of the same formula.
        options: of the command; without an output nothing is written.
        n: conformers, both ends among them.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if formulas differ, or n is below 2.
        ConformerError: if a conformer cannot be read or embedded.
        MolgiaeError: if the output cannot be written.

    Examples:
        >>> first, second = molgiae.from_rdkit(mol, "all")[:2]
        >>> type(molgiae.interpolate(first, second, model="qm9", n=3)).__name__
        'Interpolation'
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    first, second = _first(a, options), _first(b, options)
    embedder = Embedder(options.model, device=options.device, batch_size=options.batch_size, check=False)
    writer = None
    if options.output is not None:
        path = output_path([], options, "", ("structures",), pipes=True)
        writer = StructureWriter(path, overwrite=options.overwrite)
    steps, conformers = decoded_between(embedder, first, second, n)
    if writer is not None:
        with writer:
            for step, conformer in zip(steps, conformers, strict=True):
                writer.write(with_table(conformer), properties=_said(step))
    found = Interpolation("" if writer is None else str(path), read=2, model=embedder.checkpoint.name)
    found.steps, found.conformers = steps, conformers
    found.notes, found.seconds = options.notes.lines(), time.monotonic() - started
    return found


@torch.no_grad()
def decoded_between(
    embedder: Embedder, a: Conformer, b: Conformer, n: int
) -> tuple[list[Step], list[Conformer]]:
    """Return n steps from A to B and their conformers; errors as of `interpolate`."""
    if n < 2:
        raise ConfigError(f"{n} conformers: ask for at least the 2 ends")
    if sorted(a.atomic_number.tolist()) != sorted(b.atomic_number.tolist()):
        raise ConfigError(f"A is {hill(a)} and B is {hill(b)}; give two conformers of one formula")
    ends = embedder.embed([a, b])
    if ends.block.rejected:
        raise ends.block.rejected[0].error()
    fraction = np.linspace(0, 1, n)
    wanted = ends["embedding"][:1] * (1 - fraction[:, None]) + ends["embedding"][1:] * fraction[:, None]
    model, alike = embedder.model, ConformerBlock.of([a] * n)
    x = pack(alike.atomic_number, alike.position, alike.offset, alike.isotope).to(embedder.device)
    whole = model.decode(torch.from_numpy(wanted.astype(np.float32)).to(embedder.device))
    placed = model.place(whole, model.encode(x).action, x)
    right = [np.array_equal(np.sort(z[z > 0]), np.sort(a.atomic_number)) for z in as_numpy(whole.z)]
    places = zip(as_numpy(placed.z), as_numpy(placed.pos), strict=True)
    conformers = [_conformer(a, z, position) for z, position in places]
    again = embedder.embed(c for c, is_right in zip(conformers, right, strict=True) if is_right)
    strayed = iter(_strayed(embedder, again["embedding"], wanted[right]))
    kinds = [_kinds_of_bonds(c) for c in (a, b)]
    rmsd_a, rmsd_b = (superpose_pairs([end] * n, conformers, match="bonds").rmsd.tolist() for end in (a, b))
    steps = [
        Step(
            float(fraction[k]),
            right[k],
            right[k] and _kinds_of_bonds(conformers[k]) in kinds,
            next(strayed) if right[k] else None,
            *(value if right[k] and np.isfinite(value) else None for value in (rmsd_a[k], rmsd_b[k])),
        )
        for k in range(n)
    ]
    return steps, conformers


def _first(given: Given, options: Options) -> Conformer:
    for block in blocks_of(given, format=options.format, keep_text=True, notes=options.notes):
        if block.rejected and (not len(block) or block.rejected[0].record < block.record[0]):
            raise block.rejected[0].error()
        if len(block) > 1:
            options.notes.add(block.source[0], int(block.record[1]), "only the first conformer is taken")
        if len(block):
            return block[0]
    raise ConformerError("holds no conformer")


def _conformer(a: Conformer, z: Any, position: Any) -> Conformer:
    """Return a decoded conformer in the order of A, with its table and bonds where its elements are the same."""
    if np.array_equal(z, a.atomic_number):
        return replace(a, position=position.astype(np.float64), bonds=known_bonds(a))
    number = np.where(z == 0, a.atomic_number, z).astype(np.uint8)
    return replace(a, atomic_number=number, position=position.astype(np.float64), bonds=NO_BONDS, text="")


def _strayed(embedder: Embedder, found: Any, wanted: Any) -> list[float]:
    names = [part.name for part in embedder.parts]
    columns = embedder.part("shape").columns if "shape" in names else slice(None)
    apart: list[float] = np.linalg.norm((found - wanted)[:, columns], axis=1).tolist()
    return apart


def _kinds_of_bonds(conformer: Conformer) -> Counter[tuple[int, ...]]:
    bonds = perceived_bonds(conformer.atomic_number, conformer.position)
    return Counter(tuple(sorted(pair)) for pair in conformer.atomic_number[bonds].tolist())


def _said(step: Step) -> dict[str, str]:
    values = {"strayed": step.strayed, "rmsd_a": step.rmsd_a, "rmsd_b": step.rmsd_b}
    shown = {f"molgiae_{name}": f"{value:.4f}" for name, value in values.items() if value is not None}
    flags = {f"molgiae_{name}": str(int(getattr(step, name))) for name in ("formula", "bonds", "holds")}
    return {"molgiae_fraction": f"{step.fraction:.4f}", **flags, **shown}
