"""What is said of atoms beside their places, when these get another order or pose: it follows, or is left out.

Scalars of atoms follow the order; vectors (forces, dipoles) and tensors (stress, polarizabilities) turn with the pose,
axial ones (spins) without the sign of a mirror. What kind a quantity is of is told by the words in its name and by how
many numbers it has. Three, six or nine numbers of no known name may or may not be a vector or tensor: they are left
out, as nothing is worse than a vector that looks right.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import AtomData

Floats = NDArray[np.float64]

_VECTORS = """acceleration accelerations dipole dipoles displacement displacements efield force forces grad gradient
gradients momenta momentum mu vel velo velocities velocity"""
_INVARIANTS = """color colour constant constants energies frequencies frequency principal radii radius rgb rotational
weights"""
_TENSORS = "born inertia polarizability quadrupole shielding stress stresses virial virials"

WORDS: dict[str, frozenset[str]] = {
    "invariant": frozenset(_INVARIANTS.split()),
    "vector": frozenset(_VECTORS.split()),
    "axial": frozenset(("magmom", "magmoms", "spin", "spins", "torque", "torques")),
    "tensor": frozenset(_TENSORS.split()),
    "rows": frozenset(("cell", "lattice")),
    "scalar": frozenset(("charges", "masses", "populations")),
}
"""Words in names of quantities that say how they move, the first that fits; "rows" are vectors in rows."""

TURNING = frozenset(("vector", "axial", "tensor", "rows"))
"""Kinds that change with the pose; three numbers or more of these, of which it is not known how, are left out."""

VOIGT = frozenset(("stress", "stresses", "virial", "virials"))
"""Tensors that are given by xx, yy, zz, yz, xz, xy where they have six numbers."""

AXES = frozenset(["x", "y", "z", "xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz"])
"""Words that make a quantity one component of a vector or tensor, which does not turn without the others."""

COMPONENTS = frozenset(["fx", "fy", "fz", "vx", "vy", "vz"])
"""Names of components of forces and velocities, as of LAMMPS."""

FIXED = frozenset(("origin",))
"""Keys of places in space, which are left out when the pose changes."""

_VOIGT_ROWS, _VOIGT_COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?")
_TOKEN = re.compile(rf"(?<![\w.])(?:{_NUMBER.pattern}|[-+]?(?:nan|inf))(?![\w.])", re.IGNORECASE)
"""A number on its own, between words."""
_SEPARATOR = r"[\s,;()\[\]{}]"
_NUMBERS = re.compile(rf"{_SEPARATOR}*{_NUMBER.pattern}(?:{_SEPARATOR}+{_NUMBER.pattern})*{_SEPARATOR}*")
"""Several numbers, none of which touches the next: versions and dates do."""
_ATOM_LIST = re.compile(r"atom\.[a-z]?prop\.", re.IGNORECASE)
_BOND_LIST = re.compile(r"bond\.[a-z]?prop\.", re.IGNORECASE)
LIST_WIDTH = 200
"""Characters in a line of an atom list of RDKit."""


@dataclass(frozen=True, slots=True)
class Motion:
    """How the atoms of a record got to their places.

    Attributes:
        order: (n,) atom k was atom ``order[k]``, from 0.
        rotation: (3, 3) orthogonal; vectors v became rotation v. None where the pose stayed.
        sorts_bonds: whether bonds changed their numbers even if no atom did.
    """

    order: NDArray[np.int64]
    rotation: Floats | None = None
    sorts_bonds: bool = False

    @property
    def reorders(self) -> bool:
        """Whether any atom changed its number."""
        return not np.array_equal(self.order, np.arange(len(self.order)))


def moved_properties(properties: Mapping[str, str], motion: Motion) -> tuple[dict[str, str], list[str]]:
    """Return properties as they hold after a motion, and the keys of those left out."""
    if motion.rotation is None and not motion.reorders and not motion.sorts_bonds:
        return dict(properties), []
    return _split({key: _moved_text(key, text, motion) for key, text in properties.items()})


def moved_atom_data(data: AtomData, motion: Motion) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return data of the atoms as they hold after a motion, and the names of those left out."""
    return _split({name: _moved_column(name, values[motion.order], motion) for name, values in data.items()})


def _split(moved: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    found = {name: value for name, value in moved.items() if value is not None}
    return found, [name for name in moved if name not in found]


def _moved_column(name: str, values: NDArray[Any], motion: Motion) -> NDArray[Any] | None:
    """Return a column in the new order after the rotation; None to leave it out."""
    if motion.rotation is None:
        return values
    if _is_component(name):
        return None
    if values.ndim == 1 or values.dtype.kind == "U":
        return values
    return _turned(name, values, motion.rotation) if values.dtype.kind == "f" else None


def _words_of(name: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(name)}


def _kind(name: str) -> str:
    words = _words_of(name)
    return next((kind for kind, known in WORDS.items() if known & words), "")


def _is_component(name: str) -> bool:
    words = _words_of(name)
    return bool(COMPONENTS & words) or (_kind(name) in TURNING and bool(AXES & words))


def _turned(name: str, values: Floats, rotation: Floats) -> Floats | None:
    """Return values (..., w) of a quantity after a rotation; None if it is not known how it turns."""
    kind, width = _kind(name), values.shape[-1]
    if kind == "invariant":
        return values
    if kind in ("vector", "axial") and width == 3:
        sign = np.sign(np.linalg.det(rotation)) if kind == "axial" else 1.0
        return sign * values @ rotation.T
    if kind == "tensor" and width == 9:
        matrix = values.reshape(*values.shape[:-1], 3, 3)
        return (rotation @ matrix @ rotation.T).reshape(values.shape)
    if kind == "tensor" and width == 6 and VOIGT & _words_of(name):
        matrix = np.empty((*values.shape[:-1], 3, 3))
        matrix[..., _VOIGT_ROWS, _VOIGT_COLUMNS] = matrix[..., _VOIGT_COLUMNS, _VOIGT_ROWS] = values
        return (rotation @ matrix @ rotation.T)[..., _VOIGT_ROWS, _VOIGT_COLUMNS]
    if kind == "rows" and width == 9:
        return (values.reshape(*values.shape[:-1], 3, 3) @ rotation.T).reshape(values.shape)
    return None


def _moved_text(key: str, text: str, motion: Motion) -> str | None:
    if motion.rotation is not None and (key.lower() in FIXED or (_is_component(key) and _TOKEN.search(text))):
        return None
    if _ATOM_LIST.match(key):
        return _reordered_list(text, motion)
    if key in _NUMBERED:
        return _renumbered(text, motion, _NUMBERED[key])
    if _BOND_LIST.match(key):
        return None if motion.reorders or motion.sorts_bonds else text
    words = _NUMBER.findall(text)
    if len(words) < 2 or _NUMBERS.fullmatch(text) is None:
        turns = motion.rotation is not None and _kind(key) in TURNING
        return None if turns and len(_TOKEN.findall(text)) > 2 else text
    given = _moved_numbers(key, words, motion)
    rest = iter(given or ())
    return None if given is None else _NUMBER.sub(lambda match: next(rest), text)


def _moved_numbers(key: str, words: list[str], motion: Motion) -> list[str] | None:
    """Return the numbers of a value after a motion, unchanged ones as written; None to leave them out."""
    n, size, kind = len(motion.order), len(words), _kind(key)
    if kind == "invariant" or (motion.rotation is None and not motion.reorders):
        return words
    if size == n and kind in ("scalar", "axial", "tensor") and (n not in (3, 6, 9) or kind != "tensor"):
        return [words[k] for k in motion.order] if kind != "axial" or n != 3 else None
    if size == n and not kind and n not in (3, 6, 9):
        return None if motion.reorders else words
    per_atom = size == 3 * n and n > 1 and kind not in ("tensor", "rows")
    if not per_atom and (size not in (3, 6, 9) or motion.rotation is None):
        return None if size > 2 and kind in TURNING and motion.rotation is not None else words
    if not kind and not per_atom and not all(set(".eEdD") & set(word) for word in words):
        return words  # whole numbers are counts
    values = np.array([float(word.replace("D", "e").replace("d", "e")) for word in words])
    if per_atom:
        values = values.reshape(n, 3)[motion.order]
    found = values if motion.rotation is None else _turned(key, values, motion.rotation)
    return None if found is None else [f"{value:.10g}" for value in _without_noise(found).ravel().tolist()]


def _without_noise(values: Floats) -> Floats:
    """Return values with 0 for the round-off of what vanishes by symmetry."""
    return np.where(np.abs(values) > 1e-12 * np.abs(values).max(initial=0.0), values, 0.0)


def _reordered_list(text: str, motion: Motion) -> str | None:
    """Reorder values of all atoms, behind an optional ``[word]`` that stands for a missing one."""
    if not motion.reorders:
        return text
    words = text.split()
    mark = words[:1] if len(words) == len(motion.order) + 1 and words[0].startswith("[") else []
    values = words[len(mark) :]
    if len(values) != len(motion.order):
        return None
    return wrapped([*mark, *(values[k] for k in motion.order)])


def wrapped(words: Iterable[str]) -> str:
    """Return words in lines, broken as RDKit breaks atom lists."""
    lines = textwrap.wrap(" ".join(words), LIST_WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def _renumbered(text: str, motion: Motion, atoms: Callable[[list[str]], slice]) -> str | None:
    """Renumber lines that name atoms by number, from 1, behind a line with their count."""
    if not motion.reorders:
        return text
    number = np.empty(len(motion.order), np.int64)
    number[motion.order] = np.arange(1, len(motion.order) + 1)
    count, *lines = text.split("\n")
    found = []
    try:
        for line in lines:
            words = line.split()
            here = atoms(words)
            renamed = sorted(int(number[int(word) - 1]) for word in words[here])
            found.append((renamed, [*words[: here.start], *map(str, renamed), *words[here.stop :]]))
    except (ValueError, IndexError):
        return None
    return "\n".join([count, *(" ".join(words) for _, words in sorted(found))])


_NUMBERED: dict[str, Callable[[list[str]], slice]] = {
    "PUBCHEM_MMFF94_PARTIAL_CHARGES": lambda words: slice(0, 1),
    "PUBCHEM_PHARMACOPHORE_FEATURES": lambda words: slice(1, 1 + int(words[0])),
    "PUBCHEM_BONDANNOTATIONS": lambda words: slice(0, 2),
}
"""Items of PubChem that name atoms, and which words of a line do."""
