"""Dataclasses of configuration that travel as plain data, in checkpoints and JSON, and check what comes back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from molgiae.errors import ConfigError


class Plain:
    """A dataclass whose fields are numbers, words, flags, and tuples of them."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the configuration that `to_dict` made plain data of.

        Raises:
            ConfigError: if a key is unknown or missing, or a value of the wrong type or not finite.
        """
        kinds = get_type_hints(cls)
        if unknown := sorted(set(data) - set(kinds)):
            raise ConfigError(
                f"{cls.__name__} has no {', '.join(unknown)}; known are {', '.join(sorted(kinds))}"
            )
        values = {key: _tuples(value) for key, value in data.items()}
        for key, value in values.items():
            if not _fits(value, kinds[key]):
                raise ConfigError(f"{cls.__name__} has {key}={value!r:.60}; expected {_named(kinds[key])}")
        try:
            return cls(**values)
        except TypeError as error:  # a value that has no default is missing
            raise ConfigError(f"{cls.__name__}: {error}") from error

    def _check(self, names: str, wanted: str, fits: Callable[[Any], bool]) -> None:
        """Raise a ConfigError for the first of the named fields that has a value and does not fit."""
        for name in names.split():
            value = getattr(self, name)
            if value is not None and not fits(value):
                raise ConfigError(f"{name}={value!r}: must be {wanted}")

    def _check_positive(self, names: str) -> None:
        self._check(names, "positive", lambda value: value > 0)

    def _check_at_least(self, least: int, names: str) -> None:
        self._check(names, f"at least {least}", lambda value: value >= least)

    def _check_choice(self, name: str, known: tuple[str, ...]) -> None:
        self._check(name, f"one of {', '.join(known)}", lambda value: value in known)


def _tuples(value: Any) -> Any:
    """Return lists as they come from JSON, and those within them, as tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _fits(value: object, kind: Any) -> bool:
    """Return whether a value is of an annotated type; whole numbers are floats, too."""
    options = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, option) for option in options)
    if get_origin(kind) is Literal:
        return value in options
    if get_origin(kind) is tuple:
        wanted = options[:1] * len(value) if isinstance(value, tuple) and options[-1] is ... else options
        return isinstance(value, tuple) and len(value) == len(wanted) and all(map(_fits, value, wanted))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
