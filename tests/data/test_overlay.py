"""Overlays of Gaussian densities: the formula, both directions, poses, mirror images, and what has no color."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations
from math import isnan

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation

from molgiae.data.conformer import NO_BONDS, Conformer
from molgiae.data.overlay import COLOR_RADIUS, Overlay, overlap, overlay, self_overlap, shape_of
from molgiae.data.toolkits import from_rdkit
from tests.conformers import conformer, mirrored, moved

ASPIRIN, IBUPROFEN, ALANINE, BENZENE = (
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(C)Cc1ccc(cc1)[C@H](C)C(=O)O",
    "C[C@H](N)C(=O)O",
    "c1ccccc1",
)
SMILES = (ASPIRIN, IBUPROFEN, ALANINE, BENZENE)


@cache
def molecule(smiles: str) -> Conformer:
    made = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(made, randomSeed=7)
    return from_rdkit(made)


def heavy(c: Conformer) -> np.ndarray:
    return c.position[c.atomic_number > 1]


def turned(c: Conformer, seed: int) -> Conformer:
    """Return it in another pose, without bonds and order."""
    return moved(c, seed, 3.0)


@pytest.mark.parametrize("smiles", SMILES)
def test_volumes_are_those_of_the_formula(smiles):
    shape = shape_of(molecule(smiles))
    assert_allclose(shape.volume, self_overlap(heavy(molecule(smiles))))
    assert_allclose(shape.reference.ShapeVolume, shape.volume, rtol=1e-9)
    assert_allclose(self_overlap(np.zeros((1, 3))), 4 / 3 * np.pi * 1.7**3)


def test_volume_of_color_is_that_of_points_of_one_kind():
    glycol = molecule("OCCO")
    oxygen = glycol.position[glycol.atomic_number == 8]
    assert_allclose(shape_of(glycol).color_volume, overlap(oxygen, oxygen, COLOR_RADIUS), rtol=1e-6)


@pytest.mark.parametrize("best", ["combination", "shape"])
@pytest.mark.parametrize(("one", "other"), list(combinations(SMILES, 2)))
def test_overlay_is_symmetric_and_blind_to_pose_and_order(one, other, best):
    a, b = molecule(one), molecule(other)
    found = overlay(shape_of(a), shape_of(b), best)
    back = overlay(shape_of(turned(b, 1)), shape_of(turned(a, 2)), best)
    for name in ("shape_tanimoto", "color_tanimoto", "combination", "overlap", "color_overlap"):
        assert_allclose(getattr(found, name), getattr(back, name), rtol=0.02, err_msg=name)
    assert_allclose(laid(a, b, found), found.overlap, rtol=1e-6)
    assert_allclose(np.linalg.det(found.rotation), 1)


def laid(a: Conformer, b: Conformer, found: Overlay) -> float:
    """Return the overlap of what the motion brings together."""
    return overlap(heavy(a), heavy(b) @ found.rotation.T + found.translation)


@pytest.mark.parametrize(("one", "other"), list(combinations(SMILES, 2)))
def test_no_random_pose_overlaps_more(one, other):
    """Of 4 000 poses, which come near the best one but do not reach it."""
    a, b = molecule(one), molecule(other)
    best = overlay(shape_of(a), shape_of(b), "shape").overlap
    rng = np.random.default_rng(0)
    x, y = (heavy(c) - heavy(c).mean(axis=0) for c in (a, b))
    poses = Rotation.random(4_000, random_state=1).as_matrix()
    shifts = rng.normal(0, 0.5, (4_000, 3))
    most = max(overlap(x, y @ pose.T + shift) for pose, shift in zip(poses, shifts, strict=True))
    assert 0.75 * best < most < best * 1.001


@pytest.mark.parametrize("smiles", SMILES)
def test_a_conformer_covers_itself_and_not_its_mirror_image(smiles):
    c = molecule(smiles)
    found = overlay(shape_of(c), shape_of(turned(c, 3)))
    assert_allclose([found.shape_tanimoto, found.color_tanimoto, found.combination], 1, atol=1e-3)
    image = overlay(shape_of(c), shape_of(mirrored(c)), "shape").shape_tanimoto
    assert image < 0.999 if smiles != BENZENE else image > 0.99


def test_color_needs_a_molecule_that_can_be_told():
    c = molecule(ASPIRIN)
    bare = replace(c, bonds=NO_BONDS)
    assert_allclose(shape_of(bare).color_volume, shape_of(c).color_volume, rtol=1e-6)
    bare_ion = replace(bare, charge=3)
    assert not shape_of(bare_ion).has_color
    assert not shape_of(c, color=False).has_color
    without, known = overlay(shape_of(c), shape_of(bare_ion)), overlay(shape_of(c), shape_of(bare), "shape")
    assert isnan(without.color_tanimoto) and without.combination == without.shape_tanimoto
    assert_allclose([without.overlap, known.color_tanimoto], [known.overlap, 1], rtol=1e-3)


def test_the_table_of_a_record_comes_first():
    """A nitro group in an ion, for which RDKit finds no orders of bonds."""
    made = Chem.AddHs(Chem.MolFromSmiles("[O-]C(=O)c1ccc(N(=O)=O)cc1"))
    rdDistGeom.EmbedMolecule(made, randomSeed=7)
    c = from_rdkit(made)
    assert shape_of(replace(c, text=Chem.MolToMolBlock(made) + "$$$$\n")).color_volume > 0
    assert shape_of(replace(c, text=Chem.MolToMolBlock(Chem.MolFromSmiles("C")))).volume == shape_of(c).volume


def test_what_has_little_to_overlay():
    helium, hydrogen = conformer([2], [[0, 0, 0]]), conformer([1, 1], [[0, 0, 0], [0.74, 0, 0]])
    methane, aspirin = molecule("C"), molecule(ASPIRIN)
    salt = conformer([11, 17], [[0, 0, 0], [2.4, 0, 0]])
    for a in (helium, hydrogen, methane, aspirin, salt):
        for b in (helium, hydrogen, methane, aspirin, salt):
            found = overlay(shape_of(a), shape_of(b))
            if a is b is hydrogen:
                assert isnan(found.shape_tanimoto) and isnan(found.combination) and found.overlap == 0
            else:
                assert 0 <= found.combination <= 1 + 1e-9
            if a is b is aspirin:
                assert found.color_tanimoto > 0.999
    featureless = overlay(shape_of(methane), shape_of(molecule("CC")))
    assert isnan(featureless.color_tanimoto) and featureless.combination == featureless.shape_tanimoto
    assert overlay(shape_of(methane), shape_of(aspirin)).color_tanimoto == 0
