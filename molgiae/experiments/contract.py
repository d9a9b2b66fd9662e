"""What an experiment is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from molgiae.errors import ConfigError


@dataclass(frozen=True)
class Setting:
    """What the user decides about a run, beside its configuration.

    Attributes:
        folder: where pictures go; exists.
        seed: of everything random.
        data: the file that an experiment asks for; None for one that generates its data.
        device: "cpu" or "cuda", for networks that take long.
        progress: show bars on stderr.
    """

    folder: Path
    seed: int = 0
    data: Path | None = None
    device: str = "cpu"
    progress: bool = False

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
    """A claim of the paper, or a limit set for this implementation, beside what was found.

    Attributes:
        what: is compared.
        value: found.
        limit: to reach.
        at_least: whether larger is better.
    """

    what: str
    value: float
    limit: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        """Whether the value is on the right side of the limit, or on it."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Findings:
    """What an experiment found.

    Attributes:
        figures: figures of merit, plain data.
        bars: of a full run; those of a fast one say little.
        pictures: PNG files written, names inside the folder.
    """

    figures: Mapping[str, Any]
    bars: tuple[Bar, ...]
    pictures: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; every bar says whether it is met."""
        return asdict(self) | {"bars": [asdict(bar) | {"met": bar.met} for bar in self.bars]}


class Module(Protocol):
    """A file of this package that is an experiment; CONFIG and FAST are frozen dataclasses of one type."""

    CONFIG: Any
    FAST: Any

    def run(self, config: Any, setting: Setting) -> Findings:
        """Make or read the data, train, measure, draw."""
