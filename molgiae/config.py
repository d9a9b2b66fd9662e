"""Every default, written once; the command line reads it from here."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

from molgiae.errors import ConfigError

AUTO_MODEL = "auto"
"""In place of the name of a model: the smallest shipped one whose domain covers the conformers."""

BATCH_SIZE = 256
"""Conformers in a batch of inference."""

TEMPERATURE = 298.15
"""Of Boltzmann weights, kelvin."""

MOST_ATOMS = 1_000_000
"""More than any conformer has."""


HEAVIEST = 118
"""Atomic number of the last element."""

MOST_LAYERS = 1000
"""More than any network here has: a file that asks for more is damaged, and building them would take for ever."""


MAX_SEED = 1_000_000
"""Seeds of embeddings are multiplied by the number of the conformer, within 32 bits."""


class _Plain:
    """Configuration that travels as plain data, in checkpoints and JSON."""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: if a key is unknown or missing, or a value of the wrong type or not finite.
        """
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(set(data) - known):
            raise ConfigError(
                f"{cls.__name__} has no {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        kinds = get_type_hints(cls)
        values = {key: _frozen(value) for key, value in data.items()}
        for key, value in values.items():
            if not _fits(value, kinds[key]):
                raise ConfigError(f"{cls.__name__} has {key}={value!r:.60}; expected {_named(kinds[key])}")
        try:
            return cls(**values)
        except TypeError as error:  # a value that has no default is missing
            raise ConfigError(f"{cls.__name__}: {error}") from error


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type; whole numbers are floats, too."""
    options = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, option) for option in options)
    if get_origin(kind) is tuple:
        wanted = options[:1] * len(value) if isinstance(value, tuple) and options[-1] is ... else options
        return isinstance(value, tuple) and len(value) == len(wanted) and all(map(_fits, value, wanted))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _check_elements(elements: tuple[int, ...]) -> None:
    if list(elements) != sorted(set(elements)) or any(not 1 <= z <= HEAVIEST for z in elements):
        raise ConfigError(
            f"elements={elements}: give distinct atomic numbers, 1 to {HEAVIEST}, in ascending order"
        )


def _frozen(value: Any) -> Any:
    """Lists as they come from JSON, and those within them, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class ModelConfig(_Plain):
    """A network.

    Attributes:
        architecture: name in `molgiae.model.architectures.ARCHITECTURES`.
        elements: atomic numbers the model knows, ascending.
        max_atoms: largest conformer, hydrogens included.
        embedding_dim: D, size of the embedding, of which the first `shape_dim` are its shape part.
        width: hidden features of a layer; for "appendix-d" scalars of an atom, with a quarter as many vectors.
        layers: residual blocks or message layers of the encoder, as many of the decoder.
        frame_width: hidden features of the network that learns a canonical frame for "slots"; 0 for the frame
            that the bond graph spans.
        shape_dim: numbers of the smooth shape part of the embedding of "slots"; 0 for none.
        atom_width: features of an atom in the network that properties are learned from; 0 for none.
        atom_layers: its rounds of messages.
    """

    architecture: str = "slots"
    elements: tuple[int, ...] = (1, 6, 7, 8, 9)
    max_atoms: int = 29
    embedding_dim: int = 256
    width: int = 384
    layers: int = 2
    frame_width: int = 0
    shape_dim: int = 32
    atom_width: int = 64
    atom_layers: int = 2

    @property
    def shape_dimension(self) -> int:
        """How many columns of the embedding, from the first, are its shape part."""
        return self.shape_dim if self.architecture == "slots" else 0

    def __post_init__(self) -> None:
        for name in ("max_atoms", "embedding_dim", "width", "layers", "atom_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 1")
        if max(self.layers, self.atom_layers) > MOST_LAYERS:
            raise ConfigError(f"{max(self.layers, self.atom_layers)} layers: must be at most {MOST_LAYERS}")
        for name in ("frame_width", "atom_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}={getattr(self, name)}: must be at least 0")
        if self.architecture == "slots" and not 0 <= self.shape_dim < self.embedding_dim:
            raise ConfigError(
                f"shape_dim={self.shape_dim}: must be at least 0 and below embedding_dim={self.embedding_dim}"
            )
        if not self.elements:
            raise ConfigError("elements=(): give at least one atomic number")
        _check_elements(self.elements)


@dataclass(frozen=True)
class AtomConfig(_Plain):
    """The network of atoms in a model of properties.

    Attributes:
        width: features of an atom.
        layers: rounds of messages.
    """

    width: int
    layers: int

    def __post_init__(self) -> None:
        if self.width < 1 or not 1 <= self.layers <= MOST_LAYERS:
            raise ConfigError(
                f"width={self.width}, layers={self.layers}: must be at least 1, layers at most {MOST_LAYERS}"
            )


@dataclass(frozen=True)
class Domain(_Plain):
    """What the training data covered; outside it a conformer is embedded all the same, but flagged.

    Attributes:
        elements: atomic numbers in at least one training conformer of a thousand.
        n_atoms: fewest and most atoms.
        n_heavy: fewest and most atoms other than hydrogen.
        radius: largest distance of an atom from the centroid, angstrom.
        nearest: least and largest distance of an atom from its nearest neighbour, angstrom.
            Described, not judged by: lengths are, by pairs of elements.
        charge: least and largest total charge.
        fragments: most pieces of a conformer that no bond connects.
        flat_centres: whether there was an atom in a plane with its four neighbours that should not be.
        bonds: two elements, least and largest length in angstrom, of bonds that were beyond what
            `molgiae.data.training_ranges` holds; other pairs go by that.
        shares: elements and their largest share of heavy atoms, where it was beyond that, too.
    """

    elements: tuple[int, ...]
    n_atoms: tuple[int, int]
    radius: float
    nearest: tuple[float, float]
    charge: tuple[int, int] = (0, 0)
    n_heavy: tuple[int, int] = (0, MOST_ATOMS)
    fragments: int = 1
    flat_centres: bool = False
    bonds: tuple[tuple[int, int, float, float], ...] = ()
    shares: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        _check_elements(self.elements)
        named = {z for *pair, _, _ in self.bonds for z in pair} | {z for z, _ in self.shares}
        _check_elements(tuple(sorted(named)))


@dataclass(frozen=True)
class TrainConfig(_Plain):
    """A pretraining run.

    Attributes:
        batch_size: conformers in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine down to a hundredth.
        warmup_steps: steps of the warm-up.
        weight_decay: of AdamW.
        steps: steps of the autoencoder.
        frame_steps: steps that train a learned frame beforehand; only for architectures that fix it.
        shape_steps: steps that train the shape part after that.
        atom_steps: steps that train the network of atoms after that.
        atom_noise: displacement, in angstrom, that the network of atoms learns to undo.
        frame_noise: displacement, in angstrom, against which the frame is trained to hold still.
        distortion: largest standard deviation, in angstrom, of random displacements of the training atoms,
            drawn for each conformer between 0 and this; 0 for none.
        mirror: learn canonical forms of the mirror images of the training conformers, too.
        components: start the autoencoder of canonical forms at its principal components, not at random weights.
        type_weight: weight of the cross-entropy of atom types beside the RMSD in angstrom.
        frame_weight: weight of the conditioning of the frame, where that is trained together with the rest.
        clip: largest gradient norm.
        tau: temperature of SoftSort, for architectures that predict the order.
        ema: decay of the running mean of the weights that is evaluated and kept.
        seed: of everything random.
    """

    batch_size: int = 512
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    steps: int = 20_000
    frame_steps: int = 2_000
    shape_steps: int = 3_000
    atom_steps: int = 20_000
    atom_noise: float = 0.06
    frame_noise: float = 0.02
    distortion: float = 0.1
    mirror: bool = True
    components: bool = True
    type_weight: float = 0.3
    frame_weight: float = 1.0
    clip: float = 1.0
    tau: float = 0.1
    ema: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_size", "learning_rate", "steps", "atom_noise", "frame_noise", "tau", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}={getattr(self, name)}: must be positive")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema={self.ema}: must be at least 0 and below 1")


MODES = ("full", "frozen", "scratch")
"""Modes of learning a property: training all pretrained weights, holding them, or starting from random ones."""


@dataclass(frozen=True)
class FinetuneConfig(_Plain):
    """How a property is learned.

    Attributes:
        mode: one of `MODES`.
        epochs: times that every training conformer is seen, if nothing ends it before; None for 3 000 / sqrt(M) of
            M conformers, between `FEWEST_EPOCHS` and 300.
        batch_size: conformers in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine down to a hundredth.
        learning_rate_ratio: learning rate of pretrained weights over that of the head.
        weight_decay: of AdamW.
        patience: of 25 validations on the way, how many without improvement end the run.
        ema: decay of the running mean of the weights that is evaluated and kept.
        seed: of everything random.
    """

    mode: str = "full"
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float = 2e-3
    learning_rate_ratio: float = 0.3
    weight_decay: float = 1e-2
    patience: int = 6
    ema: float = 0.995
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"mode={self.mode!r}: expected one of {', '.join(MODES)}")
        for name in ("batch_size", "learning_rate", "learning_rate_ratio", "patience"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name}={getattr(self, name)}: must be positive")
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs={self.epochs}: must be at least 1")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"ema={self.ema}: must be at least 0 and below 1")

    def passes(self, size: int) -> int:
        """Epochs over so many conformers."""
        automatic = min(max(round(3000 / size**0.5), FEWEST_EPOCHS), 300)
        return automatic if self.epochs is None else self.epochs


FEWEST_EPOCHS = 20

FORCE_FIELDS = ("mmff94s", "uff", "none")


@dataclass(frozen=True)
class ConformerSearch(_Plain):
    """How conformers of a molecule are made: distance geometry, a force field, and what of it is kept.

    Attributes:
        number: embeddings tried for a molecule.
        keep: most conformers of a molecule that are kept, those of lowest energy; None for all.
        prune: symmetric proper RMSD over all atoms, angstrom, within which two conformers are one. Mirror images are
            two, unless they can be superposed. 0 keeps all.
        energy_window: kcal/mol above the lowest that are kept; None for all.
        force_field: one of FORCE_FIELDS; with "none" conformers stay as embedded and have no energy.
        seed: of the embedding; a molecule gets the same conformers in whatever file it stands.
        time_limit: seconds of wall time for a molecule, after which it is given up.
    """

    number: int = 10
    keep: int | None = None
    prune: float = 0.05
    energy_window: float | None = None
    force_field: str = "mmff94s"
    seed: int = 0
    time_limit: float = 60.0

    def __post_init__(self) -> None:
        if self.number < 1 or (self.keep is not None and self.keep < 1):
            raise ConfigError(f"number={self.number}, keep={self.keep}: must be at least 1")
        if self.prune < 0 or (self.energy_window is not None and self.energy_window < 0):
            raise ConfigError(f"prune={self.prune}, energy_window={self.energy_window}: must not be negative")
        if self.force_field not in FORCE_FIELDS:
            raise ConfigError(f"force_field={self.force_field!r}: expected one of {', '.join(FORCE_FIELDS)}")
        if self.energy_window is not None and self.force_field == "none":
            raise ConfigError("an energy window needs energies; choose a force field")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed={self.seed}: expected 0 to {MAX_SEED}")
        if self.time_limit <= 0:
            raise ConfigError(f"time_limit={self.time_limit}: must be positive")


Distinction = Literal["isotopes", "charge", "multiplicity"]
"""What tells molecules of the same elements and bonds apart, and is ignored on request."""


def parse_ignored(text: str) -> tuple[Distinction, ...]:
    """Return the distinctions that a list with commas names.

    Raises:
        ConfigError: if it names something else.
    """
    known: tuple[Distinction, ...] = get_args(Distinction)
    named = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in named if word not in known]
    if unknown:
        raise ConfigError(f"{', '.join(unknown)} cannot be ignored; name any of {', '.join(known)}")
    return tuple(word for word in known if word in named)
