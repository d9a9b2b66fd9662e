"""Databases of ASE (SQLite, ``.db``): a row for each conformer, what ASE has no place for in the data of the row."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from molgiae.data.checks import reject_faulty
from molgiae.data.conformer import NO_BONDS, Conformer, ConformerBlock, Rejected, normalised
from molgiae.data.state import charge_and_multiplicity
from molgiae.data.text import parse_number
from molgiae.data.toolkits import from_ase, to_ase
from molgiae.errors import ConformerError, MolgiaeError

OURS = "molgiae"
"""Key, in the data of a row, of what ASE has no place for."""
FIELDS = ("title", "charge", "multiplicity", "source", "record")
OF_ATOMS = ("forces", "charges", "magmoms", "energies")
"""Results of calculators that are of single atoms."""
ROWS = 1024
"""Rows read at a time."""

_OF_ASE = (
    AssertionError,
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    TypeError,
    ValueError,
    sqlite3.Error,
)
"""What ASE and sqlite raise over files of other kinds and damaged ones."""


def read_ase_database(path: str | os.PathLike[str]) -> Iterator[ConformerBlock]:
    """Yield the conformers of a database of molgiae or of any other program.

    Key-value pairs and results of calculators are the properties of rows of others, results of atoms their further
    data; cells are left out.

    Raises:
        MolgiaeError: if the file is no such database.
    """
    from ase.db import connect  # noqa: PLC0415

    last, name = 0, os.fspath(path)
    while True:
        try:
            with connect(name, type="db", use_lock_file=False) as database:
                rows = list(database.select(f"id>{last}", limit=ROWS))
        except _OF_ASE as error:
            raise MolgiaeError(
                f"{name}: cannot be read as a database of ASE ({' '.join(str(error).split())})"
            ) from error
        if not rows:
            return
        good, bad = [], []
        for row in rows:
            try:
                good.append(_conformer(row, name))
            except (ConformerError, KeyError, TypeError, ValueError) as error:
                bad.append(Rejected(name, row.id, "", 0, f"row of another kind: {error}"))
        yield reject_faulty(ConformerBlock.of(good, bad))
        last = rows[-1].id


def write_ase_database(path: str | os.PathLike[str], blocks: Iterable[ConformerBlock]) -> None:
    """Write conformers to a new database.

    Properties that ASE can search for are key-value pairs, too, numbers as such.
    """
    from ase.db import connect  # noqa: PLC0415

    with connect(os.fspath(path), type="db", append=False, use_lock_file=False) as database:
        for conformer in (c for block in blocks for c in block):
            own: dict[str, Any] = {name: getattr(conformer, name) for name in FIELDS}
            own |= {name: getattr(conformer, name).tolist() for name in ("isotope", "bonds")}
            own["properties"] = dict(conformer.properties)
            own["atom_data"] = {name: values.tolist() for name, values in conformer.atom_data.items()}
            pairs = dict(_searchable({"title": conformer.title, **conformer.properties}))
            database.write(to_ase(conformer), key_value_pairs=pairs, data={OURS: own})


def _searchable(properties: Mapping[str, str]) -> Iterator[tuple[str, str | float]]:
    """Yield the key-value pairs that ASE takes."""
    from ase.db.core import check  # noqa: PLC0415

    for key, text in properties.items():
        value: str | float = text
        with contextlib.suppress(ConformerError):
            value = parse_number(text)
        pair = re.sub(r"\W", "_", key), value
        with contextlib.suppress(ValueError, UserWarning), warnings.catch_warnings():
            warnings.simplefilter("error")  # keys that read as formulas cannot be searched for
            check(dict([pair]))
            yield pair


def _conformer(row: Any, source: str) -> Conformer:
    from ase.calculators.calculator import all_properties  # noqa: PLC0415

    found = replace(from_ase(row.toatoms()), source=source, record=row.id)
    own = row.data.get(OURS)
    if own is not None:
        bonds = np.array(own["bonds"], np.int64).reshape(-1, 2)
        if ((bonds < 0) | (bonds >= len(found))).any():
            raise ConformerError("a bond of an atom that is not there")
        return replace(
            found,
            **{name: own[name] for name in FIELDS},
            isotope=np.array(own["isotope"], np.uint16),
            bonds=normalised(bonds) if len(bonds) else NO_BONDS,
            properties=own["properties"],
            atom_data={name: np.array(values) for name, values in own["atom_data"].items()},
        )
    properties = {key: str(value) for key, value in row.key_value_pairs.items()}
    atom_data = {}
    for name in filter(row.__contains__, all_properties):
        values = np.asarray(row[name])
        if name in OF_ATOMS:
            atom_data[name] = values
        else:
            properties.setdefault(name, " ".join(map(str, values.ravel().tolist())))
    charge, multiplicity = charge_and_multiplicity(properties)
    return replace(
        found,
        title=next((properties[key] for key in ("title", "name") if key in properties), ""),
        charge=charge or round(row.charge),  # that of the initial charges
        multiplicity=multiplicity,
        properties=properties,
        atom_data=atom_data,
    )
