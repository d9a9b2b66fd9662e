"""The command that writes what the model remembers of conformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, begun, finished, output_or_memory, read, run, sink_for
from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.data.given import Given
from molgiae.data.hdf5.decoded import DECODED_FORMULA
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS
from molgiae.data.readers import Inputs
from molgiae.data.writers import StructureWriter
from molgiae.model.embedder import Embedder
from molgiae.model.refined import check_refines
from molgiae.output.files import ModelInUse

if TYPE_CHECKING:
    from molgiae.data.given import Objects

RECONSTRUCTION_COLUMNS = (
    *EMBEDDING_COLUMNS,
    "reconstructed_position",
    "reconstructed_atomic_number",
    "rmsd",
    DECODED_FORMULA,
)
"""Its ``rmsd`` is what embed calls ``decoded_rmsd``: motions and orders change none."""


@overload
def reconstruct(inputs: Inputs, options: Options | None = None, **how: Any) -> Summary: ...
@overload
def reconstruct(
    inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any
) -> Result: ...
@overload
def reconstruct(inputs: Objects, options: Options | None = None, **how: Any) -> Summary: ...
def reconstruct(
    inputs: Given, options: Options | None = None, *, refine: bool = False, **changes: Any
) -> Summary | Result:
    """Write what the model remembers of every conformer, in the pose and order of the input.

    Arguments are those of `embed`: files come to a file, objects as a result. With `refine` what is decoded is
    where a search begins for positions that have the embedding, see `molgiae.model.refined`.

    Raises:
        ConfigError: if the model cannot be refined.

    Examples:
        >>> bool((molgiae.reconstruct(mol, model="qm9")["rmsd"] < 0.01).all())
        True
    """
    taken, options = begun(inputs, options, changes)
    output = output_or_memory(taken, options, "_reconstructed.h5", pipes=True)
    embedder = Embedder(options.model, device=options.device, batch_size=options.batch_size)
    if refine:
        check_refines(embedder.model)
    blocks = read(taken, options, output)
    model = ModelInUse.of(embedder)
    sink = sink_for(output, options, RECONSTRUCTION_COLUMNS, _record, model=model)
    errors: list[float] = []
    mistaken: list[bool] = []

    def compute(block: ConformerBlock) -> Result:
        result = embedder.embed(block, reconstruct=True, refine=refine)
        errors.extend(result["rmsd"].tolist())
        wrong = result["reconstructed_atomic_number"] != result.block.atomic_number
        mistaken.extend((result.block.count(wrong) > 0).tolist())
        return result

    summary = run(blocks, compute, sink, options, "reconstruct", model)
    if errors:
        summary.metrics = {"rmsd_mean": float(np.mean(errors)), "rmsd_median": float(np.median(errors))}
    if any(mistaken):
        summary.notes.append(f"{sum(mistaken)} come back with an atom of another element")
    return finished(sink, summary)


def _record(writer: StructureWriter, result: Result, m: int) -> None:
    """Write the prediction in the order of the input, with the bonds of the input."""
    conformer, atoms = result.block[m], result.block.atoms_of(m)
    z = result["reconstructed_atomic_number"][atoms]
    writer.write(
        conformer,
        position=result["reconstructed_position"][atoms],
        atomic_number=np.where(z == 0, conformer.atomic_number, z),
        properties={
            "molgiae_rmsd": f"{result['rmsd'][m]:.4f}",
            "molgiae_types_wrong": str(int((z != conformer.atomic_number).sum())),
        },
    )
