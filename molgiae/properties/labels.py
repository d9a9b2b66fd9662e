"""Conformers with the values to learn: read, counted, and whatever has no value listed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.blocks import concatenate
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.inputs import listed, read_inputs
from molgiae.data.npz import read_npz
from molgiae.data.readers import Inputs
from molgiae.data.sources import Notes
from molgiae.errors import ConfigError
from molgiae.properties.columns import (
    COMMENT,
    Column,
    Columns,
    array_columns,
    property_columns,
    table_columns,
)
from molgiae.properties.targets import BY_NAME, ENERGY_UNIT, KNOWN, Target, find, names_of, normalized
from molgiae.properties.units import canonical_unit, conversion, split_heading
from molgiae.properties.value_kinds import classes_by_values, energies_by_size

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPLIT_WORDS = {
    "train": 0, "training": 0, "0": 0, "validation": 1, "valid": 1, "val": 1, "dev": 1, "1": 1, "test": 2, "2": 2,
}  # fmt: skip
"""What a column of splits may say."""
SPLIT_ARRAY = "split"
"""Array of an npz file that says its split."""
MAX_SHOWN = 12
"""Columns named in an error."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """M conformers with values of T targets.

    Attributes:
        block: the conformers; its `rejected` are the records that could not be read.
        values: (M, T) float64 in the units of the targets; NaN where a conformer has no value of one of several.
        targets: what the columns are.
        split: (M,) int8, 0 for training, 1 for validation, 2 for testing; None if the file does not say.
        missing: records that were read and left out, for they have no value of any target.
        gaps: those that were kept and lack some target.
        notes: what else is to be said, a line each.
        baseline: cheap method of which the difference is learned; empty for none.
        cheap: (M, T) what that says, in the units of the targets; None for none.
        scores: (M,) by which conformers of a molecule are weighed, shares are softmax; None for none.
    """

    block: ConformerBlock
    values: Floats
    targets: tuple[Target, ...]
    split: NDArray[np.int8] | None = None
    missing: tuple[Rejected, ...] = ()
    gaps: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    baseline: str = ""
    cheap: Floats | None = None
    scores: Floats | None = None

    def __len__(self) -> int:
        return len(self.block)

    def take(self, index: Ints) -> Labelled:
        """Return some of the conformers, in the order given."""
        rows = {name: getattr(self, name) for name in ("values", "split", "cheap", "scores")}
        taken: dict[str, Any] = {
            name: None if array is None else array[index] for name, array in rows.items()
        }
        return replace(self, block=self.block.take(index), **taken)


@dataclass(frozen=True)
class _Wanted:
    """A target, the column asked for ("" to go by its names) and the units that the user named."""

    target: Target
    column: str
    unit: str
    result_unit: str


def read_labelled(
    inputs: Inputs,
    targets: Sequence[str] = (),
    *,
    table: str | os.PathLike[str] | None = None,
    title_column: str | None = None,
    target_columns: Sequence[str] | None = None,
    unit: str | Sequence[str] | None = None,
    result_unit: str | Sequence[str] | None = None,
    extensive: bool = False,
    split_column: str | None = None,
    odd: bool = False,
    classify: bool | None = None,
    format: str | None = None,
    keep_text: bool = False,
) -> Labelled:
    """Read conformers and the values of targets.

    Values stand in SD data, in the properties of extended XYZ or HDF5, in comment lines of XYZ (``H=-40.5``, or nothing
    but a number), in the arrays of an npz file, or in a table that is keyed by title.

    Args:
        inputs: SDF, XYZ or HDF5 files, or one npz file.
        targets: known ones, by name, symbol or alias.
        table: CSV file with a row for each title; values are looked for there alone.
        title_column: of the table; None to find it by name.
        target_columns: columns of further targets; ``NAME=COLUMN`` names the column of a known target, or gives
            a target another name than its column.
        unit: of the values as they stand, for all targets, or ``TARGET=UNIT`` for one. By default what the
            heading of the column says (``H [eV]``), else that of QM9 for known targets and none for others.
        result_unit: of the values returned, likewise. By default `unit` if it was given, else eV for energies
            of known targets and the unit found for others.
        extensive: whether targets that are not known grow with the molecule.
        odd: whether targets that are not known change their sign in the mirror.
        classify: whether values of targets that are not known are 0 or 1, so that a probability is learned; None for
            yes where all of them are.
        split_column: column that says train, validation or test; npz files with an array ``split`` need none.
        format: of structure files, "sdf" or "xyz"; None to go by name and content.
        keep_text: keep the records as they were read, which hold the orders of bonds.

    Raises:
        ConfigError: a target has no column, no value, or but one; units disagree; the table does not match.
        MolgiaeError: the inputs cannot be read.
    """
    wanted = _wanted(targets, target_columns or (), unit, result_unit, {"extensive": extensive, "odd": odd})
    names, notes = listed(inputs), Notes()
    is_npz = any(Path(name).suffix.lower() == ".npz" for name in names)
    block, columns = _read_npz(names) if is_npz else _read_structures(names, format, notes, keep_text)
    if not len(block):
        first = f": {block.rejected[0].reason}" if block.rejected else ""
        raise ConfigError(f"{', '.join(names)}: no record could be read{first}")
    if table is not None:
        columns = table_columns(table, block.title, title_column)
    found = [_find_column(one, columns, alone=len(wanted) == 1) for one in wanted]
    read = [columns.column(heading) for heading, _ in found]
    goal = [
        _in_unit(one, heading, said, column, columns.where)
        for one, (heading, said), column in zip(wanted, found, read, strict=True)
    ]
    factors = [conversion(unit, target.unit) for target, unit in goal]
    values = np.stack([column.values for column in read], axis=1) * factors
    if split_column is None and is_npz and table is None and SPLIT_ARRAY in columns.headings:
        split_column = SPLIT_ARRAY
    split = None if split_column is None else _read_split(columns, split_column)
    reasons = [column.reasons for column in read]
    labelled = _without_missing(block, values, tuple(target for target, _ in goal), reasons, split)
    _check_enough(labelled, columns.where, len(block))
    known, about_energies = energies_by_size(
        labelled.block, labelled.values, labelled.targets, [unit for _, unit in goal], columns.where
    )
    known, about_classes = classes_by_values(labelled.values, known, classify, columns.where)
    said = [*notes.lines(), *about_energies, *about_classes]
    if columns.unused:
        said.append(f"{columns.unused} titles of {columns.where} are not among the structures")
    return replace(labelled, targets=known, notes=tuple(said))


def _wanted(
    targets: Sequence[str],
    columns: Sequence[str],
    unit: str | Sequence[str] | None,
    result_unit: str | Sequence[str] | None,
    kind: Mapping[str, Any],
) -> list[_Wanted]:
    wanted = {target.name: (target, "") for target in map(find, targets)}
    for text in columns:
        name, _, column = text.rpartition("=")
        known = BY_NAME.get(normalized(name)) if name else None
        target = known or replace(Target.of(name.strip() or split_heading(column)[0]), **kind)
        wanted[target.name] = target, column.strip()
    if not wanted:
        raise ConfigError(
            f"name a target to learn: one of {', '.join(KNOWN)}, or a column with --target-column"
        )
    names = {normalized(n): t.name for t, column in wanted.values() for n in (*names_of(t), column)}
    units, results = (_by_target(texts, names) for texts in (unit, result_unit))
    return [_Wanted(*pair, units.get(name, ""), results.get(name, "")) for name, pair in wanted.items()]


def _by_target(units: str | Sequence[str] | None, names: Mapping[str, str]) -> dict[str, str]:
    """Return the unit of each target, from texts ``UNIT`` and ``TARGET=UNIT``; names (normalized) are of targets."""
    targets = dict.fromkeys(names.values())
    found: dict[str, str] = {}
    for text in [units] if isinstance(units, str) else (units or ()):
        name, _, unit = text.rpartition("=")
        if not name:
            found = dict.fromkeys(targets, canonical_unit(unit)) | found
        elif normalized(name) in names:
            found[names[normalized(name)]] = canonical_unit(unit)
        else:
            raise ConfigError(f"unit {text}: {name} is not among the targets, {', '.join(targets)}")
    return found


def _read_npz(names: list[str]) -> tuple[ConformerBlock, Columns]:
    if len(names) > 1:
        npz = next(name for name in names if Path(name).suffix.lower() == ".npz")
        raise ConfigError(f"{npz} is npz; give it to a run of its own")
    block = read_npz(Path(names[0]))
    return block, array_columns(names[0], len(block))


def _read_structures(
    names: list[str], format: str | None, notes: Notes, keep_text: bool
) -> tuple[ConformerBlock, Columns]:
    block = concatenate(list(read_inputs(names, format=format, notes=notes)) or [ConformerBlock.of([])])
    columns = property_columns(block, ", ".join(names))
    return block if keep_text else replace(block, text=[""] * len(block)), columns  # its bonds are kept


def _find_column(wanted: _Wanted, columns: Columns, alone: bool) -> tuple[str, str]:
    """Return the heading of a target and the unit in it; a ConfigError if there is none, or several are as good."""
    parts = {heading: split_heading(heading) for heading in columns.headings}
    names = [wanted.column] if wanted.column else list(names_of(wanted.target))
    if names[0] in parts:
        return names[0], parts[names[0]][1]
    tests: list[Callable[[str], bool]] = [
        lambda name: name == names[0],
        lambda name: normalized(name) == normalized(names[0]),
        lambda name: normalized(name) in map(normalized, names),
    ]
    for fits in tests:
        found = [heading for heading, (name, _) in parts.items() if fits(name)]
        if len(found) > 1:
            raise ConfigError(
                f"{columns.where}: columns {', '.join(found)} could all be {wanted.target.name}; "
                f"choose with --target-column {wanted.target.symbol}=COLUMN"
            )
        if found:
            return found[0], parts[found[0]][1]
    if alone and not wanted.column and COMMENT in columns.headings:
        return COMMENT, ""
    raise ConfigError(f"{columns.where}: {_no_column(wanted, columns)}")


def _no_column(wanted: _Wanted, columns: Columns) -> str:
    target = wanted.target
    what = f"no column {wanted.column}" if wanted.column else f"no column {target.symbol} ({target.name})"
    remedy = "name one with --target-column" + ("" if wanted.column else f" {target.symbol}=COLUMN")
    if not columns.headings:
        return f"{what}: the records have no properties; add these, or give a table of titles and values"
    there = ", ".join(columns.headings[:MAX_SHOWN])
    if len(columns.headings) > MAX_SHOWN:
        there += f" and {len(columns.headings) - MAX_SHOWN} more"
    if columns.by_number:
        remedy += "; without a line of names on top, columns go by number"
    return f"{what}; there are {there}; {remedy}"


def _in_unit(wanted: _Wanted, heading: str, said: str, column: Column, where: str) -> tuple[Target, str]:
    """Return the target in the unit of the results, and the unit of its values; a ConfigError if units disagree."""
    what = f"{where}: {wanted.target.name}"
    words = column.units - {""}
    units = {*words, *filter(None, (said, wanted.unit))}
    mixed = len(units) > 1 or ("" in column.units and words and not said and not wanted.unit)
    if mixed:
        found = ", ".join(sorted(units) + (["none"] if len(units) == 1 else []))
        raise ConfigError(f"{what}: units disagree: {found} (column {heading}, its values, and --unit)")
    known, target = wanted.target.name in KNOWN, wanted.target
    unit = next(iter(units), target.unit)
    default = ENERGY_UNIT if known and target.energy and not wanted.unit else unit
    try:
        kind: dict[str, Any] = {"extensive": target.extensive, "odd": target.odd}
        target = target.to(unit) if known else replace(Target.of(target.name, unit), **kind)
        return target.to(wanted.result_unit or default), unit
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error


def _read_split(columns: Columns, heading: str) -> NDArray[np.int8]:
    if heading not in columns.headings:
        raise ConfigError(f"{columns.where}: no column {heading} of splits")
    words = [word or "" for word in columns.words(heading)]
    known = [SPLIT_WORDS.get(word.strip().lower().removesuffix(".0"), -1) for word in words]
    strange = next((word for word, number in zip(words, known, strict=True) if number < 0 and word), None)
    if strange is not None:
        raise ConfigError(
            f"{columns.where}: column {heading} says '{strange}', expected train, validation or test"
        )
    return np.array(known, np.int8)


def _without_missing(
    block: ConformerBlock,
    values: Floats,
    targets: tuple[Target, ...],
    reasons: list[dict[int, str]],
    split: NDArray[np.int8] | None,
) -> Labelled:
    """Return the conformers that have a value and are in a split; the others, and those with gaps, are listed."""
    known = np.isfinite(values)
    some, every = np.asarray(known.any(axis=1)), np.asarray(known.all(axis=1))
    keep = some if split is None else some & (split >= 0)
    missing: list[Rejected] = []
    gaps: list[Rejected] = []
    for m in np.flatnonzero(~every | ~keep).tolist():
        pairs = [(target.name, mine[m]) for target, mine in zip(targets, reasons, strict=True) if m in mine]
        reason = "; ".join(f"{name}: {why}" if len(targets) > 1 else why for name, why in pairs)
        if not keep[m] and some[m]:
            reason = "is in no split"
        (gaps if keep[m] else missing).append(block.rejection(m, reason))
    own = None if split is None else split[keep]
    return Labelled(block.take(keep), values[keep], targets, own, tuple(missing), tuple(gaps))


def _check_enough(labelled: Labelled, where: str, n_read: int) -> None:
    """Raise a ConfigError if there is nothing to learn."""
    for target, column in zip(labelled.targets, labelled.values.T, strict=True):
        values = column[np.isfinite(column)]
        if not len(values):
            why = f": {labelled.missing[0].reason}" if labelled.missing else ""
            fault = f"none of {n_read} records has a value of {target.name}; the first{why}"
        elif len(values) == 1:
            fault = f"one of {n_read} records has a value of {target.name}; learning takes many"
        elif np.ptp(values) == 0:
            fault = f"all {len(values)} values of {target.name} are {values[0]:g}; there is nothing to learn"
        else:
            continue
        raise ConfigError(f"{where}: {fault}")
