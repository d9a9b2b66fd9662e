"""What comes back from an embedding, by brute force; spoilt decoders take conformers out of the domain, others none."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from molgiae.config import DECODED
from molgiae.data.blocks import Result
from molgiae.data.conformer import ConformerBlock
from molgiae.data.hdf5.decoded import comes_back, not_decoded
from molgiae.model.embedder import Embedder
from molgiae.model.shipped import shipped_names
from tests.conformers import conformer, moved
from tests.model.test_embedder import BENZENE, METHANE, WATER

pytestmark = pytest.mark.skipif("qm9" not in shipped_names(), reason="no weights in this checkout")

HYDROGEN = conformer([1, 1], [[0, 0, 0], [0, 0, 0.74]], title="outside of the ranges")
BLOCK = ConformerBlock.of([WATER, HYDROGEN, METHANE, BENZENE])


@pytest.fixture(scope="module")
def sound() -> Embedder:
    return Embedder("qm9", device="cpu", batch_size=2)


def spoilt(embedder: Embedder, by: float) -> Embedder:
    """The same model, the weights of its decoder multiplied."""
    model = deepcopy(embedder.model)
    with torch.no_grad():
        for weight in model.decoder.parameters():
            weight.mul_(by)
    return Embedder(replace(embedder.checkpoint, model=model), device="cpu")


def by_brute_force(embedder: Embedder, result: Result) -> tuple[list[float], list[bool]]:
    """RMSD and formula of each embedding as it is written, decoded by itself."""
    rmsd, right = [], []
    for m, numbers in enumerate(result["embedding"]):
        with torch.no_grad():
            decoded = embedder.model.decode(torch.from_numpy(numbers[None].astype(np.float32)))
        atoms = result.block.atoms_of(m)
        z = result.block.atomic_number[atoms][result["permutation"][atoms]].tolist()
        off = decoded.pos[0, : len(z)].double().numpy() - result["canonical_position"][atoms]
        rmsd.append(float(np.sqrt(np.square(off).sum() / len(z))))
        right.append(decoded.z[0].tolist() == z + [0] * (decoded.z.shape[1] - len(z)))
    return rmsd, right


def test_a_sound_decoder_takes_nothing_out_of_the_domain(sound):
    result, unchecked = sound.embed(BLOCK), Embedder(sound.checkpoint, check=False).embed(BLOCK)
    assert result["in_domain"].tolist() == unchecked["in_domain"].tolist() == [1, 0, 1, 1]
    assert result["domain_reason"].tolist() == unchecked["domain_reason"].tolist()
    assert comes_back(result["decoded_rmsd"], result["decoded_formula"])[[0, 2, 3]].all()


@pytest.mark.parametrize("by", [1.0, 1.1, -1.0, 0.0])
def test_columns_are_those_of_brute_force_and_the_domain_is_range_and_decoder(sound, by):
    embedder = spoilt(sound, by)
    result = embedder.embed(BLOCK)
    rmsd, right = by_brute_force(embedder, result)
    assert (result["decoded_rmsd"].dtype, result["decoded_formula"].dtype) == (np.float32, np.uint8)
    assert_allclose(result["decoded_rmsd"], rmsd, atol=1e-5)
    assert_array_equal(result["decoded_formula"], right)
    back = np.array(right) & (np.array(rmsd) <= DECODED)
    in_range = np.array([True, False, True, True])
    assert_array_equal(result["in_domain"], in_range & back)
    for m, reason in enumerate(result["domain_reason"]):
        assert (reason == "") == bool(result["in_domain"][m])
        assert reason.startswith("decoding: ") == bool(in_range[m] and not back[m]), "ranges come first"
        if reason.startswith("decoding: "):
            assert (f"{rmsd[m]:.2f} A off" if right[m] else " came back as ") in reason
    assert not_decoded(result.columns) == (~back).sum()
    assert back[in_range].all() == (by == 1.0), "the decoder was not spoilt"


def test_a_decoder_that_knows_nothing_gives_nothing_back(sound):
    reasons = spoilt(sound, 0.0).embed(BLOCK)["domain_reason"]
    assert reasons[3] == "decoding: formula C6H6 came back as nothing"


@pytest.mark.parametrize("by", [1.0, 1.1])
def test_what_comes_back_is_the_same_for_moved_and_permuted_copies(sound, by):
    embedder = spoilt(sound, by)
    here, there = embedder.embed(BLOCK), embedder.embed([moved(c, 7 + m) for m, c in enumerate(BLOCK)])
    assert_allclose(there["decoded_rmsd"], here["decoded_rmsd"], atol=1e-4)
    for name in ("decoded_formula", "in_domain"):
        assert_array_equal(there[name], here[name])


def test_without_the_check_or_parts_nothing_is_decoded(sound, monkeypatch):
    whole = sound.embed(BLOCK)
    reconstructed = sound.embed(BLOCK, reconstruct=True)
    assert_allclose(reconstructed["rmsd"], whole["decoded_rmsd"], atol=1e-6)
    assert "decoded_rmsd" not in reconstructed and "rmsd" not in whole
    assert_array_equal(reconstructed["decoded_formula"], whole["decoded_formula"])
    monkeypatch.setattr(sound.model, "decode", None)
    unchecked = Embedder(sound.checkpoint, device="cpu", batch_size=2, check=False).embed(BLOCK)
    assert set(whole) - set(unchecked) == {"decoded_rmsd", "decoded_formula"}
    for name, values in unchecked.columns.items():
        assert_array_equal(values, whole[name], err_msg=name)
    assert not {"decoded_rmsd", "decoded_formula"} & set(Embedder("qm9", parts="shape").embed(BLOCK))
