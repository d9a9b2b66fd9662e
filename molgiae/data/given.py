"""Conformers as Python programs have them: files, blocks, conformers, RDKit molecules with all of theirs, ASE atoms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from molgiae.data.blocks import as_block
from molgiae.data.checks import reject_meaningless
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.inputs import read_inputs
from molgiae.data.readers import Inputs, OnError
from molgiae.data.sources import Notes
from molgiae.data.toolkits import from_ase, from_rdkit
from molgiae.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms
    from rdkit.Chem import Mol

    One: TypeAlias = Conformer | Mol | Atoms

Given: TypeAlias = "Inputs | ConformerBlock | One | Iterable[One]"
"""Files and directories, one or several; or conformers, molecules and atoms, one or several."""


def blocks_of(
    given: Given,
    *,
    format: str | None = None,
    on_error: OnError = "skip",
    keep_text: bool = False,
    notes: Notes | None = None,
) -> Iterator[ConformerBlock]:
    """Yield blocks of whatever is given; options are those of `molgiae.data.inputs.read_inputs`.

    Raises:
        ConfigError: if something is neither a file nor has conformers.
        ConformerError: for the first bad conformer with ``on_error="stop"``.
    """
    items = given if isinstance(given, ConformerBlock) else _items(given)
    if isinstance(items, list) and items and all(isinstance(item, str | os.PathLike) for item in items):
        yield from read_inputs(items, format=format, on_error=on_error, keep_text=keep_text, notes=notes)
        return
    block = reject_meaningless(
        items
        if isinstance(items, ConformerBlock)
        else as_block(c for item in items for c in _conformers(item))
    )
    if on_error == "stop" and block.rejected:
        raise block.rejected[0].error()
    yield block


def _items(given: Any) -> list[Any]:
    """Return what is given as a list."""
    is_one = isinstance(given, str | os.PathLike | Conformer) or _is_mol(given) or _is_atoms(given)
    if not is_one and not isinstance(given, Iterable):
        raise ConfigError(f"{type(given).__name__}: {WANTED}")
    return [given] if is_one else list(given)


WANTED = "give files, conformers, RDKit molecules with conformers, or ASE atoms"


def _conformers(item: Any) -> Iterator[Conformer]:
    """Yield the conformers of one thing, all of a molecule of RDKit."""
    if isinstance(item, Conformer):
        yield item
    elif _is_mol(item):
        yield from (from_rdkit(item, one.GetId()) for one in item.GetConformers())
        if not item.GetNumConformers():
            from_rdkit(item)  # says so
    elif _is_atoms(item):
        yield from_ase(item)
    else:
        raise ConfigError(f"{type(item).__name__} among the conformers: {WANTED}")


def _is_mol(item: Any) -> bool:
    return hasattr(item, "GetConformers")


def _is_atoms(item: Any) -> bool:
    return hasattr(item, "get_positions")
