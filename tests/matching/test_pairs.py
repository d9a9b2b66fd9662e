"""Superposed pairs of conformers: against all matchings, against RDKit, on molecules of every symmetry."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolAlign

from molgiae.data.bonds import perceived_bonds
from molgiae.data.conformer import NO_BONDS, Conformer
from molgiae.data.toolkits import from_rdkit
from molgiae.errors import ConfigError
from molgiae.matching import kabsch, superpose_pairs
from molgiae.matching import pairs as pairs_module
from molgiae.matching.automorphisms import symmetry_of
from molgiae.matching.graphs import graph_of
from tests.commands.test_dedup import bonded
from tests.conformers import mirrored, moved
from tests.matching.enumeration import GEOMETRIES, GRAPHS, automorphisms, least_rmsd, matchings, pair, rmsd_of

NAMES = (
    "atom",
    "hydrogen",
    "water",
    "methane",
    "carbon dioxide",
    "prismane",
    "butyne",
    "five hydrogens",
    "two rings",
)


def conformers(name: str, geometry: str, rng: np.random.Generator) -> tuple[Conformer, Conformer, np.ndarray]:
    """A pair of a graph of `GRAPHS`, the atoms of the probe in an order of their own, and its isomorphisms (K, n)."""
    z, bonds = GRAPHS[name]
    x, y = pair(geometry, automorphisms(name), rng)
    order = rng.permutation(len(z))
    place = np.argsort(order)
    there = [(int(place[a]), int(place[b])) for a, b in bonds]
    z = np.array(z, np.uint8)
    reference = bonded(Conformer(z, x), np.array(bonds, np.int64).reshape(-1, 2))
    probe = bonded(
        Conformer(z[order], y[order] + rng.normal(size=3)), np.array(there, np.int64).reshape(-1, 2)
    )
    return reference, probe, place[automorphisms(name)]


@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_matches_by_bonds_are_the_best_of_all_isomorphisms(name, allow_reflection):
    rng = np.random.default_rng(0)
    made = [conformers(name, geometry, rng) for geometry in GEOMETRIES]
    reference, probe, _ = map(list, zip(*made, strict=True))
    found = superpose_pairs(reference, probe, allow_reflection=allow_reflection)
    assert found.proven.all()
    for k, (x, y, every) in enumerate(made):
        assert any((found.order[k] == mapping).all() for mapping in every)
        least = least_rmsd(x.position, y.position, every, reflect=allow_reflection)
        assert_allclose(found.rmsd[k], least, rtol=0, atol=1e-6)
        sign = -1 if found.reflected[k] else 1
        assert_allclose(rmsd_of(x.position, sign * y.position[found.order[k]]), found.rmsd[k], atol=1e-9)
        proper = least_rmsd(x.position, y.position, every)
        assert found.reflected[k] == (allow_reflection and least < proper - 1e-6)


@pytest.mark.parametrize("allow_reflection", [False, True])
def test_matches_by_atoms_are_the_best_of_all_where_they_are_proven(allow_reflection):
    rng = np.random.default_rng(0)
    for name in ("atom", "water", "methane", "carbon dioxide", "prismane"):
        made = [conformers(name, geometry, rng) for geometry in GEOMETRIES]
        reference, probe, _ = map(list, zip(*made, strict=True))
        found = superpose_pairs(reference, probe, match="atoms", allow_reflection=allow_reflection)
        for k, (x, y, _) in enumerate(made):
            every = matchings(x.atomic_number, y.atomic_number)
            least = least_rmsd(x.position, y.position, every, reflect=allow_reflection)
            assert found.rmsd[k] >= least - 1e-9
            assert not found.proven[k] or found.rmsd[k] <= least + 3e-6


@pytest.mark.parametrize("match", ["bonds", "atoms"])
def test_what_a_plane_mirrors_is_not_called_reflected(match):
    """Of two that are as good the proper one is taken, whatever the round-off."""
    rng = np.random.default_rng(1)
    for name in ("benzene", "water", "carbon dioxide", "hydrogen"):
        made = [conformers(name, geometry, rng)[:2] for geometry in ("planar", "linear") for _ in range(10)]
        reference, probe = map(list, zip(*made, strict=True))
        if match == "atoms":  # finds the same of a pair and its mirror image only where it finds the best
            probe = [moved(c, seed) for seed, c in enumerate(reference)]
        found = superpose_pairs(reference, probe, match=match, allow_reflection=True)
        assert not found.reflected.any()


def test_of_a_pair_and_its_mirror_image_both_must_be_proven(monkeypatch):
    """What was given up as a mirror image may be better than what is proven without reflection."""
    rng = np.random.default_rng(2)
    x, y, _ = conformers("tert-butanol", "unrelated", rng)
    assert superpose_pairs([x], [y], allow_reflection=True).proven[0]
    search = pairs_module.search_chain

    def second_unproven(*of_pair):
        calls.append(search(*of_pair))
        return calls[-1] and len(calls) < 2

    calls: list = []
    monkeypatch.setattr(pairs_module, "search_chain", second_unproven)
    assert not superpose_pairs([x], [y], allow_reflection=True).proven[0]
    assert len(calls) == 2


# Molecules


FLEXIBLE = ("CCO", "CC(C)CO", "CC(=O)NC(C)C", "C1CCOC1CC", "CC(C)(C)OC", "c1ccccc1CC(F)(F)F", "OCC(O)CO")
SYMMETRIC = (
    "CC(C)(C)C", "ClC(Cl)(Cl)Cl", "c1ccccc1", "C12C3C4C1C5C2C3C45", "Cc1c(C)c(C)c(C)c(C)c1C", "C1C2CC3CC1CC(C2)C3",
    "C12C3C1C4C2C5C3C45", "O=C=O", "C#C", "[H][H]", "[Ar]", "O.O.O", "CC(C)(C)C(C(C)(C)C)C(C)(C)C",
)  # fmt: skip


def embedded(smiles: str, number: int = 2, seed: int = 7) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert len(AllChem.EmbedMultipleConfs(mol, number, randomSeed=seed, useRandomCoords=True)) == number
    return mol


def scrambled(mol: Chem.Mol, conformer: int, seed: int) -> Chem.Mol:
    """One conformer with atoms and bonds shuffled and bonds turned round, in another pose.

    Chem.RenumberAtoms keeps the order of the bonds, by which RDKit finds the true match first.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(mol.GetNumAtoms()).tolist()
    place = {old: new for new, old in enumerate(order)}
    made = Chem.RWMol()
    for old in order:
        atom = Chem.Atom(mol.GetAtomWithIdx(old).GetAtomicNum())
        atom.SetFormalCharge(mol.GetAtomWithIdx(old).GetFormalCharge())
        atom.SetNoImplicit(True)
        made.AddAtom(atom)
    plain = Chem.Mol(mol)
    Chem.Kekulize(plain, clearAromaticFlags=True)
    for k in rng.permutation(plain.GetNumBonds()).tolist():
        bond = plain.GetBondWithIdx(k)
        ends = [place[bond.GetBeginAtomIdx()], place[bond.GetEndAtomIdx()]]
        made.AddBond(*(ends if rng.random() < 0.5 else ends[::-1]), bond.GetBondType())
    turn = kabsch(rng.normal(size=(4, 3)), rng.normal(size=(4, 3)))[0]
    xyz = mol.GetConformer(conformer).GetPositions()[order] @ turn.T + rng.normal(0, 5, 3)
    result = made.GetMol()
    Chem.SanitizeMol(result)
    placed = Chem.Conformer(len(order))
    for k, row in enumerate(xyz.tolist()):
        placed.SetAtomPosition(k, row)
    result.AddConformer(placed)
    return result


def of(mol: Chem.Mol, conformer: int = -1, *, bonds: bool = True) -> Conformer:
    found = from_rdkit(mol, conformer)
    return found if bonds else replace(found, bonds=NO_BONDS)


def assert_holds(matches, reference: list[Conformer], probe: list[Conformer]) -> None:
    """Pose, order and RMSD belong together, elements match, rotations are proper."""
    for k, (x, y) in enumerate(zip(reference, probe, strict=True)):
        order = matches.order[k]
        assert_array_equal(np.sort(order), np.arange(len(x)))
        assert_array_equal(y.atomic_number[order], x.atomic_number)
        sign = -1 if matches.reflected[k] else 1
        placed = sign * y.position[order] @ matches.rotation[k].T + matches.translation[k]
        assert_allclose(
            np.sqrt(np.square(placed - x.position).sum(axis=1).mean()), matches.rmsd[k], atol=1e-9
        )
        assert_allclose(np.linalg.det(matches.rotation[k]), 1.0)


def bonds_lie_on_bonds(matches, reference: Conformer, probe: Conformer) -> bool:
    mine, theirs = (
        {tuple(pair) for pair in perceived_bonds(c.atomic_number, c.position).tolist()}
        for c in (reference, probe)
    )
    order = matches.order[0].tolist()
    return {tuple(sorted((order[a], order[b]))) for a, b in mine} == theirs


@pytest.mark.parametrize("smiles", [*FLEXIBLE, "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CN1CCC(CC1)c1ccccc1C(=O)NCC"])
def test_it_equals_get_best_rms_of_rdkit(smiles):
    """Which tries all automorphisms, whatever the order of atoms and bonds."""
    mol = embedded(smiles, 4)
    other = [scrambled(mol, k, k) for k in range(4)]
    pairs = list(itertools.combinations(range(4), 2))
    expected = [
        rdMolAlign.GetBestRMS(Chem.Mol(other[j]), Chem.Mol(other[i]), maxMatches=10**6) for i, j in pairs
    ]
    reference, probe = [of(other[i]) for i, _ in pairs], [of(other[j]) for _, j in pairs]
    matches = superpose_pairs(reference, probe)
    assert matches.proven.all()
    assert_holds(matches, reference, probe)
    assert_allclose(matches.rmsd, expected, atol=1e-6)


@pytest.mark.parametrize("match", ["bonds", "atoms"])
@pytest.mark.parametrize("smiles", [*FLEXIBLE, *SYMMETRIC])
def test_copies_are_found(smiles, match):
    c = of(embedded(smiles, 1), bonds=False)
    copies = [moved(c, seed) for seed in range(3)]
    matches = superpose_pairs([c] * 3, copies, match=match)
    assert matches.rmsd.max() < 1e-6
    assert matches.proven.all()
    assert_holds(matches, [c] * 3, copies)
    if match == "bonds":
        assert bonds_lie_on_bonds(matches, c, copies[0])


@pytest.mark.parametrize("match", ["bonds", "atoms"])
@pytest.mark.parametrize("smiles", ["CC(C)(C)C", "c1ccccc1", "C12C3C4C1C5C2C3C45", "CC(C)CO"])
def test_noisy_copies_are_at_least_as_near_as_the_noise(smiles, match):
    c = of(embedded(smiles, 1), bonds=False)
    noise = np.random.default_rng(0).normal(0, 0.02, c.position.shape)
    noisy = moved(Conformer(c.atomic_number, c.position + noise), 1)
    found = superpose_pairs([c], [noisy], match=match)
    assert found.rmsd[0] <= np.sqrt(np.square(noise).sum(axis=1).mean()) + 1e-9


@pytest.mark.parametrize("match", ["bonds", "atoms"])
def test_mirror_images_are_told_apart_unless_reflection_is_allowed(match):
    c = of(embedded("C[C@H](F)Cl", 1), bonds=False)
    image = moved(mirrored(c), 3)
    apart = superpose_pairs([c], [image], match=match)
    assert apart.rmsd[0] > 0.1
    assert not apart.reflected[0]
    same = superpose_pairs([c, c], [image, moved(c, 4)], match=match, allow_reflection=True)
    assert same.rmsd.max() < 1e-6
    assert same.reflected.tolist() == [True, False]
    assert_holds(same, [c, c], [image, moved(c, 4)])


def test_resonance_forms_match():
    """Bond orders are not looked at: the oxygens of acetate are equivalent."""
    mol = embedded("CC(=O)[O-]", 1)
    c = of(mol)
    other = of(scrambled(mol, 0, 3))
    assert superpose_pairs([c], [other]).rmsd[0] < 1e-3
    oxygens = np.flatnonzero(c.atomic_number == 8)[::-1]
    exchanged = np.arange(len(c))
    exchanged[oxygens[::-1]] = oxygens
    assert superpose_pairs([c], [replace(c, position=c.position[exchanged])]).rmsd[0] < 0.1


def test_what_cannot_be_matched_is_said_and_the_others_are_matched():
    ethanol, ether = of(embedded("CCO", 1)), of(embedded("COC", 1))
    water = of(embedded("O", 1))
    matches = superpose_pairs([ethanol, ethanol, ethanol], [ether, moved(ethanol, 1), water])
    assert matches.reason == ["the bond graphs differ", "", "the bond graphs differ"]
    assert np.isnan(matches.rmsd).tolist() == [True, False, True]
    by_atoms = superpose_pairs([ethanol, ethanol], [ether, water], match="atoms")
    assert by_atoms.reason == ["", "the formulas differ"]
    assert by_atoms.rmsd[0] > 0.1


def test_atoms_allow_all_that_bonds_allow():
    mol = embedded("CC(C)CO", 4)
    pairs = list(itertools.combinations([of(mol, k) for k in range(4)], 2))
    reference, probe = map(list, zip(*pairs, strict=True))
    by_atoms = superpose_pairs(reference, probe, match="atoms")
    assert_holds(by_atoms, reference, probe)
    assert (by_atoms.rmsd <= superpose_pairs(reference, probe).rmsd + 1e-9).all()


def test_a_graph_whose_atoms_look_alike_but_are_not():
    """Cuneane: all carbons have the same surroundings for colour refinement, but three kinds are there."""
    c = of(embedded("C12C3C1C4C2C5C3C45", 1), bonds=False)
    bonds = perceived_bonds(c.atomic_number, c.position)
    symmetry = symmetry_of(graph_of(c.atomic_number, bonds))
    assert np.diff(symmetry.level).prod() == 4
    for seed in range(20):
        assert superpose_pairs([c], [moved(c, seed)]).rmsd[0] < 1e-6


@pytest.mark.parametrize("smiles", ["CCCC(C)CCC(CC)CCC", "CC(C)Cc1ccc(cc1)C(C)C(=O)OCC(C)C"])
def test_a_search_cut_short_says_so(smiles, monkeypatch):
    mol = embedded(smiles, 2)
    pair = [of(mol, 0)], [of(mol, 1)]
    whole = superpose_pairs(*pair)
    assert whole.proven[0]
    monkeypatch.setattr(pairs_module, "MAX_WORK", 0)
    cut = superpose_pairs(*pair)
    assert not cut.proven[0]
    assert cut.rmsd[0] >= whole.rmsd[0] - 1e-6
    assert_holds(cut, *pair)


def test_nothing_is_matched_with_nothing():
    assert len(superpose_pairs([], [])) == 0


def test_wrong_arguments_are_errors():
    c = of(embedded("O", 1))
    with pytest.raises(ConfigError, match="match 'bond' is unknown"):
        superpose_pairs([c], [c], match="bond")
    with pytest.raises(ConfigError, match="1 references and 0 probes"):
        superpose_pairs([c], [])


@pytest.mark.parametrize("match", ["bonds", "atoms"])
@pytest.mark.parametrize("allow_reflection", [False, True])
@pytest.mark.parametrize(
    "name", ["atom", "hydrogen", "water", "methane", "carbon dioxide", "prismane", "butyne"]
)
def test_what_is_within_a_distance_is_found_and_nothing_else(name, allow_reflection, match):
    """A hair above the least RMSD of all matchings the match is found, a hair below it is proven that there is none."""
    rng = np.random.default_rng(3)
    for geometry in GEOMETRIES:
        reference, probe, _ = conformers(name, geometry, rng)
        whole = superpose_pairs([reference], [probe], match=match, allow_reflection=allow_reflection)
        above, below = (
            superpose_pairs(
                [reference],
                [probe],
                match=match,
                allow_reflection=allow_reflection,
                within=whole.rmsd[0] + hair,
            )
            for hair in (1e-5, -1e-5)
        )
        assert whole.proven[0] and above.proven[0] and below.proven[0]
        assert_allclose(above.rmsd, whole.rmsd, atol=1e-6)
        if whole.rmsd[0] > 2e-5:
            assert np.isinf(below.rmsd[0]) and not below.reason[0] and len(below.order[0]) == 0
