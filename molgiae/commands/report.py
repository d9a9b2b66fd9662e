"""The command that makes a page of HTML about embedded conformers."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae import __version__
from molgiae.commands.clusters import NONE, Vectors, check_sizes, hdbscan, k_means, representative
from molgiae.commands.described import ATOMS, RESULTS, STORED, classes, described
from molgiae.commands.maps import maps_of, principal
from molgiae.commands.nearest import NOT_SMOOTH
from molgiae.commands.outcomes import Reasons, Summary
from molgiae.commands.reconstruct import reconstruct
from molgiae.commands.run import Options, output_path
from molgiae.data.blocks import BLOCK_ROWS, concatenate
from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.opening import open as open_stored
from molgiae.data.inputs import is_stored, listed
from molgiae.data.partial import PartialFile, open_text
from molgiae.data.readers import Inputs
from molgiae.errors import ConfigError
from molgiae.model.header import sha256_of
from molgiae.output.page.content import MAX_REJECTED, Column, Content, Decoded, Group, Map, page
from molgiae.parts import Part, chosen_parts

SAMPLE = 20_000
"""Conformers on a page at most: it has to be drawn by a browser."""
WORST = 12
"""Reconstructions that are shown."""
LEAST, SHARE = 5, 200
"""Members of the least cluster: so many, or that fraction of the conformers if it is more."""
FROM_THE_FILE = ("model", "model_sha256", "model_choice", "molgiae_version", "created", "command")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class How:
    """How a page is made, as of `report`."""

    part: str | None
    tsne: bool
    k: int | None
    min_size: int | None
    colour: str
    sample: int
    seed: int

    def check(self) -> None:
        """Raise a ConfigError for what cannot be."""
        check_sizes(self.k, self.min_size)
        if self.sample < 1:
            raise ConfigError(f"a sample of {self.sample}: ask for at least 1")


@dataclass
class Reported(Summary):
    """What `report` did.

    Attributes:
        shown: conformers on the page, of those written.
        clusters: how many there are.
    """

    shown: int = 0
    clusters: int = 0


def report(
    inputs: Inputs,
    options: Options | None = None,
    *,
    part: str | None = None,
    tsne: bool = False,
    k: int | None = None,
    min_size: int | None = None,
    colour: str = ATOMS,
    sample: int = SAMPLE,
    seed: int = 0,
    **changes: Any,
) -> Reported:
    """Write a page of HTML that shows conformers, their embeddings and how well these remember them.

    Args:
        inputs: an HDF5 file of `molgiae embed` or `molgiae reconstruct`, which is taken as it is; or files,
            directories, ``-``, which are embedded and reconstructed first.
        options: of the command; the output ends in .html or .htm.
        part: of the embedding that is clustered and mapped first; None for features, where there are some.
        tsne: add maps by t-SNE of the principal components.
        k: clusters of k-means; None for HDBSCAN.
        min_size: least members of a cluster of HDBSCAN; None for 5 or half a percent of the conformers.
        colour: name of the column that colours the maps at first.
        sample: conformers on the page; of more, some drawn at random, and the worst reconstructions.
        seed: of what is drawn, of k-means and t-SNE.
        **changes: fields of `Options` by name.

    Raises:
        ConfigError: if an option is wrong, or nothing is called like what should colour the maps.
        MolgiaeError: whatever else keeps the page from being written.

    Examples:
        >>> molgiae.report("conformers.sdf", output="report.html", model="qm9").shown
        74
    """
    started = time.monotonic()
    options = (options or Options()).for_a_run(**changes)
    how = How(part, tsne, k, min_size, colour, sample, seed)
    how.check()
    names = listed(inputs)
    output = output_path(names, options, "_report.html", ("pages",))
    partial = PartialFile(output, overwrite=options.overwrite)
    with tempfile.TemporaryDirectory() as folder:
        if _is_embedded(names):
            path, result = Path(names[0]), Reported("")
        else:
            path = Path(folder) / "embedded.h5"
            result = Reported(**vars(reconstruct(names, options, output=path, overwrite=True)))
        with open_stored(path) as file:
            content = _content(names, file, how, options)
            result.written = len(file)
            result.notes += file.notes()
    with partial.writing() as temporary, open_text(temporary, compress=False) as text:
        text.write(page(content))
    result.output, result.rejected_in = str(output), str(output) if result.rejected else ""
    result.read = result.written + result.rejected
    result.model, result.model_sha256 = content.about["model"], content.about["model_sha256"]
    result.shown, result.clusters = len(content.block), len(content.clusters)
    result.notes = list(dict.fromkeys([*result.notes, *content.notes]))
    result.seconds = time.monotonic() - started
    return result


def _is_embedded(names: list[str]) -> bool:
    """Return whether the input is one file that holds embeddings."""
    if len(names) != 1 or not is_stored(names[0]):
        return False
    with open_stored(names[0]) as file:
        return file.dimension > 0


def _content(names: list[str], file: Embeddings, how: How, options: Options) -> Content:
    """Return what stands on the page."""
    rng = np.random.default_rng(how.seed)
    rmsd = file.column("rmsd") if "rmsd" in file.columns else np.empty(0)
    worst = np.argsort(-rmsd, kind="stable")[:WORST]
    rows = np.arange(len(file))
    if len(rows) > how.sample:
        rows = np.union1d(rng.choice(rows, how.sample, replace=False), worst)
    with options.bar("describe", len(rows)) as bar:
        block, embedding, stored = _read(file, rows, bar.update)
    columns, texts, notes = described(block, stored)
    if len(rows) < len(file):
        notes = [f"{len(rows)} of {len(file)} conformers are shown: a random sample, and the worst.", *notes]
    if not len(rmsd):
        notes = [*notes, "The file has no reconstructions; molgiae reconstruct writes a file that has them."]
    maps, clusters, how_clustered, label = _maps(embedding, file, how, options)
    columns.append(
        classes("cluster", RESULTS, [str(number) if number else None for number in label.tolist()])
    )
    _check_colour(how.colour, columns)
    reasons, rejected = _rejected(file)
    counts: dict[str, int | str] = {"conformers": len(file), "rejected": sum(reasons.values())}
    if "in_domain" in file.columns:
        counts["out of domain"] = int((file.column("in_domain") == 0).sum())
    counts |= {"atoms": file.n_atoms, "numbers of an embedding": file.dimension, "clusters": len(clusters)}
    if len(rmsd):
        counts["median RMSD (Å)"] = f"{np.median(rmsd):.4f}"
    return Content(
        title=f"molgiae report: {', '.join(os.path.basename(name) or name for name in names)}",
        counts=counts,
        notes=notes,
        block=block,
        colour=how.colour,
        columns=columns,
        texts=texts,
        maps=maps,
        how_clustered=how_clustered,
        clusters=clusters,
        worst=_decoded(file, worst, rows, rmsd),
        rejected=rejected,
        reasons=reasons,
        about=_about(names, file, options),
    )


def _read(
    file: Embeddings, rows: Ints, advance: Any
) -> tuple[ConformerBlock, Floats, dict[str, NDArray[Any]]]:
    """Return some conformers of a file, in its order, their embeddings (M, D) and columns of `STORED`."""
    stored = [name for name in STORED if name in file.columns]
    blocks: list[ConformerBlock] = []
    values: dict[str, list[NDArray[Any]]] = {
        name: [file.column(name, 0, 0)] for name in ("embedding", *stored)
    }
    for first in range(0, len(file), BLOCK_ROWS):
        low, high = np.searchsorted(rows, (first, first + BLOCK_ROWS))
        if low == high:
            continue
        here = rows[low:high] - first
        blocks.append(file.block(first, first + BLOCK_ROWS).take(here))
        for name, parts in values.items():
            parts.append(file.column(name, first, first + BLOCK_ROWS)[here])
        advance(len(here))
    whole = {name: np.concatenate(parts) for name, parts in values.items()}
    return concatenate(blocks), whole.pop("embedding"), whole


def _maps(
    embedding: Floats, file: Embeddings, how: How, options: Options
) -> tuple[list[Map], list[Group], str, Ints]:
    """Return the maps, clusters, how these came about, and (M,) the cluster of each conformer, from 1 or 0 for none."""
    if not len(embedding):
        return [], [], "", np.zeros(0, np.int64)
    maps, clusters, said, label = [], list[Group](), "", np.zeros(len(embedding), np.int64)
    parts = _parts(file, how.part)
    with options.bar("map", len(parts), unit="parts") as bar:
        for part in parts:
            place, shares = principal(embedding[:, part.columns])
            maps += maps_of(part, place, shares, tsne=how.tsne, seed=how.seed)
            if part is parts[0]:
                clusters, label = _clustered(place, how)
                said = _said(part, place, shares, how, label)
            bar.update()
    return maps, clusters, said, label


def _parts(file: Embeddings, first: str | None) -> list[Part]:
    """Return the parts that are mapped, the one that is clustered first."""
    parts = [part for part in file.parts if part.name != NOT_SMOOTH] or list(file.parts)
    chosen = parts[:1] if first is None else list(chosen_parts(file.parts, [first], str(file.path)))
    return [*chosen, *(part for part in parts if part not in chosen)]


def _clustered(place: Floats, how: How) -> tuple[list[Group], Ints]:
    """Return clusters of places (M, A), the largest first, and (M,) their numbers, from 1; 0 for those in none."""
    n = len(place)
    found = hdbscan(place, _least(n, how)) if how.k is None else k_means(place, min(how.k, n), how.seed)
    members = [np.flatnonzero(found == k) for k in range(int(found.max(initial=NONE)) + 1)]
    members.sort(key=lambda rows: -len(rows))
    label, groups, distances = np.zeros(n, np.int64), [], Vectors(place)
    for number, rows in enumerate((rows for rows in members if len(rows)), 1):
        label[rows] = number
        row = representative(rows, distances, None)
        groups.append(Group(number, len(rows), row, float(distances.to(row, rows).max())))
    return groups, label


def _least(n: int, how: How) -> int:
    return how.min_size or max(LEAST, n // SHARE)


def _said(part: Part, place: Floats, shares: Floats, how: How, label: Ints) -> str:
    method = f"HDBSCAN, {_least(len(place), how)} or more in each" if how.k is None else "k-means"
    kept = (
        f"the first {place.shape[1]} principal components of {part.name} ({shares.sum():.1%} of the variance)"
    )
    return f"{method}, by {kept}. {int((label == 0).sum())} conformers are in none. Medoids represent them."


def _check_colour(name: str, columns: list[Column]) -> None:
    names = [column.name for column in columns]
    if name not in names:
        raise ConfigError(f"nothing called {name!r} can colour the maps; there are: {', '.join(names)}")


def _decoded(file: Embeddings, worst: Ints, rows: Ints, rmsd: Floats) -> list[Decoded]:
    """Return the worst reconstructions of a file that has some."""
    if not {"reconstructed_position", "reconstructed_atomic_number"} <= set(file.columns):
        return []
    found = []
    for m in worst.tolist():
        position = file.column("reconstructed_position", m, m + 1)
        z = file.column("reconstructed_atomic_number", m, m + 1)
        wrong = int((z != file.column("atomic_number", m, m + 1)).sum())
        found.append(Decoded(int(np.searchsorted(rows, m)), float(rmsd[m]), z, position, wrong))
    return found


def _rejected(file: Embeddings) -> tuple[dict[str, int], list[Rejected]]:
    """Return how many records were rejected for what reason, and the first of them."""
    reasons, first = Reasons(), list[Rejected]()
    for record in file.rejected():
        reasons.add([record.reason])
        if len(first) < MAX_REJECTED:
            first.append(record)
    return reasons.most_common(), first


def _about(names: list[str], file: Embeddings, options: Options) -> dict[str, str]:
    """Return where all of this comes from."""
    inputs = {f"sha256 of {name}": sha256_of(Path(name)) for name in names if os.path.isfile(name)}
    made = {key: str(file.attributes[key]) for key in FROM_THE_FILE if file.attributes.get(key)}
    labels = {"molgiae_version": "embedded with molgiae", "created": "embedded at", "command": "embedded by"}
    about = {labels.get(key, key): value for key, value in made.items()}
    return (
        about
        | {"parts": ", ".join(p.name for p in file.parts)}
        | inputs
        | {
            "page made by": options.command,
            "page made with molgiae": __version__,
        }
    )
