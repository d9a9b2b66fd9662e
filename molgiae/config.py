"""Every default, written once; the command line reads it from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from molgiae.errors import ConfigError
from molgiae.parts import Part, parts_of
from molgiae.plain import Plain

FOUND_FINISHED = "the same run had finished it before; nothing was done"
"""Said where a run is to be resumed that has ended."""
AUTO_MODEL = "auto"
"""Stands in place of the name of a model for the shipped one of the widest domain."""

CANONICAL = ("slots", "nested")
"""Architectures that read canonical forms; their embeddings have smooth parts beside detail."""

DECODED = 0.1
"""Angstrom: a conformer whose decoder is off by no more, RMSD over all atoms as predicted, is said to come back.

Below it a conformer is what it was for every use of one: a bond is a bond, and `dedup` would take the two for copies,
which are up to 0.125 apart. The paper's own figure is 0.15.
"""

BATCH_SIZE = 256
"""Conformers in a batch of inference."""

TEMPERATURE = 298.15
"""Temperature of Boltzmann weights, kelvin."""

E_ANGSTROM = 4.80320471
"""Debye for one elementary charge times one angstrom (CODATA 2018)."""

MAX_ATOMS = 1_000_000
"""More atoms than any conformer has."""

MAX_ATOMIC_NUMBER = 118
"""Atomic number of the last element."""

MAX_LAYERS = 1000
"""More layers than any network here has: a file that asks for more is damaged, and would take for ever to build."""

MIN_EPOCHS, MAX_EPOCHS = 20, 200
"""Bounds of the automatic number of epochs of fine-tuning."""

MAX_SEED = 1_000_000
"""Seeds of embeddings are multiplied by the number of the conformer, within 32 bits."""

Mode = Literal["full", "frozen", "scratch"]
"""Mode of learning a property: training all pretrained weights, holding them, or starting from random ones."""

Pooling = Literal["none", "mean", "attention", "boltzmann"]
"""How conformers of a molecule share a value: each has it, or their mean, with equal, learned or Boltzmann weights."""

ForceField = Literal["mmff94s", "uff", "none"]
"""Force field that conformers are minimised with; with "none" they stay as embedded and have no energy."""

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


def _check_elements(elements: tuple[int, ...]) -> None:
    if list(elements) != sorted(set(elements)) or any(not 1 <= z <= MAX_ATOMIC_NUMBER for z in elements):
        raise ConfigError(
            f"elements={elements}: give distinct atomic numbers, 1 to {MAX_ATOMIC_NUMBER}, in ascending order"
        )


@dataclass(frozen=True)
class ModelConfig(Plain):
    """A network.

    Attributes:
        architecture: name in `molgiae.model.architectures.ARCHITECTURES`.
        elements: atomic numbers the model knows, ascending.
        max_atoms: largest conformer, hydrogens included.
        embedding_dim: D, size of the embedding, all its `parts` together.
        width: hidden features of a layer; for "appendix-d" scalars of an atom, with a quarter as many vectors.
        layers: residual blocks or message layers of the encoder, as many of the decoder.
        shape_dim: numbers of the smooth shape part of the embedding of `CANONICAL` ones; 0 for none.
        features_dim: numbers of its features part.
        overlay_dim: numbers of its overlay part.
        color_dim: numbers of its color part.
        atom_width: features of an atom in the network that properties are learned from; 0 for none.
        atom_layers: its rounds of messages between all atoms.
        atom_rounds: its rounds of messages between bonded atoms.
        property_width: features of an atom in the network that fine-tuning starts from; 0 for none.
        property_layers: its rounds of messages between all atoms; of bonded ones it has `atom_rounds`.
    """

    architecture: str = "slots"
    elements: tuple[int, ...] = (1, 6, 7, 8, 9)
    max_atoms: int = 29
    embedding_dim: int = 256
    width: int = 384
    layers: int = 2
    shape_dim: int = 32
    features_dim: int = 64
    overlay_dim: int = 0
    color_dim: int = 0
    atom_width: int = 64
    atom_layers: int = 1
    atom_rounds: int = 4
    property_width: int = 128
    property_layers: int = 3

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the embedding; all of it is detail where the architecture knows no others."""
        smooth = ("features", "overlay", "color", "shape") if self.architecture in CANONICAL else ()
        sizes = {name: int(getattr(self, f"{name}_dim")) for name in smooth}
        return parts_of(sizes | {"detail": self.embedding_dim - sum(sizes.values())})

    def __post_init__(self) -> None:
        self._check_at_least(1, "max_atoms embedding_dim width layers atom_layers property_layers")
        self._check_at_least(
            0, "atom_width atom_rounds features_dim overlay_dim color_dim shape_dim property_width"
        )
        self._check(
            "layers atom_layers atom_rounds property_layers",
            f"at most {MAX_LAYERS}",
            lambda value: value <= MAX_LAYERS,
        )
        smooth = self.features_dim + self.overlay_dim + self.color_dim + self.shape_dim
        if self.architecture in CANONICAL and smooth >= self.embedding_dim:
            raise ConfigError(
                f"embedding_dim={self.embedding_dim}: must be above the {smooth} numbers of its smooth parts "
                "(features_dim, overlay_dim, color_dim, shape_dim)"
            )
        if self.architecture in CANONICAL and smooth and not (self.atom_width and self.atom_rounds):
            raise ConfigError(
                "smooth parts are made of features of atoms: atom_width and atom_rounds must be above 0"
            )
        if self.color_dim and not self.overlay_dim:
            raise ConfigError("color_dim: a color part goes with an overlay part; set overlay_dim")
        if not self.elements:
            raise ConfigError("elements=(): give at least one atomic number")
        _check_elements(self.elements)


@dataclass(frozen=True)
class AtomConfig(Plain):
    """The network in a model of properties.

    Attributes:
        width: features of an atom.
        layers: rounds of messages between all atoms.
        rounds: rounds of messages between bonded atoms.
        members: networks whose mean is taken.
        kernel_rows: training conformers of kernel ridge regression beside them; 0 for none.
    """

    width: int
    layers: int
    rounds: int = 0
    members: int = 1
    kernel_rows: int = 0

    def __post_init__(self) -> None:
        self._check_at_least(1, "width layers members")
        self._check_at_least(0, "rounds kernel_rows")
        self._check("layers rounds members", f"at most {MAX_LAYERS}", lambda value: value <= MAX_LAYERS)


@dataclass(frozen=True)
class Domain(Plain):
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
        bare_carbons: whether there was a conformer without hydrogens on carbons that lack some.
        bonds: two elements, least and largest length in angstrom, of bonds that were beyond what
            `molgiae.data.training_ranges` holds; other pairs go by that.
        shares: elements and their largest share of heavy atoms, where it was beyond that, too.
    """

    elements: tuple[int, ...]
    n_atoms: tuple[int, int]
    radius: float
    nearest: tuple[float, float]
    charge: tuple[int, int] = (0, 0)
    n_heavy: tuple[int, int] = (0, MAX_ATOMS)
    fragments: int = 1
    flat_centres: bool = False
    bare_carbons: bool = False
    bonds: tuple[tuple[int, int, float, float], ...] = ()
    shares: tuple[tuple[int, float], ...] = ()

    def __post_init__(self) -> None:
        _check_elements(self.elements)
        named = {z for *pair, _, _ in self.bonds for z in pair} | {z for z, _ in self.shares}
        _check_elements(tuple(sorted(named)))


@dataclass(frozen=True)
class TrainConfig(Plain):
    """A pretraining run.

    Attributes:
        batch_size: conformers in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine down to a hundredth.
        warmup_steps: steps of the warm-up.
        weight_decay: weight decay of AdamW.
        steps: steps of the autoencoder.
        property_steps: steps that train the network that fine-tuning starts from.
        property_batch: conformers in one of these steps.
        atom_steps: steps that train the network of atoms and the features part beforehand.
        overlay_steps: steps that train the overlay and color parts after that.
        shape_steps: steps that train the shape part.
        atom_noise: displacement, in angstrom, that the network of atoms learns to undo.
        distortion: largest standard deviation, in angstrom, of random displacements of the training atoms,
            drawn for each conformer between 0 and this; 0 for none.
        mirror: learn canonical forms of the mirror images of the training conformers, too.
        components: start the autoencoder of canonical forms at its principal components, not at random weights.
        type_weight: weight of the cross-entropy of atom types beside the RMSD in angstrom.
        frame_weight: weight of the conditioning of the frame, where that is trained together with the rest.
        clip: largest gradient norm.
        tau: temperature of SoftSort, for architectures that predict the order.
        ema: decay of the running mean of the weights that is evaluated and kept.
        seed: seed of everything random.
    """

    batch_size: int = 512
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    steps: int = 20_000
    property_steps: int = 10_000
    property_batch: int = 64
    atom_steps: int = 20_000
    overlay_steps: int = 10_000
    shape_steps: int = 4_000
    atom_noise: float = 0.06
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
        self._check_positive("batch_size learning_rate steps atom_noise tau clip")
        self._check("ema", "at least 0 and below 1", lambda value: 0 <= value < 1)


@dataclass(frozen=True)
class FinetuneConfig(Plain):
    """How a property is learned.

    Attributes:
        mode: which weights are trained, see `Mode`.
        epochs: times that every training conformer is seen, if nothing ends it before; None for what `passes` says.
        batch_size: conformers in a step.
        learning_rate: peak of the schedule: linear warm-up, then a cosine down to a hundredth.
        learning_rate_ratio: learning rate of pretrained weights over that of the head.
        weight_decay: weight decay of AdamW.
        patience: of 25 validations on the way, how many without improvement end the run.
        ema: decay of the running mean of the weights that is evaluated and kept.
        ensemble: networks whose mean is taken, each from another seed.
        pooling: how conformers of a molecule share one value.
        kernel: take the mean with kernel ridge regression on what the pretrained network reads, by a share chosen on
            validation, where conformers are few (`molgiae.properties.kernel_part.MAX_ROWS`).
        seed: seed of everything random.
    """

    mode: Mode = "full"
    epochs: int | None = None
    batch_size: int = 32
    learning_rate: float = 1e-3
    learning_rate_ratio: float = 0.3
    weight_decay: float = 1e-2
    patience: int = 6
    ema: float = 0.995
    ensemble: int = 1
    pooling: Pooling = "none"
    kernel: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        self._check_choice("mode", get_args(Mode))
        self._check_choice("pooling", get_args(Pooling))
        self._check_positive("batch_size learning_rate learning_rate_ratio patience")
        self._check_at_least(1, "epochs ensemble")
        self._check("ema", "at least 0 and below 1", lambda value: 0 <= value < 1)

    def passes(self, size: int) -> int:
        """Return the number of epochs over so many conformers or molecules.

        Automatic are 40; more, 1 300 / sqrt(M), of fewer than 1 000, and as many of more than 17 000 as show 700 000
        conformers, within `MIN_EPOCHS` and `MAX_EPOCHS`.
        """
        automatic = max(1300 / size**0.5, min(40, 700_000 / size))
        return min(max(round(automatic), MIN_EPOCHS), MAX_EPOCHS) if self.epochs is None else self.epochs


@dataclass(frozen=True)
class ConformerSearch(Plain):
    """How conformers of a molecule are made: distance geometry, a force field, and what of it is kept.

    Attributes:
        number: embeddings tried for a molecule.
        keep: most conformers of a molecule that are kept, those of lowest energy; None for all.
        prune: symmetry-corrected RMSD over all atoms, angstrom, within which two conformers are one. Mirror images are
            two, unless they can be superposed. 0 keeps all.
        energy_window: kcal/mol above the lowest that are kept; None for all.
        force_field: what conformers are minimised with, see `ForceField`.
        seed: seed of the embedding; a molecule gets the same conformers in whatever file it stands.
        time_limit: seconds of wall time for a molecule, after which it is given up.
    """

    number: int = 10
    keep: int | None = None
    prune: float = 0.05
    energy_window: float | None = None
    force_field: ForceField = "mmff94s"
    seed: int = 0
    time_limit: float = 60.0

    def __post_init__(self) -> None:
        self._check_at_least(1, "number keep")
        self._check_at_least(0, "prune energy_window")
        self._check_choice("force_field", get_args(ForceField))
        self._check("seed", f"0 to {MAX_SEED}", lambda value: 0 <= value <= MAX_SEED)
        self._check_positive("time_limit")
        if self.energy_window is not None and self.force_field == "none":
            raise ConfigError("an energy window needs energies; choose a force field")
