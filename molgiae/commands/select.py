"""The command that picks a diverse subset of conformers, by MaxMin on distances of their embeddings."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from molgiae.commands.annotated import annotate
from molgiae.commands.embedded import SAID, OneModel, Pool
from molgiae.commands.nearest import By
from molgiae.commands.outcomes import Summary
from molgiae.commands.picking import OUT, Distances, maxmin, nearest_of
from molgiae.commands.run import Options, begun, like_input, output_or_memory, run, sink_for
from molgiae.data.blocks import Result
from molgiae.data.given import Given, names_of, taken_in
from molgiae.data.readers import Inputs
from molgiae.data.spool import rows_of_blocks
from molgiae.data.writers import StructureWriter, structure_suffix
from molgiae.errors import ConfigError
from molgiae.output.files import is_table

if TYPE_CHECKING:
    from molgiae.data.given import Objects

PICKS = 100
COLUMNS = ("picked", "picked_distance")
HEADINGS = ("picked", "source", "record", "title", "distance")


@dataclass(frozen=True, slots=True)
class Pick:
    """One conformer that was picked.

    Attributes:
        picked: 1 for the first.
        source, record, title: as read.
        distance: to the nearest of those picked or chosen before it; None for the first of all.
    """

    picked: int
    source: str
    record: int
    title: str
    distance: float | None


@dataclass
class Selection(Summary):
    """What `select` did; written are those picked, read are those and all others.

    Attributes:
        conformers: that could have been picked.
        chosen_before: conformers of `seed_with`.
        by: what was compared.
        picks: in the order of picking.
    """

    conformers: int = 0
    chosen_before: int = 0
    by: str = ""
    picks: list[Pick] = field(default_factory=list)


@overload
def select(inputs: Inputs, options: Options | None = None, **how: Any) -> Selection: ...
@overload
def select(inputs: Objects, options: Options | None = None, *, output: None = None, **how: Any) -> Result: ...
@overload
def select(inputs: Objects, options: Options | None = None, **how: Any) -> Selection: ...
def select(
    inputs: Given,
    options: Options | None = None,
    *,
    k: int = PICKS,
    by: By = "features",
    seed_with: Given | None = None,
    per_molecule: bool = False,
    seed: int | None = None,
    **changes: Any,
) -> Selection | Result:
    """Pick conformers that are far from each other, by MaxMin.

    Files come to a file; objects as a result of those picked, of which the column ``row`` says which they are, from 0.

    Each pick is the conformer farthest from its nearest among those picked before. The first is the one nearest to
    the mean of all, so that the order of the input does not matter; or one drawn at random; or, where some are chosen
    already, the one farthest from these.

    Embeddings are those of files that hold some, all of one model, or are computed, by that model.

    Args:
        inputs: as of `molgiae.embed`.
        options: of the command; the output is SDF or XYZ, with ``molgiae_picked`` and ``molgiae_distance`` as
            properties, or CSV, TSV or HDF5, in the order of picking.
        k: how many; fewer where there are no more.
        by: "shape", "features", "all": Euclidean distance, as of `molgiae.commands.search.search`. "overlay":
            1 - Tanimoto of the overlay and color parts.
        seed_with: conformers, likewise, that are chosen already: new ones are far from these, too.
        per_molecule: pick at most one conformer of each title, and none of a title chosen already. Conformers without
            a title are molecules of their own.
        seed: of the random first pick; None for the one nearest to the mean.
        **changes: fields of `Options` by name.

    Raises:
        CheckpointError: if embeddings are of unlike models.
        ConfigError: if an option is wrong, or embeddings lack the part that is compared.
        ConformerError: for the first rejected record, if that is what the options want.
        MolgiaeError: whatever else keeps the output from being written.

    Examples:
        >>> picked = molgiae.select(mol, k=2, by="shape", model="qm9")
        >>> picked["row"].tolist(), picked["picked_distance"].shape
        ([2, 0], (2,))
        >>> molgiae.select("conformers.sdf", k=10, output="picked.sdf").picks[0].title
        '...'
    """
    started = time.monotonic()
    taken, options = begun(inputs, options, changes)
    if k < 1:
        raise ConfigError(f"{k} conformers: ask for at least 1")
    if seed is not None and seed < 0:
        raise ConfigError(f"seed {seed}: must be 0 or more")
    chosen_before = [] if seed_with is None else taken_in(seed_with)
    names, before = names_of(taken), names_of(chosen_before)
    formats = ("HDF5", "tables", "structures")
    output = output_or_memory(taken, options, f"_picked{like_input(names)}", formats)
    if output is not None and any(
        os.path.exists(name) and output.exists() and output.samefile(name) for name in before
    ):
        raise ConfigError(f"{output}: is named by --seed-with, too; name another output with --output")
    model = OneModel([*names, *before], options, by, atoms=output is None or not is_table(output))
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as other:
        pool, chosen = Pool(file, ", ".join(names)), Pool(other, ", ".join(before))
        keep_text = output is not None and structure_suffix(output) is not None
        pool.fill(model, taken, options, keep_text=keep_text)
        if chosen_before:
            chosen.fill(model, chosen_before, options, keep_text=False)
        rows, apart = _picked(pool, chosen, k, by, options, seed=seed, per_molecule=per_molecule)
        picked = rows_of_blocks(pool.blocks(), rows)
    columns = {
        "picked": np.arange(1, len(rows) + 1),
        "picked_distance": np.where(apart < np.inf, apart, np.nan),
    }
    rejected = [*pool.rejected, *chosen.rejected]
    result = Result(replace(picked.block, rejected=rejected), {**columns, **picked.columns})
    if output is None:
        return replace(result, columns={"row": rows, **result.columns})
    said = tuple(key for key in SAID if key in result)
    table = ((*HEADINGS, *said), _cells)
    sink = sink_for(output, options, (*COLUMNS, *said), _record, table=table, model=model.model)
    summary = run(
        [result], lambda all_picked: all_picked, sink, options, "write", replace(model.model, workers=1)
    )
    found = Selection(**vars(summary), conformers=len(pool), chosen_before=len(chosen), by=by)
    found.read = len(pool) + len(chosen) + found.rejected
    found.picks = [_pick(result, m) for m in range(len(result))]
    if len(rows) < k:
        kind = "molecules" if per_molecule else "conformers"
        found.notes.append(f"there are no more {kind} to pick: {len(rows)} of {k}")
    found.seconds = time.monotonic() - started
    return found


def _picked(
    pool: Pool, chosen: Pool, k: int, by: By, options: Options, *, seed: int | None, per_molecule: bool
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows that are picked, and their distances."""
    if not len(pool):
        return np.empty(0, np.int64), np.empty(0)
    measure = pool.measure(by)
    distances = Distances(pool.embedding, measure)
    with options.bar("compare", len(pool)) as bar:
        left = nearest_of(pool, chosen, measure, bar.update)
    groups = None
    if per_molecule:
        number: dict[str, int] = {name: m for m, name in enumerate(chosen.names) if name}
        known = len(number) and max(number.values()) + 1
        of_name = {name: known + m for m, name in enumerate(pool.names)} | number
        groups = np.array([of_name[name] if name else -1 - m for m, name in enumerate(pool.names)])
        left[np.isin(groups, list(number.values()))] = OUT
    first = None
    if not len(chosen):
        first = distances.central() if seed is None else int(np.random.default_rng(seed).integers(len(pool)))
    with options.bar("pick", min(k, len(pool))) as bar:
        return maxmin(distances, k, before=left, first=first, groups=groups, advance=bar.update)


def _pick(result: Result, m: int) -> Pick:
    conformer, distance = result.block[m], float(result["picked_distance"][m])
    place = conformer.source, conformer.record, conformer.title
    return Pick(int(result["picked"][m]), *place, None if np.isnan(distance) else distance)


def _distance(pick: Pick) -> str:
    return "" if pick.distance is None else f"{pick.distance:.6g}"


def _cells(result: Result, m: int) -> dict[str, object]:
    pick = _pick(result, m)
    row = {"picked": pick.picked, "source": pick.source, "record": pick.record, "title": pick.title}
    return row | {"distance": _distance(pick), **{key: result[key][m] for key in SAID if key in result}}


def _record(writer: StructureWriter, result: Result, m: int) -> None:
    pick = _pick(result, m)
    found = {"molgiae_picked": str(pick.picked), "molgiae_distance": _distance(pick)}
    found |= {"molgiae_domain_reason": str(result["domain_reason"][m])}
    annotate(writer, result.block[m], found)
