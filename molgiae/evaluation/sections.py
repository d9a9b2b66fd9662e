"""What is measured of a model, a section each: functions from a study to figures.

Another section is one more row in `SECTIONS`, and a row for each of its figures in `molgiae.evaluation.report.ROWS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from molgiae.canonical.forms import canonical_forms
from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import (
    CANONICAL_COORDINATES,
    CHEMISTRY,
    RANDOM_WEIGHTS,
    Descriptor,
    Floats,
    Panel,
    baselines,
    embedding,
    sample,
)
from molgiae.evaluation.distance_fidelity import (
    fidelity,
    neighbours,
    pairs_of_one_formula,
    pairs_of_one_molecule,
)
from molgiae.evaluation.embedding_map import Colour, embedding_map
from molgiae.evaluation.exact_distances import EXACT_DISTANCES, ExactDistance
from molgiae.evaluation.feature_learning import feature_learning
from molgiae.evaluation.invariance import batch_effect, invariance, mirror_distances, mirror_images
from molgiae.evaluation.linear_baseline import linear_baseline
from molgiae.evaluation.overlay_fidelity import (
    SIMILARITIES,
    Similarity,
    mean_tanimoto,
    overlay_fidelity,
    overlay_search,
)
from molgiae.evaluation.reconstruction import canonical_reconstruction, reconstruction, throughput
from molgiae.evaluation.report import Figures, Track
from molgiae.evaluation.scans import scans, turned_methyls
from molgiae.evaluation.smoothness import smoothness
from molgiae.model.embedder import Embedder
from molgiae.properties.labels import Labelled

Sections = dict[str, Figures]


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    conformers: int | None = None  # most of the data to use, drawn at random; None for all
    invariance_conformers: int | None = None  # of these, how many for invariance; None for all
    invariance_pairs: int = 2  # group elements for each of them
    translation: float = 1000.0  # the longest, angstrom
    mirror_conformers: int = 1000  # how many for mirror images
    mirror_distances: int = (
        500  # of these, how many for distances that are RMSDs, and again with methyl groups turned
    )
    smoothness_conformers: int = 2000  # how many for smoothness
    noise: tuple[float, ...] = (0.001, 0.01, 0.05)  # standard deviations of the displacements, angstrom
    pairs: int = 1000  # of conformers, for each of the two fidelities
    throughput_conformers: int = 4096  # how many to time
    linear_train: int = 50_000  # training conformers for the linear baseline
    linear_dimensions: tuple[int, ...] = (64, 32, 16)  # sizes of its code, beside that of the model
    overlay_pairs: int = 1000  # of random conformers, for exact overlays
    search: bool = (
        False  # whether to look for the best overlays of some conformers among thousands; takes minutes
    )
    scans: int = 10  # conformers of which a bond is stretched, and one turned
    labels: tuple[int, ...] = (1000, 1725)  # to learn from, where data say their split
    mapped: int = 2000  # conformers in the map of embeddings
    dummies: bool = True  # whether to measure the baselines too
    seed: int = 0  # of everything random


@dataclass(frozen=True)
class Study:
    """What a section works with."""

    embedder: Embedder
    untrained: Embedder  # the same network with random weights
    block: ConformerBlock  # conformers of the data that the model accepts
    train: ConformerBlock | None  # what the linear baseline may learn from, if there are any
    conformers: ConformerBlock | None  # several of each title, if there are any
    settings: Settings
    track: Track
    colour: Colour | None  # of the map of embeddings, if the data have any
    labelled: Labelled | None  # conformers with values to learn, if any are asked for
    spread: Floats  # (D,) of the parts of the embedding, as of `scales`

    @property
    def name(self) -> str:
        """What the model is called in tables: the name of its file, or of its run if that says no more."""
        path = Path(self.embedder.checkpoint.name)
        return path.parent.name if path.stem == "model" and path.parent.name else path.stem

    @functools.cached_property
    def panel(self) -> Panel:
        """The model's embedding first, then its parts, then the baselines."""
        others = baselines(self.untrained) if self.settings.dummies else {}
        descriptors = {self.name: embedding, **self.parts, **others}
        return Panel(self.embedder.embed, descriptors, self.settings.seed, self.track)

    @functools.cached_property
    def chemistry(self) -> Panel:
        """The same and the baselines of chemistry."""
        others = CHEMISTRY if self.settings.dummies else {}
        return replace(self.panel, descriptors={**self.panel.descriptors, **others})

    @functools.cached_property
    def parts(self) -> dict[str, Descriptor]:
        """The parts of the embedding by name, if there are several, and the smooth ones together, in one weight."""
        own = self.embedder.parts
        if len(own) < 2:
            return {}
        found: dict[str, Descriptor] = {
            self.named(part.name): functools.partial(embedding, columns=part.columns) for part in own
        }
        smooth = [part for part in own if part.name != "detail"]
        if len(smooth) > 1:  # they come first
            together = slice(0, smooth[-1].stop)
            found[self.named("smooth parts")] = functools.partial(
                embedding, columns=together, scale=self.spread
            )
        return found

    def named(self, part: str) -> str:
        """Return what a part is called in tables."""
        return f"{self.name}, {part}"

    @property
    def lengths(self) -> set[str]:
        """The parts whose distances are RMSDs."""
        return {
            self.named(part.name) for part in self.embedder.parts if part.unit == "angstrom"
        } & self.parts.keys()

    @property
    def exact(self) -> dict[str, ExactDistance]:
        """What parts stand for."""
        return {self.named(part): distance for part, distance in EXACT_DISTANCES.items()}

    @functools.cached_property
    def similarities(self) -> dict[str, Similarity]:
        """How descriptors are compared that estimate overlays, or are not compared by distance."""
        own = {part.name: part.columns for part in self.embedder.parts}
        estimates = {name: own[name] for name in ("overlay", "color") if name in own}
        found: dict[str, Similarity] = {
            self.named(name): functools.partial(mean_tanimoto, parts=(slice(None),)) for name in estimates
        }
        if len(estimates) > 1:
            found[self.named("overlay + color")] = functools.partial(
                mean_tanimoto, parts=tuple(estimates.values())
            )
        return SIMILARITIES | found

    @property
    def overlays(self) -> Panel:
        """The panel of overlays, in which the estimates of shape and color are together, too."""
        both = self.named("overlay + color")
        more = {both: embedding} if both in self.similarities else {}
        return replace(self.chemistry, descriptors={**self.chemistry.descriptors, **more})

    def sample(self, size: int | None) -> ConformerBlock:
        """Return at most so many conformers of the data; None for all."""
        return sample(self.block, size, self.settings.seed)


def _reconstruction(study: Study) -> Sections:
    figures = {study.name: reconstruction(study.embedder, study.block, track=study.track)}
    if study.settings.dummies:
        figures[RANDOM_WEIGHTS] = reconstruction(study.untrained, study.block, track=study.track)
        figures[CANONICAL_COORDINATES] = canonical_reconstruction(canonical_forms(study.block))
    return figures


def _linear_baseline(study: Study) -> Sections:
    if study.train is None:
        return {}
    settings = study.settings
    train = sample(study.train, settings.linear_train, settings.seed)
    sizes = sorted({study.embedder.dimension, *settings.linear_dimensions}, reverse=True)
    return dict(linear_baseline(train, study.block, sizes))


def _invariance(study: Study) -> Sections:
    settings, embedder = study.settings, study.embedder
    block = study.sample(settings.invariance_conformers)
    figures = invariance(study.panel, block, settings.invariance_pairs, settings.translation)
    otherwise = Embedder(embedder.checkpoint, device=embedder.device, batch_size=embedder.batch_size // 7 + 1)
    figures[study.name] |= batch_effect(
        lambda b: embedding(embedder.embed(b)), lambda b: embedding(otherwise.embed(b)), block, settings.seed
    )
    return figures


def _smoothness(study: Study) -> Sections:
    framed = (study.name, *study.parts, CANONICAL_COORDINATES)
    block = study.sample(study.settings.smoothness_conformers)
    return smoothness(study.panel, block, study.settings.noise, framed, study.exact)


def _mirror(study: Study) -> Sections:
    block = study.sample(study.settings.mirror_conformers)
    figures = mirror_images(study.panel, block)
    own = {name: describe for name, describe in study.parts.items() if name in study.lengths}
    panel = replace(study.panel, descriptors=own)
    block = sample(block, study.settings.mirror_distances, study.settings.seed)
    for name, found in mirror_distances(panel, block).items() if own else ():
        figures[name] |= found
    if own and (methyls := turned_methyls(block, study.settings.seed)):
        for name, found in mirror_distances(panel, methyls).items():
            figures[name] |= {f"methyl_{key}": value for key, value in found.items()}
    return figures


def _overlay(study: Study) -> Sections:
    if len(study.block) < 2:
        return {}
    settings, compared = study.settings, (study.overlays, study.block)
    figures = overlay_fidelity(*compared, settings.overlay_pairs, study.similarities)
    if settings.search:
        for name, found in overlay_search(*compared, study.similarities).items():
            figures[name] |= found
    return figures


def _features(study: Study) -> Sections:
    if study.labelled is None:
        return {}
    return feature_learning(study.chemistry, study.labelled, study.settings.labels)


def _conformers(study: Study) -> Sections:
    if study.conformers is None:
        return {}
    pairs = pairs_of_one_molecule(study.conformers, study.settings.pairs, study.settings.seed)
    return fidelity(study.panel, study.conformers, pairs, match="bonds", lengths=study.lengths)


def _isomers(study: Study) -> Sections:
    pairs = pairs_of_one_formula(study.block, study.settings.pairs, study.settings.seed)
    return fidelity(study.panel, study.block, pairs, match="atoms") if len(pairs) else {}


def _map(study: Study) -> Sections:
    block = study.sample(study.settings.mapped)
    found = embedding(study.embedder.embed(block))
    return {study.name: embedding_map(found, block, study.colour, study.settings.seed)}


def _throughput(study: Study) -> Sections:
    size = study.settings.throughput_conformers
    return {study.name: throughput(study.embedder, study.block, size, track=study.track)}


SECTIONS: dict[str, Callable[[Study], Sections]] = {
    "reconstruction": _reconstruction,
    "linear_baseline": _linear_baseline,
    "invariance": _invariance,
    "mirror": _mirror,
    "smoothness": _smoothness,
    "scans": lambda study: scans(study.panel, study.sample(study.settings.scans), study.exact),
    "conformers": _conformers,
    "isomers": _isomers,
    "neighbours": lambda study: neighbours(study.panel, study.conformers) if study.conformers else {},
    "overlay": _overlay,
    "features": _features,
    "map": _map,
    "throughput": _throughput,
}
"""Name to what is measured; sections without the data they need return nothing and are left out."""
