"""Units and the table of targets."""

from __future__ import annotations

import pytest

from molgiae.errors import ConfigError
from molgiae.properties.targets import ALIASES, KNOWN, Target, find, names_of, normalized
from molgiae.properties.units import UNITS, conversion, dimension_of, split_heading


@pytest.mark.parametrize(
    ("value", "unit", "other", "expected"),
    [
        (1.0, "Ha", "eV", 27.211386245988),
        (1.0, "Ha", "kcal/mol", 627.5094740631),
        (1.0, "hartree", "kJ/mol", 2625.4996394799),
        (1.0, "eV", "cm^-1", 8065.543937),
        (1.0, "kcal/mol", "meV", 43.36410),
        (1.0, "Ry", "mHa", 500.0),
        (1.0, "e a0", "D", 2.541746473),
        (1.0, "e A", "D", 4.80320471),
        (1.0, "A^3", "a0^3", 6.748334),
        (1.0, "a0^2", "A^2", 0.280028520),
        (1.0, "cal/mol/K", "J/(mol K)", 4.184),
        (3.0, "widgets", "widgets", 3.0),
    ],
)
def test_units_convert_and_back(value, unit, other, expected):
    there = value * conversion(unit, other)
    assert there == pytest.approx(expected, rel=1e-7)
    assert there * conversion(other, unit) == pytest.approx(value, rel=1e-14)


def test_units_of_unlike_dimension_do_not_convert():
    with pytest.raises(ConfigError, match="units disagree: D is a unit of dipole moment, eV of energy"):
        conversion("D", "eV")
    with pytest.raises(ConfigError, match=r"unit 'widgets' is not known .* known are eV, meV"):
        conversion("widgets", "eV")


def test_no_unit_has_two_dimensions():
    spelt = [unit.lower() for units in UNITS.values() for unit in units]
    assert len(spelt) == len(set(spelt))


@pytest.mark.parametrize(
    ("heading", "parts"),
    [
        ("H [eV]", ("H", "eV")),
        ("gap (Ha)", ("gap", "Ha")),
        ("Cv [cal/(mol K)]", ("Cv", "cal/(mol K)")),
        ("Cv (cal/(mol K))", ("Cv", "cal/(mol K)")),
        ("energy_kcal_per_mol", ("energy", "kcal/mol")),
        ("E_eV", ("E", "eV")),
        ("heat_kcal", ("heat", "kcal/mol")),
        ("log P (exp)", ("log P (exp)", "")),
        ("U0", ("U0", "")),
        ("alpha", ("alpha", "")),
    ],
)
def test_headings_name_units(heading, parts):
    assert split_heading(heading) == parts


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H", "enthalpy"),
        ("enthalpy", "enthalpy"),
        ("U0", "internal_energy_0k"),
        ("U", "internal_energy"),
        ("Free energy", "free_energy"),
        ("Gibbs", "free_energy"),
        ("HOMO-LUMO gap", "gap"),
        ("HOMO", "homo"),
        ("dipole moment", "dipole"),
        ("polarizability", "polarisability"),
        ("cv", "heat_capacity"),
    ],
)
def test_targets_go_by_several_names(name, found):
    assert find(name).name == found


def test_unknown_target_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no target 'logP'; known are enthalpy \(H\).*--target-column"):
        find("logP")


def test_names_are_distinct_and_units_are_known():
    names = [normalized(name) for target in KNOWN.values() for name in set(map(normalized, names_of(target)))]
    assert len(names) == len(set(names))
    assert ALIASES.keys() <= KNOWN.keys()
    for target in KNOWN.values():
        assert dimension_of(target.unit)
        assert target.energy == (dimension_of(target.unit) == "energy")


def test_free_atoms_go_along_with_the_unit():
    enthalpy = find("H")
    in_ev = enthalpy.to("eV")
    assert in_ev.references[6] == pytest.approx(-37.844411 * 27.211386245988)
    assert in_ev.unit == "eV" and enthalpy.unit == "Ha"
    assert in_ev.to("Ha").references == pytest.approx(enthalpy.references)
    assert in_ev.heading == "H [eV]"
    with pytest.raises(ConfigError, match="units disagree"):
        enthalpy.to("D")


@pytest.mark.parametrize(
    "target", [find("H").to("kcal/mol"), find("mu"), Target.of("logP"), Target.of("E", "ev")]
)
def test_targets_travel_as_plain_data(target):
    assert Target.from_dict(target.to_dict()) == target


def test_any_column_is_a_target():
    assert Target.of("logP").heading == "logP"
    assert Target.of("E", "kcal_per_mol").energy
    assert not Target.of("E", "kcal_per_mol").extensive
