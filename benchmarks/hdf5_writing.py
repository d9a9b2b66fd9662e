"""Conformers written to HDF5 per second, all columns together: `hdf5_writing.py [conformers]`."""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.parts import parts_of

ATOMS, DIMENSION = 18, 256


def make_block(size: int, properties: int, rng: np.random.Generator) -> ConformerBlock:
    """`size` conformers of 18 atoms with titles, sources and `properties` properties each."""
    return ConformerBlock.from_arrays(
        atomic_number=rng.integers(1, 10, size * ATOMS).astype(np.uint8),
        position=rng.normal(size=(size * ATOMS, 3)),
        offset=np.arange(size + 1, dtype=np.int64) * ATOMS,
        title=[f"molecule {i}" for i in range(size)],
        source=["conformers.sdf"] * size,
        record=np.arange(1, size + 1),
        line=np.ones(size, np.int64),
        properties=[{f"key {k}": f"{i + k}.25" for k in range(properties)} for i in range(size)],
    )


def make_columns(size: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The columns of an embedding run."""
    return {
        "embedding": rng.normal(size=(size, DIMENSION)).astype(np.float32),
        "rotation": np.tile(np.eye(3), (size, 1, 1)),
        "translation": rng.normal(size=(size, 3)),
        "permutation": np.tile(np.arange(ATOMS, dtype=np.int32), size),
        "canonical_position": rng.normal(size=(size * ATOMS, 3)),
        "pose_defined": np.full(size, "full"),
        "order_defined": np.ones(size, bool),
        "symmetry_number": np.ones(size, int),
        "point_group": np.full(size, "C1"),
        "stability": np.full(size, 0.1),
        "in_domain": np.ones(size, bool),
        "domain_reason": np.full(size, "", object),
    }


def main() -> None:
    """Print conformers per second for writing and for reading back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conformers", type=int, nargs="?", default=100_000)
    total = parser.parse_args().conformers
    rng = np.random.default_rng(0)
    for size, properties in ((1024, 0), (64, 0), (1024, 5)):
        block, columns = make_block(size, properties, rng), make_columns(size, rng)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "out.h5"
            start = time.perf_counter()
            with Hdf5Writer(path, parts=parts_of({"detail": DIMENSION})) as writer:
                for _ in range(-(-total // size)):
                    writer.append(block, columns)
            written = time.perf_counter()
            count = sum(len(b) for b in EmbeddingFile(path).blocks())
            read = time.perf_counter()
            print(
                f"blocks of {size}, {properties} properties: "
                f"{count / (written - start):,.0f} written/s, "
                f"{count / (read - written):,.0f} read/s, {path.stat().st_size / count:,.0f} bytes each"
            )


if __name__ == "__main__":
    main()
