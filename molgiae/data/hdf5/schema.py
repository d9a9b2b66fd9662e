"""HDF5 schema, version 1: every dataset of an output file, its type, shape, unit and meaning.

The writer, the reader and the table in the README derive from `SCHEMA`. Only integers, floats and strings
occur, so that stock R (rhdf5, hdf5r) and MATLAB read everything: no booleans, enums or compound types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import h5py
import numpy as np

from molgiae.config import MAX_ATOMIC_NUMBER

SCHEMA_VERSION = 1

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
    "shape_dimension": int,
}
"""Attributes of the root and what they are."""

REQUIRED_ATTRIBUTES = ("schema_version", "molgiae_version", "model", "model_sha256")

STRING = "string"

COUNTS = (0, np.iinfo(np.int64).max)
"""What is counted from 1; 0 stands for unknown, as of conformers made in Python."""

Axis = Literal["conformer", "boundary", "atom", "bond", "rejected"]
Origin = Literal["input", "embedding", "command"]

LEAST_ROWS = {"atom": 1, "bond": 0}
"""Axes whose rows belong to conformers, and how many a conformer has at least; dataset ``AXIS_offset`` divides them."""

LENGTH: dict[Axis, str] = {"conformer": "M", "boundary": "M + 1", "atom": "N", "bond": "B", "rejected": "K"}


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset.

    Attributes:
        name: path in the file.
        dtype: numpy code, or ``"string"`` for variable-length UTF-8.
        per: what a row belongs to.
        shape: trailing axes; ``"D"`` is the size of the embedding.
        unit: ``"1"`` for pure numbers, ``"text"`` for strings.
        description: one sentence.
        origin: copied from the input, computed by every embedding, or added by one command.
        values: the only values allowed; empty for any.
        required: whether files without it are damaged; otherwise molgiae 0.1 did not write it.
        finite: whether a float must be a finite number.
        limits: least and greatest whole number; None for those of the type.
        numbers_atoms: whether its values are atoms, from 0 within their conformer.
    """

    name: str
    dtype: str
    per: Axis
    shape: tuple[int | str, ...]
    unit: str
    description: str
    origin: Origin = "input"
    values: tuple[str | int, ...] = ()
    required: bool = True
    finite: bool = True
    limits: tuple[int, int] | None = None
    numbers_atoms: bool = False

    def trailing(self, dimension: int) -> tuple[int, ...]:
        """Trailing axes with ``"D"`` replaced by the size of the embedding."""
        return tuple(dimension if axis == "D" else int(axis) for axis in self.shape)

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest whole number that may stand there."""
        of_type = np.iinfo(self.dtype)
        return self.limits or (int(of_type.min), int(of_type.max))

    @property
    def type_name(self) -> str:
        """The type in words."""
        if self.dtype == STRING:
            return "UTF-8 string"
        dtype = np.dtype(self.dtype)
        return f"fixed string of {dtype.itemsize}" if dtype.kind == "S" else dtype.name

    def stored_dtype(self) -> np.dtype[np.generic]:
        """The type as h5py wants it."""
        return h5py.string_dtype("utf-8") if self.dtype == STRING else np.dtype(self.dtype)


_COLUMNS = (
    Column("embedding", "f4", "conformer", ("D",), "1", "invariant embedding", "embedding"),
    Column(
        "rotation",
        "f8",
        "conformer",
        (3, 3),
        "1",
        "proper rotation R from the canonical frame to the input",
        "embedding",
    ),
    Column(
        "translation",
        "f8",
        "conformer",
        (3,),
        "angstrom",
        "translation t from the canonical frame to the input",
        "embedding",
    ),
    Column(
        "permutation",
        "i4",
        "atom",
        (),
        "1",
        "input atom (from 0, within its conformer) that stands at this place of the canonical order",
        "embedding",
        numbers_atoms=True,
    ),
    Column("atom_offset", "i8", "boundary", (), "1", "first atom row of each conformer; the last entry is N"),
    Column(
        "atomic_number",
        "u1",
        "atom",
        (),
        "1",
        "atomic number, in the order of the input",
        limits=(1, MAX_ATOMIC_NUMBER),
    ),
    Column(
        "isotope",
        "u2",
        "atom",
        (),
        "1",
        "mass number of the isotope, in the order of the input; 0 is the natural mixture",
        required=False,
    ),
    Column(
        "position", "f8", "atom", (3,), "angstrom", "coordinates as read, in the order and pose of the input"
    ),
    Column(
        "canonical_position",
        "f8",
        "atom",
        (3,),
        "angstrom",
        "coordinates in the canonical order and pose",
        "embedding",
    ),
    Column("title", STRING, "conformer", (), "text", "first line of an SDF record, comment of an XYZ frame"),
    Column(
        "source", STRING, "conformer", (), "text", "file the conformer was read from; - is standard input"
    ),
    Column("record", "i8", "conformer", (), "1", "number of the record in its source, from 1", limits=COUNTS),
    Column("charge", "i4", "conformer", (), "elementary charge", "total charge of the record"),
    Column(
        "multiplicity",
        "i4",
        "conformer",
        (),
        "1",
        "spin multiplicity of the record; 0 where it does not say",
        required=False,
        limits=(0, np.iinfo(np.int32).max),
    ),
    Column(
        "bond_offset",
        "i8",
        "boundary",
        (),
        "1",
        "first row in bonds of each conformer; the last entry is B",
        required=False,
    ),
    Column(
        "bonds",
        "i4",
        "bond",
        (2,),
        "1",
        "atoms of each bond of the record (from 0, within its conformer), the lesser first; none where it lists none",
        required=False,
        numbers_atoms=True,
    ),
    Column(
        "pose_defined",
        "S4",
        "conformer",
        (),
        "text",
        "full: the rotation is unique; axis: only the direction of one axis is; none: no orientation is",
        "embedding",
        ("full", "axis", "none"),
    ),
    Column(
        "order_defined",
        "u1",
        "conformer",
        (),
        "1",
        "1: the order of the atoms is unique; 0: equivalent atoms could change places",
        "embedding",
        (0, 1),
    ),
    Column(
        "symmetry_number",
        "i4",
        "conformer",
        (),
        "1",
        "rotations that leave the conformer as it is, up to 0.02 A; 0: infinitely many",
        "embedding",
        limits=(0, np.iinfo(np.int32).max),
    ),
    Column(
        "point_group",
        "S8",
        "conformer",
        (),
        "text",
        "Schoenflies symbol, up to 0.02 A: C1, Cs, C2v, S4, D3d, Td; C*v and D*h are linear, Kh is an atom",
        "embedding",
    ),
    Column(
        "stability",
        "f8",
        "conformer",
        (),
        "angstrom",
        "about the noise on the coordinates that makes the canonical pose or order jump",
        "embedding",
        finite=False,
    ),
    Column(
        "in_domain",
        "u1",
        "conformer",
        (),
        "1",
        "1: elements, size, charge and bonds are within what the model was trained on; 0: they are not",
        "embedding",
        (0, 1),
    ),
    Column(
        "domain_reason",
        STRING,
        "conformer",
        (),
        "text",
        "why in_domain is 0: the rule, and what was found; empty where it is 1",
        "embedding",
    ),
    Column(
        "reconstructed_position",
        "f8",
        "atom",
        (3,),
        "angstrom",
        "coordinates as predicted from the embedding, in the order and pose of the input",
        "command",
    ),
    Column(
        "reconstructed_atomic_number",
        "u1",
        "atom",
        (),
        "1",
        "atomic number as predicted from the embedding, in the order of the input",
        "command",
        limits=(0, MAX_ATOMIC_NUMBER),
    ),
    Column(
        "aligned_position",
        "f8",
        "atom",
        (3,),
        "angstrom",
        "coordinates in the order and pose of the reference; rotation, translation and permutation lead from "
        "them to the input as they do from canonical_position",
        "command",
    ),
    Column(
        "rmsd",
        "f8",
        "conformer",
        (),
        "angstrom",
        "RMSD of the reconstruction, or to the reference after alignment",
        "command",
    ),
    Column(
        "rmsd_before",
        "f8",
        "conformer",
        (),
        "angstrom",
        "RMSD to the reference as read: poses and orders of the inputs",
        "command",
    ),
    Column(
        "rmsd_group_action",
        "f8",
        "conformer",
        (),
        "angstrom",
        "RMSD to the reference by the group actions alone, before refinement",
        "command",
    ),
    Column(
        "match",
        "S5",
        "conformer",
        (),
        "text",
        "bonds: matched so that bonds lie on bonds; atoms: any matching within elements",
        "command",
        ("bonds", "atoms"),
    ),
    Column(
        "proven",
        "u1",
        "conformer",
        (),
        "1",
        "1: no other rotation and matching has a lesser RMSD; 0: the best that was found",
        "command",
        (0, 1),
    ),
    Column(
        "reflected",
        "u1",
        "conformer",
        (),
        "1",
        "1: mirrored before the alignment, every position x to -x; rotation and translation lead to the mirror image",
        "command",
        (0, 1),
    ),
    Column("rejected/source", STRING, "rejected", (), "text", "file of the refused record"),
    Column(
        "rejected/record",
        "i8",
        "rejected",
        (),
        "1",
        "number of the refused record in its source, from 1",
        limits=COUNTS,
    ),
    Column(
        "rejected/title", STRING, "rejected", (), "text", "title of the refused record, if it was legible"
    ),
    Column(
        "rejected/line",
        "i8",
        "rejected",
        (),
        "1",
        "line where the refused record starts, from 1",
        limits=COUNTS,
    ),
    Column("rejected/reason", STRING, "rejected", (), "text", "why the record was refused"),
)

SCHEMA: dict[str, Column] = {column.name: column for column in _COLUMNS}

PROPERTY = Column(
    "properties/KEY",
    STRING,
    "conformer",
    (),
    "text",
    "value of one property of the input, as written there; empty where the record has none",
)
"""Pattern of the datasets in the group ``properties``; the attribute ``key`` holds the key as it stood."""

ATOM_DATA = Column(
    "atom_data/NAME",
    "f8",
    "atom",
    ("w",),
    "as in the input",
    "further column of the atom lines of extended XYZ, in the order and pose of the input, text as UTF-8 strings; the "
    "attribute kind is R, I, L or S as there; NaN or empty where a record has none; w is left out where it is 1",
    finite=False,
)
"""Pattern of the datasets in the group ``atom_data``; the attribute ``key`` holds the name as it stood."""

PREDICTION = Column(
    "predictions/SYMBOL",
    "f8",
    "conformer",
    (),
    "of the property",
    "a property as a fine-tuned model predicts it; the attribute unit of the dataset says in which unit",
    finite=False,
)
PREDICTION_STD = replace(
    PREDICTION,
    name="predictions/SYMBOL_std",
    description="its uncertainty: half-width of an interval that holds the value in about 68 % of cases",
)
"""Patterns of the datasets in the group ``predictions``, which is there in files of predictions only."""

PROJECTION = Column(
    "projection",
    "f4",
    "conformer",
    ("P",),
    "of the projection",
    "invariant projection of an equivariant latent; only where embed was asked for one, which the description names",
)
"""Pattern of the dataset of `molgiae.model.projections`; P depends on projection and model."""

INPUT_COLUMNS = tuple(c.name for c in _COLUMNS if c.origin == "input" and c.per != "rejected")
EMBEDDING_COLUMNS = tuple(c.name for c in _COLUMNS if c.origin == "embedding")
REJECTED_COLUMNS = tuple(c.name for c in _COLUMNS if c.per == "rejected")

OTHER_PROPERTIES = "%other"
"""Dataset in ``properties`` for the pairs whose keys got no dataset of their own, as JSON objects."""

_ESCAPES = {ord("%"): "%25", ord("/"): "%2F", 0: "%00"}


@lru_cache(maxsize=4096)
def property_name(key: str) -> str:
    """Name of the dataset for a property key: HDF5 forbids ``/``, ``.`` alone and empty names.

    Percent signs, slashes and NUL are written as %25, %2F and %00, leading dots as %2E, the empty key as a
    single percent sign, which no other key can become.
    """
    name = key.encode("utf-8", "replace").decode("utf-8").translate(_ESCAPES)
    dots = len(name) - len(name.lstrip("."))
    return "%2E" * dots + name[dots:] or "%"


def prediction_columns(symbol: str, unit: str, description: str) -> tuple[Column, Column]:
    """The dataset of a predicted property and that of its uncertainty.

    Args:
        symbol: of the property; escaped in names of datasets as keys of properties are.
        unit: of both.
        description: of the property.
    """
    name = f"predictions/{property_name(symbol)}"
    return (
        replace(PREDICTION, name=name, unit=unit, description=f"{description}, predicted"),
        replace(PREDICTION_STD, name=f"{name}_std", unit=unit),
    )


def schema_table(
    columns: Iterable[Column] = (*_COLUMNS, PROPERTY, ATOM_DATA, PREDICTION, PREDICTION_STD, PROJECTION),
) -> str:
    """The schema as a markdown table: M conformers, N atoms and B bonds in all, K refused records, D embedding."""
    rows = ["| dataset | shape | type | unit | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{c.name}` | ({', '.join(map(str, (LENGTH[c.per], *c.shape)))}{'' if c.shape else ','}) "
        f"| {c.type_name} | {c.unit} | {c.description} |"
        for c in columns
    ]
    return "\n".join(rows) + "\n"
