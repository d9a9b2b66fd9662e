"""What de-duplication passes over, against all matchings: no bound excludes a copy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.toolkits import from_rdkit
from molgiae.matching import Matches, neighbours, superpose_pairs
from molgiae.matching import copies as duplicates
from molgiae.matching.copies import Rule, find_duplicates
from molgiae.matching.ensembles import Molecule, molecules
from molgiae.matching.matrix import Pairing, all_pairs
from molgiae.matching.neighbours import Neighbours
from tests.commands.test_dedup import bonded
from tests.matching import test_matrix as matrices
from tests.matching.enumeration import GEOMETRIES, GRAPHS, automorphisms, least_rmsd, matchings, pair

NONE = np.empty(0, np.int64)


def conformers_of(name: str, seed: int) -> list[Conformer]:
    """Two of every geometry, the atoms in one order."""
    z, bonds = GRAPHS[name]
    rng = np.random.default_rng(seed)
    return [
        bonded(Conformer(np.array(z, np.uint8), position), np.array(bonds, np.int64).reshape(-1, 2))
        for geometry in GEOMETRIES
        for position in pair(geometry, automorphisms(name), rng)
    ]


def least_of_all(conformers: list[Conformer], maps: np.ndarray, *, reflect: bool = True) -> np.ndarray:
    """(M, M) symmetry-corrected RMSD of all pairs."""
    found = np.zeros((len(conformers),) * 2)
    for i, j in itertools.combinations(range(len(conformers)), 2):
        found[i, j] = found[j, i] = least_rmsd(
            conformers[i].position, conformers[j].position, maps, reflect=reflect
        )
    return found


def before(group: Molecule, reach: float) -> dict[tuple[int, int], float]:
    """Bounds of the pairs that are not passed over, by conformers."""
    later, earlier, bound = Neighbours(group.position, group.colour, reach).before(0, len(group), NONE)
    rows = group.rows.tolist()
    return {(rows[a], rows[b]): float(c) for a, b, c in zip(later, earlier, bound, strict=True)}


@pytest.mark.parametrize("held", [1 << 23, 0])
@pytest.mark.parametrize("match", ["bonds", "atoms"])
@pytest.mark.parametrize("name", ["atom", "hydrogen", "water", "methane", "prismane", "butyne"])
def test_no_pair_is_passed_over_at_its_own_rmsd(name, match, held, monkeypatch):
    """The reach is the RMSD of the pair to the last digit; axes are few, as for large molecules."""
    monkeypatch.setattr(neighbours, "MAX_HELD", held)
    monkeypatch.setattr(neighbours, "MAX_AXES", 3)
    if match == "atoms" and name == "butyne":
        pytest.skip("720 x 24 matchings")
    conformers = conformers_of(name, 0)
    z = conformers[0].atomic_number
    rmsd = least_of_all(conformers, automorphisms(name) if match == "bonds" else matchings(z, z))
    [group] = molecules(conformers, match)
    pairs = list(itertools.combinations(range(len(conformers)), 2))
    for bounded in (before(group, 0.0), before(group, 1e6)):
        for (later, earlier), bound in bounded.items():
            assert bound <= rmsd[later, earlier] + 1e-7
    assert len(before(group, 1e6)) == len(pairs)
    for reach in np.quantile([rmsd[p] for p in pairs], np.linspace(0, 1, 40), method="nearest"):
        missed = {(j, i) for i, j in pairs if rmsd[i, j] <= reach} - before(group, reach).keys()
        assert not missed


@pytest.mark.parametrize("name", ["methane", "prismane", "tert-butanol", "two rings"])
def test_bounds_are_sharp_for_scaled_copies_and_round_off_excludes_none(name):
    """All bounds are the RMSD itself here: one that is larger by a trifle, or a slack forgotten, loses some."""
    z, bonds = GRAPHS[name]
    rng, lost = np.random.default_rng(0), 0
    for _ in range(40):
        x = rng.normal(0, 1.5, (len(z), 3))
        x -= x.mean(axis=0)
        factor = rng.uniform(1.01, 1.2)
        both = [bonded(Conformer(np.array(z, np.uint8), p), np.array(bonds)) for p in (x, factor * x + 7)]
        rmsd = (factor - 1) * float(np.sqrt(np.square(x).sum() / len(x)))
        for match in ("bonds", "atoms"):
            [group] = molecules(both, match)
            near = before(group, rmsd)
            assert near.keys() == {(1, 0)}
            assert_allclose(near[1, 0], rmsd, rtol=1e-9)
            assert not before(group, rmsd - 1e-5)
            lost += near[1, 0] > rmsd
    assert lost, "round-off never mattered, so the slack is not tested"


@pytest.mark.parametrize("mirror_same", [False, True])
@pytest.mark.parametrize("name", ["water", "methane", "prismane", "butyne", "two rings"])
def test_kept_merged_and_mirrored_are_those_of_all_matchings(name, mirror_same):
    """Every verdict by enumeration: what is kept is far from all kept before, what is merged is near, and how near."""
    conformers = conformers_of(name, 1)
    rmsd = least_of_all(conformers, automorphisms(name), reflect=mirror_same)
    proper = least_of_all(conformers, automorphisms(name), reflect=False)
    verdicts = find_duplicates(conformers, Rule(match="bonds", mirror_same=mirror_same))
    assert verdicts.proven.all()
    kept: list[int] = []
    for k, into in enumerate(verdicts.into.tolist()):
        near = [i for i in kept if rmsd[k, i] <= duplicates.THRESHOLD]
        if into < 0:
            assert not near
            kept.append(k)
        else:
            assert into in near
            assert_allclose(verdicts.rmsd[k], rmsd[k, into], atol=2e-6)
            assert verdicts.mirror[k] == (rmsd[k, into] < proper[k, into] - 1e-6)
    assert len(kept) > 1 and len(kept) < len(conformers)


def rotamers(smiles: str, number: int, seed: int) -> list[Conformer]:
    """Conformers at all heavy-atom distances around the threshold, hydrogens anywhere, atoms in any order."""
    molecule, rng = matrices.ensemble(smiles, 3), np.random.default_rng(seed)
    every = [from_rdkit(molecule, c.GetId()) for c in molecule.GetConformers()]
    near = []
    for k in range(number):
        c = every[k % len(every)]
        shift = rng.normal(
            0, np.where(c.atomic_number > 1, rng.choice([0.01, 0.06, 0.1]), 0.3)[:, None], (len(c), 3)
        )
        near.append(matrices.scrambled(replace(c, position=c.position + shift), k))
    return [near[k] for k in rng.permutation(number)]


def kept_by_heavy_pairs(conformers: list[Conformer], rule: Rule) -> tuple[np.ndarray, set[int]]:
    """RMSDs of all pairs as `rmsd --heavy` gives them, and the kept ones."""
    pairing = Pairing(rule.match, rule.mirror_same, heavy=True)
    rmsd = all_pairs(ConformerBlock.of(conformers), pairing=pairing).rmsd
    kept: list[int] = []
    for k in range(len(conformers)):
        if not (rmsd[k, kept] <= rule.threshold).any():
            kept.append(k)
    return rmsd, set(kept)


HEAVY = ("OCC(O)CO", "CC=C", "C1CCCCC1", "CC(C)(C)C", "CO", "C", "O.O.O", "[H][H]")


@pytest.mark.parametrize("mirror_same", [False, True])
@pytest.mark.parametrize("match", ["bonds", "atoms"])
@pytest.mark.parametrize("smiles", HEAVY)
def test_no_bound_excludes_a_copy_by_heavy_atoms(smiles, match, mirror_same):
    """The kept set is that of all pairs, in several orders and at several thresholds."""
    merged = []
    for seed, threshold in enumerate((duplicates.THRESHOLD, 0.05, 0.2)):
        rule = Rule(threshold, match, mirror_same, heavy=True)
        conformers = rotamers(smiles, 24, seed)
        rmsd, kept = kept_by_heavy_pairs(conformers, rule)
        verdicts = find_duplicates(conformers, rule)
        assert set(np.flatnonzero(verdicts.into < 0)) == kept
        away = np.flatnonzero(verdicts.into >= 0)
        assert_allclose(verdicts.rmsd[away], rmsd[away, verdicts.into[away]], atol=2e-6)
        assert set(verdicts.into[away]) <= kept
        merged.append(len(away))
    whole = find_duplicates(conformers, replace(rule, heavy=False)).into
    assert max(merged) and (smiles == "[H][H]" or (whole >= 0).sum() < merged[-1])


@pytest.mark.parametrize("broken", ["all atoms", "too large"])
def test_a_bound_of_all_atoms_would_lose_copies_by_heavy_atoms(broken, monkeypatch):
    rule = Rule(match="bonds", heavy=True)
    conformers = rotamers("OCC(O)CO", 24, 0)
    _, kept = kept_by_heavy_pairs(conformers, rule)
    if broken == "all atoms":
        [whole] = molecules(conformers, "bonds")
        neighbours_of = duplicates.Neighbours
        monkeypatch.setattr(
            duplicates, "Neighbours", lambda _, __, reach: neighbours_of(whole.position, whole.colour, reach)
        )
    else:
        true = neighbours.radial_bound
        monkeypatch.setattr(neighbours, "radial_bound", lambda z, pos: 20 * true(z, pos))
    assert set(np.flatnonzero(find_duplicates(conformers, rule).into < 0)) > kept


def test_what_is_not_proven_is_not_called_so(monkeypatch):
    """Of one kept, if any RMSD to one kept before is not; of one merged, if that to what it is merged into is not."""
    conformers = conformers_of("methane", 2)
    honest = find_duplicates(conformers, Rule(match="bonds"))
    compared: set[tuple[bytes, bytes]] = set()
    doubtful: set[tuple[bytes, bytes]] = set()

    def key(c: Conformer) -> bytes:
        """The same whatever the order of atoms is."""
        return np.round(np.sort(c.position, axis=None) + 50, 9).tobytes()

    def some_unproven(first: list[Conformer], second: list[Conformer], **options) -> Matches:
        found = superpose_pairs(first, second, **options)
        for k, (a, b) in enumerate(zip(first, second, strict=True)):
            compared.add((key(b), key(a)))
            found.proven[k] = (key(b), key(a)) not in doubtful
        return found

    monkeypatch.setattr(duplicates, "superpose_pairs", some_unproven)
    keys = [key(c) for c in conformers]
    assert find_duplicates(conformers, Rule(match="bonds")).proven.all()
    assert len(compared) > 5
    for doubt in sorted(compared):
        doubtful = {doubt}
        verdicts = find_duplicates(conformers, Rule(match="bonds"))
        later, earlier = (keys.index(k) for k in doubt)
        assert (verdicts.into == honest.into).all()
        expected = np.ones(len(conformers), bool)
        expected[later] = honest.into[later] not in (-1, earlier)
        assert (verdicts.proven == expected).all()
