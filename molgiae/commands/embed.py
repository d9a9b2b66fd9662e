"""The command that embeds conformers, and how a command opens its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from molgiae.commands.run import Options, Summary, output_path, read, run
from molgiae.config import AUTO_MODEL
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS
from molgiae.data.inputs import listed
from molgiae.data.readers import Inputs
from molgiae.errors import ConfigError
from molgiae.model.auto import choose_by_look
from molgiae.model.embedder import Embedder
from molgiae.model.projections import ProjectingEmbedder
from molgiae.output.files import Hdf5Sink, ModelInUse, Sink
from molgiae.output.npz import NpzSink, is_npz


def embed(
    inputs: Inputs,
    options: Options | None = None,
    *,
    npz: bool = False,
    drop_rejected: bool = False,
    projection: str | None = None,
    parts: str | Iterable[str] | None = None,
    **changes: Any,
) -> Summary:
    """Embed every conformer and write HDF5, or one matrix as npz, see `molgiae.output.npz`.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        options: options of the command.
        npz: write npz; without an output its name is made from the first input.
        drop_rejected: leave rejected records out of an npz; otherwise they are an error, as its rows would shift.
        parts: names of the parts of the embedding to write, see `molgiae.parts.PARTS`; also as a text with commas
            between them; None for all.
        projection: projection of the equivariant latent to add, see `molgiae.model.projections`; None for none.
        **changes: fields of `Options` by name, as in ``embed("a.sdf", output="a.h5")``.

    Raises:
        MolgiaeError: whatever keeps the output from being written.
    """
    options = (options or Options()).for_a_run(**changes)
    names = listed(inputs)
    output = output_path(names, options, ".npz" if npz else ".h5", ("HDF5", "npz"))
    if npz and not is_npz(output):
        raise ConfigError(f"{output}: npz was asked for; end the name of the output in .npz")
    if drop_rejected and not is_npz(output):
        raise ConfigError(f"{output}: HDF5 lists rejected records by itself; --drop-rejected is for npz")
    if projection is not None and is_npz(output):
        raise ConfigError(f"{output}: npz holds the embeddings alone; write HDF5 for a projection")
    embedder, blocks = open_model(names, options, read(names, options, output), parts)
    model = ModelInUse.of(embedder)
    projecting = None if projection is None else ProjectingEmbedder(embedder, projection)
    written: dict[str, Any] = {"command": options.command, "overwrite": options.overwrite}
    if is_npz(output):
        sink: Sink = NpzSink(output, model, drop_rejected=drop_rejected, **written)
    else:
        predictions = () if projecting is None else (projecting.column,)
        sink = Hdf5Sink(output, EMBEDDING_COLUMNS, model, predictions=predictions, **written)
    return run(blocks, (projecting or embedder).embed, sink, options, "embed", model)


def open_model(
    inputs: list[str],
    options: Options,
    blocks: Iterator[ConformerBlock],
    parts: str | Iterable[str] | None = None,
) -> tuple[Embedder, Iterator[ConformerBlock]]:
    """Return the model of the options, with "auto" the one that a look at the conformers chooses; and the conformers.

    Args:
        inputs: names of the inputs.
        options: options of the command.
        blocks: conformers read from the inputs.
        parts: names of the parts of the embedding that are wanted; None for all.

    Raises:
        CheckpointError: if the model cannot be loaded.
        ConfigError: if the model has no such part.
        MolgiaeError: if a look is needed and the inputs cannot be read.
    """
    how: dict[str, Any] = {"device": options.device, "batch_size": options.batch_size, "parts": parts}
    if options.model != AUTO_MODEL:
        return Embedder(options.model, **how), blocks
    watch, blocks = choose_by_look(blocks, inputs, options.format)
    if options.tell is not None:
        options.tell(watch.choice.reason)
    embedder = Embedder(watch.choice.model, **how)
    embedder.watch = watch
    return embedder, blocks
