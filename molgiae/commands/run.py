"""What the file-to-file commands share: read blocks, compute, write, count; nothing is lost without being listed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from molgiae.commands.outcomes import OutcomeWithTable, Reasons, Summary
from molgiae.config import AUTO_MODEL, BATCH_SIZE
from molgiae.data.blocks import BLOCK_ROWS, Result, concatenate, rebatch
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.given import Given, Taken, blocks_of, names_of, taken_in
from molgiae.data.hdf5.decoded import not_decoded
from molgiae.data.hdf5.schema import Column
from molgiae.data.inputs import is_hdf5, read_inputs
from molgiae.data.parquet import is_parquet
from molgiae.data.partial import is_stdout
from molgiae.data.pieces import Share
from molgiae.data.readers import OnError
from molgiae.data.sources import STDIN, Notes
from molgiae.data.writers import StructureWriter, structure_suffix
from molgiae.errors import ConfigError
from molgiae.model.domain import rule_of
from molgiae.output.files import (
    Hdf5Sink,
    ModelInUse,
    Row,
    Sink,
    StructureSink,
    TableSink,
    is_table,
    rejected_table,
    write_rejected,
)
from molgiae.output.memory import MemorySink
from molgiae.output.npz import is_npz
from molgiae.output.page.content import is_page
from molgiae.output.rows import row_suffix
from molgiae.parallel.progress import ProgressFile, progress_bar
from molgiae.parallel.threads import cores, ordered_map
from molgiae.properties.columns import ENERGY, is_energy_alone

T = TypeVar("T")

FORMATS: dict[str, tuple[Callable[[Path], object], str]] = {
    "HDF5": (is_hdf5, ".h5"),
    "tables": (is_table, ".csv or .tsv"),
    "structures": (structure_suffix, ".sdf or .xyz"),
    "npz": (is_npz, ".npz"),
    "Parquet": (is_parquet, ".parquet"),
    "pages": (is_page, ".html"),
    "rows": (row_suffix, ".npz, .db or .parquet"),
}
"""Formats of outputs: what tells them from the name of a file, and what such names end in."""


@dataclass(frozen=True)
class Options:
    """What the file-to-file commands take.

    Attributes:
        output: the file to write; None derives a name from the input.
        model: name of a shipped model, path of a checkpoint, or "auto" for the default one.
        device: "auto", "cpu" or "cuda".
        batch_size: conformers in a batch.
        format: format of the input, "sdf" or "xyz"; None to go by name and content.
        on_error: "skip" lists bad records, "stop" ends at the first.
        overwrite: replace an existing output.
        progress: show a bar on stderr.
        command: the command line, for provenance.
        notes: what the readers of a run had to decide or to leave out.
        share: where the output is one part of a directory of results, what that is made from; see `molgiae.shards`.

    Examples:
        >>> options = molgiae.Options(model="qm9", overwrite=True)
        >>> molgiae.embed("conformers.sdf", options, output="a.h5").model
        'qm9'
    """

    output: str | os.PathLike[str] | None = None
    model: str = AUTO_MODEL
    device: str = "auto"
    batch_size: int = BATCH_SIZE
    format: str | None = None
    on_error: OnError = "skip"
    overwrite: bool = False
    progress: bool = False
    command: str = "python"
    notes: Notes = field(default_factory=Notes)
    share: Share | None = None

    def for_a_run(self, **changes: Any) -> Options:
        """Return the options with changes, and with notes of their own."""
        return replace(self, **{"notes": Notes(), **changes})

    def bar(self, verb: str, total: int | None = None, unit: str = "conformers") -> tqdm | ProgressFile:
        """Return a bar for the progress of a step."""
        if self.share is not None:
            return ProgressFile(self.share.progress)
        return progress_bar(desc=verb, total=total, unit=f" {unit}", show=self.progress)


def run(
    blocks: Iterable[T],
    compute: Callable[[T], Result],
    sink: Sink,
    options: Options,
    verb: str,
    model: ModelInUse | None = None,
) -> Summary:
    """Read, compute, write, count; without a model where none takes part.

    Where every record is rejected the output is written all the same, empty but for the list of these.

    Raises:
        ConformerError: if a record is rejected and ``on_error`` is "stop", or there is no record at all.
    """
    started = time.monotonic()
    summary = Summary(str(sink.path))
    reasons, outside = Reasons(), Reasons(rule_of)
    with sink, options.bar(verb) as bar:
        for result in ordered_map(compute, blocks, cores() if model is None else model.workers):
            stop_at_rejected(result.block, options)
            sink.write(result)
            summary.written += len(result)
            reasons.add(rejected.reason for rejected in result.block.rejected)
            if model is not None:
                outside.add(filter(None, result["domain_reason"].tolist()))
                summary.count_not_decoded(not_decoded(result.columns))
            bar.update(len(result) + len(result.block.rejected))
    summary.rejected, summary.reasons = reasons.total, reasons.most_common()
    summary.out_of_domain, summary.domain_reasons = outside.total, outside.most_common()
    summary.read = summary.written + summary.rejected
    summary.rejected_in = sink.rejected_in if summary.rejected else ""
    summary.notes = [*options.notes.lines(), *sink.notes()]
    if model is not None:
        summary.model, summary.model_sha256 = model.name, model.sha256
    summary.seconds = time.monotonic() - started
    return summary


def begun(inputs: Given, options: Options | None, changes: Mapping[str, Any]) -> tuple[Taken, Options]:
    """Return what a command is given, and its options: a bad conformer of a program is an error unless these say other.

    What is given as objects comes back as a result where no output is named, what is in files goes to a file.
    """
    taken = taken_in(inputs)
    default = Options(on_error="skip" if isinstance(taken, list) else "stop")
    return taken, (options or default).for_a_run(**changes)


def in_memory(inputs: Taken, options: Options) -> bool:
    """Whether results are for the program that gave the conformers: no output is named."""
    return isinstance(inputs, ConformerBlock) and options.output is None


def finished(sink: Sink, summary: Summary) -> Any:
    """Return the result of a command that is in memory, or the summary of one that wrote a file."""
    return sink.result if isinstance(sink, MemorySink) else summary


def read(
    inputs: Taken, options: Options, output: Path | None, *, keep_text: bool = False
) -> Iterator[ConformerBlock]:
    """Read blocks of conformers, with the text of their records if that is wanted or the output takes bonds from it."""
    if isinstance(inputs, ConformerBlock):
        return rebatch([inputs], BLOCK_ROWS) if len(inputs) > BLOCK_ROWS else iter([inputs])
    keep_text = keep_text or (output is not None and structure_suffix(output) is not None)
    return read_inputs(
        inputs,
        format=options.format,
        on_error=options.on_error,
        keep_text=keep_text,
        notes=options.notes,
        allow_empty=options.share is not None,
    )


def read_all(given: Given, options: Options, *, keep_text: bool = False) -> ConformerBlock:
    """Return all conformers of inputs, or those that a program gives, and the rejected records, as one block."""
    how: dict[str, Any] = {"format": options.format, "on_error": options.on_error, "notes": options.notes}
    blocks = []
    with options.bar("read") as bar:
        for block in blocks_of(given, keep_text=keep_text, **how):
            blocks.append(block)
            bar.update(len(block) + len(block.rejected))
    return concatenate(blocks)


def stop_at_rejected(block: ConformerBlock, options: Options) -> None:
    """Raise a ConformerError for the first rejected record, if that is what the user wants."""
    if options.on_error == "stop" and block.rejected:
        raise block.rejected[0].error()


def sink_for(
    output: Path | None,
    options: Options,
    columns: tuple[str, ...],
    record: Callable[[StructureWriter, Result, int], None],
    *,
    table: tuple[tuple[str, ...], Row] | None = None,
    predictions: Sequence[Column] = (),
    model: ModelInUse | None = None,
) -> Sink:
    """Return where results go, by the name of the output.

    Args:
        output: ends in .h5, .sdf or .xyz, or, if `table` is given, in .csv or .tsv; None for memory.
        options: options of the command.
        columns: columns of the HDF5 schema that results bring.
        record: writes conformer m of a result to SDF or XYZ.
        table: headings of a table, and what makes the cells of conformer m of a result.
        predictions: further columns of HDF5, which are not in the schema.
        model: the model, for provenance; None where none takes part.
    """
    overwrite, command = options.overwrite, options.command
    if output is None:
        return MemorySink()
    if is_hdf5(output):
        how: dict[str, Any] = {"predictions": predictions, "share": options.share}
        return Hdf5Sink(output, columns, model, command=command, overwrite=overwrite, **how)
    if table is not None and is_table(output):
        return TableSink(output, *table, overwrite=overwrite)
    return StructureSink(output, record, overwrite=overwrite)


def output_or_memory(
    inputs: Taken, options: Options, ending: str, *args: Any, beside: Sequence[str] = (), **how: Any
) -> Path | None:
    """Return what `output_path` does, where there are other inputs beside; None for results in memory."""
    if in_memory(inputs, options):
        return None
    return output_path([*names_of(inputs), *beside], options, ending, *args, **how)


def output_path(
    inputs: list[str],
    options: Options,
    ending: str,
    formats: Sequence[str] = ("HDF5", "structures"),
    *,
    pipes: bool = False,
) -> Path:
    """Return the output asked for, or one in the current directory named after the first input.

    Args:
        inputs: names of the inputs.
        options: options of the command.
        ending: end of the name that is derived.
        formats: names in `FORMATS` of what can be written.
        pipes: whether the output may be ``-``, standard output.

    Raises:
        ConfigError: if the name says no format that can be written, or the output is an input.
    """
    path = Path(options.output) if options.output is not None else Path(stem_of(inputs) + ending)
    if is_stdout(path) and pipes:
        return path
    if is_stdout(path) or not any(FORMATS[name][0](path) for name in formats):
        endings = " or ".join(FORMATS[name][1] for name in formats)
        raise ConfigError(f"{path}: end the name of the output in {endings}")
    if path.exists() and any(os.path.exists(name) and path.samefile(name) for name in inputs):
        raise ConfigError(f"{path}: is an input, too; name another output with --output")
    return path


def summarise(
    summary: OutcomeWithTable,
    rejected: Sequence[Rejected],
    output: Path | None,
    options: Options,
    started: float,
) -> None:
    """List rejected records beside the output, if there is one, and say in a summary what every command says."""
    reasons = Reasons()
    reasons.add(bad.reason for bad in rejected)
    summary.rejected, summary.reasons = reasons.total, reasons.most_common()
    if output is not None:
        table = rejected_table(output)
        write_rejected(table, rejected)
        summary.rejected_in = str(table) if rejected else ""
    summary.notes = options.notes.lines()
    summary.seconds = time.monotonic() - started


def not_both_stdin(names: list[str], others: list[str]) -> None:
    """Raise a ConfigError if inputs and references are both standard input."""
    if STDIN in names and STDIN in others:
        raise ConfigError("standard input (-) can be read only once; give the reference as a file")


def like_input(inputs: list[str]) -> str:
    """Return the suffix of an output in the format of the first input; that of SDF where its name says none."""
    if not inputs:
        return ".sdf"
    return ".h5" if is_hdf5(inputs[0]) else structure_suffix(inputs[0]) or ".sdf"


def beside(output: Path, ending: str) -> Path:
    """Return a file beside an output, named after it."""
    return output.with_name(Path(output.name.removesuffix(".gz")).stem + ending)


def stem_of(inputs: list[str]) -> str:
    """Return the name of the first input without directories and suffixes."""
    first = inputs[0] if inputs else STDIN
    if first == STDIN:
        return "conformers"
    path = Path(first).resolve()
    name = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    return name or "conformers"


def molecule_names(block: ConformerBlock, energy: str = ENERGY) -> list[str]:
    """Return titles; of frames whose comment line tells but an energy of this name, that of their file."""
    return [stem_of([c.source]) if is_energy_alone(c, energy) else c.title for c in block]
