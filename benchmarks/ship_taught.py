"""Put the network of properties of a taught model into the shipped ones; all else of them stays bit by bit.

    molgiae pretrain labels.npz more.npz --teach drug -o taught
    python benchmarks/ship_taught.py taught/model.safetensors

Cards and figures of the shipped models are of embeddings and decoded conformers, which do not change: only the digest
of the files in them does. What the network has learned from, and how well, is printed for the card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from ship import HERE, PRECISIONS

from molgiae.model import checkpoint

MODELS = {"drug": ("mixed", None), "qm9": ("single", "drug")}
"""Shipped models with such a network, in the order in which they are written; how, and what weights are shared with."""
PREFIX = "encoder.properties."
EXACT = ("composition", "scale", "center")
"""What else would be rounded: energies of atoms of thousands of eV."""


def main() -> None:
    """Write the files, and their digests into card and figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="checkpoint of molgiae pretrain --teach")
    options = parser.parse_args()
    taught = checkpoint.load(str(options.run))
    weights: Any = taught.model.encoder
    # all of them first: one is not read beside another than it was written with
    before = {name: (checkpoint.load(name), stored(name)) for name in MODELS}
    for name, (precision, shared) in MODELS.items():
        path = HERE / f"{name}.safetensors"
        old, arrays = before[name]
        encoder: Any = old.model.encoder
        encoder.properties.load_state_dict(weights.properties.state_dict())
        dtype, single, _ = PRECISIONS[precision]
        provenance = old.provenance | {"properties": taught.provenance["properties"]}
        shares = None if shared is None else HERE / f"{shared}.safetensors"
        single = *single, *(PREFIX + buffer for buffer in EXACT)
        checkpoint.save(path, old.model, old.domain, provenance, dtype, single, shares)
        path.chmod(0o644)
        after = stored(name)
        changed = [key for key, value in arrays.items() if not torch.equal(value, after[key])]
        assert arrays.keys() == after.keys() and all(key.startswith(PREFIX) for key in changed), changed
        again = checkpoint.load(str(path)).sha256
        for text in (HERE / f"{name}.md", HERE / f"{name}.json"):
            text.write_text(text.read_text().replace(old.sha256[:12], again[:12]))
        print(f"{name}: {old.sha256[:12]} -> {again[:12]}, {len(changed)} of {len(after)} arrays are new")
    print(json.dumps(taught.provenance["properties"], indent=1))


def stored(name: str) -> dict[str, torch.Tensor]:
    """Return the weights of a shipped model as they are stored, wherever."""
    shared = MODELS[name][1]
    found = {}
    for each in (shared, name) if shared else (name,):
        with safe_open(HERE / f"{each}.safetensors", framework="pt") as file:
            found |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return {key: found[key] for key in checkpoint.load(name).model.state_dict()}


if __name__ == "__main__":
    main()
