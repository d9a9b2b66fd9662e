"""Put the network of properties of a taught model into the shipped ones; all else of them stays bit by bit.

    molgiae pretrain labels.npz more.npz --teach drug -o taught
    python benchmarks/ship_taught.py taught/model.safetensors

Cards and figures of the shipped models are of embeddings and decoded conformers, which do not change: only the digest
of the files in them does. What the network has learned from, and how well, is printed for the card.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ship import MODELS, PREFIX, renamed, stored, write

from molgiae.model import checkpoint


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
    for name in MODELS:
        old, arrays = before[name]
        encoder: Any = old.model.encoder
        encoder.properties.load_state_dict(weights.properties.state_dict())
        provenance = old.provenance | {"properties": taught.provenance["properties"]}
        write(name, replace(old, provenance=provenance))
        after = stored(name)
        changed = [key for key, value in arrays.items() if not torch.equal(value, after[key])]
        assert arrays.keys() == after.keys() and all(key.startswith(PREFIX) for key in changed), changed
        print(f"{name}: {renamed(name, old.sha256)}, {len(changed)} of {len(after)} arrays are new")
    print(json.dumps(taught.provenance["properties"], indent=1))


if __name__ == "__main__":
    main()
