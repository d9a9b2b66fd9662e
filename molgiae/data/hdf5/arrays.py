"""Plain arrays to HDF5: numbers, truth values and text by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from molgiae import __version__
from molgiae.data.hdf5.schema import LIBVER


def write_hdf5_arrays(path: Path, arrays: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """Write arrays as datasets, truth values as uint8, and texts as attributes beside the version of molgiae."""
    with h5py.File(path, "w", libver=LIBVER) as file:
        file.attrs.update({"molgiae_version": __version__, **about})
        for name, values in arrays.items():
            array = np.asarray(values)
            if array.dtype.kind == "U":
                texts = [text.replace("\0", "\ufffd") for text in array.tolist()]
                file.create_dataset(name, data=np.array(texts, h5py.string_dtype("utf-8")))
            else:
                whole = array.astype(np.uint8) if array.dtype == bool else array
                file.create_dataset(name, data=whole, compression="gzip" if whole.size else None)
