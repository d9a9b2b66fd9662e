"""What comes with molgiae does what its cards say, on molecules that users bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import molecule

from molgiae.canonical.forms import canonical_forms
from molgiae.commands.conformers import generate_conformers
from molgiae.data.cheap_methods import method_named
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.inputs import read_inputs
from molgiae.model.checkpoint import load
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import catalogue, shipped_names
from tests.conformers import mirrored, moved

DRUGS = Path(__file__).parents[2] / "examples" / "drugs.smi"
pytestmark = pytest.mark.skipif("drug" not in shipped_names(), reason="no weights in this checkout")


@pytest.fixture(scope="module")
def drugs(tmp_path_factory) -> ConformerBlock:
    """One conformer each of known drugs; UFF has parameters for all."""
    output = tmp_path_factory.mktemp("drugs") / "drugs.sdf"
    generate_conformers(DRUGS, output, number=1, force_field="uff", jobs=1)
    [block] = read_inputs(output, keep_text=False)
    assert len(block) == 12
    return block


def test_drugs_get_the_drug_model_and_lie_in_its_domain(drugs):
    embedder = Embedder("auto", device="cpu")
    assert embedder.checkpoint.name == "drug"
    assert not any(embedder.embed(drugs)["domain_reason"])


def test_the_drug_model_remembers_drugs(drugs):
    result = Embedder("drug", device="cpu").embed(drugs, reconstruct=True)
    assert result["rmsd"].max() < 1e-4
    assert (result["reconstructed_atomic_number"] == result.block.atomic_number).all()


def test_pose_order_and_handedness_of_a_drug(drugs):
    conformers = list(drugs)
    embedder = Embedder("drug", device="cpu")
    z = embedder.embed(conformers)["embedding"]
    copies = embedder.embed([moved(c, 7) for c in conformers])["embedding"]
    other_hand = embedder.embed([mirrored(c) for c in conformers])["embedding"]
    size = np.linalg.norm(z, axis=1)
    assert (np.linalg.norm(copies - z, axis=1) / size).max() < 1e-5
    assert (np.linalg.norm(other_hand - z, axis=1) / size).min() > 1e-3


def test_weights_are_light_and_every_model_has_a_card():
    models = catalogue()
    assert sum(model.bytes for model in models) <= 30_000_000
    assert all(model.card.is_file() for model in models)


def test_the_shape_part_does_not_notice_where_a_stretched_bond_is_cut():
    """A C-H bond from 1.05 to 1.45 angstrom, through 1.2 and 1.3 times the sum of the radii."""
    atoms = molecule("isobutane")
    carbon, hydrogen = 0, int(np.linalg.norm(atoms.positions - atoms.positions[0], axis=1).argsort()[1])
    assert atoms.numbers[[carbon, hydrogen]].tolist() == [6, 1]
    along = atoms.positions[hydrogen] - atoms.positions[carbon]
    along /= np.linalg.norm(along)
    positions = [atoms.positions.copy() for _ in range(21)]
    for step, position in enumerate(positions):
        position[hydrogen] = position[carbon] + (1.05 + 0.02 * step) * along
    embedder = Embedder("drug", device="cpu")
    embedding = embedder.embed(ConformerBlock.of([Conformer(atoms.numbers, p) for p in positions])).columns[
        "embedding"
    ]
    steps = np.linalg.norm(np.diff(embedding[:, embedder.part("shape").columns], axis=0), axis=1)
    assert len(steps) == 20
    # the atom leaves its place little by little: no step stands out from the one before
    assert steps.max() < 0.02
    assert np.abs(np.diff(steps)).max() < 0.005


@pytest.mark.parametrize("name", shipped_names())
def test_canonical_forms_without_a_model_are_those_of_every_model(name):
    """The forms are, of symmetric ones too; which of equivalent group actions leads there, round-off may decide."""
    conformers = [
        moved(Conformer(np.uint8(atoms.numbers), atoms.positions), seed)
        for seed, atoms in enumerate(map(molecule, ("CH3CH2OH", "CH4", "H2O", "C6H6", "CO2", "isobutane")))
    ]
    found = Embedder(name, device="cpu").embed(conformers)
    assert len(found) == len(conformers)
    expected = canonical_forms(conformers)
    defined = (expected["pose_defined"] == "full") & expected["order_defined"].astype(bool)
    rows = {"rotation": defined, "permutation": np.repeat(defined, found.block.n_atoms)}
    assert defined.any() and not defined.all()
    for column, values in expected.columns.items():
        chosen = rows.get(column, slice(None))
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[column][chosen], values[chosen], atol=1e-9, err_msg=column)
        else:
            np.testing.assert_array_equal(found[column][chosen], values[chosen], err_msg=column)


def test_python_that_was_started_in_a_clone_finds_them():
    """There the source folder comes before the installed package, whose weights lie elsewhere."""
    clone = Path(__file__).parents[2]
    # not by way of the working directory, which PYTHONSAFEPATH keeps out of the path
    code = (
        f"import sys; sys.path.insert(0, {str(clone)!r}); import molgiae; "
        "print(molgiae.__file__, len(molgiae.Embedder('qm9-64').model.config.elements))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(clone / "molgiae" / "__init__.py"), "5"]


@pytest.mark.parametrize("name", ["qm9", "drug"])
def test_what_fine_tuning_starts_from_knows_cheap_quantum_chemistry(name):
    """Beside GFN2-xTB itself: charges, dipole moments and gaps of small molecules that are not its minima."""
    pytest.importorskip("tblite", reason="GFN2-xTB needs tblite")
    method = method_named("gfn2")
    network = load(name).model.encoder.properties
    for formula in ("CH3CH2OH", "CH3COCH3", "C4H4NH", "CH3CONH2"):
        atoms = molecule(formula)
        c = Conformer(atoms.numbers.astype(np.uint8), atoms.positions)
        expected = method.compute(c, False, ())
        z, pos = (torch.from_numpy(part.copy())[None] for part in (c.atomic_number.astype(int), c.position))
        with torch.no_grad():
            found = network(z, pos.float() - pos.float().mean(dim=1, keepdim=True))
        assert np.abs(found.charges[0].numpy() - expected.charges).max() < 0.03, formula
        assert np.linalg.norm(found.dipole[0].numpy() - expected.dipole) < 0.3, formula
        assert abs(float(found.gap + network.center) - expected.gap) < 0.3, formula
