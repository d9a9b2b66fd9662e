"""The named parts of an embedding: columns that mean something by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from molgiae.errors import ConfigError


@dataclass(frozen=True)
class Part:
    """Columns of an embedding that mean something by themselves.

    Attributes:
        name: one of `PARTS`.
        start: its first column.
        stop: the column after its last.
    """

    name: str
    start: int
    stop: int

    @property
    def columns(self) -> slice:
        """The columns, as what indexes an array."""
        return slice(self.start, self.stop)

    @property
    def size(self) -> int:
        """The number of its columns."""
        return self.stop - self.start

    @property
    def unit(self) -> str:
        """Unit of its numbers, as the attributes of files have it."""
        return PARTS[self.name][0]

    @property
    def meaning(self) -> str:
        """What is read from its numbers, in words."""
        return PARTS[self.name][1]

    def to_dict(self) -> dict[str, str | int]:
        """Return name, start, stop, unit and meaning as plain data."""
        return asdict(self) | {"unit": self.unit, "meaning": self.meaning}


PARTS: dict[str, tuple[str, str]] = {
    "features": ("1", "for learning properties; near ones are alike in chemistry, of any molecules"),
    "overlay": (
        "angstrom^1.5",
        "for comparing any molecules: inner products are overlap volumes of two, superposed",
    ),
    "color": ("angstrom^1.5", "for comparing any molecules: the same of their pharmacophore features"),
    "shape": ("angstrom", "for comparing conformers of one molecule: distances are symmetry-corrected RMSDs"),
    "detail": ("1", "for decoding alone: its distances mean nothing"),
}
"""Parts of embeddings in their order: unit, and what is read from them."""

WHAT_FOR = (
    "Learn properties from features; compare any two molecules by overlay and color; compare conformers of one "
    "molecule by shape, whose distances are RMSDs. Between different formulas distances of shape are no RMSDs, and "
    "distances of detail, and so of whole embeddings, mean nothing anywhere."
)
"""What the parts are for, as commands and pages say it; a test compares."""


TOGETHER = {"features": 4.0}
"""How much a part counts where all smooth ones are compared together, each divided by its spread; others count once.

Of 1 to 6 the least with which the nearest neighbours of 95 % of drug-like validation conformers are conformers of the
same molecule (71 % with 1): features alone tell molecules apart, all others tell conformers.
"""

COLOR_SHARE = 0.2
"""Weight of the color part's Tanimoto beside that of the overlay part in estimates of their combination.

What colors share is hard to tell from two vectors (rank correlation 0.40 on validation molecules), and errors of the
estimate spread more than it does. Of 0 to 1 this weight ranks pairs of validation molecules best: 0.82, 0.74 with 1.
"""


def parts_of(sizes: Mapping[str, int]) -> tuple[Part, ...]:
    """Return the parts of so many columns each, in the order of `PARTS`, without empty ones."""
    found, start = [], 0
    for name in PARTS:
        if size := sizes.get(name, 0):
            found.append(Part(name, start, start + size))
            start += size
    return tuple(found)


def column_names(parts: Iterable[Part]) -> list[str]:
    """Return a name for each column of an embedding of these parts, as in ``shape_0``, for tables."""
    return [f"{part.name}_{k}" for part in parts for k in range(part.size)]


def chosen_parts(parts: Sequence[Part], names: str | Iterable[str], whose: str) -> tuple[Part, ...]:
    """Return those of some parts that are named, in the order of the parts.

    Args:
        parts: to choose from.
        names: of parts, one after the other or as a text with commas between them.
        whose: what has the parts, for messages.

    Raises:
        ConfigError: if there is no such part, or none is named.
    """
    words = names.split(",") if isinstance(names, str) else names
    wanted = [word.strip() for word in words if word.strip()]
    known = ", ".join(part.name for part in parts)
    if unknown := [name for name in wanted if all(name != part.name for part in parts)]:
        raise ConfigError(f"{whose}: the embedding has no part {', '.join(unknown)}; its parts are {known}")
    if not wanted:
        raise ConfigError(f"{whose}: no part of the embedding is named; its parts are {known}")
    return tuple(part for part in parts if part.name in wanted)
