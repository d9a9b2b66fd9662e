"""Conformers with their embeddings by one model: those of files that hold some, or computed on reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.nearest import By, Measure, measure_of, parts_by
from molgiae.commands.run import Options, molecule_names, read, stop_at_rejected
from molgiae.config import AUTO_MODEL
from molgiae.data.blocks import BLOCK_ROWS, Result
from molgiae.data.conformer import Rejected
from molgiae.data.given import Taken, names_of
from molgiae.data.hdf5.decoded import DECODED_COLUMNS, DECODED_RMSD, RECONSTRUCTED_RMSD, decoded_rmsd_in
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.hdf5.schema import EMBEDDING_COLUMNS
from molgiae.data.inputs import is_stored
from molgiae.data.spool import Spool
from molgiae.errors import ConfigError, ConformerError
from molgiae.model.checkpoint import load
from molgiae.model.decoded import within_range
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import check_one_model, model_of
from molgiae.output.files import ModelInUse
from molgiae.parts import PARTS, Part, chosen_parts, parts_of
from molgiae.properties.averaging import Energies

DOMAIN = ("in_domain", "domain_reason")
SAID = (*DOMAIN, *DECODED_COLUMNS)
"""What is said of the domain of each conformer; the last ones where the decoder was asked."""


class OneModel:
    """Reads conformers with the parts of their embeddings that are compared, all of one model.

    That is the model of the files that hold embeddings, if there are any, else that of the options.

    Args:
        names: all files that will be read.
        options: of the command.
        by: what is compared.
        atoms: whether the conformers are needed, or their names are enough.

    Attributes:
        model: the model, once something was read.

    Raises:
        CheckpointError: if files are of unlike models, or of another one than the options name.
    """

    def __init__(self, names: Sequence[str], options: Options, by: By, *, atoms: bool = True) -> None:
        self.model = ModelInUse("", "")
        self._options, self._by, self._atoms = options, by, atoms
        self._embedder: Embedder | None = None
        with ExitStack() as stack:
            here = [name for name in names if is_stored(name)]
            files = [stack.enter_context(open_stored(name)) for name in here]
            self._stored = {name for name, file in zip(here, files, strict=True) if file.dimension}
            stored = [file for file in files if file.dimension]
            check_one_model(stored)
            if not stored:
                return
            self.model = _model_in(stored[0])
            if all(decoded_rmsd_in(file.columns) for file in stored):
                self.model = replace(self.model, checks=True)
            if options.model != AUTO_MODEL or len(here) < len(names) or len(stored) < len(here):
                # others are embedded with it, or the user says which it is
                self._options = replace(options, model=model_of(stored[0], options.model))

    def results(self, taken: Taken, *, keep_text: bool = False) -> Iterator[Result]:
        """Yield blocks with the columns ``embedding``, ``in_domain`` and ``domain_reason``.

        Files of which all were checked bring `DECODED_COLUMNS`, too.

        Args:
            taken: files, of those named at the start, or conformers.
            keep_text: whether the text of the records is needed.

        Raises:
            ConfigError: if embeddings lack what is compared, or have unlike parts.
            ConformerError: for the first rejected record, if that is what the options want.
        """
        names = names_of(taken)
        stored = [name for name in names if name in self._stored]
        if 0 < len(stored) < len(names):
            other = next(name for name in names if name not in stored)
            raise ConfigError(f"{stored[0]} holds embeddings and {other} does not; embed that first")
        found = self._of_files(stored) if stored else self._embedded(taken, keep_text=keep_text)
        for result in found:
            stop_at_rejected(result.block, self._options)
            yield result

    def _of_files(self, names: list[str]) -> Iterator[Result]:
        columns = []
        for name in names:
            with open_stored(name) as file:
                self._take(file.parts, PARTS, name)
                columns.append(
                    np.concatenate([np.r_[file.part(part.name).columns] for part in self.model.parts])
                )
        found = _rows_of(
            names, columns, (*SAID, RECONSTRUCTED_RMSD) if self.model.checks else DOMAIN, atoms=self._atoms
        )
        yield from map(_with_domain, map(_checked, found) if self.model.checks else found)

    def _embedded(self, taken: Taken, *, keep_text: bool) -> Iterator[Result]:
        blocks = read(taken, self._options, None, keep_text=keep_text)
        if self._embedder is None:
            checkpoint = load(self._options.model)
            if not self.model.parts:
                parts = checkpoint.model.config.parts
                self._take(parts, [part.name for part in parts], f"model {checkpoint.name}")
            self._embedder = Embedder(
                checkpoint,
                device=self._options.device,
                batch_size=self._options.batch_size,
                parts=[part.name for part in self.model.parts],
                check=False,
            )
            self.model = ModelInUse.of(self._embedder)
        yield from map(self._embedder.embed, blocks)

    def _take(self, parts: Sequence[Part], of_model: Collection[str], whose: str) -> None:
        """Note which parts are compared; the same everywhere."""
        wanted = parts_by(self._by, [part.name for part in parts], of_model, whose)
        own = parts_of({part.name: part.size for part in parts if part.name in wanted})
        if self.model.parts and own != self.model.parts:
            here, before = (", ".join(part.name for part in some) for some in (own, self.model.parts))
            raise ConfigError(
                f"{whose}: its embeddings have the parts {here}, those before it {before}; name one with --by"
            )
        self.model = replace(self.model, parts=own)


def _with_domain(result: Result) -> Result:
    """Return a result that says of every conformer whether it is in the domain; where that is not known, it is."""
    missing: dict[str, Any] = {
        "in_domain": np.ones(len(result), np.uint8),
        "domain_reason": np.full(len(result), "", object),
    }
    return Result(result.block, missing | result.columns)


def joined(
    names: list[str], parts: str | Iterable[str] | None, *, atoms: bool = True, check: bool = True
) -> tuple[ModelInUse, Iterator[Result]] | None:
    """Return the model of HDF5 files and what they hold of it; None unless all of them hold embeddings.

    Args:
        names: of the files.
        parts: of the embedding that are wanted; None for all.
        atoms: whether all columns are wanted, or the embeddings and names alone.
        check: whether whole embeddings keep what the decoder said of them, as of `molgiae.model.decoded`.

    Raises:
        CheckpointError: if files are of unlike models.
        ConfigError: if embeddings have unlike parts, or not those that are wanted, or some were checked and others not.
    """
    if not all(is_stored(name) for name in names):
        return None
    with ExitStack() as stack:
        files = [stack.enter_context(open_stored(name)) for name in names]
        needed = EMBEDDING_COLUMNS if atoms else ("embedding",)
        if not files or not all(set(needed) <= set(file.columns) for file in files):
            return None
        check_one_model(files)
        of_files = [
            file.parts if parts is None else chosen_parts(file.parts, parts, str(file.path)) for file in files
        ]
        sizes = [{part.name: part.size for part in found} for found in of_files]
        columns = [np.concatenate([np.r_[part.columns] for part in found]) for found in of_files]
        for name, here in zip(names, sizes, strict=True):
            if here != sizes[0]:
                raise ConfigError(
                    f"{name}: its embeddings have the parts {', '.join(here)}, those of {names[0]} "
                    f"{', '.join(sizes[0])}; name those that both have with --parts"
                )
        check = check and of_files == [file.parts for file in files] and _are_checked(files)
        model = replace(_model_in(files[0]), parts=parts_of(sizes[0]), checks=check)
    wanted = (
        *(EMBEDDING_COLUMNS if atoms else DOMAIN),
        *((*DECODED_COLUMNS, RECONSTRUCTED_RMSD) if check else ()),
    )
    found = map(_checked if check else _unchecked, _rows_of(names, columns, wanted, atoms=atoms))
    return model, found if atoms else map(_with_domain, found)


def _are_checked(files: Sequence[Embeddings]) -> bool:
    """Return whether the decoder was asked of all files; an error where it was of some."""
    asked = {decoded_rmsd_in(file.columns) is not None: file.path for file in files}
    if len(asked) > 1:
        raise ConfigError(
            f"{asked[False]}: has no {' and '.join(DECODED_COLUMNS)}, as {asked[True]} has; embed it again with "
            "--model, or leave these out of all with --no-check"
        )
    return True in asked


def _checked(result: Result) -> Result:
    """Return a result with the RMSD under the name that it has beside embeddings."""
    columns = dict(result.columns)
    columns[DECODED_RMSD] = columns.pop(decoded_rmsd_in(columns) or DECODED_RMSD).astype(np.float32)
    return Result(result.block, columns)


def _unchecked(result: Result) -> Result:
    """Return a result whose conformers are in the domain if they are within its ranges."""
    if not set(DOMAIN) <= set(result):
        return result
    reasons = within_range(result["domain_reason"])
    flags = np.where(reasons == result["domain_reason"], result["in_domain"], 1).astype(np.uint8)
    return Result(result.block, result.columns | dict(zip(DOMAIN, (flags, reasons), strict=True)))


def _model_in(file: Embeddings) -> ModelInUse:
    return ModelInUse(str(file.attributes["model"]), str(file.attributes["model_sha256"]))


def _rows_of(
    names: Sequence[str], columns: Sequence[NDArray[np.int64]], datasets: Collection[str], *, atoms: bool
) -> Iterator[Result]:
    """Yield what files hold, of each embedding some columns, and of the datasets those that are there."""
    empty = True
    for name, chosen in zip(names, columns, strict=True):
        with open_stored(name) as file:
            for first in range(0, len(file), BLOCK_ROWS):
                rows = first, first + BLOCK_ROWS
                values = {key: file.column(key, *rows) for key in datasets if key in file.columns}
                values["embedding"] = file.column("embedding", *rows)[:, chosen]
                empty = False
                yield Result((file.block if atoms else file.labels)(*rows), values)
    if empty:
        raise ConformerError("holds no conformers", source=", ".join(names))


@dataclass
class Pool:
    """Conformers with what of their embeddings is compared in memory, and all else on disk.

    Args:
        file: temporary file, open for writing and reading.
        path: what they are from, for messages.

    Attributes:
        embedding: (n, D) float32.
        parts: of the embedding.
        names: of the molecule of each, see `molgiae.commands.run.molecule_names`.
        rejected: records that were rejected.
        spool: blocks, with those of `SAID` that there are.
    """

    file: IO[bytes]
    path: str
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    parts: tuple[Part, ...] = ()
    names: list[str] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spool = Spool[Result](self.file)

    def __len__(self) -> int:
        return len(self.embedding)

    @property
    def dimension(self) -> int:
        """D."""
        return self.embedding.shape[1]

    def part(self, name: str) -> Part:
        """Return the part of this name."""
        return chosen_parts(self.parts, [name], self.path)[0]

    def column(self, name: str, first: int, last: int, columns: slice = slice(None)) -> NDArray[np.float32]:
        """Return rows and columns of the embedding."""
        return self.embedding[first:last, columns]

    def fill(
        self,
        model: OneModel,
        taken: Taken,
        options: Options,
        *,
        keep_text: bool,
        energies: Energies | None = None,
    ) -> None:
        """Take all conformers; arguments and errors are those of `OneModel.results`.

        Conformers without one of the energies are rejected; a ConfigError if no record has any.
        """
        embeddings: list[NDArray[np.float32]] = []
        with options.bar("read") as bar:
            for result in model.results(taken, keep_text=keep_text):
                if energies is not None and len(result) and not embeddings:
                    energies.require(result.block)
                reasons = [energies.fault(c) if energies is not None else "" for c in result.block]
                left = result.block.reject({m: reason for m, reason in enumerate(reasons) if reason})
                stop_at_rejected(left, options)
                kept = np.array([not reason for reason in reasons], bool)
                block = replace(left, rejected=[])
                self.rejected += left.rejected
                self.names += molecule_names(block)
                embeddings.append(result["embedding"][kept])
                self.spool.add(Result(block, {key: result[key][kept] for key in SAID if key in result}))
                bar.update(len(block) + len(left.rejected))
        self.parts = model.model.parts
        if embeddings:
            self.embedding = np.concatenate(embeddings)

    def measure(self, by: By) -> Measure:
        """Return how embeddings are compared."""
        return measure_of(self, by, [part.name for part in self.parts])

    def blocks(self) -> Iterator[tuple[int, Result]]:
        """Yield the blocks, each with the number of its first conformer."""
        return self.spool.blocks()
