"""What an experiment is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from molgiae.errors import ConfigError

T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True)
class Setting:
    """What the user decides about a run, beside its configuration."""

    folder: Path  # where pictures go; exists
    seed: int = 0  # of everything random
    data: Path | None = None  # the file that an experiment asks for; None for one that generates its data
    device: str = "cpu"  # or "cuda", for networks that take long
    progress: bool = False  # show bars on stderr

    @property
    def file(self) -> Path:
        """The data, for an experiment that needs some.

        Raises:
            ConfigError: if no file was named.
        """
        if self.data is None:
            raise ConfigError("the experiment needs a file of data; name it with --data")
        return self.data


@dataclass(frozen=True)
class Bar:
    """A claim of the paper, or a limit set for this implementation, beside what was found."""

    what: str  # is compared
    value: float  # found
    limit: float  # to reach
    at_least: bool = True  # whether larger is better

    @property
    def met(self) -> bool:
        """The value is on the right side of the limit, or on it."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Findings:
    """What an experiment found."""

    figures: Mapping[str, Any]  # of merit, plain data
    bars: tuple[Bar, ...]  # of a full run; those of a fast one say little
    pictures: tuple[str, ...]  # PNG files written, names inside the folder

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, in which every bar says whether it is met."""
        return asdict(self) | {"bars": [asdict(bar) | {"met": bar.met} for bar in self.bars]}


def sized(full: T, fast: T) -> T:
    """Return the default of an option of a configuration, with another value for the small one."""
    return field(default=full, metadata={"fast": fast})


def both(configuration: type[C]) -> tuple[C, C]:
    """Return the full and the small configuration of a dataclass, see `sized`."""
    small = {
        each.name: each.metadata["fast"]
        for each in fields(cast(Any, configuration))
        if "fast" in each.metadata
    }
    return configuration(), configuration(**small)


class Module(Protocol):
    """A file of this package that is an experiment; CONFIG and FAST are frozen dataclasses of one type."""

    CONFIG: Any
    FAST: Any

    def run(self, config: Any, setting: Setting) -> Findings:
        """Make or read the data, train, measure, draw."""
