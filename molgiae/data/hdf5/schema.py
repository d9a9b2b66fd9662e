"""HDF5 schema, version 2: every dataset of an output file, stated once, as a row of `COLUMNS`.

Files are allocated, written, read and checked by these rows. A new column is a new row, and the code that fills it:
`canonical.forms.FormColumns.fill` for what needs no model, `model.embedder`, or the list of columns of a command. The
table in `docs/pages/hdf5.md` is `schema_table()`, which a test compares.

Version 1 had no parts of the embedding but its first columns, their number the attribute ``shape_dimension`` of the
root, and the others; it is read as shape and detail.

Only integers, floats and strings occur, so that stock R (rhdf5, hdf5r) and MATLAB read everything: no booleans, enums
or compound types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from molgiae.config import MAX_ATOMIC_NUMBER
from molgiae.parts import Part

SCHEMA_VERSION = 2

CONVENTION = (
    "For conformer m with atoms s = atom_offset[m]:atom_offset[m + 1], zero-based: "
    "position[s][permutation[s]] == canonical_position[s] @ rotation[m].T + translation[m]"
)

ATTRIBUTES: dict[str, type] = {
    "schema_version": int,
    "molgiae_version": str,
    "model": str,
    "model_sha256": str,
    "model_choice": str,
    "command": str,
    "created": str,
    "convention": str,
    "shard_key": str,
    "columns_kept": str,
}
"""Attributes of the root and what they are."""

PIECE_ATTRIBUTES: dict[str, type] = {"pieces": str, "piece_records": int}
"""Attributes of the root of a part of a dataset, each a list of one value for each piece of the input, and their type.

A piece is a file, ``NAME``, or bytes of the text of one, ``NAME@START-STOP``, and behind that ``!`` where it is a
record that was passed over.
"""

PART_ATTRIBUTES: dict[str, type] = {
    "parts": str,
    "part_start": int,
    "part_stop": int,
    "part_unit": str,
    "part_meaning": str,
}
"""Attributes of the dataset ``embedding``, each a list of one value for each part, and what these are."""

ALWAYS_KEPT = ("source", "record")
KEPT = "columns_kept"
"""Attribute of the root of files that were written with some columns alone, their names; and columns they have, too."""

REQUIRED_ATTRIBUTES = ("schema_version", "molgiae_version", "model", "model_sha256")

LIBVER = ("earliest", "v108")
"""The oldest format of HDF5, so that HDF5 1.8 and everything built on it can read the files."""

STRING = "string"

AXES = {"M": "conformer", "M+1": "boundary", "N": "atom", "B": "bond", "K": "rejected"}
"""What rows belong to: M conformers, the boundaries between them, N atoms, B bonds, K rejected records."""

LEAST_ROWS = {"atom": 1, "bond": 0}
"""Axes whose rows belong to conformers, and how many a conformer has at least; dataset ``AXIS_offset`` divides them."""

COUNTED = (0, np.iinfo(np.int64).max)
COUNTED_32 = (0, np.iinfo(np.int32).max)
"""Limits of what is counted from 1; 0 stands for unknown, as of conformers made in Python."""

Origin = Literal["input", "embedding", "command"]


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset.

    Attributes:
        name: path in the file.
        dtype: numpy code, or ``"string"`` for variable-length UTF-8.
        axes: rows, a key of `AXES`, and after a blank each further axis: its length, or a letter where files differ,
            D for the size of the embedding.
        unit: ``"1"`` for pure numbers, ``"text"`` for strings.
        origin: copied from the input, computed by every embedding, or added by one command.
        description: one sentence.
        values: the only values allowed; empty for any.
        required: for columns of the input: whether files without it are damaged; false for those that came later.
        finite: whether a float must be a finite number.
        limits: least and greatest whole number; None for those of the type.
        numbers_atoms: whether its values are atoms, from 0 within their conformer.
    """

    name: str
    dtype: str
    axes: str
    unit: str
    origin: Origin
    description: str
    values: tuple[str | int, ...] = ()
    required: bool = True
    finite: bool = True
    limits: tuple[int, int] | None = None
    numbers_atoms: bool = False

    @property
    def per(self) -> str:
        """What a row belongs to, a value of `AXES`."""
        return AXES[self.axes.split()[0]]

    @property
    def shape(self) -> tuple[int | str, ...]:
        """The axes behind the rows."""
        return tuple(int(axis) if axis.isdecimal() else axis for axis in self.axes.split()[1:])

    def trailing(self, dimension: int) -> tuple[int, ...]:
        """Return the axes behind the rows with ``"D"`` replaced by the size of the embedding."""
        return tuple(dimension if axis == "D" else int(axis) for axis in self.shape)

    @property
    def type_name(self) -> str:
        """The type in words."""
        if self.dtype == STRING:
            return "UTF-8 string"
        dtype = np.dtype(self.dtype)
        return f"fixed string of {dtype.itemsize}" if dtype.kind == "S" else dtype.name

    def stored_dtype(self) -> np.dtype[np.generic]:
        """Return the type as h5py wants it."""
        return h5py.string_dtype("utf-8") if self.dtype == STRING else np.dtype(self.dtype)

    def size(self, conformers: int, atoms: int, dimension: int = 0) -> tuple[int, ...]:
        """Return the shape of the values of M conformers with N atoms in all."""
        return (atoms if self.per == "atom" else conformers, *self.trailing(dimension))

    def allowed(self, values: NDArray[Any]) -> tuple[ArrayLike, str]:
        """Return which of some values may stand in the column, and what these are in words."""
        if self.values:
            found = values.astype(str) if np.dtype(self.dtype).kind == "S" else values
            return np.isin(found, self.values), ", ".join(map(str, self.values))
        kind = self.stored_dtype().kind
        if kind == "f" and self.finite:
            return np.isfinite(values), "finite numbers"
        if kind in "iu":
            of_type = np.iinfo(self.dtype)
            least, most = self.limits or (int(of_type.min), int(of_type.max))
            return (values >= least) & (values <= most), f"{least} to {most}"
        return True, "any"


# fmt: off
COLUMNS = (
    Column("embedding", "f4", "M D", "1", "embedding",
           "invariant embedding; its attributes parts, part_start, part_stop, part_unit and part_meaning say which "
           "columns are for what"),
    Column("rotation", "f8", "M 3 3", "1", "embedding",
           "proper rotation R from the canonical frame to the input"),
    Column("translation", "f8", "M 3", "angstrom", "embedding",
           "translation t from the canonical frame to the input"),
    Column("permutation", "i4", "N", "1", "embedding",
           "input atom (from 0, within its conformer) that stands at this place of the canonical order",
           numbers_atoms=True),
    Column("atom_offset", "i8", "M+1", "1", "input",
           "first atom row of each conformer; the last entry is N"),
    Column("atomic_number", "u1", "N", "1", "input",
           "atomic number, in the order of the input", limits=(1, MAX_ATOMIC_NUMBER)),
    Column("isotope", "u2", "N", "1", "input",
           "mass number of the isotope, in the order of the input; 0 is the natural mixture", required=False),
    Column("position", "f8", "N 3", "angstrom", "input",
           "coordinates as read, in the order and pose of the input"),
    Column("canonical_position", "f8", "N 3", "angstrom", "embedding",
           "coordinates in the canonical order and pose"),
    Column("title", STRING, "M", "text", "input",
           "first line of an SDF record, comment of an XYZ frame"),
    Column("source", STRING, "M", "text", "input",
           "file the conformer was read from; - is standard input"),
    Column("record", "i8", "M", "1", "input",
           "number of the record in its source, from 1", limits=COUNTED),
    Column("charge", "i4", "M", "elementary charge", "input", "total charge of the record"),
    Column("multiplicity", "i4", "M", "1", "input",
           "spin multiplicity of the record; 0 where it does not say", required=False, limits=COUNTED_32),
    Column("bond_offset", "i8", "M+1", "1", "input",
           "first row in bonds of each conformer; the last entry is B", required=False),
    Column("bonds", "i4", "B 2", "1", "input",
           "atoms of each bond of the record (from 0, within its conformer), the lesser first; none where it lists "
           "none", required=False, numbers_atoms=True),
    Column("pose_defined", "S4", "M", "text", "embedding",
           "full: the rotation is unique; axis: only the direction of one axis is; none: no orientation is",
           values=("full", "axis", "none")),
    Column("order_defined", "u1", "M", "1", "embedding",
           "1: the order of the atoms is unique; 0: equivalent atoms could change places", values=(0, 1)),
    Column("symmetry_number", "i4", "M", "1", "embedding",
           "rotations that leave the conformer as it is, up to 0.02 A; 0: infinitely many", limits=COUNTED_32),
    Column("point_group", "S8", "M", "text", "embedding",
           "Schoenflies symbol, up to 0.02 A: C1, Cs, C2v, S4, D3d, Td; C*v and D*h are linear, Kh is an atom"),
    Column("stability", "f8", "M", "angstrom", "embedding",
           "about the noise on the coordinates that makes the canonical pose or order jump", finite=False),
    Column("in_domain", "u1", "M", "1", "embedding",
           "1: elements, size, charge and bonds are within what the model was trained on, and the conformer comes back "
           "from its embedding where decoded_formula is there; 0: it is not so", values=(0, 1)),
    Column("domain_reason", STRING, "M", "text", "embedding",
           "why in_domain is 0: the rule, and what was found; empty where it is 1"),
    Column("decoded_rmsd", "f4", "M", "angstrom", "command",
           "RMSD over all atoms of the canonical form and what the decoder gives back from the embedding alone; files "
           "of reconstruct have it as rmsd"),
    Column("decoded_formula", "u1", "M", "1", "command",
           "1: the decoder gives back the element of every atom and no atom more; 0: it does not", values=(0, 1)),
    Column("reconstructed_position", "f8", "N 3", "angstrom", "command",
           "coordinates as predicted from the embedding, in the order and pose of the input"),
    Column("reconstructed_atomic_number", "u1", "N", "1", "command",
           "atomic number as predicted from the embedding, in the order of the input", limits=(0, MAX_ATOMIC_NUMBER)),
    Column("aligned_position", "f8", "N 3", "angstrom", "command",
           "coordinates in the order and pose of the reference; rotation, translation and permutation lead from "
           "them to the input as they do from canonical_position"),
    Column("rmsd", "f8", "M", "angstrom", "command",
           "RMSD of the reconstruction, or to the reference after alignment"),
    Column("rmsd_before", "f8", "M", "angstrom", "command",
           "RMSD to the reference as read: poses and orders of the inputs"),
    Column("rmsd_group_action", "f8", "M", "angstrom", "command",
           "RMSD to the reference by the group actions alone, before refinement"),
    Column("match", "S5", "M", "text", "command",
           "bonds: matched so that bonds lie on bonds; atoms: any matching within elements", values=("bonds", "atoms")),
    Column("proven", "u1", "M", "1", "command",
           "1: no other rotation and matching has a lesser RMSD; 0: the best that was found", values=(0, 1)),
    Column("reflected", "u1", "M", "1", "command",
           "1: mirrored before the alignment, every position x to -x; rotation and translation lead to the mirror "
           "image", values=(0, 1)),
    Column("picked", "i4", "M", "1", "command",
           "1 for the conformer that was picked first", limits=(1, int(np.iinfo(np.int32).max))),
    Column("picked_distance", "f8", "M", "of what is compared", "command",
           "distance to the nearest of those picked before, when it was picked; NaN for the first", finite=False),
    Column("cluster", "i4", "M", "1", "command",
           "cluster of the conformer, from 1; 0: it is in none", limits=COUNTED_32),
    Column("representative", "u1", "M", "1", "command",
           "1: represents its cluster", values=(0, 1)),
    Column("rejected/source", STRING, "K", "text", "input", "file of the rejected record"),
    Column("rejected/record", "i8", "K", "1", "input",
           "number of the rejected record in its source, from 1", limits=COUNTED),
    Column("rejected/title", STRING, "K", "text", "input",
           "title of the rejected record, if it was legible"),
    Column("rejected/line", "i8", "K", "1", "input",
           "line where the rejected record starts, from 1", limits=COUNTED),
    Column("rejected/reason", STRING, "K", "text", "input", "why the record was rejected"),
)

PROPERTY = Column("properties/KEY", STRING, "M", "text", "input",
    "value of one property of the input, as written there; empty where the record has none")
"""Pattern of the datasets in the group ``properties``; the attribute ``key`` holds the key as it stood."""

ATOM_DATA = Column("atom_data/NAME", "f8", "N w", "as in the input", "input",
    "further column of the atom lines of extended XYZ, in the order and pose of the input, text as UTF-8 strings; the "
    "attribute kind is R, I, L or S as there; NaN or empty where a record has none; w is left out where it is 1",
    finite=False)
"""Pattern of the datasets in the group ``atom_data``; the attribute ``key`` holds the name as it stood."""

PREDICTION = Column("predictions/SYMBOL", "f8", "M", "of the property", "command",
    "a property as a fine-tuned model predicts it; the attribute unit of the dataset says in which unit", finite=False)
PREDICTION_STD = replace(PREDICTION, name="predictions/SYMBOL_std",
    description="its uncertainty: half-width of an interval that holds the value in about 68 % of cases; of a "
    "probability p the root of p (1 - p)")
PREDICTION_WIDE = replace(PREDICTION, name="predictions/SYMBOL_95",
    description="likewise, in about 95 % of cases")
"""Patterns of the datasets in the group ``predictions``, which is there in files of predictions only."""

PROJECTION = Column("projection", "f4", "M P", "of the projection", "command",
    "invariant projection of an equivariant latent; only where embed was asked for one, which the description names")
"""Pattern of the dataset of `molgiae.model.projections`; P depends on projection and model."""
# fmt: on

SCHEMA: dict[str, Column] = {column.name: column for column in COLUMNS}
INPUT_COLUMNS = tuple(c.name for c in COLUMNS if c.origin == "input" and c.per != "rejected")
EMBEDDING_COLUMNS = tuple(c.name for c in COLUMNS if c.origin == "embedding")
CANONICAL_COLUMNS = tuple(
    c for c in EMBEDDING_COLUMNS if c not in ("embedding", "in_domain", "domain_reason")
)
"""Those of an embedding that need no model."""
REJECTED_COLUMNS = tuple(c.name for c in COLUMNS if c.per == "rejected")

OTHER_PROPERTIES = "%other"
"""Dataset in ``properties`` for the pairs whose keys got no dataset of their own, as JSON objects."""

_ESCAPES = {ord("%"): "%25", ord("/"): "%2F", 0: "%00"}


@lru_cache(maxsize=4096)
def property_name(key: str) -> str:
    """Return the name of the dataset for a property key: HDF5 forbids ``/``, ``.`` alone and empty names.

    Percent signs, slashes and NUL are written as %25, %2F and %00, leading dots as %2E, the empty key as a
    single percent sign, which no other key can become.
    """
    name = key.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES)
    dots = len(name) - len(name.lstrip("."))
    return "%2E" * dots + name[dots:] or "%"


def allocated(
    names: Iterable[str], conformers: int, atoms: int, dimension: int = 0
) -> dict[str, NDArray[Any]]:
    """Return arrays to be filled for some columns of M conformers with N atoms in all; floats are NaN, the rest 0.

    Args:
        names: columns of numbers, or of text of fixed length.
        conformers: M.
        atoms: N.
        dimension: D, the size of the embedding.
    """
    columns = (SCHEMA[name] for name in names)
    # text in memory is text; in the file it has a fixed length
    arrays = {
        c.name: np.zeros(c.size(conformers, atoms, dimension), c.dtype.replace("S", "U")) for c in columns
    }
    for array in arrays.values():
        if array.dtype.kind == "f":
            array.fill(np.nan)  # which a reader does not take: a column that nobody fills is found
    return arrays


def part_attributes(parts: Sequence[Part]) -> dict[str, Any]:
    """Return the attributes of an embedding of some parts by name, see `PART_ATTRIBUTES`.

    Part k is the columns ``part_start[k]:part_stop[k]``, counted from 0; one begins where the one before it ends.
    """
    return {
        "parts": [part.name for part in parts],
        "part_start": np.array([part.start for part in parts], "i4"),
        "part_stop": np.array([part.stop for part in parts], "i4"),
        "part_unit": [part.unit for part in parts],
        "part_meaning": [part.meaning for part in parts],
    }


def prediction_columns(symbol: str, unit: str, description: str) -> tuple[Column, Column, Column]:
    """Return the columns of a predicted property and of its two uncertainties, in one unit, described as the property.

    The symbol is escaped in names of datasets as keys of properties are.
    """
    name = f"predictions/{property_name(symbol)}"
    return (
        replace(PREDICTION, name=name, unit=unit, description=f"{description}, predicted"),
        replace(PREDICTION_STD, name=f"{name}_std", unit=unit),
        replace(PREDICTION_WIDE, name=f"{name}_95", unit=unit),
    )


def schema_table() -> str:
    """Return the schema as a markdown table, the letters of its shapes as in `AXES`."""
    rows = ["| dataset | shape | type | unit | meaning |", "|---|---|---|---|---|"]
    for c in (*COLUMNS, PROPERTY, ATOM_DATA, PREDICTION, PREDICTION_STD, PREDICTION_WIDE, PROJECTION):
        axes = [axis.replace("+", " + ") for axis in c.axes.split()]
        shape = ", ".join(axes) + ("," if len(axes) == 1 else "")
        rows.append(f"| `{c.name}` | ({shape}) | {c.type_name} | {c.unit} | {c.description} |")
    return "\n".join(rows) + "\n"
