"""The command that writes conformers in another format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, begun, output_path, read, run, sink_for
from molgiae.data.blocks import Result
from molgiae.data.bonds import perceived_bonds_of_block
from molgiae.data.conformer import Conformer, ConformerBlock, offset_of
from molgiae.data.given import Given, names_of
from molgiae.data.toolkits import has_table, with_table
from molgiae.data.writers import STALE_KEYS, StructureWriter, keeps_tables
from molgiae.output.files import Sink
from molgiae.output.rows import RowSink, row_suffix

MADE = "made"
"""Column that says which tables were not read but made."""
NO_BONDS = "written without bonds, for the input has none; --bonds perceives them"
NO_ORDERS = "written without bonds, for RDKit finds no orders that fit them and the charge"


def convert(
    inputs: Given,
    output: str | Path | None = None,
    options: Options | None = None,
    *,
    bonds: bool = False,
    **changes: Any,
) -> Summary:
    """Write conformers in the format that the name of the output says, with titles, charges and properties.

    Records that keep their format stand to the letter as they were read.

    Args:
        inputs: as of `molgiae.embed`.
        output: ends in .sdf, .xyz, .extxyz, .h5, .npz, .db (of ASE) or .parquet; ``-`` is SDF to standard output; by
            default SDF named after the input.
        options: of the command; model and device do not matter.
        bonds: perceive the bonds of records that have none from distances, and for SDF their orders by RDKit.
        **changes: fields of `Options` by name.

    Raises:
        MolgiaeError: whatever keeps the output from being written.

    Examples:
        >>> molgiae.convert("conformers.sdf", "conformers.xyz").written
        74
        >>> molgiae.convert([mol], "ethanol.sdf").written
        3
    """
    taken, options = begun(inputs, options, {**changes, "output": output})
    path = output_path(names_of(taken), options, "_converted.sdf", ("HDF5", "structures", "rows"), pipes=True)
    in_rows = row_suffix(path) is not None
    sink: Sink = (
        RowSink(path, overwrite=options.overwrite) if in_rows else sink_for(path, options, (), _record)
    )
    needs_tables = keeps_tables(path)

    def compute(block: ConformerBlock) -> Result:
        block = with_bonds(block) if bonds else block
        if needs_tables:
            return _with_tables(block, options)
        return Result(replace(block, properties=list(map(_told_once, block))) if in_rows else block, {})

    return run(read(taken, options, path), compute, sink, options, "convert")


def with_bonds(block: ConformerBlock) -> ConformerBlock:
    """Return the block with perceived bonds for all conformers that have none."""
    own = np.diff(block.bond_offset)
    lacking = own == 0
    rows = block.take(lacking)
    pairs, _ = perceived_bonds_of_block(rows.atomic_number, rows.position, rows.offset)
    owner = np.searchsorted(rows.offset, pairs[:, 0], side="right") - 1
    found = [block.bonds[block.bond_offset[m] : block.bond_offset[m + 1]] for m in range(len(block))]
    edges = np.searchsorted(owner, np.arange(len(rows) + 1))
    for k, m in enumerate(np.flatnonzero(lacking).tolist()):
        found[m] = pairs[edges[k] : edges[k + 1]] - rows.offset[k]
    return replace(
        block,
        bonds=np.concatenate([block.bonds[:0], *found]),
        bond_offset=offset_of([len(one) for one in found]),
        text=[
            "" if anew else text for anew, text in zip(lacking & (block.n_atoms > 1), block.text, strict=True)
        ],
    )


def _told_once(conformer: Conformer) -> dict[str, str]:
    """Return the properties but for those that rows have columns for, as an extended XYZ comment tells them again."""
    own = {name: str(getattr(conformer, name)) for name in ("title", "charge", "multiplicity")}
    return {
        key: value
        for key, value in conformer.properties.items()
        if key.lower() not in STALE_KEYS and own.get(key.lower()) != value
    }


def _record(writer: StructureWriter, result: Result, m: int) -> None:
    is_made = MADE in result.columns and bool(result[MADE][m])
    (writer.write if is_made else writer.copy)(result.block[m])


def _with_tables(block: ConformerBlock, options: Options) -> Result:
    """Return the block with a connection table as the text of each conformer whose bonds are known."""
    text = [_with_table(conformer, options).text for conformer in block]
    is_made = [new is not old for new, old in zip(text, block.text, strict=True)]
    return Result(replace(block, text=text), {MADE: np.array(is_made, bool)})


def _with_table(conformer: Conformer, options: Options) -> Conformer:
    if has_table(conformer) or len(conformer) == 1:
        return conformer
    made = with_table(conformer) if conformer.has_bonds else conformer
    if made is conformer:
        note = NO_ORDERS if conformer.has_bonds else NO_BONDS
        options.notes.add(conformer.source, conformer.record, note)
    return made
