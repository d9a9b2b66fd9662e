"""Opening what molgiae has written: an HDF5 file, or a directory of them."""

from __future__ import annotations

import os

from molgiae.data.hdf5.dataset import EmbeddingDataset, is_dataset
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.hdf5.reader import EmbeddingFile


def open(path: str | os.PathLike[str]) -> Embeddings:
    """Open an HDF5 file of molgiae, or a directory of parts, ``part-00001-of-00064.h5`` and so on, for reading.

    Either is read by its columns, by slices and in blocks, see `Embeddings`; nothing is read before it is asked for.

    Args:
        path: the file or directory.

    Raises:
        MolgiaeError: if it is neither, or damaged.

    Examples:
        >>> summary = molgiae.embed("conformers.sdf", output="conformers.h5", model="qm9", parts="shape")
        >>> with molgiae.open("conformers.h5") as stored:
        ...     stored, stored["embedding"].shape, stored[10:20]["embedding"].shape
        (EmbeddingFile('conformers.h5', 74 conformers), (74, 128), (10, 128))
    """
    return EmbeddingDataset(path) if is_dataset(path) else EmbeddingFile(path)
