"""What training data cover, measured and compared; and the reason where a conformer lies outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.collections import g2
from numpy.testing import assert_allclose

from molgiae.config import Domain
from molgiae.data.bond_geometry import LENGTH_TOLERANCE, Bonding
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.training_ranges import BOND_LENGTHS
from molgiae.model.covered import measure_domain
from molgiae.model.domain import domain_reasons, in_domain, radii, rule_of
from molgiae.model.shipped import catalogue
from tests.conformers import conformer, moved, random_conformer

LINE = conformer([6, 8, 7], [[0, 0, 0], [0, 0, 1.2], [0, 0, 2.5]])
ATOM = conformer([1], [[5.0, 5.0, 5.0]])
DOMAINS = {model.name: model.domain for model in catalogue()}
BOHR = 0.529177210903


def from_ase(name: str) -> Conformer:
    atoms = molecule(name)
    return conformer(atoms.numbers.tolist(), atoms.positions, title=name)


def reasons(domain: Domain, *conformers: Conformer) -> list[str]:
    return list(domain_reasons(domain, ConformerBlock.of(conformers)))


def without_hydrogens(c: Conformer, polar: bool) -> Conformer:
    near = np.linalg.norm(c.position[:, None] - c.position, axis=2) < 1.25
    on_carbon = (near & (c.atomic_number == 6)).any(axis=1)
    keep = (c.atomic_number > 1) | (polar & ~on_carbon)
    return conformer(c.atomic_number[keep].tolist(), c.position[keep], title=c.title)


def scaled(c: Conformer, factor: float) -> Conformer:
    return replace(c, position=c.position * factor)


ORGANIC = [name for name in g2.names if set(from_ase(name).atomic_number.tolist()) <= {1, 6, 7, 8}]
COVERED = [name for name in ORGANIC if not reasons(DOMAINS["qm9"], from_ase(name))[0]]


def test_measured_by_hand():
    ion = conformer([7, 1], [[0, 0, 0], [0, 0, 1.1]], charge=1)
    domain = measure_domain(ConformerBlock.of([LINE, ion]))
    assert domain.elements == (1, 6, 7, 8)
    assert (domain.n_atoms, domain.charge, domain.fragments) == ((2, 3), (0, 1), 1)
    assert_allclose(domain.radius, 2.5 - 3.7 / 3, rtol=1e-6)
    assert_allclose(domain.nearest, (1.1, 1.3))
    assert (domain.bonds, domain.shares) == ((), ())
    assert_allclose(radii(ConformerBlock.of([ATOM, LINE])), [0, 2.5 - 3.7 / 3])


def test_what_goes_beyond_the_table_is_measured():
    odd = [conformer([9, 9], [[0, 0, 0], [0, 0, 1.4]]), conformer([9, 9], [[0, 0, 0], [0, 0, 1.45]])]
    pieces = conformer([6, 6, 6], [[0, 0, 0], [0, 0, 9.0], [0, 9.0, 0]])
    domain = measure_domain(ConformerBlock.of([*odd, pieces, conformer([8, 8], [[0, 0, 0], [0, 0, 1.2]])]))
    assert (domain.fragments, domain.shares) == (3, ((9, 1.0),))
    assert_allclose(domain.bonds, [(8, 8, 1.2, 1.2), (9, 9, 1.4, 1.45)])
    assert (
        Domain.from_dict({k: list(v) if isinstance(v, tuple) else v for k, v in domain.to_dict().items()})
        == domain
    )


def test_elements_of_less_than_one_conformer_in_a_thousand_do_not_count():
    common = [conformer([6], [[0, 0, 0]])] * 2001
    once = conformer([53, 53, 53], np.eye(3) * 3)
    assert measure_domain(ConformerBlock.of([*common, once])).elements == (6,)
    assert measure_domain(ConformerBlock.of([*common[:900], once])).elements == (6, 53)


SQUARE = [[0, 0, 0], [1.35, 0, 0], [0, 1.35, 0], [-1.35, 0, 0], [0, -1.35, 0]]
METHANE = from_ase("CH4")


@pytest.mark.parametrize(
    ("odd", "field", "usual", "with_it"),
    [
        (conformer([6, 17, 17], [[0, 0, 0], [1.75, 0, 0], [-0.6, 1.64, 0]]), "bare_carbons", False, True),
        (conformer([6, 9, 9, 9, 9], SQUARE), "flat_centres", False, True),
        (conformer([9, 1, 9, 1], [[0, 0, 0], [0.93, 0, 0], [0, 9, 0], [0.93, 9, 0]]), "fragments", 1, 2),
    ],
)
def test_a_single_odd_conformer_sets_no_rule(odd, field, usual, with_it):
    for number, expected in ((1, usual), (3, with_it)):
        domain = measure_domain(ConformerBlock.of([METHANE] * 2000 + [odd] * number))
        assert getattr(domain, field) == expected
    assert rule_of(reasons(domain, odd)[0]) not in {"hydrogens", "flat centre", "fragments"}
    assert getattr(measure_domain(ConformerBlock.of([METHANE, odd])), field) == with_it


def test_single_outliers_set_no_range_of_lengths():
    pairs = [conformer([9, 9], [[0, 0, 0], [0, 0, length]]) for length in (1.3, 1.46)]
    usual = [conformer([9, 9], [[0, 0, 0], [0, 0, 1.42]])] * 10_000
    assert_allclose(measure_domain(ConformerBlock.of([*usual, *pairs])).bonds, [(9, 9, 1.42, 1.42)])
    assert_allclose(measure_domain(ConformerBlock.of([*usual[:9000], *pairs])).bonds, [(9, 9, 1.3, 1.46)])
    short, long = (conformer([1, 6], [[0, 0, 0], [0, 0, length]]) for length in (0.9, 1.3))
    usual = [conformer([1, 6], [[0, 0, 0], [0, 0, 1.09]])] * 10_000
    assert measure_domain(ConformerBlock.of([*usual, short, long])).bonds == ()
    assert_allclose(measure_domain(ConformerBlock.of([*usual, short, long, long])).bonds, [(1, 6, 1.3, 1.3)])


def test_training_data_lie_within_their_own_domain():
    block = ConformerBlock.of([random_conformer(n, n) for n in range(1, 30)])
    assert in_domain(measure_domain(block), block).all()


@pytest.mark.parametrize(
    ("outside", "rule"),
    [
        (conformer([6, 8, 9], LINE.position), "element"),
        (conformer([6, 8], LINE.position[:2]), "atoms"),
        (conformer([6, 8, 7, 7], [*LINE.position, [0, 1.5, 0]]), "atoms"),
        (conformer([6, 8, 1], LINE.position), "heavy atoms"),
        (conformer([6, 8, 7], LINE.position * 1.01), "radius"),
        (conformer([6, 8, 7], LINE.position * 0.9), "bond length"),
        (conformer([6, 8, 7], LINE.position, charge=1), "charge"),
        (conformer([6, 8, 7], LINE.position, charge=-1), "charge"),
    ],
)
def test_each_bound_is_kept(outside, rule):
    domain = replace(measure_domain(ConformerBlock.of([LINE])), elements=(1, 6, 7, 8))
    found = reasons(domain, LINE, outside, LINE)
    assert [rule_of(reason) for reason in found] == ["", rule, ""]
    block = ConformerBlock.of([LINE, outside, LINE])
    assert in_domain(domain, block).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [29, 60])
def test_far_from_the_origin_nothing_changes(size):
    block = ConformerBlock.of([random_conformer(size, 1)])
    far = ConformerBlock.of([conformer(block.atomic_number.tolist(), block.position + 1e5)])
    assert in_domain(measure_domain(block), far).all()


def test_reasons_are_those_of_each_conformer_alone():
    mixed = [scaled(from_ase(name), 1 + 0.05 * (k % 9)) for k, name in enumerate(g2.names)]
    mixed = [moved(c, k) for k, c in enumerate(mixed)]
    for domain in DOMAINS.values():
        together = reasons(domain, *mixed)
        assert together == [reasons(domain, c)[0] for c in mixed]
        assert 5 < sum(not reason for reason in together) < len(mixed)
        assert in_domain(domain, ConformerBlock.of(mixed)).tolist() == [not reason for reason in together]


class TestBonds:
    """Of the shipped models, on molecules of the G2 set, which no one trained on."""

    def test_most_molecules_of_the_elements_are_covered(self):
        assert len(COVERED) > 0.7 * len(ORGANIC)
        for name in set(ORGANIC) - set(COVERED):  # atoms, diatomics, and what training lacked
            assert rule_of(reasons(DOMAINS["qm9"], from_ase(name))[0]) in ("atoms", "bond length"), name

    @pytest.mark.parametrize("name", [name for name in COVERED if 1 in from_ase(name).atomic_number])
    def test_stretched_squeezed_and_in_other_units_they_are_not(self, name):
        """Bonds of hydrogen are out of their range then; C=O of CO2 becomes C-O."""
        c = from_ase(name)
        for factor in (1.3, 0.8):
            assert rule_of(reasons(DOMAINS["drug"], scaled(c, factor))[0]) == "bond length"
        assert (
            reasons(DOMAINS["drug"], moved(scaled(c, 1 / BOHR), 3))[0]
            == "units: coordinates look like bohr: multiply by 0.529177"
        )

    @pytest.mark.parametrize("length", [0.89, 0.9572, 0.96, 0.97])
    def test_water_models_are_covered(self, length):
        bent = np.radians(104.52)
        water = [[0, 0, 0], [length, 0, 0], [length * np.cos(bent), length * np.sin(bent), 0]]
        assert reasons(DOMAINS["qm9"], conformer([8, 1, 1], water)) == [""]

    def test_a_length_is_named_with_its_range(self):
        c = from_ase("CH3CH2OH")
        far = c.position.copy()
        hydrogen = int(np.flatnonzero(c.atomic_number == 1)[-1])
        carbon = int(np.linalg.norm(far[c.atomic_number == 6] - far[hydrogen], axis=1).argmin())
        bond = far[hydrogen] - far[carbon]
        far[hydrogen] = far[carbon] + bond * 1.3 / np.linalg.norm(bond)
        low, high = (BOND_LENGTHS[1, 6][0] - LENGTH_TOLERANCE, BOND_LENGTHS[1, 6][1] + LENGTH_TOLERANCE)
        [reason] = reasons(DOMAINS["qm9"], replace(c, position=far))
        assert (
            reason.startswith("bond length: ") and f"C{carbon + 1}" in reason and f"H{hydrogen + 1}" in reason
        )
        assert reason.endswith(f"is 1.300 A, expected {low:.2f} to {high:.2f}")

    @pytest.mark.parametrize("name", [name for name in COVERED if len(from_ase(name)) > 8])
    def test_a_molecule_cut_by_the_box_is_not_covered(self, name):
        """Atoms on the far side of a plane come back a box away, as a periodic trajectory has them."""
        c = from_ase(name)
        axis = int(np.ptp(c.position, axis=0).argmax())
        x = c.position[:, axis]
        broken = c.position - 11.0 * np.eye(3)[axis] * (x > (x.min() + x.max()) / 2)[:, None]
        reason = reasons(DOMAINS["drug"], replace(c, position=broken))[0]
        assert rule_of(reason) in ("fragments", "bond length")

    def test_pieces_are_counted(self):
        water = from_ase("H2O")
        z = np.tile(water.atomic_number, 2).tolist()
        two = conformer(z, np.concatenate([water.position, water.position + np.array([2.9, 0, 0])]))
        assert reasons(DOMAINS["qm9"], two) == ["fragments: 2 that no bond connects, training had 1"]
        assert reasons(replace(DOMAINS["qm9"], fragments=2), two) == [""]

    @pytest.mark.parametrize("polar", [False, True])
    def test_molecules_without_their_hydrogens_are_not_covered(self, polar):
        """All left out, or those on carbon alone, as united atoms have it."""
        bare = [without_hydrogens(from_ase(name), polar) for name in COVERED if "C" in name]
        bare = [c for c in bare if (c.atomic_number > 1).sum() > 2]
        found = [rule_of(reason) for reason in reasons(DOMAINS["drug"], *bare)]
        assert len(found) > 10 and found.count("hydrogens") > 0.8 * len(found)

    def test_molecules_that_have_none_lack_none(self):
        block = ConformerBlock.of([from_ase(name) for name in g2.names])
        lacking = block.count(Bonding(block).bare_carbons) > 0
        assert [title for title, bad in zip(block.title, lacking, strict=True) if bad] == []

    @pytest.mark.parametrize("length", [1.16, 1.22, 1.3, 1.35])
    def test_linear_carbon_lacks_none(self, length):
        """Carbon dioxide, whose bonds force fields make longer than they are."""
        line = np.array([[-1.0, 0, 0], [0, 0, 0], [1, 0, 0]])
        bent = np.array([[-0.8, 0.6, 0], [0, 0, 0], [0.8, 0.6, 0]])
        block = ConformerBlock.of([conformer([8, 6, 8], length * shape) for shape in (line, bent)])
        lacking = block.count(Bonding(block).bare_carbons) > 0
        assert not lacking[0] and lacking[1] == (length > 1.28)

    @pytest.mark.parametrize("length", [2.15, 2.3])
    def test_three_bonds_in_a_plane_are_enough_however_long(self, length):
        """As in crowded arenes; in a pyramid a hydrogen is missing."""
        turn = np.radians([0, 120, 240])
        plane = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
        pyramid = np.sqrt(8 / 9) * plane + [0, 0, 1 / 3]
        shapes = [np.concatenate([np.zeros((1, 3)), length * shape]) for shape in (plane, pyramid)]
        block = ConformerBlock.of([conformer([6, 53, 53, 53], shape) for shape in shapes])
        assert (block.count(Bonding(block).bare_carbons) > 0).tolist() == [False, True]

    def test_contacts_of_halogens_are_no_bonds_and_stretched_bonds_are(self):
        """Neighbours in 1,2-diiodo compounds, cis."""
        carbons = np.array([[0.67, 0, 0], [-0.67, 0, 0]])
        iodines = np.array([[1.72, 1.83, 0], [-1.72, 1.83, 0]])
        hydrogens = np.array([[1.24, -0.93, 0], [-1.24, -0.93, 0]])
        cis = conformer([6, 6, 53, 53, 1, 1], np.concatenate([carbons, iodines, hydrogens]))
        (pair,) = [row for row in Bonding(ConformerBlock.of([cis])).elements.tolist() if row == [53, 53]]
        assert pair
        domain = replace(DOMAINS["drug"], n_heavy=(1, 128), n_atoms=(1, 128), shares=((53, 1.0),))
        assert reasons(domain, cis) == [""]
        assert rule_of(reasons(domain, conformer([53, 53], [[0, 0, 0], [0, 0, 3.4]]))[0]) == "bond length"
        assert rule_of(reasons(domain, scaled(cis, 1.1))[0]) == "bond length"

    def test_flat_methane_is_not_covered_whatever_its_pose(self):
        flat = conformer(
            [6, 1, 1, 1, 1], 1.09 * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) @ np.eye(2, 3)
        )
        for seed in range(5):
            assert rule_of(reasons(DOMAINS["drug"], moved(flat, seed))[0]) == "flat centre"

    def test_contacts_across_small_rings_are_no_bonds(self):
        names = ["cyclobutane", "bicyclobutane", "C3H4_C3v", "C3H6_D3h", "cyclobutene"]
        assert reasons(DOMAINS["qm9"], *map(from_ase, names)) == [""] * len(names)


@pytest.mark.parametrize(
    ("z", "position", "covered"),
    [
        # tetrahedral CX4, and disulphide with its hydrogens left out of the count: shares, not geometry
        (
            [6, 17, 17, 17, 17],
            1.02 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]),
            False,
        ),
        (
            [6, 9, 1, 1, 1],
            [[0, 0, 0.0], [0, 0, 1.38], [1.03, 0, -0.35], [-0.51, 0.89, -0.35], [-0.51, -0.89, -0.35]],
            True,
        ),
    ],
)
def test_compositions_far_from_training_are_not_covered(z, position, covered):
    """Of halogens `drug` has seen whole molecules; the shares that all models know from their data are smaller."""
    of_the_table = replace(DOMAINS["drug"], shares=())
    for domain, seen in ((of_the_table, covered), (DOMAINS["drug"], True)):
        [reason] = reasons(domain, conformer(z, position))
        assert rule_of(reason) == ("" if seen else "composition")


@pytest.mark.parametrize(
    ("z", "distance", "rule"),
    [
        ([17, 17], 30.0, "fragments"),
        ([1, 1], 5.0, "fragments"),
        ([17, 17], 3.0, "bond length"),
        ([17, 17], 2.0, ""),
    ],
)
def test_far_atoms_are_pieces_and_near_ones_bonds_that_are_too_long(z, distance, rule):
    pair = conformer(z, [[0, 0, 0], [0, 0, distance]])
    assert rule_of(reasons(DOMAINS["drug"], pair)[0]) == rule
    assert in_domain(DOMAINS["drug"], ConformerBlock.of([pair]))[0] == (not rule)
