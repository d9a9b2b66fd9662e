"""Put a trained model into pretrained/: its weights, and a model card with what was measured of them.

    python benchmarks/ship.py run/model.safetensors qm9 qm9.npz --conformers conformers.sdf
    python benchmarks/ship.py run/model.safetensors drug test.npz --also ensembles.sdf qm9.npz

The conformers, several of each title, are made by `molgiae conformers` from lists of SMILES, see `qm9_smiles.py` and
`drug_data.py`.

The weights are converted first and evaluated after, so that the card is about the very file that is shipped.
The figures of the model go to NAME.json as well, which `molgiae models` reads.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors import safe_open

from molgiae.commands.evaluate import evaluate
from molgiae.config import Domain, ModelConfig, TrainConfig
from molgiae.data.elements import SYMBOLS
from molgiae.evaluation.plots import plots
from molgiae.model import checkpoint
from molgiae.model.shipped import SHOWN_DIGITS

HERE = Path(__file__).resolve().parent.parent / "pretrained"
OPTIONS = {"embedding_dim": "--dim", "learning_rate": "--lr"}
"""Options of pretrain that are not named after what they set."""
FITTED = ("elements", "max_atoms")
"""What pretrain takes from the data."""
POOLED = "encoder.atoms.", "encoder.features."
PRECISIONS = {
    "half": (torch.float16, (), "half"),
    "single": (
        torch.float16,
        ("encoder.slots.", "decoder.", *POOLED),
        "single (the networks of overlay, color and shape, and what labels were learned by, in half)",
    ),
    "mixed": (
        torch.float16,
        ("encoder.labels.", *POOLED),
        "half (network of atoms and features in single)",
    ),
}
"""Type of most weights, parts of the names of those in single precision, and how the card says so."""
PREFIX = "encoder.properties."
EXACT = tuple(PREFIX + buffer for buffer in ("composition", "scale", "center"))
"""What else would be rounded, whatever the precision: energies of atoms of thousands of eV."""
MODELS: dict[str, tuple[str, str | None]] = {"drug": ("mixed", None), "qm9": ("single", "drug")}
"""Shipped models with smooth parts, in the order in which they are written: how, and what weights are shared with."""
ELSEWHERE = ("reconstruction", "conformers")
"""What is measured on further files."""


def main() -> None:
    """Convert, evaluate, write the card and its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="checkpoint of a run")
    parser.add_argument("name", help="name of the shipped model")
    parser.add_argument("data", help="test conformers, or the QM9 npz file for those of its test split")
    parser.add_argument("--conformers", help="several conformers of each title, for distance fidelity")
    parser.add_argument(
        "--also", nargs="*", default=[], help="further files, for reconstruction and distances in ensembles"
    )
    parser.add_argument("--precision", choices=PRECISIONS, help="of the weights", default=None)
    parser.add_argument("--plots", help="directory for figures")
    parser.add_argument("--notes", type=Path, help="markdown to stand at the end of the card")
    options = parser.parse_args()

    trained = checkpoint.load(str(options.run))
    sharing = {
        name: (checkpoint.load(name), stored(name)) for name in MODELS if MODELS[name][1] == options.name
    }
    weights = HERE / f"{options.name}.safetensors"
    precision = PRECISIONS[write(options.name, trained, options.precision)][2]
    for name, (old, arrays) in sharing.items():
        write(name, old)
        assert all(torch.equal(value, arrays[key]) for key, value in stored(name).items()), name
        print(f"{name}: {renamed(name, old.sha256)}, which has the same weights in another file")
    report = evaluate(options.data, str(weights), conformers=options.conformers, progress=True)
    if options.plots:
        plots(report, options.plots)
    reports = [report, *(evaluate(file, str(weights), sections=ELSEWHERE) for file in options.also)]
    figures = json.dumps([each.measured() for each in reports], indent=1, ensure_ascii=False)
    (HERE / f"{options.name}.json").write_text(figures + "\n")
    notes = options.notes.read_text() if options.notes else ""
    card = HERE / f"{options.name}.md"
    card.write_text(
        model_card(options.name, trained, precision, "\n\n".join(each.table() for each in reports), notes)
    )
    print(card.read_text())


def write(name: str, model: checkpoint.Checkpoint, precision: str | None = None) -> str:
    """Write the weights of a shipped model, as `MODELS` says if it has it; return the name of the precision."""
    known, shared = MODELS.get(name, ("half", None))
    precision = precision or known
    dtype, single, _ = PRECISIONS[precision]
    path, shares = HERE / f"{name}.safetensors", None if shared is None else HERE / f"{shared}.safetensors"
    checkpoint.save(path, model.model, model.domain, model.provenance, dtype, (*single, *EXACT), shares)
    path.chmod(0o644)
    return precision


def stored(name: str) -> dict[str, torch.Tensor]:
    """Return the weights of a shipped model as they are stored, wherever."""
    shared = MODELS[name][1]
    found = {}
    for each in (shared, name) if shared else (name,):
        with safe_open(HERE / f"{each}.safetensors", framework="pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return {key: found[key] for key in checkpoint.load(name).model.state_dict()}


def renamed(name: str, before: str) -> str:
    """Put the digest of the file of today into card and figures of a shipped model; return both digests."""
    now = checkpoint.load(name).sha256
    for text in (HERE / f"{name}.md", HERE / f"{name}.json"):
        text.write_text(text.read_text().replace(before[:SHOWN_DIGITS], now[:SHOWN_DIGITS]))
    return f"{before[:SHOWN_DIGITS]} -> {now[:SHOWN_DIGITS]}"


def model_card(name: str, trained: checkpoint.Checkpoint, precision: str, table: str, notes: str) -> str:
    """The card of a model as markdown."""
    origin, config, domain = trained.provenance, trained.model.config, trained.domain
    parts = ", ".join(f"{part.size} {part.name}" for part in config.parts)
    digests = "".join(f"- `{file}` sha256 `{digest}`\n" for file, digest in origin["data_sha256"].items())
    return f"""# {name}

Architecture `{config.architecture}`, {config.embedding_dim} dimensions ({parts});
{_count(trained):,} weights, kept in {precision} precision and computed in single; the canonical frame in double.

## Domain

Elements (atomic numbers) {", ".join(map(str, domain.elements))}; {domain.n_atoms[0]} to {domain.n_atoms[1]} atoms,
hydrogens included; charge {domain.charge[0]} to {domain.charge[1]}; atoms up to {domain.radius:.2f} Å from the
centroid; lengths of bonds and shares of elements as in `molgiae/data/training_ranges.py`{_wider(domain)}.
Conformers outside of this are embedded and flagged `in_domain = 0`, with the reason in `domain_reason`.
Elements other than {", ".join(map(str, config.elements))} and more than
{config.max_atoms} atoms are rejected.

## Training

{origin["data"]}, {origin["train_conformers"]} conformers
{digests}
{origin["step"]} steps in {origin["seconds"] / 60:.0f} minutes on {origin["device"]}, shared with other work
(molgiae {origin["molgiae"]}, PyTorch {origin["torch"]}); the weights are the running mean that was best on validation.

The recipe, from the files above:

```sh
{recipe(trained)}
```

```json
{json.dumps({"model": config.to_dict(), "training": origin["training"]})}
```

## Measured

{table}

{notes}"""


def _wider(domain: Domain) -> str:
    """Return what the domain adds to the table of ranges."""
    pairs = ", ".join(
        f"{SYMBOLS[a]}-{SYMBOLS[b]} {low:.2f} to {high:.2f} Å" for a, b, low, high in domain.bonds
    )
    shares = ", ".join(f"{SYMBOLS[z]} {share:.0%}" for z, share in domain.shares)
    parts = [f"bonds of {pairs}"] * bool(pairs) + [f"shares of heavy atoms up to {shares}"] * bool(shares)
    return f", and beyond that {'; '.join(parts)}" if parts else ""


def recipe(trained: checkpoint.Checkpoint) -> str:
    """The command that trains such a model; what it leaves out is a default."""
    chosen = {**trained.model.config.to_dict(), **trained.provenance["training"]}
    default = {**ModelConfig().to_dict(), **TrainConfig().to_dict()}
    options = [
        _option(name, value)
        for name, value in chosen.items()
        if name not in FITTED and value != default.get(name)
    ]
    learned = trained.provenance.get("learned", {})
    options += [f"--{kind} {name}" for kind, names in learned.items() for name in names]
    further = {name for names in learned.values() for name in names}
    files = " ".join(name for name in trained.provenance["data_sha256"] if name not in further) or "DATA"
    return " \\\n  ".join([f"molgiae pretrain {files} -o run", *_lines(options)])


def _option(name: str, value: object) -> str:
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{words}" if value else f"--no-{words}"
    return f"{OPTIONS.get(name, '--' + words)} {value}"


def _lines(options: list[str], width: int = 110) -> list[str]:
    """As many options in a line as fit."""
    lines = [""]
    for option in options:
        if len(lines[-1]) + len(option) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {option}".strip()
    return lines


def _count(trained: checkpoint.Checkpoint) -> int:
    return sum(parameter.numel() for parameter in trained.model.parameters())


if __name__ == "__main__":
    main()
