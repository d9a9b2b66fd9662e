"""An autoencoder's own measure of its domain: whether a conformer comes back from its embedding.

Ranges of the training data say where a model was trained, the decoder says whether it has learned what is there: it is
given the embedding alone, and what it gives back is compared with the canonical form, atom k with slot k. Neither has
a pose or an order of the input, so that the measure is as invariant as the embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from molgiae.data.conformer import ConformerBlock
from molgiae.data.elements import hill_of
from molgiae.data.hdf5.decoded import DECODED_FORMULA, comes_back
from molgiae.data.hdf5.schema import SCHEMA
from molgiae.model.cloud import Cloud, as_numpy, squared_deviation
from molgiae.model.domain import rule_of

DECODING = "decoding"
"""First word of a reason, as the names of the rules of `molgiae.model.domain`, which come before."""


class Decoded:
    """What comes back of M conformers.

    Args:
        size: M.

    Attributes:
        rmsd: (M,) of all atoms, angstrom.
        formula: (M,) 1 where every slot holds the right element and the others are empty.
    """

    def __init__(self, size: int) -> None:
        self.rmsd, self.formula = np.full(size, np.nan), np.zeros(size, np.uint8)
        self._elements: dict[int, NDArray[np.int64]] = {}

    def fill(self, chosen: NDArray[np.int64], decoded: Cloud, canonical: Cloud) -> None:
        """Compare B of the conformers.

        Args:
            chosen: (B,) which they are.
            decoded: of B embeddings, S slots each.
            canonical: what these were made of, padded to n atoms.
        """
        self.rmsd[chosen] = as_numpy(squared_deviation(decoded.pos, canonical).sqrt())
        expected = torch.nn.functional.pad(canonical.z, (0, decoded.z.shape[1] - canonical.z.shape[1]))
        right = as_numpy((decoded.z == expected).all(dim=1))
        self.formula[chosen] = right
        wrong = np.flatnonzero(~right)
        self._elements |= zip(chosen[wrong].tolist(), as_numpy(decoded.z)[wrong], strict=True)

    @property
    def came_back(self) -> NDArray[np.bool_]:
        """(M,) whether the formula is right and the conformer at most `molgiae.config.DECODED` off."""
        return comes_back(self.rmsd, self.formula)

    def columns(self, rmsd: str) -> dict[str, NDArray[Any]]:
        """Return the columns of the schema, the RMSD under one of the two names that it has there."""
        return {rmsd: self.rmsd.astype(SCHEMA[rmsd].dtype), DECODED_FORMULA: self.formula}

    def add_to(self, reasons: NDArray[np.object_], block: ConformerBlock) -> None:
        """Give conformers (M,) that have no reason yet, and do not come back, that as a reason."""
        for m in np.flatnonzero(~self.came_back & (reasons == "")).tolist():
            reasons[m] = f"{DECODING}: {self._detail(m, block)}"

    def _detail(self, m: int, block: ConformerBlock) -> str:
        if m not in self._elements:
            return f"{self.rmsd[m]:.2f} A off"
        found = self._elements[m]
        was, became = hill_of(block[m].atomic_number.tolist()), hill_of(found[found > 0].tolist())
        return f"formula {was} came back as {became or 'nothing'}" + (
            ", its elements in other places" if was == became else ""
        )


def within_range(reasons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return reasons (M,) but for those of `DECODING`, which are empty: what they are where nothing is decoded."""
    return np.array(["" if rule_of(reason) == DECODING else reason for reason in reasons], object)
