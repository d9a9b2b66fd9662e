"""What is known of each conformer, as columns that colour a map: composition, results in its file, its properties."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import SYMBOLS
from molgiae.matching.molecules import hill
from molgiae.output.page.content import Column
from molgiae.properties.columns import property_columns

Floats = NDArray[np.float64]

COMPOSITION, RESULTS, PROPERTIES = "composition", "of the conformer", "properties of the records"
ATOMS = "atoms"
"""Name of the column that colours maps unless another one is asked for."""
STORED = {
    "rmsd": "RMSD of the reconstruction (Å)",
    "decoded_rmsd": "RMSD of what is decoded (Å)",
    "stability": "stability of the canonical form (Å)",
    "symmetry_number": "symmetry number",
    "point_group": "point group",
    "in_domain": "in the domain of the model",
}
"""Columns of HDF5 that are shown, and what they are called."""
MOST_CLASSES = 50
"""Different texts of a property that are classes; of more, each is shown with its conformer only."""
MISSING = frozenset(("", "nan", "none", "null", "na", "n/a", "-"))
"""What stands in place of a value, in small letters."""
MOST_NUMBERS = 0.9
"""Share of the values of a property that are numbers, so that it is one."""
MOST_PROPERTIES = 40
"""Properties that are taken; more would make a page of nothing else."""


def with_comments(block: ConformerBlock) -> ConformerBlock:
    """Return conformers of XYZ with the text that their comment lines are read from, of which HDF5 keeps the title."""
    texts = [
        f"{n}\n{title}\n" if source.lower().removesuffix(".gz").endswith(".xyz") else ""
        for n, title, source in zip(block.n_atoms.tolist(), block.title, block.source, strict=True)
    ]
    return replace(block, text=texts)


def described(
    block: ConformerBlock, stored: Mapping[str, NDArray[Any]]
) -> tuple[list[Column], dict[str, list[str]], list[str]]:
    """Return columns of M conformers, properties that are texts, and what is to be said of what was left out.

    Args:
        block: the conformers.
        stored: (M,) of each column of `STORED` that there is.
    """
    formulas = [hill(conformer) for conformer in block]
    columns = [*composition(block), *(_stored(name, values) for name, values in stored.items())]
    source = property_columns(with_comments(block), "")
    texts: dict[str, list[str]] = {}
    if len(set(formulas)) <= MOST_CLASSES:
        columns.append(classes("formula", COMPOSITION, formulas))
    else:
        texts["formula"] = formulas
    for heading in source.headings[:MOST_PROPERTIES]:
        words = source.words(heading)
        given = sum(word is not None and word.strip().lower() not in MISSING for word in words)
        found = source.column(heading)
        if given and np.isfinite(found.values).sum() >= MOST_NUMBERS * given:
            unit = f" ({next(iter(found.units))})" if len(found.units) == 1 and any(found.units) else ""
            columns += _with_differences(
                Column(heading + unit, PROPERTIES, found.values), block.title, formulas
            )
        elif 0 < len(set(filter(None, words))) <= MOST_CLASSES:
            columns.append(classes(heading, PROPERTIES, words))
        else:
            texts[heading] = [word or "" for word in words]
    more = len(source.headings) - MOST_PROPERTIES
    notes = [f"{more} of {len(source.headings)} properties of the records are left out."] if more > 0 else []
    return columns, texts, notes


def composition(block: ConformerBlock) -> list[Column]:
    """Return numbers of atoms, in all and of each element, and the share of hetero atoms."""
    z, sizes = block.atomic_number, block.n_atoms
    heavy, carbon = block.count(z > 1), block.count(z == 6)
    columns = [
        Column(ATOMS, COMPOSITION, sizes.astype(float)),
        Column("heavy atoms", COMPOSITION, heavy.astype(float)),
        Column(
            "share of hetero atoms among heavy ones", COMPOSITION, (heavy - carbon) / np.maximum(heavy, 1)
        ),
    ]
    for element in np.unique(z).tolist():
        count = block.count(z == element).astype(float)
        columns.append(Column(f"atoms of {SYMBOLS[element]}", COMPOSITION, count, chart=False))
    return columns


def classes(name: str, group: str, words: Sequence[str | None]) -> Column:
    """Return a column of texts (M,), None or empty where unknown."""
    names = [word for word, _ in Counter(filter(None, words)).most_common()]
    number = {word: k for k, word in enumerate(names)}
    places = np.array([number.get(word or "", -1) for word in words], float)
    return Column(name, group, places, tuple(names))


def _stored(name: str, values: NDArray[Any]) -> Column:
    if values.dtype.kind in "SUO":
        return classes(STORED[name], RESULTS, values.astype(str).tolist())
    if name == "in_domain":
        return classes(STORED[name], RESULTS, ["yes" if value else "no" for value in values.tolist()])
    return Column(STORED[name], RESULTS, values.astype(float))


def _with_differences(column: Column, titles: Sequence[str], formulas: Sequence[str]) -> list[Column]:
    """Return a column, and of energies the differences to the lowest conformer of equal title and formula."""
    if "energy" not in column.name.lower():
        return [column]
    names = list(zip(titles, formulas, strict=True))
    number = {name: k for k, name in enumerate(dict.fromkeys(names))}
    if len(number) == len(names):
        return [column]
    molecule = np.array([number[name] for name in names])
    lowest = np.full(len(number), np.inf)
    np.fmin.at(lowest, molecule, column.values)
    return [
        column,
        replace(
            column,
            name=f"{column.name}, above the lowest of its title",
            values=column.values - lowest[molecule],
        ),
    ]
