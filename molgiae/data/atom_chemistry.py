"""What chemistry says of single atoms: shares of logP and molar refractivity, and pharmacophore features, by RDKit.

Wildman, Crippen, J. Chem. Inf. Comput. Sci. 1999, 39, 868.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgiae.data.conformer import Conformer

FAMILIES = ("Donor", "Acceptor", "NegIonizable", "PosIonizable", "Aromatic", "Hydrophobe", "LumpedHydrophobe")
"""RDKit's kinds of features."""
WIDTH = 2 + len(FAMILIES)
"""Numbers of an atom."""


def chemistry_of(conformer: Conformer) -> NDArray[np.float64]:
    """Return (n, WIDTH) of the atoms: shares of logP and of molar refractivity, and 1 for each family it belongs to.

    All are NaN where the bonds are not known, or their orders cannot be told.
    """
    from rdkit.Chem import rdMolDescriptors  # noqa: PLC0415

    from molgiae.data.toolkits import to_rdkit  # noqa: PLC0415

    molecule = to_rdkit(conformer) if conformer.has_bonds else None
    if molecule is None:
        return np.full((len(conformer), WIDTH), np.nan)
    member = np.zeros((len(conformer), len(FAMILIES)))
    for feature in _definitions().GetFeaturesForMol(molecule):
        if feature.GetFamily() in FAMILIES:
            member[list(feature.GetAtomIds()), FAMILIES.index(feature.GetFamily())] = 1
    return np.hstack([rdMolDescriptors._CalcCrippenContribs(molecule), member])


@cache
def _definitions() -> Any:
    from rdkit import RDConfig  # noqa: PLC0415
    from rdkit.Chem import ChemicalFeatures  # noqa: PLC0415

    module: Any = ChemicalFeatures  # its stub does not have this name
    return module.BuildFeatureFactory(f"{RDConfig.RDDataDir}/BaseFeatures.fdef")
