"""The experiments of the paper, each a file: its data, networks, group, configurations and measures.

All train and measure `molgiae.model.autoencoder.GroupInvariantAutoencoder` with a group of `molgiae.groups`.

To add one: a row in `EXPERIMENTS`, and a file of its name with a frozen dataclass of sizes, ``CONFIG, FAST =
both(Config)``, and ``run(config, setting)``, which returns `Findings`. Parts to share are `autoencoders`, `labelled`
(data with classes) and `pictures`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

from molgiae import __version__
from molgiae.errors import ConfigError, MolgiaeError

T = TypeVar("T")
C = TypeVar("C")


@dataclass(frozen=True)
class Experiment:
    """A row of the table."""

    name: str  # on the command line, and of the module in this package
    title: str
    section: str  # of the paper
    group: str  # under which the embedding is invariant
    data: str = ""  # the file it needs, in words; empty if it generates its data


_ROWS = (
    Experiment("digits", "Set of digits", "5.2, Appendix C", "S_n"),
    Experiment("mnist", "Rotated MNIST", "5.1, Appendix E.1", "SO(2)", "MNIST as npz"),
    Experiment("tetris", "Tetris shapes", "5.3, Appendix D", "SE(3) x S_n"),
    Experiment("voxels", "Shapes of ModelNet10", "5.4", "SO(3)", "ModelNet10 as npz of packed voxels"),
    Experiment("qm9", "Small molecules", "5.3, Appendix E.2", "SE(3) x S_n", "QM9 as npz"),
    Experiment(
        "projections", "Invariant projections of molecules", "arXiv 2401.12588", "SO(3)", "QM9 as npz"
    ),
    Experiment("graphs", "Molecular graphs and projections", "arXiv 2401.12588", "S_n", "QM9 as npz"),
    Experiment("augmented", "Ordinary latents of rotated MNIST", "arXiv 2401.12588", "SO(2)", "MNIST as npz"),
)

EXPERIMENTS = {row.name: row for row in _ROWS}
"""Name to experiment; the modules are imported when they are run."""


@dataclass(frozen=True)
class Setting:
    """What the user decides about a run, beside its configuration."""

    folder: Path  # where pictures go; exists
    seed: int = 0  # of everything random
    data: Path = Path()  # the file that an experiment asks for
    device: str = "cpu"  # or "cuda", for networks that take long
    progress: bool = False  # show bars on stderr


@dataclass(frozen=True)
class Bar:
    """A claim of the paper, or a limit set for this implementation, beside what was found."""

    what: str  # is compared
    value: float  # found
    limit: float  # to reach
    at_least: bool = True  # whether larger is better

    @property
    def met(self) -> bool:
        """The value is on the right side of the limit, or on it."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True)
class Findings:
    """What an experiment found."""

    figures: Mapping[str, Any]  # of merit, plain data
    bars: tuple[Bar, ...]  # of a full run; those of a fast one say little
    pictures: tuple[str, ...]  # PNG files written, names inside the folder


def sized(full: T, fast: T) -> T:
    """Return the default of an option of a configuration, with another value for the small one."""
    return field(default=full, metadata={"fast": fast})


def both(configuration: type[C]) -> tuple[C, C]:
    """Return the full and the small configuration of a dataclass, see `sized`."""
    options = fields(cast(Any, configuration))
    small = {option.name: option.metadata["fast"] for option in options if option.metadata}
    return configuration(), configuration(**small)


def run(
    name: str,
    directory: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    fast: bool = False,
    seed: int = 0,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """Run an experiment and write ``report.json`` and its pictures to a directory.

    Args:
        name: of a row in `EXPERIMENTS`.
        directory: made if it is not there.
        data: the file, for an experiment that needs one.
        fast: the small configuration, less than a minute; shows that it works, not what it reaches.
        seed: of everything random.
        device: "auto", "cpu" or "cuda".
        overwrite: replace a report that is there.
        progress: show bars on stderr.

    Returns:
        The report: the experiment, the version of molgiae, fast, seed and configuration, which repeat it, seconds of
        wall time, and the `Findings`. They repeat up to the order in which threads and machines add up; figures of
        trained networks move by about a hundredth with it (voxels).

    Raises:
        ConfigError: the experiment is unknown, a data file is missing or superfluous, or matplotlib is not there.
        MolgiaeError: the directory cannot be written, or holds a report that may not be replaced.
    """
    experiment, source = _found(name, data)
    # heavy imports only once the arguments are known to be right
    from molgiae.data.partial import PartialFile  # noqa: PLC0415
    from molgiae.model.embedder import choose_device  # noqa: PLC0415
    from molgiae.plots import blank  # noqa: PLC0415

    blank()  # not after hours of training
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MolgiaeError(f"{folder}: cannot be made: {error.strerror}; name another directory") from error
    file = PartialFile(folder / "report.json", overwrite=overwrite)
    module = import_module(f"molgiae.experiments.{name}")
    config = module.FAST if fast else module.CONFIG
    started = time.monotonic()
    findings: Findings = module.run(config, Setting(folder, seed, source, choose_device(device), progress))
    report = {
        "experiment": asdict(experiment),
        "molgiae": __version__,
        "fast": fast,
        "seed": seed,
        "config": asdict(config),
        "seconds": round(time.monotonic() - started, 1),
        "figures": findings.figures,
        "bars": [asdict(bar) | {"met": bar.met} for bar in findings.bars],
        "pictures": findings.pictures,
    }
    with file.writing() as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _found(name: str, data: str | os.PathLike[str] | None) -> tuple[Experiment, Path]:
    """Return the experiment of a name, and its data; an empty path if it generates them."""
    if name not in EXPERIMENTS:
        raise ConfigError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    needs = EXPERIMENTS[name].data
    if data is None and needs:
        raise ConfigError(f"{name} needs {needs}; name it with --data")
    if data is not None and not needs:
        raise ConfigError(f"{name} generates its data; leave out --data {os.fspath(data)}")
    if data is not None and not Path(data).exists():
        raise ConfigError(f"{os.fspath(data)}: there is no such file; {name} needs {needs}")
    return EXPERIMENTS[name], Path(data or "")
