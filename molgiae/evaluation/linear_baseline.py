"""What a linear code of canonical coordinates reaches at equal size: the bar for every learned code.

Principal axes with signs by third moments give a frame, elements and coordinates an order; the flattened
coordinates are compressed by principal component analysis. Elements are taken as given, so the baseline does
less than an embedding that has to carry them.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.evaluation.descriptors import Floats
from molgiae.model.cloud import pack


def in_inertial_frame(z: NDArray[np.integer], pos: Floats) -> Floats:
    """Return coordinates (M, n, 3), angstrom, in the frame of their principal axes; z is 0 for padding.

    Axes are the eigenvectors of the covariance weighted by atomic number, largest spread first; the first two point
    to where the weighted third moment is positive, the third is their cross product.
    """
    weight = z[:, :, None].astype(np.float64)
    axes = np.linalg.eigh(np.einsum("bni,bnj->bij", weight * pos, pos))[1][:, :, ::-1]
    skew = (weight * (pos @ axes) ** 3).sum(axis=1)
    axes = axes * np.where(skew < 0, -1.0, 1.0)[:, None, :]
    axes[:, :, 2] = np.cross(axes[:, :, 0], axes[:, :, 1])
    return np.asarray(pos @ axes)


def inertial_coordinates(block: ConformerBlock, slots: int) -> Floats:
    """Return (M, 3 S) flattened coordinates in the inertial frame, angstrom, heavy elements first, then by x, y, z.

    They are 0 beyond the last atom, for S `slots`.
    """
    x = pack(block.atomic_number, block.position, block.offset)
    turned = in_inertial_frame(x.z.numpy(), x.centered().pos.numpy())
    order = np.lexsort((*np.moveaxis(turned, 2, 0)[::-1], -x.z.numpy()), axis=1)
    ordered = np.take_along_axis(turned, order[:, :, None], axis=1)
    return np.pad(ordered, ((0, 0), (0, slots - ordered.shape[1]), (0, 0))).reshape(len(block), 3 * slots)


def linear_baseline(
    train: ConformerBlock, test: ConformerBlock, dimensions: Iterable[int]
) -> dict[str, dict[str, float]]:
    """Return mean, median and 99th percentile of the RMSD, angstrom, for each size of the code, as text.

    Principal components are fitted to `train`; conformers of `test` are compressed to so many.
    """
    slots = int(max(train.n_atoms.max(), test.n_atoms.max()))
    known, rows = inertial_coordinates(train, slots), inertial_coordinates(test, slots)
    mean = known.mean(axis=0)
    centered = known - mean
    components = np.linalg.eigh(centered.T @ centered)[1][:, ::-1]
    mask = np.arange(slots) < test.n_atoms[:, None]
    figures = {}
    for dimension in dimensions:
        axes = components[:, :dimension]
        error = ((rows - mean) @ axes @ axes.T + mean - rows).reshape(len(test), slots, 3)
        rmsd = np.sqrt((np.square(error).sum(axis=2) * mask).sum(axis=1) / test.n_atoms)
        figures[str(dimension)] = {
            "rmsd_mean": float(rmsd.mean()),
            "rmsd_median": float(np.median(rmsd)),
            "rmsd_p99": float(np.percentile(rmsd, 99)),
        }
    return figures
