"""What became of the records that a command read, and why some were rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from molgiae.data.conformer import kind_of

MAX_REASONS, OTHER_REASONS = 1000, "other reasons"
"""Kinds of reasons that are told apart, and what all others count as."""


@dataclass
class Outcome:
    """What became of the records that a command read.

    Attributes:
        output: the file written; empty if none was asked for.
        read: records found.
        rejected: records rejected.
        reasons: how many were rejected for what reason; reasons that differ in numbers alone count as one, which
            the first of them names.
        seconds: wall time.
        notes: what else the command has to say, a line each.
    """

    output: str
    read: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


@dataclass
class OutcomeWithTable(Outcome):
    """An outcome of which rejected records are listed somewhere.

    Attributes:
        rejected_in: where; empty if there are none.
    """

    rejected_in: str = ""


@dataclass
class Summary(OutcomeWithTable):
    """What a file-to-file command did.

    Attributes:
        written: conformers in the output; read = written + rejected.
        model: name of the model; empty if none was used.
        model_sha256: sha256 of its file.
        out_of_domain: conformers written although outside of what the model was trained on, or not decoded.
        domain_reasons: how many of these for what reason, named by the rule of `model.domain` and the first case.
        not_decoded: conformers that do not come back from their embeddings, see `molgiae.model.decoded`, whatever their
            reason; None where that was not checked.
        metrics: figures of the command, angstrom.
    """

    written: int = 0
    model: str = ""
    model_sha256: str = ""
    out_of_domain: int = 0
    domain_reasons: dict[str, int] = field(default_factory=dict)
    not_decoded: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def count_not_decoded(self, more: int | None) -> None:
        """Add conformers that do not come back; None where that was not checked."""
        if more is not None:
            self.not_decoded = (self.not_decoded or 0) + more

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, silent of models and their domains where no model took part."""
        plain = super().to_dict()
        return plain if self.model else {key: value for key, value in plain.items() if key not in _OF_MODEL}


_OF_MODEL = {"model", "model_sha256", "out_of_domain", "domain_reasons", "not_decoded"}


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
        """Count one reason for each record."""
        for reason in reasons:
            kind = self._kind_of(reason)
            known = kind in self._first or len(self._first) < MAX_REASONS
            kind, first = (kind, reason) if known else (OTHER_REASONS, OTHER_REASONS)
            self._count[kind] += 1
            self._first.setdefault(kind, first)

    @property
    def total(self) -> int:
        """Number of records counted."""
        return self._count.total()

    def most_common(self) -> dict[str, int]:
        """Return the first reason of each kind, and how many there were of this kind."""
        return {self._first[kind]: count for kind, count in self._count.most_common()}
