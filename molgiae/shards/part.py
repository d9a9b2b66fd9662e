"""One part of a directory of results: what it is called, whether it is there, how it is made."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Self

from molgiae import __version__
from molgiae.commands.outcomes import Summary
from molgiae.data.hdf5.checks import head_of
from molgiae.data.hdf5.dataset import OF_PART, is_dataset, part_name
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.schema import SCHEMA_VERSION
from molgiae.data.pieces import Share, piece_of
from molgiae.data.sources import stamps_of
from molgiae.errors import ConfigError, MolgiaeError
from molgiae.model.header import Kind, sha256_of
from molgiae.model.shipped import locate
from molgiae.shards.plan import Plan

PROGRESS, PROBES = ".progress", ".probes"
"""Folders in a directory of results, of what is under way and of trials."""
NO_TRACE = ("device",)
"""Settings that are not asked whether a part is what it should be."""

Plain = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A command that can be run in shards, by the names of functions, which are not imported before they are needed.

    Attributes:
        run: of inputs, output, options and further arguments by name.
        load: loads the model that stands in the argument ``model``; empty where none takes part.
        is_fine_tuned: whether that is a model of properties.
    """

    run: str
    load: str = ""
    is_fine_tuned: bool = False


_AUTOENCODER = "molgiae.model.checkpoint:load"
COMMANDS: dict[str, Command] = {
    "embed": Command("molgiae.commands.embed:embed", _AUTOENCODER),
    "canonicalize": Command("molgiae.commands.canonicalize:canonicalize"),
    "reconstruct": Command("molgiae.commands.reconstruct:reconstruct", _AUTOENCODER),
    "conformers": Command("molgiae.commands.conformers:generate_conformers"),
    "dedup": Command("molgiae.commands.dedup:deduplicate"),
    "deal": Command("molgiae.shards.dealing:deal"),
    "predict": Command("molgiae.commands.predict:predict", "molgiae.properties.predictor:Predictor", True),
}


@dataclass(frozen=True)
class Job:
    """A run in shards; the same words make the same parts.

    Attributes:
        command: a row of `COMMANDS`.
        inputs: files and directories.
        directory: where the parts go.
        shards: their number.
        how: further arguments of the command, which JSON can hold.
    """

    command: str
    inputs: tuple[str, ...]
    directory: str
    shards: int
    how: Plain

    @classmethod
    def from_dict(cls, plain: Plain) -> Self:
        """Return the job that `to_dict` was of."""
        return cls(**{**plain, "inputs": tuple(plain["inputs"])})

    def to_dict(self) -> Plain:
        """Return plain data for JSON."""
        return asdict(self)

    @cached_property
    def plan(self) -> Plan:
        """What each part is made from."""
        return Plan(self.inputs, self.shards, self.how.get("format"))

    @cached_property
    def model_sha256(self) -> str:
        """Digest of the model, which is not loaded for it; empty where none takes part."""
        of = COMMANDS[self.command]
        kind = Kind.PROPERTY if of.is_fine_tuned else Kind.AUTOENCODER
        return sha256_of(locate(self.how["model"], kind)) if of.load else ""

    @cached_property
    def arguments(self) -> Plain:
        """Arguments of the command, the model loaded."""
        of = COMMANDS[self.command]
        if not of.load:
            return self.how
        device = {"device": self.how["device"]} if of.is_fine_tuned and "device" in self.how else {}
        return {**self.how, "model": resolve_name(of.load)(self.how["model"], **device)}

    def path(self, k: int) -> Path:
        """Return the file of part k."""
        return Path(self.directory, part_name(k, self.shards))

    def progress(self, k: int) -> Path:
        """Return the file that says how far part k is."""
        return Path(self.directory, PROGRESS, str(k))

    def inputs_of(self, k: int) -> list[str]:
        """Return the names of the files and pieces that part k is made from."""
        return self.plan.inputs_of(k)

    def key_of(self, k: int) -> str:
        """Return the digest of what part k is made from: files by size and time of change, and what `digest` adds."""
        names = self.inputs_of(k)
        files = dict.fromkeys(piece_of(name).file for name in names)
        parts = (
            sorted(map(str, Path(file).glob("part-*.h5"))) if is_dataset(file) else [file] for file in files
        )
        return self.digest([names, stamps_of(chain.from_iterable(parts))])

    def digest(self, made_of: list[Any]) -> str:
        """Return the digest of this and of what all parts have in common: command, settings, model, version."""
        settings = {name: value for name, value in self.how.items() if name not in NO_TRACE}
        common = [__version__, SCHEMA_VERSION, self.command, settings, self.model_sha256]
        return hashlib.sha256(json.dumps([*common, *made_of], sort_keys=True).encode()).hexdigest()

    @property
    def first(self) -> Job | None:
        """A run in shards that has to be complete before the parts of this one are made."""
        return None

    def is_ready(self, k: int) -> bool:
        """Return whether part k is made, and what else a later run needs of it."""
        return self.is_made(k)

    def finish(self) -> None:
        """Remove what nothing needs once all parts are made."""

    def counts(self, k: int) -> tuple[int, int]:
        """Return the conformers of part k, and how many records were rejected."""
        head = head_of(self.path(k))
        return head.conformers, head.rejected

    def reasons(self, k: int) -> list[str]:
        """Return why records of part k were rejected, a reason for each."""
        with EmbeddingFile(self.path(k)) as file:
            return [bad.reason for bad in file.rejected()]

    def is_made(self, k: int) -> bool:
        """Return whether part k is there and made from what it should be."""
        try:
            made_of = head_of(self.path(k)).attributes.get(OF_PART)
        except MolgiaeError:  # not there, or damaged
            return False
        return made_of == self.key_of(k)

    def make(self, k: int, names: Sequence[str] | None = None) -> Plain:
        """Make part k, counted from 1, and return its summary as plain data.

        Args:
            k: its number.
            names: its inputs, if these are not those of the plan: the same records, of which some are passed over.
        """
        return self._run(names or self.inputs_of(k), self.path(k), self.key_of(k), str(self.progress(k)))

    def probe(self, names: Sequence[str]) -> None:
        """Compute some inputs for nothing; whoever asks sees whether the process survives it."""
        folder = Path(self.directory, PROBES)
        folder.mkdir(exist_ok=True)
        path = folder / f"{hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()[:16]}.h5"
        try:
            self._run(names, path, "probe", str(path.with_suffix(".progress")))
        finally:
            path.unlink(missing_ok=True)

    def _run(self, names: Sequence[str], path: Path, key: str, progress: str) -> Plain:
        cut = tuple(name for name in names if piece_of(name).stop is not None)
        told = {"output": path, "overwrite": True, "command": self.told(names)}
        run = resolve_name(COMMANDS[self.command].run)
        summary: Summary = run(inputs=list(names), **self.arguments, **told, share=Share(key, cut, progress))
        return summary.to_dict()

    def told(self, names: Sequence[str]) -> str:
        """Return the command that makes the same conformers, for provenance: not the one that happened to run."""
        options = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={_written(value)}")
            for name, value in sorted(self.how.items())
            if name not in NO_TRACE and value is not False and value != []
        ]
        return shlex.join(["molgiae", self.command, *names[:1], *["..."] * (len(names) > 1), *options])


def _written(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def one_of(text: str) -> tuple[int, int]:
    """Return the part and the number of parts that ``7/64`` names.

    Raises:
        ConfigError: if it names none.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(f"shard {text!r}: give the number of a part and that of all parts, such as 7/64")
    return int(found[1]), int(found[2])
