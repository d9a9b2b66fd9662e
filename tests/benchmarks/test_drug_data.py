"""Molecules made for the drug model are what their class says, never those left out, and split by molecule."""

from __future__ import annotations

import json
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not there", allow_module_level=True)
sys.path.insert(0, str(BENCHMARKS))

import drug_data  # noqa: E402 - scripts, not a package
import known_molecules  # noqa: E402
import sdf_records  # noqa: E402
from large_molecules import (  # noqa: E402
    AMIDES,
    SIZES,
    amides,
    amino_acids,
    cyclic_peptides,
    macrocycles,
    peptides,
)
from made_molecules import (  # noqa: E402
    EDITS,
    GROUPS,
    REACTIONS,
    changed,
    edited,
    halogenated,
    product_of,
    size_of,
    skeletons,
    substituted,
    zwitterions,
)

SYMBOL = {"boron": "B", "silicon": "Si", "phosphorus": "P", "iodine": "I"}
SMILES = (
    "CCOc1ccc(Br)cc1",
    "CCC(O)c1ccc(Cl)nc1",
    "Cc1ccc(F)cc1C(=O)[O-]",
    "CN1CCC(CC1)C(=O)[O-]",
    "CCCC",
    "OC(=O)c1ccc(cc1)C(=O)Nc1ccc(cc1)C(C)(C)C",
    "CC(C)(C)c1ccc(cc1)S(=O)(=O)N1CCC(CC1)C(=O)NCCC1CCNCC1",
    "NCC1CCN(CC1)C(=O)c1ccc2c(c1)OCCO2",
)
PARENTS = ("CCO", "c1ccccc1N", "CC(=O)O", "C1CC1", "CCNC", "CC=C", "c1ccncc1")


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def taken(made, number):
    return [Chem.MolFromSmiles(text) for text in islice(made, number)]


@pytest.fixture
def molecules():
    return [Chem.MolFromSmiles(text) for text in SMILES]


@pytest.mark.parametrize("kind", REACTIONS)
def test_each_kind_has_its_element(molecules, kind):
    made = taken(changed(molecules, REACTIONS[kind]), 3)
    assert len(made) >= 2
    for molecule in made:
        assert SYMBOL[kind] in {atom.GetSymbol() for atom in molecule.GetAtoms()}


def test_amides_are_amides_within_the_sizes(molecules):
    amide = Chem.MolFromSmarts("C(=O)N")
    made = taken(amides(molecules, rng()), 5)
    assert len(made) == 5
    for molecule in made:
        assert molecule.HasSubstructMatch(amide)
        assert AMIDES[0] <= size_of(molecule) <= AMIDES[1]
        assert size_of(molecule) == Chem.AddHs(molecule).GetNumAtoms()


@pytest.mark.parametrize("smiles", [["CC"], ["CC(=O)O", "CN"]])
def test_what_cannot_be_made_is_not_waited_for(smiles):
    assert list(amides([Chem.MolFromSmiles(text) for text in smiles], rng())) == []


@pytest.mark.parametrize("make", [peptides, cyclic_peptides, macrocycles])
def test_chains_and_rings_are_within_the_sizes_and_spread(make):
    sizes = [size_of(molecule) for molecule in taken(make(rng()), 40)]
    assert min(sizes) >= SIZES[0]
    assert max(sizes) <= SIZES[1]
    assert min(sizes) < 55
    assert max(sizes) > 100


def test_cyclic_peptides_and_macrocycles_have_large_rings():
    for made in (taken(cyclic_peptides(rng()), 10), taken(macrocycles(rng()), 10)):
        for molecule in made:
            assert max(len(ring) for ring in molecule.GetRingInfo().AtomRings()) >= 9


def test_amino_acids_are_neutral_or_zwitterions():
    for text in amino_acids():
        molecule = Chem.MolFromSmiles(text)
        assert Chem.GetFormalCharge(molecule) == 0
    assert len(set(amino_acids())) == 40


@pytest.mark.parametrize("kind", EDITS)
def test_ions_and_radicals_differ_by_hydrogens_charge_and_electrons(kind):
    _, hydrogens, charge, unpaired = EDITS[kind]
    plain = {Chem.MolToSmiles(Chem.MolFromSmiles(text)) for text in PARENTS}
    for molecule in taken(edited(PARENTS, (kind,), rng()), 5):
        assert Chem.GetFormalCharge(molecule) == charge
        assert sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()) == unpaired
        for atom in molecule.GetAtoms():
            if atom.GetFormalCharge() or atom.GetNumRadicalElectrons():
                atom.SetNumExplicitHs(atom.GetTotalNumHs() - hydrogens)
                atom.SetFormalCharge(0)
                atom.SetNumRadicalElectrons(0)
        assert Chem.MolToSmiles(Chem.MolFromSmiles(Chem.MolToSmiles(molecule))) in plain


def test_zwitterions_have_both_charges():
    for molecule in taken(zwitterions(PARENTS, rng()), 10):
        charges = [atom.GetFormalCharge() for atom in molecule.GetAtoms()]
        assert min(charges) == -1
        assert max(charges) == 1
        assert sum(charges) == 0


def test_frames_lose_all_hydrogens_on_carbon_to_a_halogen():
    for molecule in taken(halogenated(PARENTS, rng()), 80):
        assert {atom.GetSymbol() for atom in molecule.GetAtoms()} & set(known_molecules.HALOGENS)
        assert not any(atom.GetTotalNumHs() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 6)


def test_groups_take_the_place_of_a_hydrogen_and_leave_no_radical():
    skeleton = Chem.MolFromSmiles("c1cc[nH]c1")
    for group in GROUPS:
        (text,) = product_of(skeleton, [3], [group])
        molecule = Chem.MolFromSmiles(text)
        assert sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()) == 0, group
        assert molecule.GetNumAtoms() == 5 + Chem.MolFromSmiles(group).GetNumAtoms()


def test_pieces_are_substituted():
    parents = skeletons(SMILES)
    assert "c1ccncc1" not in parents or all(Chem.MolFromSmiles(text).GetNumAtoms() <= 14 for text in parents)
    made = [Chem.MolToSmiles(molecule) for molecule in taken(substituted(parents, rng()), 50)]
    assert not set(made) & set(parents)
    assert len(set(made)) > 40


@pytest.mark.parametrize("name", ["INORGANIC", "IONS", "ZWITTERIONS", "RADICALS", "FRAMES"])
def test_known_molecules_can_be_parsed_and_stand_there_once(name):
    texts = getattr(known_molecules, name).split()
    found = [Chem.MolFromSmiles(text) for text in texts]
    assert [
        text for text, molecule in zip(texts, found, strict=True) if not drug_data.is_usable(molecule)
    ] == []
    smiles = [Chem.MolToSmiles(molecule) for molecule in found]
    assert sorted(text for text in set(smiles) if smiles.count(text) > 1) == []


def test_halides_are_nearly_all_molecules_with_halogen():
    texts = known_molecules.halides()
    found = [molecule for molecule in map(Chem.MolFromSmiles, texts) if molecule is not None]
    assert len(found) > 0.95 * len(texts)
    halogen = Chem.MolFromSmarts("[F,Cl,Br,I]")
    assert all(molecule.HasSubstructMatch(halogen) for molecule in found)


def test_what_is_left_out_is_not_made_whatever_its_charge_or_stereochemistry():
    made = ["CCO", "CC(=O)[O-]", "C[C@H](F)Cl", "CCN", "CCN", "CC.C", "nonsense", "[Na]Cl", "CC[NH3+]"]
    left_out = {drug_data.plain(text) for text in ("CC(=O)O", "C[C@@H](F)Cl")}
    assert list(drug_data.new_molecules(iter(made), 9, set(), left_out)) == ["CCO", "CCN", "CC[NH3+]"]
    assert len(list(drug_data.new_molecules(iter(made), 9, set(), set()))) == 5
    assert len(list(drug_data.new_molecules(iter(made), 1, {"CCO"}, left_out))) == 1


def test_ions_and_stereoisomers_are_on_one_side():
    rows = [("CC(=O)O", "CC(=O)[O-]"), ("C[C@H](F)Cl", "C[C@@H](F)Cl"), ("NCC(=O)O", "[NH3+]CC(=O)[O-]")]
    for row in rows:
        assert len({drug_data.is_validation(text) for text in row}) == 1
    assert not any(map(drug_data.is_validation, known_molecules.IONS.split()))
    many = ["C" * n + "O" + "C" * m for n in range(1, 20) for m in range(1, 20)]
    assert 0.01 < np.mean([drug_data.is_validation(text) for text in many]) < 0.06


def record_of(text: str) -> str:
    molecule = Chem.AddHs(Chem.MolFromSmiles(text))
    rdDistGeom.EmbedMolecule(molecule, 1)
    molecule.SetProp("_Name", text)
    return Chem.MolToMolBlock(molecule) + "$$$$\n"


def bonds_of(record: str) -> tuple[Chem.Mol, np.ndarray]:
    molecule = Chem.MolFromMolBlock(record, removeHs=False)
    position = molecule.GetConformer().GetPositions()
    ends = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()], int).reshape(
        -1, 2
    )
    return molecule, np.linalg.norm(position[ends[:, 0]] - position[ends[:, 1]], axis=1)


@pytest.mark.parametrize("smiles", ["CCO", "c1ccccc1C(=O)[O-]", "[Cl-]", "C[B-](F)(F)F"])
def test_sdf_records_are_the_same_molecule_with_other_bonds(smiles):
    record, draw = record_of(smiles), rng()
    for _ in range(6):
        other = sdf_records.displaced(record, draw)
        (before, old), (after, new) = bonds_of(record), bonds_of(other)
        assert Chem.MolToSmiles(before) == Chem.MolToSmiles(after)
        assert other.partition("\n")[0] == smiles
        if len(old):
            assert 1e-3 < np.abs(new / old - 1).max() < 0.3


FLAT_DIMER = """x

  2  0  0  0  0  0  0  0  0  0999 V2000
    0.0000    0.0000    0.0000 F   0  0
    1.0000    0.0000    0.0000 F   0  0
M  END
$$$$
"""


@pytest.mark.parametrize("smiles", ["CCO", "[H][H]", "N#N", "c1ccccc1I", "C[Si](C)(C)Br"])
def test_only_bonds_of_the_length_of_bonds_are_sound(smiles):
    record = record_of(smiles)
    molecule = Chem.MolFromMolBlock(record, removeHs=False)
    assert sdf_records.is_sound(record)
    position = molecule.GetConformer().GetPositions()
    for factor in (0.6, 1.7):
        molecule.GetConformer().SetPositions(position * factor)
        assert not sdf_records.is_sound(Chem.MolToMolBlock(molecule))


def test_records_are_split_by_the_titles_of_molecules(tmp_path):
    smiles = {f"t {n}": "C" * n for n in range(1, 80)}
    made = tmp_path / "made.sdf"
    one, near = record_of("[Cl-]").partition("\n")[2], FLAT_DIMER
    made.write_text("".join(f"{title}\n{one}" * 2 + f"{title}\n{near}" for title in smiles))
    parts = [tmp_path / "training.sdf", tmp_path / "validation.sdf"]
    assert drug_data.split([made], smiles, *parts) == len(smiles)
    titles = [[record.partition("\n")[0] for record in sdf_records.records_of(path)] for path in parts]
    assert not set(titles[0]) & set(titles[1])
    assert sorted(titles[0] + titles[1]) == sorted(list(smiles) * 2)
    assert set(titles[1]) == {title for title, text in smiles.items() if drug_data.is_validation(text)}


@pytest.mark.slow
def test_a_run_makes_conformers_and_counts_and_the_same_run_leaves_them_alone(tmp_path, monkeypatch, capsys):
    listed = tmp_path / "some.smi"
    listed.write_text("".join(f"{text} {k}\n" for k, text in enumerate(SMILES)))
    made = tmp_path / "made"
    words = ["x", "--drugs", listed, "--zinc", listed, "--qm9", listed, "--without", listed, "-o", made]
    monkeypatch.setattr(
        sys, "argv", [*map(str, words), "--scale", "0.02", "--classes", "inorganic", "halides"]
    )
    drug_data.main()
    files = json.loads((made / "counts.json").read_text())["files"]
    assert set(files) == {
        f"{prefix}{name}" for prefix in ("", "valid_") for name in ("inorganic", "halides", "displaced")
    }
    assert files["halides"]["conformers"] + files["valid_halides"]["conformers"] >= 30
    assert files["halides"]["molecules_with"]["F"] > 5
    before = (made / "halides.sdf").stat().st_mtime_ns
    capsys.readouterr()
    drug_data.main()
    assert (made / "halides.sdf").stat().st_mtime_ns == before
    assert "halides.mmff94s" not in capsys.readouterr().out
