"""De-duplication: the kept set of brute force, nothing lost, records to the letter, refusals with reason."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.commands.dedup import deduplicate
from molgiae.data.conformer import Conformer, normalised
from molgiae.data.hdf5.reader import EmbeddingFile
from molgiae.data.readers import read_conformers
from molgiae.data.writers import StructureWriter
from molgiae.errors import ConfigError, ConformerError, MolgiaeError
from molgiae.matching import copies as duplicates
from molgiae.matching import neighbours, superpose_pairs
from molgiae.matching.copies import Rule, find_duplicates
from molgiae.matching.ensembles import molecules
from molgiae.matching.neighbours import Neighbours
from tests.conformers import mirrored, moved, random_conformer
from tests.data.molfiles import molecule, sdf_record, xyz_frame

CHAIN = np.stack([np.arange(10), np.arange(1, 11)], axis=1)
SETTINGS = [("bonds", False), ("bonds", True), ("atoms", False), ("atoms", True)]


def bonded(c: Conformer, bonds=CHAIN) -> Conformer:
    return replace(c, bonds=normalised(np.asarray(bonds)))


def scrambled(c: Conformer, seed: int) -> Conformer:
    """Another pose, atom order and order of bonds."""
    rng = np.random.default_rng(seed)
    copy = moved(c, seed)
    place = np.argsort(np.random.default_rng(seed).permutation(len(c)))  # the order that `moved` draws first
    bonds = np.array([place[pair][:: rng.choice([1, -1])] for pair in rng.permutation(CHAIN)])
    return bonded(copy, bonds) if len(c.bonds) else copy


def noisy(c: Conformer, seed: int, noise: float = 0.01) -> Conformer:
    shift = np.random.default_rng(seed).normal(0, noise, c.position.shape)
    return replace(c, position=c.position + shift)


def ensemble(n: int, copies: int, seed: int = 0, spread: float = 0.08) -> list[Conformer]:
    """Conformers of one molecule at all distances around the threshold, shuffled."""
    base = bonded(random_conformer(11, seed, elements=(1, 6)))
    bases = [noisy(base, seed + k, spread) for k in range(n)]
    every = [scrambled(noisy(c, 100 + k), 31 * k + i) for k in range(copies) for i, c in enumerate(bases)]
    return [every[k] for k in np.random.default_rng(seed).permutation(len(every))]


def brute_force(conformers: list[Conformer], rule: Rule, order=None) -> set[int]:
    """The kept ones, by comparing every conformer with all that are kept."""
    kept: list[int] = []
    for k in range(len(conformers)) if order is None else order:
        others = [conformers[i] for i in kept]
        matches = superpose_pairs(
            others,
            [conformers[k]] * len(kept),
            match=rule.match or "bonds",
            allow_reflection=rule.mirror_same,
        )
        if not (matches.rmsd <= rule.threshold).any():
            kept.append(k)
    return set(kept)


@pytest.mark.parametrize(("match", "mirror_same"), SETTINGS)
def test_keeps_what_comparing_all_with_all_keeps(match, mirror_same):
    conformers = ensemble(8, 2)
    conformers += [bonded(mirrored(c)) if match == "atoms" else mirror_of(c) for c in conformers[:4]]
    rule = Rule(match=match, mirror_same=mirror_same)
    verdicts = find_duplicates(conformers, rule)
    assert set(np.flatnonzero(verdicts.into < 0)) == brute_force(conformers, rule)
    merged = verdicts.into >= 0
    assert merged.any() and (~merged).sum() > 1
    assert (verdicts.rmsd[merged] <= rule.threshold).all() and np.isnan(verdicts.rmsd[~merged]).all()
    assert (verdicts.into[verdicts.into[merged]] < 0).all()
    assert verdicts.copies.sum() == merged.sum()


def mirror_of(c: Conformer) -> Conformer:
    return replace(c, position=c.position * [1.0, 1.0, -1.0])


def test_blocks_and_rounds_change_nothing(monkeypatch):
    conformers = ensemble(20, 4, seed=3, spread=0.05)
    expected = brute_force(conformers, Rule())
    for fewest, most in ((1, 1), (7, 7), (1024, 16384)):
        monkeypatch.setattr(duplicates, "MIN_BLOCK", fewest)
        monkeypatch.setattr(duplicates, "MAX_BLOCK", most)
        monkeypatch.setattr(neighbours, "QUERIES", 3)
        assert set(np.flatnonzero(find_duplicates(conformers).into < 0)) == expected
    monkeypatch.setattr(neighbours, "MAX_HELD", 0)
    assert set(np.flatnonzero(find_duplicates(conformers).into < 0)) == expected


def test_the_order_says_which_copy_is_kept():
    conformers = ensemble(5, 4, spread=0.5)
    backwards = np.arange(len(conformers))[::-1]
    kept = set(np.flatnonzero(find_duplicates(conformers, order=backwards).into < 0))
    assert kept == brute_force(conformers, Rule(), backwards)
    assert kept != brute_force(conformers, Rule())


@pytest.mark.parametrize("match", ["bonds", "atoms"])
def test_no_bound_exceeds_the_rmsd(match):
    """The pairs that the search passes over are not within the threshold, whatever it is."""
    conformers = ensemble(12, 2, seed=5, spread=0.2)
    [group] = molecules(conformers, match)
    pairs = [(i, j) for i in range(len(group)) for j in range(i)]
    later, earlier = np.array(pairs).T
    rmsd = superpose_pairs(
        group.conformers(earlier), group.conformers(later), match=match, allow_reflection=True
    ).rmsd
    assert (rmsd > 0.05).any()
    for reach in (0.05, 0.15, 0.4):
        found = Neighbours(group.position, group.colour, reach).before(0, len(group), np.empty(0, np.int64))
        bound = dict(zip(zip(found[0].tolist(), found[1].tolist(), strict=True), found[2], strict=True))
        assert {pair for pair, d in zip(pairs, rmsd, strict=True) if d <= reach} <= bound.keys()
        assert all(bound[pair] <= d + 1e-6 for pair, d in zip(pairs, rmsd, strict=True) if pair in bound)
        assert len(bound) < len(pairs) or reach == 0.4


def test_a_bound_that_is_too_large_would_be_noticed(monkeypatch):
    conformers = ensemble(6, 2)
    true = neighbours.radial_bound
    monkeypatch.setattr(neighbours, "radial_bound", lambda z, pos: 20 * true(z, pos))
    assert set(np.flatnonzero(find_duplicates(conformers).into < 0)) != brute_force(conformers, Rule())


def test_other_bonds_are_another_molecule_only_where_bonds_count():
    chain = bonded(random_conformer(11, 0, elements=(6,)))
    ring = bonded(chain, [*CHAIN.tolist(), [0, 10]])
    assert (find_duplicates([chain, ring], Rule(match="bonds")).into < 0).all()
    assert find_duplicates([chain, ring], Rule(match="atoms")).into.tolist() == [-1, 0]
    unknown = Conformer(chain.atomic_number, chain.position)
    verdicts = find_duplicates([chain, ring, unknown])
    assert verdicts.into.tolist() == [-1, 0, 0] and not verdicts.by_bonds.any()


@pytest.mark.parametrize("n", [1, 2])
def test_one_and_two_atoms(n):
    c = random_conformer(n, 0, elements=(6,))
    far = Conformer(c.atomic_number, 1.5 * c.position)
    verdicts = find_duplicates([c, moved(c, 1), far], Rule(match="atoms"))
    assert verdicts.into.tolist() == ([-1, 0, 0] if n == 1 else [-1, 0, -1])


def test_many_molecules_in_one_pass():
    bases = [random_conformer(n, n) for n in range(1, 9)] * 3
    verdicts = find_duplicates([moved(c, k) for k, c in enumerate(bases)])
    assert verdicts.into.tolist() == [-1] * 8 + [*range(8)] * 2


# From file to file


def run(*words: object):
    return CliRunner().invoke(app, ["dedup", *map(str, words)])


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record(k: int, energy: str | None = None, shift: float = 0.0) -> str:
    data = [("id", f"x{k}"), ("note", "two\nlines")] + ([("energy", energy)] if energy is not None else [])
    atoms = [(s, x + shift, y, z) for s, x, y, z in molecule(k)]
    return sdf_record(atoms, f"m{k}", data=data)


@pytest.fixture
def pairs_sdf(tmp_path: Path) -> Path:
    """Two molecules twice, and a broken record among them."""
    path = tmp_path / "pairs.sdf"
    path.write_text(record(0) + record(1) + "broken\n$$$$\n" + record(0, shift=0.01) + record(1, shift=5.0))
    return path


def test_command_keeps_records_to_the_letter(pairs_sdf, tmp_path):
    output = tmp_path / "out.sdf"
    result = run(pairs_sdf, "-o", output, "--json")
    assert result.exit_code == 3, result.output
    assert output.read_text() == record(0) + record(1)
    summary = json.loads(result.stdout)
    assert (summary["read"], summary["kept"], summary["merged"], summary["rejected"]) == (5, 2, 2, 1)
    assert "kept 2 of 5 conformers, 2 merged, 1 rejected" in result.stderr
    rows = rows_of(tmp_path / "out_duplicates.csv")
    assert [row["record"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row["status"] for row in rows] == ["kept", "kept", "rejected", "merged", "merged"]
    assert [row["into_record"] for row in rows] == ["", "", "", "1", "2"]
    assert rows[3]["into_title"] == "m0" and float(rows[3]["rmsd"]) < 1e-6 and rows[3]["proven"] == "1"
    assert [row["copies"] for row in rows] == ["1", "1", "", "", ""]
    assert "reason" in rows[2] and rows[2]["reason"]
    assert rows[0]["match"] == "bonds"


@pytest.mark.parametrize("name", ["out.h5", "out.xyz", "out.sdf.gz"])
def test_other_formats(pairs_sdf, tmp_path, name):
    result = deduplicate(pairs_sdf, output=tmp_path / name)
    assert result.table == str(tmp_path / "out_duplicates.csv")
    if name == "out.h5":
        with EmbeddingFile(result.output) as file:
            assert len(file) == 2 and len(list(file.rejected())) == 1
            assert file.properties()[1]["id"] == "x1"
        return
    kept = list(read_conformers(result.output))
    assert [c.title for c in kept] == ["m0", "m1"]
    if name.endswith(".gz"):
        assert gzip.decompress(Path(result.output).read_bytes()).decode() == record(0) + record(1)


def test_xyz_in_xyz_out_to_the_letter(tmp_path):
    frames = [xyz_frame(molecule(k % 2), f"frame {k}", "{:<2} {:10.5f} {:9.4f} {:9.4f}") for k in range(4)]
    (tmp_path / "in.xyz").write_text("\n".join(frames))
    result = deduplicate(tmp_path / "in.xyz", output=tmp_path / "out.xyz")
    assert Path(result.output).read_text() == frames[0] + frames[1]
    assert rows_of(Path(result.table))[3]["match"] == "atoms"


def test_the_output_is_named_after_the_input(pairs_sdf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert deduplicate(pairs_sdf).output == "pairs_unique.sdf"
    assert (tmp_path / "pairs_unique_duplicates.csv").exists()


def test_energies_choose_and_keep_apart(tmp_path):
    path = tmp_path / "in.sdf"
    energies = ["-1.0", "-3.0", "-2.95", "0", None, "much"]
    path.write_text("".join(record(0, energy) for energy in energies))

    def kept(**how):
        result = deduplicate(path, output=tmp_path / "o.sdf", overwrite=True, energy="energy", **how)
        assert result.read == 6 == result.kept + result.merged + result.rejected
        assert result.rejected == (2 if "energy_window" in how else 0)
        return [c.properties["energy"] for c in read_conformers(result.output)], result

    assert kept()[0] == ["-3.0"]
    assert kept(keep="first")[0] == ["-1.0"]
    energies, result = kept(energy_window=0.1)
    assert energies == ["-1.0", "-3.0", "0"]
    assert rows_of(Path(result.table))[2]["into_record"] == "2"
    assert "has no property 'energy'" in rows_of(Path(result.table))[4]["reason"]
    assert "'much'" in rows_of(Path(result.table))[5]["reason"]
    with pytest.raises(ConfigError, match="properties found: energy, id, note"):
        deduplicate(path, output=tmp_path / "o.sdf", overwrite=True, energy="Energy")
    with pytest.raises(ConformerError, match="has no property"):
        deduplicate(
            path,
            output=tmp_path / "o.sdf",
            overwrite=True,
            energy="energy",
            energy_window=1.0,
            on_error="stop",
        )


COMMENTS = {
    "CREST": "        {:.8f}",
    "CREST rotamers": " {:.8f}        !t1",
    "GOAT": "{:.10f} converged=true",
    "xtb": " energy: {:.12f} gnorm: 0.000412 xtb: 6.6.1 (8d0f1dd)",
    "ORCA": "Coordinates from ORCA-job butane E {:.12f}",
    "key=value": "energy={:.12f} charge=0",
    "key: value": "step 3; energy: {:.12f}",
    "extended": "Properties=species:S:1:pos:R:3 energy={:.12f}",
    "with its unit": 'Properties=species:S:1:pos:R:3 energy="{:.12f} Eh"',
}


@pytest.mark.parametrize("program", COMMENTS)
@pytest.mark.parametrize("output", ["o.xyz", "o.h5"])
def test_energies_of_comment_lines(program, output, tmp_path):
    """What fine-tuning learns from in comment lines serves de-duplication, too."""
    energies = [-268.90012, -268.90123, -268.8990]
    path = tmp_path / "in.xyz"
    path.write_text("".join(xyz_frame(molecule(0), COMMENTS[program].format(e)) for e in energies))

    def kept(energy, **how):
        result = deduplicate(
            path, output=tmp_path / output, overwrite=True, match="atoms", energy=energy, **how
        )
        assert result.rejected == 0
        return [int(row["record"]) for row in rows_of(Path(result.table)) if row["status"] == "kept"]

    assert kept("energy") == kept(None, keep="lowest") == [2]
    assert kept("energy", energy_window=0.0015) == [2, 3]
    if program in ("CREST", "CREST rotamers", "GOAT"):
        assert kept("comment line") == [2]
    with pytest.raises(ConfigError, match="no record has a property 'free' for --energy; properties found: "):
        kept("free")


@pytest.mark.parametrize("comment", ["7", "step 12", "-268.9 kJ of something", "1.5 mM solution", "C=C", ""])
def test_comments_that_are_no_energies(comment, tmp_path):
    path = tmp_path / "in.xyz"
    path.write_text(xyz_frame(molecule(0), comment))
    for how in ({"energy": "energy"}, {"keep": "lowest"}):
        with pytest.raises(ConfigError, match="no record has a property 'energy'"):
            deduplicate(path, output=tmp_path / "o.xyz", **how)


@pytest.mark.parametrize("name", [None, "energy", "E"])
def test_the_lowest_of_its_copies_stays_and_those_without_energy_come_last(name, tmp_path):
    rng = np.random.default_rng(0)
    conformers, key, rule = ensemble(9, 4, seed=2), name or "energy", Rule(match="atoms")
    energies = [None if k % 5 == 0 else "?" if k % 7 == 0 else int(rng.integers(5)) for k in range(36)]
    with StructureWriter(tmp_path / "in.sdf") as writer:
        for c, e in zip(conformers, energies, strict=True):
            writer.write(replace(c, properties={} if e is None else {key: str(e)}))
    result = deduplicate(
        tmp_path / "in.sdf", output=tmp_path / "o.sdf", match="atoms", energy=name, keep="lowest"
    )
    read = list(read_conformers(tmp_path / "in.sdf"))
    order = sorted(range(36), key=lambda k: (energies[k] if isinstance(energies[k], int) else 99, k))
    rows = rows_of(Path(result.table))
    assert {k for k in range(36) if rows[k]["status"] == "kept"} == brute_force(read, rule, order)
    for k, row in enumerate(rows):
        if row["status"] == "merged":
            into = int(row["into_record"]) - 1
            assert order.index(into) < order.index(k) and rows[into]["status"] == "kept"
            assert float(superpose_pairs([read[into]], [read[k]], match="atoms").rmsd[0]) <= rule.threshold
    without = sum(not isinstance(e, int) for e in energies)
    assert result.merged > 5 and result.rejected == 0
    [note] = result.notes
    assert note.startswith(f"conformers without '{key}' come last ({without} records, the first: ")


def test_energies_in_unlike_units_are_refused(tmp_path):
    path = tmp_path / "in.sdf"
    path.write_text(record(0, "-1.0 Ha") + record(0, "-1.0"))
    with pytest.raises(ConfigError, match="unlike units: none, Ha"):
        deduplicate(path, output=tmp_path / "o.sdf", energy="energy")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"threshold": -1}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"energy_window": 1.0}, "--energy"),
        ({"keep": "lowest"}, "no record has a property 'energy' for --energy; properties found: id, note"),
        ({"energy": "e", "energy_window": -1.0}, "window"),
        ({"output": "out.csv"}, "end the name"),
    ],
)
def test_options_that_cannot_work(pairs_sdf, tmp_path, monkeypatch, options, expected):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=expected):
        deduplicate(pairs_sdf, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.sdf"]


def test_nothing_is_replaced_or_left_behind(pairs_sdf, tmp_path):
    table = tmp_path / "out_duplicates.csv"
    table.write_text("mine")
    with pytest.raises(MolgiaeError, match="exists already"):
        deduplicate(pairs_sdf, output=tmp_path / "out.sdf")
    assert table.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out_duplicates.csv", "pairs.sdf"]
    deduplicate(pairs_sdf, output=tmp_path / "out.sdf", overwrite=True)
    assert len(rows_of(table)) == 5
    with pytest.raises(ConfigError, match="table"):
        deduplicate(pairs_sdf, output=tmp_path / "out.sdf", table=pairs_sdf, overwrite=True)
    with pytest.raises(ConfigError, match="table"):
        deduplicate(pairs_sdf, output=tmp_path / "o.sdf", table=tmp_path / "o.sdf")


def test_mirror_images_by_policy(tmp_path):
    c = random_conformer(9, 2)
    with StructureWriter(tmp_path / "in.xyz") as writer:
        for copy in (c, moved(mirrored(c), 1), moved(c, 2)):
            writer.write(copy)
    assert deduplicate(tmp_path / "in.xyz", output=tmp_path / "a.xyz").kept == 2
    result = deduplicate(tmp_path / "in.xyz", output=tmp_path / "b.xyz", mirror="same")
    assert result.kept == 1
    assert [row["mirror"] for row in rows_of(Path(result.table))] == ["0", "1", "0"]


def test_heavy_atoms_alone_and_the_lowest_in_one_command(tmp_path):
    """A hydrogen elsewhere is another conformer only where hydrogens count."""
    c = bonded(random_conformer(11, 0, elements=(6,)), CHAIN)
    z = c.atomic_number.copy()
    z[-1] = 1
    turned = np.vstack([c.position[:-1], c.position[-1] + [0.0, 2.0, 0.0]])
    with StructureWriter(tmp_path / "in.xyz") as writer:
        for position, energy in ((c.position, -1.0), (turned, -2.0)):
            writer.write(Conformer(z, position, properties={"energy": str(energy)}))
    assert deduplicate(tmp_path / "in.xyz", output=tmp_path / "a.xyz").kept == 2
    result = run(tmp_path / "in.xyz", "-o", tmp_path / "b.xyz", "--heavy", "--keep", "lowest")
    assert result.exit_code == 0, result.output
    assert "kept 1 of 2 conformers, 1 merged" in result.stderr
    assert [row["status"] for row in rows_of(tmp_path / "b_duplicates.csv")] == ["merged", "kept"]


def test_it_is_part_of_the_library():
    assert molgiae.deduplicate is deduplicate
