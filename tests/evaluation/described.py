"""Panels of made-up descriptors, whose figures are known, and molecules that have what is measured."""

from __future__ import annotations

from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from molgiae.data.blocks import Result
from molgiae.data.conformer import Conformer
from molgiae.data.toolkits import from_rdkit
from molgiae.evaluation.descriptors import Panel


@cache
def molecule(smiles: str) -> Conformer:
    made = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(made, randomSeed=7)
    made.SetProp("_Name", smiles)
    return from_rdkit(made)


def panel_of(**descriptors) -> Panel:
    """A panel without a model."""
    return Panel(lambda block: Result(block, {}), descriptors)


def by_title(values: dict[str, float]):
    """A descriptor of one number for each title."""
    return lambda result: np.array([[values[title]] for title in result.block.title])
