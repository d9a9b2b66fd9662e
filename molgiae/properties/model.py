"""A model of properties: features of atoms, a head, and what turns its numbers into values with units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from molgiae.data.conformer import ConformerBlock
from molgiae.model.cloud import Cloud
from molgiae.nn.atoms import AtomNetwork
from molgiae.nn.property_head import PropertyHead
from molgiae.properties.references import References
from molgiae.properties.targets import Target

Floats = NDArray[np.float64]


class PropertyModel(nn.Module):
    """Conformers to standardized values of T properties and their uncertainties.

    Args:
        width: F, features of an atom.
        layers: rounds of messages.
        extensive: (T,) whether each property grows with the molecule.
    """

    def __init__(self, width: int, layers: int, extensive: Sequence[bool]) -> None:
        super().__init__()
        self.atoms = AtomNetwork(width, layers)
        self.head = PropertyHead(width, extensive)

    def forward(self, x: Cloud) -> tuple[Tensor, Tensor]:
        """Return values and uncertainties, both (B, T)."""
        value, uncertainty = self.head(self.atoms(x.z, x.pos), x.mask)
        return value.float(), uncertainty.float()


@dataclass(frozen=True, eq=False)
class Scale:
    """From standardized values to values in the units of the targets.

    Attributes:
        targets: T properties.
        references: what elements and sizes explain, which is taken off before learning.
        spread: (T,) standard deviation of what is left, over the training conformers.
        calibration: (T,) half-widths that hold 68.3 % of the validation values, over the uncertainties of the network.
    """

    targets: tuple[Target, ...]
    references: References
    spread: Floats
    calibration: Floats

    def standardized(self, block: ConformerBlock, values: Floats) -> Floats:
        """Return what the network learns of values (M, T) in the units of the targets."""
        return (values - self.references.of(block)) / self.spread

    def value(self, block: ConformerBlock, standardized: Floats) -> Floats:
        """Return the inverse of `standardized`."""
        return standardized * self.spread + self.references.of(block)

    def std(self, uncertainty: Floats) -> Floats:
        """Return (M, T) half-widths of intervals that hold the value in about 68 % of cases."""
        return uncertainty * self.spread * self.calibration
