"""The file-to-file commands: read blocks, compute, write, count; nothing is lost without being listed."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from molgiae.canonical.equivalents import least_table
from molgiae.config import AUTO_MODEL, BATCH_SIZE
from molgiae.data.conformer import Conformer, ConformerBlock, kind_of
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS
from molgiae.data.inputs import is_hdf5, listed, read_inputs
from molgiae.data.readers import Inputs, OnError
from molgiae.data.sources import STDIN, Notes
from molgiae.data.writers import StructureWriter, sdf_record, structure_suffix
from molgiae.errors import ConfigError, ConformerError
from molgiae.model.auto import choose_by_look
from molgiae.model.domain import rule_of
from molgiae.model.embedder import Embedder, Result
from molgiae.model.projecting import ProjectingEmbedder
from molgiae.output.files import Hdf5Sink, ModelInUse, Sink, StructureSink
from molgiae.output.npz import MatrixSink, is_matrix
from molgiae.output.table import is_table
from molgiae.parallel.threads import ordered_map

CANONICAL_COLUMNS = tuple(name for name in EMBEDDING_COLUMNS if name != "embedding")
RECONSTRUCTION_COLUMNS = (*EMBEDDING_COLUMNS, "reconstructed_position", "reconstructed_atomic_number", "rmsd")
MAX_REASONS, OTHER_REASONS = 1000, "other reasons"

Compute = Callable[[ConformerBlock], Result]


@dataclass
class Summary:
    """What a command did.

    Attributes:
        output: the file written.
        read: records found.
        written: conformers in the output.
        rejected: records refused; read = written + rejected.
        reasons: how many were refused for what reason; reasons that differ in numbers alone count as one, which
            the first of them names.
        rejected_in: where the refused records are listed; empty if there are none.
        model: name of the model; empty if none was used.
        model_sha256: of its file.
        model_choice: why this model, where it was chosen by itself.
        out_of_domain: conformers written although outside of what the model was trained on.
        domain_reasons: how many of these for what reason, named by the rule of `model.domain` and the first case.
        seconds: wall time.
        metrics: figures of the command, angstrom.
        notes: what else the command has to say, a line each.
    """

    output: str
    read: int = 0
    written: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejected_in: str = ""
    model: str = ""
    model_sha256: str = ""
    model_choice: dict[str, Any] | None = None
    out_of_domain: int = 0
    domain_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Options:
    """What every file-to-file command takes.

    Attributes:
        output: the file to write; None derives a name from the input.
        model: name of a shipped model, path of a checkpoint, or "auto", see `molgiae.model.auto`.
        device: "auto", "cpu" or "cuda".
        batch_size: conformers in a batch.
        format: of the input, "sdf" or "xyz"; None to go by name and content.
        on_error: "skip" lists bad records, "stop" ends at the first.
        overwrite: replace an existing output.
        progress: show a bar on stderr.
        command: the command line, for provenance.
        tell: called with a line that the user should see at once; None for nobody.
        notes: what the readers of a run had to decide or to leave out.
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
    tell: Callable[[str], object] | None = None
    notes: Notes = field(default_factory=Notes)

    def for_a_run(self, **changes: Any) -> Options:
        """The options with changes, and with notes of their own."""
        return replace(self, **{"notes": Notes(), **changes})


def embed(
    inputs: Inputs,
    options: Options | None = None,
    *,
    npz: bool = False,
    drop_rejected: bool = False,
    projection: str | None = None,
    **changes: Any,
) -> Summary:
    """Embed every conformer and write HDF5 (schema version 1), or one matrix as npz, see `molgiae.output.npz`.

    Args:
        inputs: files, directories, ``-`` for standard input; one or several.
        options: of the command.
        npz: write npz, whose name is derived where none is given.
        drop_rejected: leave refused records out of an npz; otherwise they are an error, as its rows would shift.
        projection: of the model's equivariant latent to add, see `molgiae.model.projecting`; None for none.
        **changes: fields of `Options` by name, as in ``embed("a.sdf", output="a.h5")``.

    Raises:
        MolgiaeError: whatever keeps the output from being written.
    """
    options = (options or Options()).for_a_run(**changes)
    names = listed(inputs)
    output = output_path(names, options, ".npz" if npz else ".h5", structures=False, matrices=True)
    if npz and not is_matrix(output):
        raise ConfigError(f"{output}: npz was asked for; end the name of the output in .npz")
    if drop_rejected and not is_matrix(output):
        raise ConfigError(f"{output}: HDF5 lists refused records by itself; --drop-rejected is for npz")
    if projection is not None and is_matrix(output):
        raise ConfigError(f"{output}: npz holds the embeddings alone; write HDF5 for a projection")
    embedder, blocks = open_model(names, options, read(names, options, output))
    projecting = None if projection is None else ProjectingEmbedder(embedder, projection)
    if is_matrix(output):
        sink: Sink = MatrixSink(
            output,
            embedder,
            command=options.command,
            drop_rejected=drop_rejected,
            overwrite=options.overwrite,
        )
    else:
        sink = Hdf5Sink(
            output,
            EMBEDDING_COLUMNS,
            embedder,
            command=options.command,
            overwrite=options.overwrite,
            predictions=() if projecting is None else (projecting.column,),
        )
    summary = run(blocks, (projecting or embedder).embed, sink, embedder, options, verb="embed")
    summary.notes += _elsewhere(embedder)
    return summary


def canonicalize(inputs: Inputs, options: Options | None = None, **changes: Any) -> Summary:
    """Write every conformer in its canonical pose and order, as HDF5, SDF or XYZ by the name of the output.

    Records of SDF that differ in pose, in the order of atoms or in the order and direction of bond lines alone become
    one text, wherever coordinates round to the same decimals. What is drawn otherwise stays so: mesomeric
    formulas with charges or double bonds at other atoms, V2000 and V3000. Titles and properties are copied.

    Arguments as of `embed`.
    """
    options = (options or Options()).for_a_run(**changes)
    names = listed(inputs)
    output = output_path(names, options, "_canonical.h5")
    embedder, blocks = open_model(names, options, read(names, options, output))
    if is_hdf5(output):
        sink: Sink = Hdf5Sink(
            output, CANONICAL_COLUMNS, embedder, command=options.command, overwrite=options.overwrite
        )
    else:
        sink = StructureSink(output, _canonical_record, overwrite=options.overwrite)
    return run(blocks, embedder.canonicalize, sink, embedder, options, "canonicalize")


def reconstruct(inputs: Inputs, options: Options | None = None, **changes: Any) -> Summary:
    """Write what the model remembers of every conformer, in the pose and order of the input.

    Arguments as of `embed`.
    """
    options = (options or Options()).for_a_run(**changes)
    names = listed(inputs)
    output = output_path(names, options, "_reconstructed.h5")
    embedder, blocks = open_model(names, options, read(names, options, output))
    if is_hdf5(output):
        sink: Sink = Hdf5Sink(
            output, RECONSTRUCTION_COLUMNS, embedder, command=options.command, overwrite=options.overwrite
        )
    else:
        sink = StructureSink(output, _reconstructed_record, overwrite=options.overwrite)
    errors: list[float] = []

    def compute(block: ConformerBlock) -> Result:
        result = embedder.embed(block, reconstruct=True)
        errors.extend(result["rmsd"].tolist())
        return result

    summary = run(blocks, compute, sink, embedder, options, verb="reconstruct")
    summary.notes += _elsewhere(embedder)
    if errors:
        summary.metrics = {"rmsd_mean": float(np.mean(errors)), "rmsd_median": float(np.median(errors))}
    return summary


def _elsewhere(embedder: Embedder) -> list[str]:
    """Which conformers another model would hold better, where the model was chosen by itself."""
    return embedder.watch.choice.elsewhere() if embedder.watch is not None else []


class Reasons:
    """How many records there are for what reason, in bounded memory.

    Args:
        kind_of: reasons that it maps to the same text count as one, which the first of them names.
    """

    def __init__(self, kind_of: Callable[[str], str] = kind_of) -> None:
        self._kind_of = kind_of
        self._count: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reasons: Iterable[str]) -> None:
        """Count the reasons of so many records."""
        for reason in reasons:
            kind = self._kind_of(reason)
            known = kind in self._first or len(self._first) < MAX_REASONS
            kind, first = (kind, reason) if known else (OTHER_REASONS, OTHER_REASONS)
            self._count[kind] += 1
            self._first.setdefault(kind, first)

    @property
    def total(self) -> int:
        """Records counted."""
        return self._count.total()

    def most_common(self) -> dict[str, int]:
        """The first reason of each kind, and how many there were of this kind."""
        return {self._first[kind]: count for kind, count in self._count.most_common()}


def run(
    blocks: Iterable[ConformerBlock],
    compute: Compute,
    sink: Sink,
    embedder: ModelInUse,
    options: Options,
    verb: str,
) -> Summary:
    """Read, compute, write, count.

    Where every record is refused the output is written all the same, empty but for the list of these.

    Raises:
        ConformerError: if a record is refused and ``on_error`` is "stop", or there is no record at all.
    """
    started = time.monotonic()
    summary = Summary(str(sink.path), model=embedder.checkpoint.name, model_sha256=embedder.checkpoint.sha256)
    if embedder.watch is not None:
        summary.model_choice = embedder.watch.choice.to_dict()
    reasons, outside = Reasons(), Reasons(rule_of)
    with sink, tqdm(desc=verb, unit=" conformers", disable=None if options.progress else True) as bar:
        for result in ordered_map(compute, blocks, embedder.workers):
            stop_at_refusal(result.block, options)
            sink.write(result)
            summary.written += len(result)
            summary.rejected += len(result.block.rejected)
            outside.add(filter(None, result["domain_reason"].tolist()))
            reasons.add(refused.reason for refused in result.block.rejected)
            bar.update(len(result) + len(result.block.rejected))
    summary.read = summary.written + summary.rejected
    summary.reasons = reasons.most_common()
    summary.out_of_domain, summary.domain_reasons = outside.total, outside.most_common()
    summary.rejected_in = sink.rejected_in() if summary.rejected else ""
    advice = embedder.watch.advice() if embedder.watch is not None else []
    summary.notes = [*options.notes.lines(), *advice, *sink.notes()]
    summary.seconds = time.monotonic() - started
    return summary


def read(
    inputs: Inputs, options: Options, output: Path, *, keep_text: bool = False
) -> Iterator[ConformerBlock]:
    """Blocks of conformers, with the text of their records if that is wanted or the output takes bonds from it."""
    keep_text = keep_text or structure_suffix(output) is not None
    return read_inputs(
        inputs, format=options.format, on_error=options.on_error, keep_text=keep_text, notes=options.notes
    )


def open_model(
    inputs: list[str], options: Options, blocks: Iterator[ConformerBlock]
) -> tuple[Embedder, Iterator[ConformerBlock]]:
    """The model of the options, or with "auto" the one that a look at the conformers chooses; and the conformers.

    Args:
        inputs: names of the inputs.
        options: of the command.
        blocks: read from the inputs.

    Raises:
        CheckpointError: if the model cannot be loaded.
        MolgiaeError: if a look is needed and the inputs cannot be read.
    """
    if options.model != AUTO_MODEL:
        return Embedder(options.model, device=options.device, batch_size=options.batch_size), blocks
    watch, blocks = choose_by_look(blocks, inputs, options.format)
    if options.tell is not None:
        options.tell(watch.choice.reason)
    embedder = Embedder(watch.choice.model, device=options.device, batch_size=options.batch_size)
    embedder.watch = watch
    return embedder, blocks


def stop_at_refusal(block: ConformerBlock, options: Options) -> None:
    """Raise a ConformerError for the first refused record, if that is what the user wants."""
    if options.on_error == "stop" and block.rejected:
        bad = block.rejected[0]
        raise ConformerError(bad.reason, source=bad.source, record=bad.record, title=bad.title, line=bad.line)


def output_path(
    inputs: list[str],
    options: Options,
    ending: str,
    structures: bool = True,
    tables: bool = False,
    matrices: bool = False,
) -> Path:
    """The output asked for, or one in the current directory named after the first input.

    Args:
        inputs: names of the inputs.
        options: of the command.
        ending: of the name that is derived.
        structures: whether SDF and XYZ can be written, too.
        tables: whether CSV and TSV can be written, too.
        matrices: whether npz can be written, too.

    Raises:
        ConfigError: if the name says no format that can be written, or the output is an input.
    """
    path = Path(options.output) if options.output is not None else Path(stem_of(inputs) + ending)
    rows = [(True, is_hdf5(path), [".h5"]), (tables, is_table(path), [".csv", ".tsv"])]
    rows += [(structures, structure_suffix(path) is not None, [".sdf", ".xyz"])]
    rows += [(matrices, is_matrix(path), [".npz"])]
    if not any(allowed and found for allowed, found, _ in rows):
        suffixes = [suffix for allowed, _, names in rows if allowed for suffix in names]
        raise ConfigError(f"{path}: end the name of the output in {' or '.join(suffixes)}")
    if path.exists() and any(os.path.exists(name) and path.samefile(name) for name in inputs):
        raise ConfigError(f"{path}: is an input, too; name another output with --output")
    return path


def stem_of(inputs: list[str]) -> str:
    """The first input without directories and suffixes."""
    first = inputs[0] if inputs else STDIN
    if first == STDIN:
        return "conformers"
    path = Path(first).resolve()
    name = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    return name or "conformers"


def _atoms(result: Result, m: int) -> tuple[Conformer, slice]:
    return result.block[m], slice(int(result.block.offset[m]), int(result.block.offset[m + 1]))


def _canonical_record(writer: StructureWriter, result: Result, m: int) -> None:
    conformer, atoms = _atoms(result, m)
    order, position = result["permutation"][atoms].astype(np.int64), result["canonical_position"][atoms]
    rotation = result["rotation"][m].T
    if writer.keeps_tables and not result["order_defined"][m]:
        z, isotope = conformer.atomic_number[order], conformer.isotope[order]

        def render(order: NDArray[np.int64], position: NDArray[np.float64]) -> str:
            return sdf_record(Conformer(z, position, isotope=isotope), order, conformer.text)

        order, position, turn = least_table(conformer.species[order], order, position, render)
        rotation = turn @ rotation
    writer.write(conformer, order=order, position=position, rotation=rotation)


def _reconstructed_record(writer: StructureWriter, result: Result, m: int) -> None:
    """The prediction in the order of the input; the bonds are those of the input."""
    conformer, atoms = _atoms(result, m)
    z = result["reconstructed_atomic_number"][atoms]
    missed = {"molgiae_types_wrong": str(int((z != conformer.atomic_number).sum()))}
    writer.write(
        conformer,
        position=result["reconstructed_position"][atoms],
        atomic_number=np.where(z == 0, conformer.atomic_number, z),
        properties={"molgiae_rmsd": f"{result['rmsd'][m]:.4f}", **missed},
    )
