"""Tables of results: CSV, TSV, JSON or HDF5 by the name of the file, complete or not there at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import h5py
import numpy as np

from molgiae import __version__
from molgiae.data.csv_cells import CsvWriter
from molgiae.data.hdf5.schema import LIBVER
from molgiae.data.partial import PartialFile
from molgiae.errors import ConfigError, MolgiaeError

TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a table.

    Attributes:
        name: key in JSON, dataset in HDF5.
        kind: str, int, bool or float; missing values are "", -1, 0 and NaN in HDF5, empty in CSV, null in JSON.
        unit: ``"1"`` for pure numbers, ``"text"`` for strings.
        description: one sentence.
    """

    name: str
    kind: type
    unit: str
    description: str


Row = Sequence[Any]


def column(unit: str, description: str) -> Any:
    """Return the field of a dataclass that is a column of a table, see `fields_of`."""
    return dataclass_field(metadata={"unit": unit, "description": description})


def fields_of(row: type) -> tuple[Field, ...]:
    """Return the columns of a table whose rows are of a dataclass, all of its fields made by `column`."""
    hints = get_type_hints(row)
    return tuple(
        Field(name, next(iter(get_args(hints[name])), hints[name]), **made.metadata)
        for name, made in row.__dataclass_fields__.items()  # type: ignore[attr-defined]
    )


_IN_HDF5: dict[type, tuple[Any, Any]] = {
    str: ("", h5py.string_dtype("utf-8")),
    int: (-1, "i8"),
    bool: (0, "u1"),
    float: (np.nan, "f8"),
}
"""What stands for a missing value of each kind, and the type of the dataset."""


def write_table(
    path: str | os.PathLike[str],
    fields: Sequence[Field],
    rows: Sequence[Row],
    about: Mapping[str, str | int],
    *,
    overwrite: bool = False,
) -> None:
    """Write a table.

    Args:
        path: ends in .csv, .tsv, .json, .h5 or .hdf5.
        fields: of every row.
        rows: values in the order of the fields, None where missing.
        about: provenance, for JSON and HDF5.
        overwrite: replace an existing file.

    Raises:
        ConfigError: if the name says no format.
        MolgiaeError: if the file cannot be written, or exists and `overwrite` is false.
    """
    suffix = Path(path).suffix.lower()
    with check_table(path, overwrite=overwrite).writing() as temporary:
        if suffix in (".csv", ".tsv"):
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = CsvWriter(file, "\t" if suffix == ".tsv" else ",", "\n")
                writer.row(field.name for field in fields)
                writer.rows(map(_shown, row) for row in rows)
        elif suffix == ".json":
            names = [field.name for field in fields]
            text = json.dumps({**about, "rows": [dict(zip(names, row, strict=True)) for row in rows]})
            temporary.write_text(text + "\n", encoding="utf-8")
        else:
            _write_hdf5(temporary, fields, rows, about)


def check_table(path: str | os.PathLike[str], *, overwrite: bool = False) -> PartialFile:
    """Return the file that a table is written to; called before the work, it raises what `write_table` would."""
    if Path(path).suffix.lower() not in TABLE_SUFFIXES:
        raise ConfigError(f"{os.fspath(path)}: end the name of the table in {', '.join(TABLE_SUFFIXES)}")
    return PartialFile(path, overwrite=overwrite)


def describe_table(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what a table has: provenance, rows, and columns by name, in HDF5 with units and descriptions.

    Returns:
        None for HDF5 that is no plain table or array of molgiae.

    Raises:
        MolgiaeError: if the file is no table.
    """
    suffix = Path(path).suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            with open(path, newline="", encoding="utf-8") as file:
                names, *rows = csv.reader(file, delimiter="\t" if suffix == ".tsv" else ",")
            return {"rows": len(rows), "columns": [{"name": name} for name in names]}
        if suffix == ".json":
            about = json.loads(Path(path).read_text(encoding="utf-8"))
            rows = about.pop("rows")
            return {
                **about,
                "rows": len(rows),
                "columns": [{"name": name} for name in (rows[0] if rows else ())],
            }
        with h5py.File(path, "r", locking="best-effort") as file:
            return _described(file)
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError, csv.Error) as error:
        if suffix in (".h5", ".hdf5"):
            return None  # whoever reads embeddings says what is wrong
        raise MolgiaeError(f"{os.fspath(path)}: is no table of molgiae ({error})") from error


def _described(file: h5py.File) -> dict[str, Any] | None:
    if "schema_version" in file.attrs or "molgiae_version" not in file.attrs:
        return None
    columns = [
        {
            "name": name,
            "shape": "x".join(map(str, data.shape)),
            **{key: str(data.attrs.get(key, "")) for key in ("unit", "description")},
        }
        for name, data in file.items()
    ]
    about = {key: value if isinstance(value, str) else value.tolist() for key, value in file.attrs.items()}
    return {
        **about,
        "rows": max((data.shape[0] for data in file.values() if data.ndim), default=0),
        "columns": columns,
    }


def _shown(value: Any) -> Any:
    """Return the cell of a value in CSV: numbers with six decimals at most, truth values as 1 and 0."""
    if isinstance(value, bool):
        return int(value)
    return f"{value:.6f}" if isinstance(value, float) else value


def _write_hdf5(
    path: Path, fields: Sequence[Field], rows: Sequence[Row], about: Mapping[str, str | int]
) -> None:
    with h5py.File(path, "w", libver=LIBVER) as file:
        file.attrs["molgiae_version"] = __version__
        file.attrs.update(about)
        for k, field in enumerate(fields):
            missing, dtype = _IN_HDF5[field.kind]
            values = [missing if row[k] is None else row[k] for row in rows]
            if field.kind is str:
                values = [value.replace("\0", "\ufffd") for value in values]
            dataset = file.create_dataset(field.name, data=np.array(values, dtype))
            dataset.attrs.update(unit=field.unit, description=field.description)
