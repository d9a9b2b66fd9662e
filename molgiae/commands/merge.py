"""The command that makes one HDF5 file of the parts of a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from molgiae.commands.outcomes import Summary
from molgiae.commands.run import Options, output_path, run
from molgiae.data.blocks import BLOCK_ROWS, Result
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.dataset import EmbeddingDataset
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.schema import SCHEMA
from molgiae.errors import MolgiaeError
from molgiae.output.files import Hdf5Sink, ModelInUse

NO_MODEL = "none"
"""Name of the model in files of which none has a part."""


def merge(
    directory: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    options: Options | None = None,
    *,
    allow_missing: bool = False,
    **changes: Any,
) -> Summary:
    """Copy the parts of a dataset, ``part-00001-of-00064.h5`` and so on, into one HDF5 file, in their order.

    Sources and numbers of records are those of the input, and so is the list of rejected records. Nothing needs the
    one file but programs that read single ones: all commands of molgiae take the directory.

    Args:
        directory: of the parts.
        output: ends in .h5; by default named after the directory.
        options: of the command; only the overwriting and the progress bar matter.
        allow_missing: merge what is there though parts are missing.
        **changes: fields of `Options` by name.

    Raises:
        MolgiaeError: if parts are missing or differ, or the output cannot be written.

    Examples:
        >>> path = Path("two")
        >>> path.mkdir()
        >>> for k in (1, 2):
        ...     name = path / f"part-0000{k}-of-00002.h5"
        ...     summary = molgiae.embed("conformers.sdf", output=name, model="qm9", parts="shape")
        >>> molgiae.merge("two", "one.h5").written
        148
    """
    options = (options or Options()).for_a_run(**{**changes, "output": output})
    path = output_path([os.fspath(directory)], options, ".h5", ("HDF5",))
    with EmbeddingDataset(directory) as dataset:
        if dataset.missing and not allow_missing:
            raise MolgiaeError(f"{dataset.notes()[0]}; make them, or merge the others with --allow-missing")
        options.notes.left_out += dataset.notes()
        computed = [
            name for name in dataset.columns if SCHEMA.get(name) is None or SCHEMA[name].origin != "input"
        ]
        about = dataset.attributes
        model = ModelInUse(str(about["model"]), str(about["model_sha256"]), dataset.parts)
        sink = Hdf5Sink(
            path,
            tuple(name for name in computed if name in SCHEMA),
            None if model.name == NO_MODEL else model,
            command=str(about.get("command", options.command)),
            overwrite=options.overwrite,
            keep=dataset.kept,
            float16=dataset.is_float16,
            predictions=[dataset.schema(name) for name in computed if name not in SCHEMA],
        )
        return run(_results(dataset), lambda result: result, sink, options, "merge")


def _results(dataset: Embeddings) -> Iterator[Result]:
    """Yield all conformers with their columns, and then the rejected records."""
    yield from dataset.iter_blocks()
    none = dataset.result(0, 0)
    rejected = dataset.rejected()
    while records := list(islice(rejected, BLOCK_ROWS)):
        yield replace(none, block=ConformerBlock.of([], records))
