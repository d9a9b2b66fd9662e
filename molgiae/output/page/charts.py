"""Distributions as bars in SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from molgiae.output.page.markup import Html, tag

Floats = NDArray[np.float64]

BINS, MOST_BARS = 30, 12
"""Bars of a histogram, and of classes, of which the rarest are counted together."""
WIDTH, HEIGHT = 240, 90
LONG_TAIL = 30
"""Largest number over the median from which on numbers, all above 0, are shown by their logarithms."""


def is_logarithmic(values: Floats) -> bool:
    """Return whether finite numbers are told apart by their logarithms only."""
    return bool(len(values) and values.min() > 0 and values.max() > LONG_TAIL * np.median(values))


def histogram(title: str, values: Floats) -> Html:
    """Return how often values (M,) occur; those that are not finite are left out, and counted in the caption."""
    known = values[np.isfinite(values)]
    if not len(known):
        return Html("")
    logarithmic = is_logarithmic(known)
    shown = np.log10(known) if logarithmic else known
    whole = not logarithmic and bool((known == np.round(known)).all()) and np.ptp(known) < BINS
    edges = np.arange(known.min(), known.max() + 2) - 0.5 if whole else BINS
    if not whole and np.ptp(shown) <= BINS * np.spacing(
        np.abs(shown).max()
    ):  # no room for edges between them
        edges = np.array([shown.min() - 0.5, shown.max() + 0.5])
    counts, edges = np.histogram(shown, edges)
    bounds = 10**edges if logarithmic else edges
    middles = (edges[:-1] + 0.5).round() if whole else None
    names = [
        f"{low:.4g} to {high:.4g}" if middles is None else f"{middles[k]:g}"
        for k, (low, high) in enumerate(pairwise(bounds))
    ]
    caption = f"{known.min():.4g} to {known.max():.4g}, median {np.median(known):.4g}"
    caption += ", logarithmic" * logarithmic
    missing = len(values) - len(known)
    return _bars(title, names, counts.tolist(), caption + (f"; {missing} without" if missing else ""))


def classes(title: str, names: Sequence[str], counts: Sequence[int]) -> Html:
    """Return how often each class occurs, the most frequent ones in the order that they are given in."""
    if len(names) > MOST_BARS:
        rest = sum(counts[MOST_BARS - 1 :])
        names, counts = (*names[: MOST_BARS - 1], "others"), (*counts[: MOST_BARS - 1], rest)
    caption = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    return _bars(title, names, counts, caption) if names else Html("")


def _bars(title: str, names: Sequence[str], counts: Sequence[int], caption: str) -> Html:
    step, most = WIDTH / len(counts), max(counts)
    bars = [
        tag(
            "rect",
            tag("title", f"{name}: {count}"),
            x=f"{k * step:.2f}",
            y=f"{HEIGHT * (1 - count / most):.2f}",
            width=f"{max(step - 1, 1):.2f}",
            height=f"{HEIGHT * count / most:.2f}",
        )
        for k, (name, count) in enumerate(zip(names, counts, strict=True))
    ]
    picture = tag("svg", *bars, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=f"{title}: {caption}")
    return tag("figure", tag("strong", title), picture, tag("figcaption", caption), class_="chart")
