"""Conformers as Python programs have them: files, blocks, conformers, RDKit molecules with all of theirs, ASE atoms."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from molgiae.data.blocks import Result, concatenate
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock, Rejected
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.inputs import read_inputs
from molgiae.data.readers import Inputs, OnError
from molgiae.data.sources import Notes
from molgiae.data.toolkits import from_ase, from_rdkit
from molgiae.errors import ConfigError, ConformerError

if TYPE_CHECKING:
    from ase import Atoms
    from rdkit.Chem import Mol

    One: TypeAlias = Conformer | Mol | Atoms
    Objects: TypeAlias = ConformerBlock | Result | Embeddings | One | Iterable[One]

Given: TypeAlias = "Inputs | Objects"
"""Files and directories, one or several; or conformers, molecules and atoms, one or several."""

Taken = list[str] | ConformerBlock
"""Names of files, or the conformers that a program has."""

WANTED = "give files, conformers, RDKit molecules with conformers, or ASE atoms"


def conformers_of(
    given: Given,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    keep_text: bool = False,
    notes: Notes | None = None,
) -> ConformerBlock:
    """Return the conformers of whatever is given as one block; what is bad among them is in its `rejected`.

    Args:
        given: files, directories, ``-`` for standard input; RDKit molecules, with all conformers of each; ASE atoms;
            conformers; a block, a result or an embedding file of molgiae; one or several.
        format: of files, "sdf" or "xyz"; None to go by name and content.
        on_error: "skip" lists bad records, "stop" raises the first.
        keep_text: keep records of files as they were read, for writers.
        notes: gets what the readers had to decide or to leave out.

    Raises:
        ConfigError: if something is neither a file nor has conformers, or was read to its end before.
        ConformerError: for the first bad conformer with ``on_error="stop"``.

    Examples:
        >>> molgiae.conformers_of(mol), molgiae.conformers_of("conformers.sdf")
        (ConformerBlock(3 conformers, 27 atoms), ConformerBlock(74 conformers, ... atoms))
    """
    how: dict[str, Any] = {"format": format, "on_error": on_error, "keep_text": keep_text, "notes": notes}
    return concatenate(list(blocks_of(given, **how)))


def blocks_of(
    given: Given,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    keep_text: bool = False,
    notes: Notes | None = None,
) -> Iterator[ConformerBlock]:
    """Yield blocks of what `conformers_of` returns; files are read as the blocks are asked for."""
    taken = taken_in(given)
    if isinstance(taken, list):
        yield from read_inputs(taken, format=format, on_error=on_error, keep_text=keep_text, notes=notes)
        return
    if on_error == "stop" and taken.rejected:
        raise taken.rejected[0].error()
    yield taken


def taken_in(given: Given) -> Taken:
    """Return names of files as they are, anything else as one block of conformers that are checked.

    Raises:
        ConfigError: as of `conformers_of`.
    """
    if isinstance(given, Embeddings):
        return concatenate(list(given.blocks()))
    if isinstance(given, Result | ConformerBlock):
        return reject_meaningless(given.block if isinstance(given, Result) else given)
    items = items_of(given)
    if items and all(isinstance(item, str | os.PathLike) for item in items):
        return [os.fspath(item) for item in items]
    found: list[Conformer] = []
    rejected: list[Rejected] = []
    for k, item in enumerate(items, 1):
        try:
            found += _conformers(item, k)
        except ConformerError as error:
            number = len(found) + len(rejected) + 1
            rejected.append(Rejected(error.source, number, error.title, 0, error.reason))
    return reject_meaningless(_numbered(ConformerBlock.of(found, rejected)))


def names_of(taken: Taken) -> list[str]:
    """Return the names of files; none where conformers are in memory."""
    return taken if isinstance(taken, list) else []


def items_of(given: Any) -> list[Any]:
    """Return what is given as a list."""
    if isinstance(given, str | os.PathLike | Conformer) or _is_mol(given) or _is_atoms(given):
        return [given]
    if not isinstance(given, Iterable):
        raise ConfigError(f"{type(given).__name__}: {WANTED}")
    # a generator knows whether it has ended before, other iterators do not
    may_be_spent = isinstance(given, Iterator)
    if inspect.isgenerator(given):
        may_be_spent = inspect.getgeneratorstate(given) == inspect.GEN_CLOSED
    items = list(given)
    if not items and may_be_spent:
        raise ConfigError(
            f"nothing comes out of this {type(given).__name__}: if it was read to its end before, keep what it gives, "
            "as in conformers = list(conformers)"
        )
    return items


def _conformers(item: Any, k: int) -> Iterable[Conformer]:
    """Return the conformers of item k, all of a molecule of RDKit."""
    if isinstance(item, Conformer):
        return [item]
    if isinstance(item, Result | ConformerBlock):
        return item.block if isinstance(item, Result) else item
    if _is_mol(item):
        return from_rdkit(item, "all")
    if _is_atoms(item):
        return [from_ase(item)]
    if item is None:
        raise ConformerError("is None, as RDKit has for a record that it cannot read")
    hint = ", and not all others are files" if isinstance(item, str) else ""
    raise ConfigError(f"item {k} is {type(item).__name__}{hint}: {WANTED}")


def _numbered(block: ConformerBlock) -> ConformerBlock:
    """Number the conformers that have no source, by which messages can name them."""
    unknown = np.array([not source for source in block.source], bool) & (block.record == 0)
    taken = [bad.record - 1 for bad in block.rejected]
    number = np.delete(np.arange(1, len(block) + len(taken) + 1), taken)
    return replace(block, record=np.where(unknown, number, block.record))


def _is_mol(item: Any) -> bool:
    return hasattr(item, "GetConformers")


def _is_atoms(item: Any) -> bool:
    return hasattr(item, "get_positions")
