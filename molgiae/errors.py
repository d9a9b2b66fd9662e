"""Every error a user can meet. A message says where, what was found, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Sequence

_LINE_ENDS = {ord(end): " " for end in "\n\r"}


class MolgiaeError(Exception):
    """The root of all errors raised on purpose, whose messages are one line, whatever a file put into them.

    Examples:
        >>> try:
        ...     molgiae.embed("conformer.sdf", output="a.h5")
        ... except molgiae.MolgiaeError as error:
        ...     print(error)
        conformer.sdf: no such file or directory
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.translate(_LINE_ENDS))


class ConfigError(MolgiaeError):
    """An option or configuration value that cannot work."""


class CheckpointError(MolgiaeError):
    """A checkpoint that is missing, damaged, too new or of another kind."""


class ShapeError(MolgiaeError):
    """A tensor whose shape does not fit the contract."""


class ConformerError(MolgiaeError):
    """A record that cannot be read or embedded.

    Attributes:
        reason: what is wrong and what was expected, one line.
        source: file name, or ``-`` for standard input.
        record: number of the record in its source, from 1; 0 if unknown.
        title: title of the record, as far as it was read.
        line: line number in the source, from 1; 0 if unknown.
    """

    def __init__(
        self, reason: str, *, source: str = "", record: int = 0, title: str = "", line: int = 0
    ) -> None:
        self.reason, self.source, self.record, self.title, self.line = reason, source, record, title, line
        super().__init__(reason)

    def __str__(self) -> str:
        where = self.source or "conformer"
        if self.record:
            where += f", record {self.record}"
        if self.line:
            where += f", line {self.line}"
        if self.title:
            where += f" ({self.title})"
        return f"{where}: {self.reason}".translate(_LINE_ENDS)


def check_shape(name: str, shape: Sequence[int], expected: Sequence[int | str]) -> None:
    """Compare a shape with a pattern such as ``("B", "n", 3)``.

    Letters stand for any size, the same letter for the same size; ``"..."`` in front for any leading axes.

    Raises:
        ShapeError: naming the tensor, the shape found and the shape expected.
    """
    found, pattern = list(shape), list(expected)
    if pattern and pattern[0] == "...":
        pattern = pattern[1:]
        found = found[max(len(found) - len(pattern), 0) :]
    bound: dict[str, int] = {}
    fits = len(found) == len(pattern) and all(
        size == want if isinstance(want, int) else bound.setdefault(want, size) == size
        for size, want in zip(found, pattern, strict=False)
    )
    if not fits:
        raise ShapeError(f"{name} has shape {tuple(shape)}, expected ({', '.join(map(str, expected))})")
