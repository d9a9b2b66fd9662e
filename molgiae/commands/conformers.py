"""The command that makes conformers of molecules: from SMILES, tables or SDF to SDF, XYZ or HDF5, resumable."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from molgiae.commands.outcomes import Reasons
from molgiae.commands.resume import Unfinished
from molgiae.commands.run import Options, output_path
from molgiae.commands.warmup import warmup
from molgiae.config import ConformerSearch
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.inputs import is_hdf5, listed
from molgiae.data.molecule_files import Columns, Molecule, read_molecules
from molgiae.data.partial import PartialFile
from molgiae.data.pieces import Share
from molgiae.data.readers import Inputs, read_blocks
from molgiae.data.sources import STDIN, stamps_of
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.output.files import rejected_table, write_rejected
from molgiae.parallel.processes import NoAnswerError, Workers, in_order
from molgiae.parallel.progress import ProgressFile, progress_bar
from molgiae.parallel.threads import free_cores

WORKER = "molgiae.commands.conformer_worker"


@dataclass
class GenerationSummary:
    """What `generate_conformers` made.

    Attributes:
        output: the file written.
        molecules: records found.
        written: molecules of which there are conformers.
        conformers: in the output.
        rejected: molecules without; molecules = written + rejected.
        reasons: how many were rejected for what reason; reasons that differ in numbers alone count as one.
        rejected_in: where these are listed; empty if there are none.
        resumed: molecules that an interrupted run had done.
        extended: molecules whose SMILES has a CXSMILES extension.
        found_finished: whether the same run had finished the output before, and nothing was done.
        seconds: wall time of this run.
    """

    output: str
    molecules: int = 0
    written: int = 0
    conformers: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejected_in: str = ""
    resumed: int = 0
    extended: int = 0
    found_finished: bool = False
    seconds: float = 0.0

    def count(self, note: dict[str, Any]) -> None:
        """Count a molecule by the note of what became of it."""
        self.molecules += 1
        self.written += "rejected" not in note
        self.rejected += "rejected" in note
        self.conformers += note.get("written", 0)
        self.extended += note.get("extended", False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def generate_conformers(
    inputs: Inputs,
    output: str | os.PathLike[str] = "conformers.sdf",
    search: ConformerSearch | None = None,
    *,
    format: str | None = None,
    columns: Columns | None = None,
    jobs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    command: str = "python",
    share: Share | None = None,
    **changes: Any,
) -> GenerationSummary:
    """Make conformers of every molecule, in the order of the input whatever the number of processes.

    Args:
        inputs: SMILES files, tables with SMILES, SDF, ``-`` for standard input; one or several.
        output: name that ends in .sdf, .xyz or .h5.
        search: how conformers are made.
        format: "smi", "csv" or "sdf"; None to go by the name.
        columns: of tables.
        jobs: processes; None for as many as cores.
        resume: continue an interrupted run; begin if there is none. What the same run has finished is left alone.
        overwrite: replace an existing output.
        progress: show a bar on stderr.
        command: the command line, for provenance.
        share: where the output is one part of a directory of results, what that is made from.
        **changes: fields of `ConformerSearch` by name, as in ``number=50``.

    Raises:
        MolgiaeError: whatever keeps the output from being written.

    Examples:
        >>> size = Path("ethanol.smi").write_text("CCO ethanol")
        >>> molgiae.generate_conformers("ethanol.smi", "ethanol.sdf", number=1, jobs=1).conformers
        1
    """
    started = time.monotonic()
    search = replace(search or ConformerSearch(), **changes)
    names = listed(inputs)
    path = output_path(names, Options(output=output), "")
    final = PartialFile(path, overwrite=overwrite or resume).final

    def molecules() -> Iterator[Molecule | Rejected]:
        return read_molecules(names, format=format, columns=columns)

    unfinished = Unfinished(final, _settings(names, search), resume=resume, overwrite=overwrite)
    if unfinished.outcome is not None:
        return GenerationSummary(**{**unfinished.outcome, "found_finished": True})
    total = sum(1 for _ in molecules()) if progress and STDIN not in names else None
    summary = GenerationSummary(str(path), resumed=len(unfinished.notes))
    for note in unfinished.notes:
        summary.count(note)
    if search.prune > 0:
        warmup()  # workers that compile, each for itself and in silence, would be late with their answers
    bar: Any = progress_bar(
        desc="conformers", unit=" molecules", total=total, initial=summary.resumed, show=progress
    )
    with unfinished, bar if share is None else ProgressFile(share.progress) as told:
        rest = islice(molecules(), summary.resumed, None)
        for text, note in _answers(rest, search, jobs or free_cores()):
            unfinished.append(text, note)
            summary.count(note)
            told.update()
            bar.set_postfix(conformers=summary.conformers, rejected=summary.rejected, refresh=False)
        if not summary.molecules and share is None:
            raise ConformerError("holds no molecules", source=", ".join(names))
    rejected = [Rejected(**note["rejected"]) for note in unfinished.notes if "rejected" in note]
    where = _publish(unfinished.text, final, rejected, overwrite=overwrite, command=command)
    summary.rejected_in = where.replace(str(final), str(path))
    reasons = Reasons()
    reasons.add(bad.reason for bad in rejected)
    summary.reasons = reasons.most_common()
    summary.seconds = time.monotonic() - started
    unfinished.finish(summary.to_dict())
    return summary


def finished_before(
    inputs: Inputs, output: str | os.PathLike[str], search: ConformerSearch | None = None, **changes: Any
) -> GenerationSummary | None:
    """Return what became of the molecules if the same run, one that may be resumed, has made the output; else None."""
    search = replace(search or ConformerSearch(), **changes)
    try:
        found = Unfinished(Path(output), _settings(listed(inputs), search), resume=True, overwrite=False)
    except ConfigError:
        return None
    return None if found.outcome is None else GenerationSummary(**found.outcome)


def _settings(names: Sequence[str], search: ConformerSearch) -> dict[str, Any]:
    return {**search.to_dict(), "inputs": stamps_of(names)}


def _answers(
    molecules: Iterable[Molecule | Rejected], search: ConformerSearch, jobs: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the text of the records of each molecule and the note of what became of it, in order."""
    workers = Workers(jobs, WORKER, search.to_dict(), search.time_limit)

    def work(molecule: Molecule | Rejected) -> tuple[str, dict[str, Any]]:
        if isinstance(molecule, Rejected):
            return "", {"rejected": asdict(molecule)}
        question = {name: getattr(molecule, name) for name in ("text", "is_smiles", "title")}
        try:
            answer = workers.ask(question)
        except NoAnswerError as error:
            answer = {"reason": str(error)}
        kind = {"extended": True} if molecule.is_extended else {}
        if "reason" not in answer:
            return answer["sdf"], {"written": answer["written"], **kind}
        bad = Rejected(molecule.source, molecule.record, molecule.title, molecule.line, answer["reason"])
        return "", {"rejected": asdict(bad), **kind}

    return in_order(workers, jobs, work, molecules)


def _publish(text: Path, path: Path, rejected: list[Rejected], *, overwrite: bool, command: str) -> str:
    """Give the output its name and format, and list what was rejected; return where, empty if nothing was."""
    if is_hdf5(path):
        with Hdf5Writer(path, columns=(), command=command, overwrite=overwrite) as file:
            for block in _read_back(text, path):
                file.append(block)
            file.append(ConformerBlock.of([], rejected))
        return f"{path}: group rejected" if rejected else ""
    table = rejected_table(path)
    write_rejected(table, rejected)
    if path.suffix.lower() in (".sdf", ".sd"):
        try:
            os.replace(text, path)
        except OSError as error:
            raise MolgiaeError(f"{path}: cannot be written: {error.strerror or error}") from error
    else:
        with StructureWriter(path, overwrite=overwrite) as writer:
            for conformer in (c for block in _read_back(text, path) for c in block):
                writer.write(conformer)
    return str(table) if rejected else ""


def _read_back(text: Path, path: Path) -> Iterator[ConformerBlock]:
    """Read what was made, as of the output; nothing where no molecule has conformers."""
    if text.stat().st_size:
        for block in read_blocks(text, format="sdf", check_geometry=False):
            yield replace(block, source=[str(path)] * len(block))
