"""The command that writes canonical forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.canonical.equivalents import least_table
from molgiae.canonical.forms import canonical_forms
from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, begun, finished, output_or_memory, read, run, sink_for
from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer
from molgiae.data.given import Given
from molgiae.data.hdf5.schema import CANONICAL_COLUMNS
from molgiae.data.readers import Inputs
from molgiae.data.writers import StructureWriter, sdf_record

if TYPE_CHECKING:
    from molgiae.data.given import Objects


@overload
def canonicalize(inputs: Inputs, options: Options | None = None, **how: Any) -> Summary: ...
@overload
def canonicalize(
    inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any
) -> Result: ...
@overload
def canonicalize(inputs: Objects, options: Options | None = None, **how: Any) -> Summary: ...
def canonicalize(inputs: Given, options: Options | None = None, **changes: Any) -> Summary | Result:
    """Write every conformer in its canonical pose and order, as HDF5, SDF or XYZ by the name of the output.

    Records of SDF that differ in pose, in the order of atoms or in the order and direction of bond lines alone become
    one text, wherever coordinates round to the same decimals. What is drawn otherwise stays so: mesomeric
    formulas with charges or double bonds at other atoms, V2000 and V3000. Titles and properties are copied.

    Arguments are those of `embed`: files come to a file, objects as those of `canonical_forms`.

    Examples:
        >>> molgiae.canonicalize(mol)["canonical_position"].shape
        (27, 3)
        >>> molgiae.canonicalize("conformers.sdf", output="canonical.sdf").written
        74
    """
    taken, options = begun(inputs, options, changes)
    output = output_or_memory(taken, options, "_canonical.h5", pipes=True)
    sink = sink_for(output, options, CANONICAL_COLUMNS, _record)
    summary = run(read(taken, options, output), canonical_forms, sink, options, "canonicalize")
    return finished(sink, summary)


def _record(writer: StructureWriter, result: Result, m: int) -> None:
    conformer, atoms = result.block[m], result.block.atoms_of(m)
    order, position = result["permutation"][atoms].astype(np.int64), result["canonical_position"][atoms]
    rotation = result["rotation"][m].T
    if writer.keeps_tables and not result["order_defined"][m]:
        z, isotope = conformer.atomic_number[order], conformer.isotope[order]

        def render(order: NDArray[np.int64], position: NDArray[np.float64]) -> str:
            return sdf_record(Conformer(z, position, isotope=isotope, text=conformer.text), order)

        order, position, turn = least_table(conformer.species[order], order, position, render)
        rotation = turn @ rotation
    writer.write(conformer, order=order, position=position, rotation=rotation)
