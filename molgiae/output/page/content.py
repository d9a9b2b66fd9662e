"""What stands on a page about conformers, and the page."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock, Rejected
from molgiae.data.elements import SYMBOLS
from molgiae.output.page import charts
from molgiae.output.page.markup import Html, data, section, table, tag

Floats = NDArray[np.float64]

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
"""What the page allows itself: a browser refuses every request to elsewhere."""
MAX_REJECTED, MAX_CARDS, MAX_CLUSTERS = 200, 12, 100
"""Rejected records that are listed, clusters with a picture, and clusters that are listed."""
FINEST = 1e-3
"""Angstrom: digits of the positions, unless a conformer is larger than 65 angstrom."""


@dataclass(frozen=True)
class Column:
    """What colours the maps and is drawn as a distribution: a number or a class of each conformer.

    Attributes:
        name: with its unit, if it has one.
        group: of the menu it stands in.
        values: (M,) numbers, NaN where unknown; of classes their places among these, -1 where unknown.
        classes: the most frequent first; empty for numbers.
        chart: whether its distribution is shown, and its value beside a molecule.
    """

    name: str
    group: str
    values: Floats
    classes: tuple[str, ...] = ()
    chart: bool = True


@dataclass(frozen=True)
class Map:
    """Conformers in the plane, (M, 2), what its axes are, and what the part of the embedding tells."""

    name: str
    place: Floats
    axes: tuple[str, str]
    about: str = ""


@dataclass(frozen=True)
class Group:
    """A cluster: its number from 1, members, and the row and distance to the farthest of its representative."""

    number: int
    size: int
    row: int
    radius: float


@dataclass(frozen=True)
class Decoded:
    """A conformer as its embedding remembers it.

    Attributes:
        row: of the conformer.
        rmsd: angstrom.
        atomic_number: (n,); 0 where no atom is.
        position: (n, 3), angstrom, in the pose and order of the conformer.
        wrong: atoms that come back as others.
    """

    row: int
    rmsd: float
    atomic_number: NDArray[np.uint8]
    position: Floats
    wrong: int


@dataclass(frozen=True)
class Content:
    """What stands on a page.

    Attributes:
        title: of the page.
        counts: what is counted, and how much of it there is.
        notes: what else is to be said on top.
        block: M conformers, which all rows are of.
        colour: name of the column that colours the maps at first.
        columns, maps: of the conformers.
        texts: further properties of the conformers by name, M values each.
        how_clustered: of clusters.
        clusters: the largest first.
        worst: reconstructions, the worst first.
        rejected: records that were.
        reasons: how many of these for what reason.
        about: provenance.
    """

    title: str
    counts: Mapping[str, int | str]
    block: ConformerBlock
    notes: Sequence[str] = ()
    colour: str = ""
    columns: Sequence[Column] = ()
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    maps: Sequence[Map] = ()
    how_clustered: str = ""
    clusters: Sequence[Group] = ()
    worst: Sequence[Decoded] = ()
    rejected: Sequence[Rejected] = ()
    reasons: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, str] = field(default_factory=dict)


def is_page(path: str | os.PathLike[str]) -> bool:
    """Return whether the name says HTML."""
    return os.fspath(path).lower().endswith((".html", ".htm"))


def page(content: Content) -> str:
    """Return the text of a file of HTML."""
    head = [
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        tag("title", content.title),
        Html(f"<style>{_file('report.css')}</style>"),
    ]
    body = [
        tag(
            "header", tag("h1", content.title), _counts(content), *(tag("p", note) for note in content.notes)
        ),
        tag("main", _map(content), _charts(content), _clusters(content), _worst(content), _rejected(content)),
        section("Provenance", table(content.about.items()), id="provenance"),
        data("data", _numbers(content)),
        *(Html(f"<script>{_file(name)}</script>") for name in ("3Dmol-min.js", "report.js")),
    ]
    return f"<!DOCTYPE html>\n{tag('html', tag('head', *head), tag('body', *body), lang='en')}\n"


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _counts(content: Content) -> Html:
    cells = (
        tag("div", tag("strong", str(value)), tag("span", name)) for name, value in content.counts.items()
    )
    return tag("div", *cells, class_="counts", id="counts")


def _map(content: Content) -> Html:
    if not content.maps:
        return Html("")
    menus = [
        tag(
            "label",
            "Map ",
            tag("select", *(_option(k, m.name) for k, m in enumerate(content.maps)), id="map"),
        ),
        tag("label", "Colour ", tag("select", *_colours(content), id="colour")),
        tag("span", id="legend"),
    ]
    scatter = tag("canvas", id="scatter", role="img", aria_label="map of the embedding")
    hint = "Point at a dot for its title, click to see the molecule; wheel and drag move the map, double click resets."
    left = tag("div", tag("div", *menus, class_="menus"), scatter, tag("p", hint, id="axes"), class_="left")
    right = tag("div", tag("div", id="viewer"), tag("dl", id="details"), class_="right")
    return section(
        "Map of the embedding", tag("div", left, right, class_="sides"), tag("div", id="tip"), id="maps"
    )


def _option(value: int, name: str, **attributes: object) -> Html:
    return tag("option", name, value=value, **attributes)


def _colours(content: Content) -> list[Html]:
    groups: dict[str, list[Html]] = {}
    for k, column in enumerate(content.columns):
        chosen = {"selected": "selected"} if column.name == content.colour else {}
        groups.setdefault(column.group, []).append(_option(k, column.name, **chosen))
    return [tag("optgroup", *options, label=name) for name, options in groups.items()]


def _charts(content: Content) -> Html:
    z, times = np.unique(content.block.atomic_number, return_counts=True)
    order = np.argsort(-times, kind="stable")
    found = [
        charts.classes("elements (atoms)", [SYMBOLS[k] for k in z[order].tolist()], times[order].tolist())
    ]
    for column in content.columns:
        if column.classes and column.chart:
            counts = np.bincount(column.values[column.values >= 0].astype(int), minlength=len(column.classes))
            found.append(charts.classes(column.name, column.classes, counts.tolist()))
        elif column.chart:
            found.append(charts.histogram(column.name, column.values))
    return section(
        "Distributions", *([tag("div", *found, class_="charts")] if any(found) else []), id="charts"
    )


def _clusters(content: Content) -> Html:
    if not content.how_clustered:
        return Html("")
    title, of = content.block.title, len(content.block)
    cards = [
        _card(group.row, f"cluster {group.number}: {group.size} ({group.size / of:.1%})", title[group.row])
        for group in content.clusters[:MAX_CARDS]
    ]
    rows = [
        (group.number, group.size, f"{group.size / of:.1%}", f"{group.radius:.4g}", title[group.row])
        for group in content.clusters[:MAX_CLUSTERS]
    ]
    more = len(content.clusters) - len(rows)
    listed = table(rows, ("cluster", "conformers", "share", "radius", "representative"))
    said, pictures = tag("p", content.how_clustered), tag("div", *cards, class_="cards")
    return section(
        "Clusters", said, pictures, _folded(f"all {len(content.clusters)}", listed, more), id="clusters"
    )


def _folded(summary: str, listed: Html, more: int) -> Html:
    """Return a table that a click unfolds, and how many rows it lacks; nothing of an empty one."""
    lacking = [tag("p", f"and {more} more")] if more > 0 else []
    return tag("details", tag("summary", summary), listed, *lacking) if listed else Html("")


def _card(row: int, heading: str, title: str, **attributes: object) -> Html:
    """Return a button that shows a molecule, for a picture of which there is room."""
    picture = tag("span", class_="picture")
    named = tag("span", title or "(no title)", class_="name")
    return tag("button", picture, tag("strong", heading), named, type="button", data_row=row, **attributes)


def _worst(content: Content) -> Html:
    cards = [
        _card(
            one.row,
            f"{one.rmsd:.4f} Å" + (f", {one.wrong} atoms of another element" if one.wrong else ""),
            content.block.title[one.row],
            data_decoded=k,
        )
        for k, one in enumerate(content.worst)
    ]
    said = "RMSD of the reconstruction. Inputs have the colours of their elements, what embeddings remember is orange."
    return section(
        "Worst reconstructions",
        *([tag("p", said), tag("div", *cards, class_="cards")] if cards else []),
        id="worst",
    )


def _rejected(content: Content) -> Html:
    total = sum(content.reasons.values())
    if not total:
        return Html("")
    reasons = table([(count, reason) for reason, count in content.reasons.items()], ("records", "such as"))
    rows = [(r.source, r.record, r.line, r.title, r.reason) for r in content.rejected[:MAX_REJECTED]]
    listed = table(rows, ("source", "record", "line", "title", "reason"))
    said, each = tag("p", f"{total} records were rejected."), _folded("each", listed, total - len(rows))
    return section("Rejected records", said, reasons, each, id="rejected")


def _numbers(content: Content) -> dict[str, Any]:
    """Return what the script takes."""
    block = content.block
    sizes = np.maximum(block.n_atoms, 1)
    center = (
        np.add.reduceat(block.position, block.offset[:-1]) / sizes[:, None]
        if len(block)
        else np.empty((0, 3))
    )
    centered = block.position - center[block.owner]
    unit = max(FINEST, float(np.abs(centered).max(initial=0)) / np.iinfo(np.int16).max)
    sources = list(dict.fromkeys(block.source))
    number = {name: k for k, name in enumerate(sources)}
    return {
        "symbols": SYMBOLS,
        "title": block.title,
        "sources": sources,
        "source": _packed(np.array([number[name] for name in block.source], np.int32)),
        "record": block.record.tolist(),
        "offset": _packed(block.offset.astype(np.int32)),
        "z": _packed(block.atomic_number),
        "position": _packed(np.rint(centered / unit).astype(np.int16)),
        "unit": unit,
        "maps": [
            {"name": m.name, "axes": m.axes, "about": m.about, "place": _packed(m.place.astype(np.float32))}
            for m in content.maps
        ],
        "columns": [_column(column) for column in content.columns],
        "texts": dict(content.texts),
        "decoded": [_decoded(one, center[one.row]) for one in content.worst],
    }


def _column(column: Column) -> dict[str, Any]:
    known = column.values[np.isfinite(column.values)]
    known = known if len(known) else np.zeros(1)
    low, high = np.quantile(known, 0.01, method="lower"), np.quantile(known, 0.99, method="higher")
    return {
        "name": column.name,
        "classes": column.classes,
        "values": _packed(column.values.astype(np.int32) if column.classes else column.values),
        "chart": column.chart,
        "range": (float(low), float(high)),
        "logarithmic": not column.classes and charts.is_logarithmic(known),
    }


def _decoded(one: Decoded, center: Floats) -> dict[str, Any]:
    there = one.atomic_number > 0
    places = np.round(one.position - center, 3)[there]
    return {"z": one.atomic_number[there].tolist(), "position": places.ravel().tolist()}


def _packed(values: NDArray[Any]) -> dict[str, str]:
    """Return an array as text, with its type."""
    array = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {"type": array.dtype.str[1:], "bytes": base64.b64encode(array.tobytes()).decode()}
