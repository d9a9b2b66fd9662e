"""The command that embeds conformers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from molgiae.commands.embedded import joined
from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, begun, finished, in_memory, output_path, read, run
from molgiae.config import AUTO_MODEL
from molgiae.data.blocks import Result
from molgiae.data.given import Given, Taken, names_of
from molgiae.data.hdf5.decoded import DECODED_COLUMNS
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS, Column
from molgiae.data.inputs import is_hdf5
from molgiae.data.parquet import is_parquet
from molgiae.data.partial import is_stdout
from molgiae.data.readers import Inputs
from molgiae.errors import ConfigError
from molgiae.model.embedder import Embedder
from molgiae.model.projections import ProjectingEmbedder
from molgiae.output.embeddings import EmbeddingParquet, EmbeddingTable
from molgiae.output.files import Hdf5Sink, ModelInUse, Sink, is_table
from molgiae.output.memory import MemorySink
from molgiae.output.npz import NpzSink, is_npz

if TYPE_CHECKING:
    from molgiae.data.given import Objects


@overload
def embed(inputs: Inputs, options: Options | None = None, **how: Any) -> Summary: ...
@overload
def embed(inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any) -> Result: ...
@overload
def embed(inputs: Objects, options: Options | None = None, **how: Any) -> Summary: ...
def embed(
    inputs: Given,
    options: Options | None = None,
    *,
    npz: bool = False,
    drop_rejected: bool = False,
    projection: str | None = None,
    parts: str | Iterable[str] | None = None,
    check: bool = True,
    columns: str | Iterable[str] | None = None,
    float16: bool = False,
    **changes: Any,
) -> Summary | Result:
    """Embed every conformer: of files to HDF5, or the embeddings alone by the name of the output; of objects to arrays.

    These are one matrix as npz, see `molgiae.output.npz`, or a table as CSV, TSV or Parquet with columns named
    after the parts, see `molgiae.output.embeddings`; ``-`` is CSV to standard output.

    Files of embeddings are joined as they are, unless the options name a model or a projection is wanted.

    Args:
        inputs: files, directories, ``-`` for standard input; or RDKit molecules with all conformers of each, ASE atoms,
            conformers, a block; one or several. Objects come back as a result where no output is named.
        options: options of the command.
        npz: write npz; without an output its name is made from the first input.
        drop_rejected: leave rejected records out of an npz; otherwise they are an error, as its rows would shift.
        parts: names of the parts of the embedding to write, see `molgiae.parts.PARTS`; also as a text with commas
            between them; None for all.
        check: whether whole embeddings are decoded, too, so that ``decoded_rmsd`` and ``decoded_formula`` say what
            comes back, and ``in_domain`` that it does, see `molgiae.model.decoded`.
        projection: projection of the equivariant latent to add, see `molgiae.model.projections`; None for none.
        columns: of HDF5, columns per conformer that are written, and "properties", with source and record; also as a
            text with commas between them; None for all, those of atoms, too.
        float16: of HDF5, keep the embedding in half precision; it is read as float32.
        **changes: fields of `Options` by name, as in ``embed("a.sdf", output="a.h5")``.

    Raises:
        CheckpointError: if files of embeddings are of unlike models.
        MolgiaeError: whatever keeps the output from being written.

    Examples:
        >>> molgiae.embed(mol, model="qm9")["embedding"].shape
        (3, 608)
        >>> molgiae.embed("conformers.sdf", output="conformers.h5", parts="features").written
        74
    """
    taken, options = begun(inputs, options, changes)
    formats = ("HDF5", "npz", "tables", "Parquet")
    place = names_of(taken), options, ".npz" if npz else ".h5", formats
    output = None if in_memory(taken, options) and not npz else output_path(*place, pipes=True)
    if npz and not is_npz(output or ""):
        raise ConfigError(f"{output}: npz was asked for; end the name of the output in .npz")
    if drop_rejected and not is_npz(output or ""):
        raise ConfigError(f"{output}: rejected records are listed anyway; --drop-rejected is for npz")
    if projection is not None and output is not None and not is_hdf5(output):
        raise ConfigError(f"{output}: holds the embeddings alone; write HDF5 for a projection")
    if (columns is not None or float16) and not (output is not None and is_hdf5(output)):
        raise ConfigError(
            f"{output}: --columns and --float16 are for HDF5; end the name of the output in .h5"
        )
    keep = columns.split(",") if isinstance(columns, str) else columns and list(columns)
    model, blocks, compute, predictions = _work(taken, options, output, parts, projection, check=check)
    written: dict[str, Any] = {"command": options.command, "overwrite": options.overwrite}
    sink: Sink
    if output is None:
        sink = MemorySink()
    elif is_npz(output):
        sink = NpzSink(output, model, drop_rejected=drop_rejected, **written)
    elif is_parquet(output):
        sink = EmbeddingParquet(output, model, overwrite=options.overwrite)
    elif is_table(output) or is_stdout(output):
        sink = EmbeddingTable(output, model, overwrite=options.overwrite)
    else:
        small: dict[str, Any] = {"keep": keep, "float16": float16}
        sink = Hdf5Sink(
            output,
            (*EMBEDDING_COLUMNS, *(DECODED_COLUMNS if model.checks else ())),
            model,
            predictions=predictions,
            share=options.share,
            **small,
            **written,
        )
    return finished(sink, run(blocks, compute, sink, options, "embed", model))


def _work(
    taken: Taken,
    options: Options,
    output: Path | None,
    parts: str | Iterable[str] | None,
    projection: str | None,
    *,
    check: bool,
) -> tuple[ModelInUse, Iterable[Any], Callable[[Any], Result], tuple[Column, ...]]:
    """Return the model, what is read, what makes results of it, and columns of these that the schema does not have."""
    if (
        options.model == AUTO_MODEL
        and projection is None
        and (
            stored := joined(
                names_of(taken), parts, atoms=output is not None and is_hdf5(output), check=check
            )
        )
    ):
        return *stored, lambda result: result, ()
    how: dict[str, Any] = {"device": options.device, "batch_size": options.batch_size}
    embedder = Embedder(options.model, parts=parts, check=check, **how)
    model, blocks = ModelInUse.of(embedder), read(taken, options, output)
    if projection is None:
        return model, blocks, embedder.embed, ()
    projecting = ProjectingEmbedder(embedder, projection)
    return model, blocks, projecting.embed, (projecting.column,)
