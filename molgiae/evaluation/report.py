"""The result of an evaluation: plain data, and tables in GitHub markdown."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""Name to number, text, or a nested mapping or list of such."""

Track = Callable[[Any], Any]
"""Wraps an iterable, for instance in a progress bar."""

Format = Callable[[Any], str]

ratio: Format = "{:.3f}".format
"""Three decimals."""

figure: Format = "{:.3g}".format
"""Three digits."""

SHOWN_DIGITS = 12
"""Digits of a sha256 that tell models apart."""


def angstrom(value: float) -> str:
    """Return four decimals, or six if those were 0 or 1: fewer digits would hide what a good model gets wrong."""
    return f"{value:.4f}" if not 1e-6 <= value < 1.5e-4 else f"{value:.6f}"


def percent(value: float) -> str:
    """Return a share as percentage; 100 only if it is all."""
    text = f"{100 * value:.2f} %"
    return text if text != "100.00 %" else ("100 %" if value == 1 else "> 99.99 %")


def small(value: float) -> str:
    """Return two digits and a power of ten."""
    return f"{value:.1e}" if value else "0"


def count(value: float) -> str:
    """Return a whole number with its thousands apart."""
    return f"{value:,.0f}".replace(",", " ")


def yes_no(value: bool) -> str:
    """Return a truth as a word."""
    return "yes" if value else "no"


ROWS: dict[str, tuple[str, Format]] = {
    "reconstruction/rmsd_mean": ("RMSD as predicted, mean (Å)", angstrom),
    "reconstruction/rmsd_p50": ("... median", angstrom),
    "reconstruction/rmsd_p95": ("... 95th percentile", angstrom),
    "reconstruction/rmsd_p99": ("... 99th percentile", angstrom),
    "reconstruction/rmsd_p100": ("... worst", angstrom),
    "reconstruction/rmsd_below_0.05": ("... below 0.05 Å", percent),
    "reconstruction/rmsd_below_0.1": ("... below 0.1 Å", percent),
    "reconstruction/rmsd_below_0.25": ("... below 0.25 Å", percent),
    "reconstruction/solved_rmsd_mean": ("RMSD solved, mean (Å)", angstrom),
    "reconstruction/solved_rmsd_p50": ("... median", angstrom),
    "reconstruction/solved_rmsd_p95": ("... 95th percentile", angstrom),
    "reconstruction/solved_rmsd_p99": ("... 99th percentile", angstrom),
    "reconstruction/solved_rmsd_p100": ("... worst", angstrom),
    "reconstruction/type_accuracy": ("Atom types right", percent),
    "reconstruction/formula_accuracy": ("Formula exact from the embedding alone", percent),
    "invariance/change_max": ("Invariance: largest relative change under random g", small),
    "invariance/exact_share": ("... changes up to 1e-5", percent),
    "invariance/batch_change_max": ("... with other batch size and mates", small),
    "invariance/repeat_is_bitwise_equal": ("... same input twice bitwise equal", yes_no),
    "mirror/different_share": ("Mirror images with another embedding", percent),
    "mirror/chiral_differ": ("... chiral conformers that differ beyond round-off", percent),
    "mirror/chiral_told_apart": ("... chiral conformers told apart", percent),
    "mirror/achiral_equal": ("... achiral conformers equal to theirs", percent),
    "mirror/rounded_equal": ("...... of those that equal it up to 0.001 Å", percent),
    "mirror/chiral_median": ("... median distance, chiral", ratio),
    "mirror/achiral_median": ("... median distance, achiral", ratio),
    "mirror/apart": ("Mirror images at a third of their RMSD or more", percent),
    "mirror/methyl_apart": ("... with a methyl group turned", percent),
    **{
        f"smoothness/{sigma}/{key}": (label.format(sigma), percent)
        for sigma in ("0.001", "0.01", "0.05")
        for key, label in (
            ("change_median", "Change under {} Å of noise, median"),
            ("change_p99", "... 99th percentile"),
            ("jumps", "... jumps"),
            ("jumps_frame", "...... the frame turned"),
            ("jumps_order", "...... the order changed"),
            ("jumps_other", "...... neither"),
            ("jumps_exact", "...... of the exact distance"),
        )
    },
    **{
        f"scans/{path}/{key}": (label, percent)
        for path, what in (
            ("stretch", "a bond to hydrogen stretched by 0.01 Å"),
            ("torsion", "a bond turned by 3°"),
        )
        for key, label in (
            ("change_max", f"Largest change with {what}"),
            ("jumps", "... jumps"),
            ("jumps_exact", "...... of the exact distance"),
        )
    },
    "conformers/spearman": ("Spearman with RMSD, conformers of one molecule", ratio),
    "conformers/spearman_each": ("... mean over molecules", ratio),
    "conformers/slope": ("... slope of RMSD against distance", ratio),
    "isomers/spearman": ("Spearman with RMSD, molecules of one formula", ratio),
    "neighbours/same": ("Nearest neighbour is of the same molecule", percent),
    "overlay/spearman": ("Spearman with exact shape Tanimoto, any molecules", ratio),
    "overlay/spearman_color": ("... with the mean of shape and color Tanimoto", ratio),
    "overlay/found": ("... of the 10 best overlays, among the first 100", percent),
    "throughput/conformers_per_second": ("Conformers per second, model alone", count),
}
"""The table: section and keys that lead to the figure of a subject, text of the first column, format.

Another row is one more line here, for a figure that a section returns.
"""

NOTES = {
    "reconstruction": "RMSD is over all atoms, hydrogens too, of every conformer. As predicted: hard permutation, "
    "predicted rotation and translation. Solved: assignment and proper Kabsch from there. Atoms are compared with "
    "the slot they were given, whatever element it predicts.",
    "invariance": "Relative change is |z' - z| / |z|; g is a random rotation, translation and permutation.",
    "mirror": "Chiral: more than 0.05 Å RMSD from the mirror image after superposition from many starts; achiral: "
    "less than 0.02 Å. Distances are in units of the median distance of two random conformers: below 0.01 is equal, "
    "from 0.01 on told apart. Beyond round-off: |z' - z| / |z| above 1e-5.",
    "smoothness": "Gaussian noise on every coordinate; change in units of the median distance of two random "
    "conformers. A jump is more than 10 % of it; the frame turned: by more than 30 degrees. The exact distance that a "
    "part stands for, RMSD or distance of densities at their best overlay, moves as well, in the same unit.",
    "scans": "Steps of 0.01 Å from 0.9 to 1.7 Å, and of 3 degrees; those with atoms nearer than 0.8 Å are left out. "
    "A jump is a step of more than 10 % of the median distance of two random conformers.",
    "conformers": "RMSD is symmetry-corrected: the least over proper motions and matchings that lay bonds on bonds; "
    "for molecules of one formula the least found over matchings within elements. SOAP: dscribe, averaged over atoms, "
    "where installed. The slope is of the line through the origin, least squares.",
    "neighbours": "Smooth parts: all but detail, each divided by its root mean square spread over the conformers.",
    "overlay": "Exact: RDKit, rdGaussianShape, Gaussian densities of heavy atoms and of pharmacophores, the better of "
    "both directions; shape alone at the pose of its largest overlap, with color at that of their largest mean. "
    "Estimates: Tanimoto of the parts overlay and color; of others the negative distance (USR, USRCAT: sum of "
    "differences). USR, USRCAT: RDKit, heavy atoms.",
    "features": "Kernel ridge regression; kernel, width, strength and whether numbers are standardized by five-fold "
    "cross-validation within the training labels. What least squares on composition explain in these is taken off "
    "before; the column composition is this alone. Without a split in the data the mean of five random ones, 80 to "
    "20 %, by molecule. Morgan counts: RDKit, radius 2, 2048 bits.",
}


@dataclass(frozen=True)
class Breakdown:
    """A table of its own, a row for each kind of conformers or atoms."""

    path: tuple[str, ...]  # leads to its rows in a report: a mapping, or a list whose items have a `title`
    title: str  # stands above; ``{rows}`` stands for their number
    first: str  # head of the first column
    columns: tuple[tuple[str, str, Format], ...]  # key, head and format of the others


MODEL = "MODEL"
"""Stands for the name of the model in the path of a breakdown."""

_OF_CONFORMERS: tuple[tuple[str, str, Format], ...] = (
    ("conformers", "conformers", count),
    ("rmsd_mean", "RMSD as predicted, mean (Å)", angstrom),
    ("rmsd_p50", "median", angstrom),
    ("rmsd_p95", "95th percentile", angstrom),
    ("rmsd_p99", "99th percentile", angstrom),
    ("rmsd_p100", "worst", angstrom),
    ("solved_rmsd_mean", "solved, mean", angstrom),
    ("type_accuracy", "types right", percent),
    ("formula_accuracy", "formula exact", percent),
)

BREAKDOWNS = (
    *(
        Breakdown(("reconstruction", MODEL, key), f"Reconstruction by {what}.", first, _OF_CONFORMERS)
        for key, what, first in (
            ("by_atoms", "number of atoms, hydrogens included", "atoms"),
            ("by_charge", "total charge", "charge"),
            ("by_kind", "kind of compound, as titles say it", "kind"),
        )
    ),
    Breakdown(
        ("reconstruction", MODEL, "by_length"),
        "Reconstruction from the first numbers of embeddings alone.",
        "numbers",
        tuple(column for column in _OF_CONFORMERS if column[0] not in ("conformers", "solved_rmsd_mean")),
    ),
    Breakdown(
        ("reconstruction", MODEL, "by_element"),
        "Reconstruction by element: its atoms, and the conformers that have such.",
        "element",
        (
            ("atoms", "atoms", count),
            ("displacement", "root mean square displacement (Å)", angstrom),
            ("type_accuracy", "types right", percent),
            ("conformers", "conformers", count),
            ("rmsd_mean", "their RMSD as predicted, mean (Å)", angstrom),
            ("formula_accuracy", "formula exact", percent),
        ),
    ),
    Breakdown(
        ("linear_baseline",),
        "Linear baseline: inertial frame, sorted atoms, principal components; elements given.",
        "dimensions",
        (
            ("rmsd_mean", "RMSD, mean (Å)", angstrom),
            ("rmsd_median", "median", angstrom),
            ("rmsd_p99", "99th percentile", angstrom),
        ),
    ),
    Breakdown(
        ("reconstruction", MODEL, "worst"),
        "The {rows} worst reconstructions.",
        "conformer",
        (
            ("n_atoms", "atoms", str),
            ("rmsd", "RMSD as predicted (Å)", angstrom),
            ("solved_rmsd", "solved", angstrom),
            ("types_wrong", "types wrong", str),
            ("pose_defined", "pose defined", str),
        ),
    ),
)


COUNTS = {
    "invariance/pairs": "pairs of conformer and g",
    "mirror/chiral": "chiral",
    "mirror/achiral": "achiral",
    "mirror/borderline": "borderline conformers",
    "conformers/pairs": "pairs of conformers of one molecule",
    "isomers/pairs": "pairs of molecules of one formula",
    "neighbours/queries": "conformers whose neighbours were looked up",
    "overlay/pairs": "pairs of conformers of any molecules",
    "overlay/queries": "conformers whose best overlays were looked for",
}
"""What shares and correlations are taken over: path of the model's figure, and what it counts."""


@dataclass(frozen=True)
class Report:
    """What was measured.

    Attributes:
        about: model, data, how many conformers, settings, machine, seconds of each section.
        sections: section to subject (the model, then baselines) to figures; plain data. The section
            ``linear_baseline`` has sizes of the code in place of subjects.
    """

    about: Figures
    sections: dict[str, dict[str, Figures]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    @property
    def model(self) -> str:
        """The name of the model, the first subject of every section."""
        return str(self.about["model"])

    @property
    def rows(self) -> dict[str, tuple[str, Format]]:
        """The rows of the table: `ROWS`, and two for each target and number of labels."""
        learned = look_up(self.sections, ("features", self.model)) or {}
        return ROWS | {
            f"features/{what}/{key}": (f"{label} {what}{_in(found['unit'])}", figure)
            for what, found in learned.items()
            for key, label in (("mae", "MAE of"), ("rmse", "RMSE of"))
        }

    def figure(self, path: str, subject: str | None = None) -> Any:
        """Return the figure of a subject, the model by default, at a path as of `ROWS`; None if there is none."""
        section, *keys = path.split("/")
        return look_up(self.sections, (section, subject or self.model, *keys))

    def measured(self) -> Figures:
        """Return what is shown of a shipped model: its figures as text by path, and what they were measured on."""
        found = {path: self.figure(path) for path in ROWS}
        return {
            "sha256": self.about["model_sha256"][:SHOWN_DIGITS],
            **{key: self.about[key] for key in ("data", "conformers", "refused", "out_of_domain")},
            "figures": {path: ROWS[path][1](value) for path, value in found.items() if value is not None},
        }

    def table(self) -> str:
        """Return everything as GitHub markdown, fit for a model card."""
        parts = [self._heading(), self._figures(), *map(self._breakdown, BREAKDOWNS), self._notes()]
        return "\n\n".join(part for part in parts if part)

    def _heading(self) -> str:
        about = self.about
        return (
            f"Model {about['model']} (sha256 {about['model_sha256'][:SHOWN_DIGITS] or 'unknown'}, {about['dimension']} "
            f"dimensions) on {about['data']}: {about['conformers']} conformers, {about['refused']} rejected, "
            f"{about['out_of_domain']} out of domain."
        )

    def _figures(self) -> str:
        """Return the main table, subjects as columns; rows and columns without any figure are left out."""
        rows = self.rows
        found = {
            path: {
                name: form(value)
                for name in self.sections.get(path.split("/")[0], {})
                if (value := self.figure(path, name)) is not None
            }
            for path, (_, form) in rows.items()
        }
        subjects = list(dict.fromkeys(name for cells in found.values() for name in cells))
        lines = [
            [rows[path][0], *(cells.get(name, "") for name in subjects)]
            for path, cells in found.items()
            if cells
        ]
        return markdown(["", *subjects], lines) if lines else ""

    def _breakdown(self, breakdown: Breakdown) -> str:
        rows = look_up(self.sections, [self.model if key == MODEL else key for key in breakdown.path])
        if not rows:
            return ""
        named = rows.items() if isinstance(rows, dict) else [(row["title"], row) for row in rows]
        lines = [[name, *(form(row[key]) for key, _, form in breakdown.columns)] for name, row in named]
        head = [breakdown.first, *(head for _, head, _ in breakdown.columns)]
        return f"{breakdown.title.format(rows=len(rows))}\n\n{markdown(head, lines)}"

    def _notes(self) -> str:
        found = [(self.figure(path), what) for path, what in COUNTS.items()]
        counts = ", ".join(f"{count(value)} {what}" for value, what in found if value is not None)
        notes = [note for section, note in NOTES.items() if section in self.sections]
        return "\n".join(f"- {note}" for note in ([f"Taken over {counts}."] if counts else []) + notes)


def _in(unit: str) -> str:
    return "" if unit == "1" else f" ({unit})"


def plain(value: Any) -> Any:
    """Return the same data as JSON gives it back: tuples as lists, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def look_up(figures: Figures, path: Sequence[str]) -> Any:
    """Return the figure that keys lead to, None if there is none."""
    value: Any = figures
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in GitHub markdown, first column to the left, the others to the right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))
