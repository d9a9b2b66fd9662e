"""Isotopes, charge and multiplicity tell molecules apart, and survive every way from file to file."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import molgiae
from molgiae.canonical.forms import canonical_forms
from molgiae.cli import app
from molgiae.commands.conformer_worker import selected
from molgiae.commands.dedup import deduplicate
from molgiae.config import ConformerSearch, parse_ignored
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.etkdg import embed_and_minimise
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.hdf5.writer import Hdf5Writer
from molgiae.data.readers import read_conformers
from molgiae.data.toolkits import from_ase, from_rdkit, to_ase
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError
from molgiae.matching import superpose_pairs
from molgiae.matching.copies import Rule, find_duplicates
from molgiae.matching.molecules import difference, ignoring

METHANOL = {"CH3OH": "CO", "CD3OH": "[2H]C([2H])([2H])O", "CH3OD": "CO[2H]", "13CH3OH": "[13CH3]O"}


def of_smiles(smiles: str, seed: int = 1) -> Conformer:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=seed)
    return from_rdkit(mol)


def scrambled(c: Conformer, seed: int) -> Conformer:
    """Another order and pose, without bonds."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(c))
    position = Rotation.random(random_state=seed).apply(c.position)[order] + rng.normal(size=3)
    return Conformer(
        c.atomic_number[order],
        position,
        isotope=c.isotope[order],
        charge=c.charge,
        multiplicity=c.multiplicity,
    )


def write(path, conformers) -> None:
    with StructureWriter(path, overwrite=True) as writer:
        for c in conformers:
            writer.write(c)


@pytest.mark.parametrize("match", ["bonds", "atoms"])
def test_isotopologues_are_no_copies_of_each_other_but_of_themselves(match):
    kinds = [of_smiles(smiles) for smiles in METHANOL.values()]
    same_place = [Conformer(kinds[0].atomic_number, kinds[0].position, isotope=c.isotope) for c in kinds]
    copies = [scrambled(c, k) for k, c in enumerate(same_place)]
    verdicts = find_duplicates([*same_place, *copies], Rule(match=match))
    assert verdicts.into.tolist() == [-1, -1, -1, -1, 0, 1, 2, 3]
    found = find_duplicates([ignoring(c, ["isotopes"]) for c in same_place], Rule(match=match))
    assert found.into.tolist() == [-1, 0, 0, 0]


def test_mirror_images_that_differ_by_an_isotope_alone_are_distinct():
    c = of_smiles("[C@](Cl)(F)([2H])[H]")
    mirrored = Conformer(c.atomic_number, c.position * [1, 1, -1], isotope=c.isotope)
    assert superpose_pairs([c], [mirrored]).rmsd[0] > 0.1
    assert find_duplicates([c, mirrored]).into.tolist() == [-1, -1]
    natural = [ignoring(x, ["isotopes"]) for x in (c, mirrored)]
    assert find_duplicates(natural, Rule(threshold=0.3)).into.tolist() == [-1, 0]


@pytest.mark.parametrize(
    ("smiles", "isotope"), [("C[2H]", 2), ("C([2H])[2H]", 2), ("[2H]c1ccccc1", 2), ("[13CH3]C", 13)]
)
def test_copies_with_isotopes_have_one_canonical_form(smiles, isotope):
    c = of_smiles(smiles)
    block = ConformerBlock.of([scrambled(c, k) for k in range(8)])
    result = canonical_forms(block)
    positions = result["canonical_position"].reshape(8, -1, 3)
    heavy = block.isotope[result["permutation"] + np.repeat(block.offset[:-1], len(c))].reshape(8, -1)
    assert_allclose(positions, positions[:1].repeat(8, 0), atol=1e-6)
    assert (heavy == heavy[0]).all() and (heavy[0] == isotope).any()


def test_symmetry_is_that_of_the_isotopologue():
    ideal = np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 0.63
    z = np.array([6, 1, 1, 1, 1], np.uint8)
    masses = ([0, 0, 0, 0, 0], [0, 2, 0, 0, 0], [0, 2, 2, 0, 0], [0, 2, 3, 0, 0], [13, 0, 0, 0, 0])
    block = ConformerBlock.of([Conformer(z, ideal, isotope=np.array(m, np.uint16)) for m in masses])
    result = canonical_forms(block)
    assert result["point_group"].tolist() == ["Td", "C3v", "C2v", "Cs", "Td"]
    assert result["symmetry_number"].tolist() == [12, 3, 2, 1, 12]


def test_states_of_one_geometry_are_distinct_and_an_unsaid_multiplicity_is_the_lowest():
    z, x = np.array([8, 1, 1], np.uint8), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0.0]])
    states = [(0, 0), (0, 1), (0, 3), (1, 0), (1, 2), (-1, 0)]
    conformers = [Conformer(z, x, charge=charge, multiplicity=m) for charge, m in states]
    assert find_duplicates(conformers).into.tolist() == [-1, 0, -1, -1, 3, -1]
    merged = [ignoring(c, ["charge", "multiplicity"]) for c in conformers]
    assert find_duplicates(merged).into.tolist() == [-1, 0, 0, 0, 0, 0]
    assert "charge 1" in difference(conformers[3], conformers[0])
    assert "multiplicity 3" in difference(conformers[2], conformers[0])
    assert not difference(conformers[3], conformers[0], ["charge", "multiplicity"])


def test_conformers_of_an_isotopologue_are_pruned_as_such():
    search = ConformerSearch(number=20)
    found = selected(embed_and_minimise("[2H]CC[2H]", True, "d2", search), search)
    d = [np.flatnonzero(c.isotope == 2) for c in found]
    angles = []
    for c, (a, b) in zip(found, d, strict=True):
        first, second = np.flatnonzero(c.atomic_number == 6)
        axis = c.position[second] - c.position[first]
        u, v = c.position[a] - c.position[first], c.position[b] - c.position[second]
        u, v = (w - (w @ axis) * axis / (axis @ axis) for w in (u, v))
        angles.append(round(float(np.degrees(np.arccos(u @ v / np.linalg.norm(u) / np.linalg.norm(v))))))
    assert sorted(set(angles)) == [60, 180]


MASSES = {1: (0, 1, 2, 3), 6: (0, 12, 13), 7: (0, 15), 8: (0, 18)}


@st.composite
def molecules(draw):
    z = draw(st.lists(st.sampled_from(sorted(MASSES)), min_size=1, max_size=7))
    masses = [draw(st.sampled_from(MASSES[number])) for number in z]
    return Conformer(
        np.array(z, np.uint8),
        1.3 * np.array([[k, k % 2, (k // 2) % 2] for k in range(len(z))], float),
        title="a title",
        charge=draw(st.integers(-3, 3)),
        multiplicity=draw(st.integers(0, 4)),
        isotope=np.array(masses, np.uint16),
        atom_data={"partial": np.arange(len(z)) / 8, "label": np.array([f"a{k}" for k in range(len(z))])}
        | {"forces": np.arange(3.0 * len(z)).reshape(-1, 3)},
    )


@settings(deadline=None, max_examples=40)
@given(items=st.lists(molecules(), min_size=1, max_size=6))
def test_nothing_is_lost_from_xyz_to_sdf_to_hdf5_to_xyz(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("round")
    write(folder / "a.xyz", items)
    write(folder / "b.sdf", read_conformers(folder / "a.xyz"))
    from_sdf = list(read_conformers(folder / "b.sdf"))
    with Hdf5Writer(folder / "c.h5", columns=()) as writer:
        writer.append(ConformerBlock.of(read_conformers(folder / "a.xyz")))
    with EmbeddingFile(folder / "c.h5") as file:
        from_hdf5 = list(file.block(0, len(file)))
    write(folder / "d.xyz", from_hdf5)
    for found in (from_sdf, from_hdf5, list(read_conformers(folder / "d.xyz"))):
        for c, given_one in zip(found, items, strict=True):
            assert_array_equal(c.atomic_number, given_one.atomic_number)
            assert_array_equal(c.isotope, given_one.isotope)
            assert (c.charge, c.multiplicity) == (given_one.charge, given_one.multiplicity)
    for c, given_one in zip(read_conformers(folder / "d.xyz"), items, strict=True):
        assert c.atom_data.keys() == given_one.atom_data.keys()
        for name, values in given_one.atom_data.items():
            assert_array_equal(c.atom_data[name], values)


def test_isotopes_charges_and_radicals_of_tables(tmp_path):
    path = tmp_path / "a.sdf"
    mol = Chem.MolFromMolBlock(
        Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles("[13CH2]C([2H])=[NH2+]"))), removeHs=False
    )
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    tables = [Chem.MolToMolBlock(mol), Chem.MolToV3KMolBlock(mol)]
    by_column = tables[0].replace(" C   0  0", " C   1  0", 1)
    by_column = "".join(line for line in by_column.splitlines(True) if not line.startswith("M  ISO"))
    path.write_text("".join(f"{table}$$$$\n" for table in [*tables, *tables, by_column]))
    for c in read_conformers(path):
        assert sorted(c.isotope[c.isotope > 0].tolist()) in ([2, 13], [13])
        assert (c.charge, c.multiplicity) == (1, 2)
    expected = [atom.GetIsotope() for atom in mol.GetAtoms()]
    for c in list(read_conformers(path))[:4]:
        assert c.isotope.tolist() == expected


def test_deuterium_by_symbol_by_mass_and_in_toolkits(tmp_path):
    (tmp_path / "a.xyz").write_text("3\nheavy water\nO 0 0 0\nD 0.96 0 0\nT -0.24 0.93 0\n")
    c = next(iter(read_conformers(tmp_path / "a.xyz")))
    assert c.isotope.tolist() == [0, 2, 3]
    assert from_ase(to_ase(c)).isotope.tolist() == [0, 2, 3]
    assert not from_ase(molecule("CH3CH2OH")).isotope.any()
    molgiae.canonicalize(tmp_path / "a.xyz", output=tmp_path / "b.xyz", model="qm9")
    text = (tmp_path / "b.xyz").read_text()
    assert "\nD " in text and "\nT " in text


def test_ignore_on_the_command_line(tmp_path):
    cs = [
        Conformer(c.atomic_number, c.position, isotope=c.isotope)
        for c in (of_smiles(s) for s in METHANOL.values())
    ]
    cs = [
        Conformer(cs[0].atomic_number, cs[0].position, isotope=c.isotope, title=t)
        for c, t in zip(cs, METHANOL, strict=True)
    ]
    write(tmp_path / "a.sdf", cs)
    run = CliRunner().invoke
    done = run(app, ["dedup", str(tmp_path / "a.sdf"), "-o", str(tmp_path / "b.sdf")])
    assert (done.exit_code, done.stderr.startswith("kept 4 of 4")) == (0, True)
    done = run(app, ["dedup", str(tmp_path / "a.sdf"), "-o", str(tmp_path / "c.sdf"), "--ignore", "isotopes"])
    assert done.stderr.startswith("kept 1 of 4")
    done = run(app, ["align", str(tmp_path / "a.sdf"), "-o", str(tmp_path / "d.sdf")])
    assert done.exit_code == 3 and "--ignore isotopes" in done.stderr
    done = run(
        app, ["align", str(tmp_path / "a.sdf"), "-o", str(tmp_path / "e.sdf"), "--ignore", "isotopes,charge"]
    )
    assert done.exit_code == 0
    assert run(app, ["dedup", str(tmp_path / "a.sdf"), "--ignore", "colour"]).exit_code == 2
    with pytest.raises(ConfigError, match="colour"):
        parse_ignored("isotopes,colour")


def test_search_calls_an_isotopologue_no_copy_of_the_molecule(tmp_path):
    c = of_smiles("CCO")
    heavy = Conformer(
        c.atomic_number, c.position, isotope=np.where(c.atomic_number == 8, 18, 0).astype(np.uint16)
    )
    write(tmp_path / "a.xyz", [c, heavy])
    molgiae.embed(tmp_path / "a.xyz", output=tmp_path / "a.h5", model="qm9")
    write(tmp_path / "q.xyz", [heavy])
    from molgiae.commands.search import search  # noqa: PLC0415

    relations = {hit.record: hit.relation for hit in search(tmp_path / "q.xyz", tmp_path / "a.h5").hits}
    assert relations == {1: "formula", 2: "molecule"}
    both = search(tmp_path / "q.xyz", tmp_path / "a.h5", ignore=["isotopes"]).hits
    assert {hit.relation for hit in both} == {"molecule"}


def test_dedup_with_energies_and_isotopes_keeps_the_lowest_of_each(tmp_path):
    cs = [of_smiles("CO")] * 2
    cs = [
        Conformer(c.atomic_number, c.position, properties={"energy": str(e)}, charge=q)
        for c, e, q in zip([cs[0]] * 4, [2, 1, 4, 3], [0, 0, 1, 1], strict=True)
    ]
    write(tmp_path / "a.xyz", cs)
    deduplicate(tmp_path / "a.xyz", output=tmp_path / "b.xyz", energy="energy")
    assert [c.properties["energy"] for c in read_conformers(tmp_path / "b.xyz")] == ["1", "3"]
