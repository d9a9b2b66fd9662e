"""The model that auto chooses: the smallest whose domain covers the file, wherever in the file the exception stands."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import molgiae
from molgiae.cli import app
from molgiae.config import Domain, ModelConfig
from molgiae.data import inputs as data_inputs
from molgiae.data import readers
from molgiae.data.blocks import rebatch
from molgiae.data.conformer import Conformer, ConformerBlock
from molgiae.data.inputs import glimpse
from molgiae.data.writers import StructureWriter
from molgiae.errors import CheckpointError, ConformerError
from molgiae.model import auto as choice
from molgiae.model import checkpoint
from molgiae.model import shipped as shipping
from molgiae.model.architectures import build
from molgiae.model.auto import choose
from molgiae.model.embedder import Embedder
from molgiae.model.header import sha256_of
from molgiae.model.shipped import by_default, catalogue
from tests.conformers import any_bonds, conformer, random_conformer
from tests.data.molfiles import molecule, sdf_record

SMALL = ModelConfig(
    elements=(1, 6, 7, 8, 9),
    max_atoms=12,
    embedding_dim=8,
    width=16,
    layers=1,
    shape_dim=3,
    features_dim=0,
    atom_width=8,
    property_width=8,
    property_layers=1,
)
SMALL_DOMAIN = Domain(
    elements=(1, 6, 7, 8),
    n_atoms=(2, 12),
    radius=20.0,
    nearest=(0.5, 3.0),
    **any_bonds((1, 6, 7, 8, 16, 17)),
)
MODELS = {
    "small": (SMALL, SMALL_DOMAIN),
    "compact": (replace(SMALL, embedding_dim=4), SMALL_DOMAIN),
    "big": (
        replace(SMALL, elements=(1, 6, 7, 8, 9, 16, 17), max_atoms=30, embedding_dim=6),
        replace(SMALL_DOMAIN, elements=(1, 6, 7, 8, 16, 17), n_atoms=(2, 30), charge=(-1, 1)),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three untrained models as they would be shipped."""
    directory = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    for name, (config, domain) in MODELS.items():
        checkpoint.save(directory / f"{name}.safetensors", build(config), domain, {"data": "none"})
    return directory


@pytest.fixture
def shipped(folder, monkeypatch) -> Path:
    monkeypatch.setattr(shipping, "pretrained", lambda: folder)
    return folder


def small(seed: int) -> Conformer:
    return random_conformer(5 + seed % 4, seed)


def big(seed: int) -> Conformer:
    return random_conformer(20, seed, (1, 6, 16))


def written(path: Path, conformers: list[Conformer]) -> Path:
    with StructureWriter(path) as writer:
        for c in conformers:
            writer.write(c)
    return path


def run(*words: object, stdin: bytes | None = None):
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


class TestChoose:
    def test_candidates_are_the_largest_of_each_domain_smallest_domain_first(self, shipped):
        assert [model.name for model in catalogue()] == ["compact", "small", "big"]
        assert [model.name for model in by_default(catalogue())] == ["small", "big"]

    def test_the_smallest_that_covers_all(self, shipped):
        found = choose([small(k) for k in range(6)])
        assert (found.model, found.seen, found.covered) == ("small", 6, {"small": 6, "big": 6})
        assert (
            found.reason
            == "auto chose small, the smallest shipped model whose domain covers all 6 conformers"
        )
        assert choose([small(0), big(1)]).model == "big"

    @pytest.mark.parametrize("odd", ["element", "size", "charge"])
    def test_one_conformer_decides(self, shipped, odd):
        strange = {
            "element": random_conformer(6, 3, (1, 16)),
            "size": random_conformer(13, 3),
            "charge": replace(small(3), charge=1),
        }[odd]
        assert choose([*(small(k) for k in range(20)), strange]).model == "big"

    def test_where_none_covers_all_the_one_that_covers_most(self, shipped):
        found = choose([small(0), big(1), random_conformer(40, 2), big(3)])
        assert found.model == "big"
        assert found.reason == "auto chose big, whose domain covers most: 3 of 4 conformers (small 1)"

    def test_among_equals_the_smaller(self, shipped):
        assert choose([small(0), random_conformer(40, 2)]).model == "small"
        stretched = conformer([6, 6], [[0, 0, 0], [50, 0, 0]])
        assert choose([stretched]).model == "small"

    def test_outside_of_all_domains_the_one_that_takes_most(self, shipped):
        stretched = conformer([16, 16], [[0, 0, 0], [50, 0, 0]])
        found = choose([stretched])
        assert found.model == "big"
        assert found.reason.endswith(
            "takes 1 of 1 conformers (H C N O F S Cl, up to 30 atoms); no domain covers any"
        )

    def test_where_no_model_takes_any_the_largest_tells_its_limits(self, shipped):
        found = choose([random_conformer(40, 2), conformer([35, 35], [[0, 0, 0], [2.3, 0, 0]])])
        assert (
            found.model == "big"
            and "takes 0 of 2 conformers (H C N O F S Cl, up to 30 atoms)" in found.reason
        )
        assert found.elsewhere() == []

    def test_a_narrower_model_that_holds_some_is_named_with_the_remedy(self, shipped):
        found = choose([*map(small, range(6)), big(1)])
        assert (found.model, found.covered) == ("big", {"small": 6, "big": 7})
        [line] = found.elsewhere()
        assert line.startswith(
            "6 of 7 conformers are in the domain of small, which is narrower and keeps them better: "
        )
        assert "run again with --model small" in line
        assert choose([small(0)]).elsewhere() == [], "the wider one is no better"

    def test_a_model_that_holds_what_the_chosen_one_does_not_is_named(self, shipped):
        found = choose([*map(small, range(6)), random_conformer(12, 0), big(1), random_conformer(40, 2)])
        assert found.model == "big" and found.beyond == {"small": 0, "big": 0}
        alone = replace(found, model="small", beyond={"small": 0, "big": 1})
        [line] = alone.elsewhere()
        said = "8 of 9 conformers are in the domain of big, 1 of them outside of that of small: "
        assert line.startswith(said)

    @pytest.mark.parametrize("order", [1, -1])
    def test_beyond_is_counted_by_brute_force(self, shipped, order):
        conformers = [
            *map(small, range(6)),
            *(replace(small(k), charge=5) for k in range(3)),
            *map(big, range(3)),
        ]
        found = choose(conformers[::order])
        flags = {name: [choose([c]).covered[name] for c in conformers] for name in ("small", "big")}
        mine = np.array(flags[found.model], bool)
        assert found.beyond == {name: int((np.array(f, bool) & ~mine).sum()) for name, f in flags.items()}

    def test_nothing_legible(self, shipped):
        assert "no conformer was legible" in choose([conformer([], [])]).reason

    def test_coverage_is_that_of_in_domain(self, shipped):
        rng = np.random.default_rng(0)
        block = ConformerBlock.of(
            [replace(c, position=c.position * rng.uniform(0.3, 3)) for c in map(small, range(200))]
        )
        flags = Embedder("small", device="cpu").embed(block)["in_domain"]
        assert 0 < flags.sum() < 200
        assert choose(block).covered["small"] == flags.sum()

    def test_no_models(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shipping, "pretrained", lambda: tmp_path)
        with pytest.raises(CheckpointError, match="no model is shipped"):
            choose([small(0)])

    def test_a_name_is_needed_where_there_are_no_conformers(self, shipped):
        with pytest.raises(
            CheckpointError, match=r"auto: goes by the conformers.*name one of big, compact, small"
        ):
            Embedder("auto")


class TestFiles:
    """With a look at sixteen conformers, and files where what matters comes after."""

    @pytest.fixture(autouse=True)
    def short_look(self, monkeypatch, tmp_path):
        monkeypatch.setattr(choice, "CONFORMERS_LOOKED_AT", 16)
        monkeypatch.setattr(data_inputs, "STRETCH", 2000)
        monkeypatch.setattr(readers, "rebatch", lambda blocks, size: rebatch(blocks, 16))
        monkeypatch.chdir(tmp_path)

    @pytest.fixture
    def sorted_conformers(self) -> list[Conformer]:
        return [*map(small, range(160)), *map(big, range(20))]

    @pytest.mark.parametrize("name", ["a.xyz", "a.sdf"])
    def test_a_sorted_file(self, shipped, sorted_conformers, tmp_path, name):
        path = written(tmp_path / name, sorted_conformers)
        summary = molgiae.embed(path, output=tmp_path / "a.h5")
        assert summary.model == "big" and summary.written == 180 and summary.out_of_domain == 0
        assert summary.model_choice["complete"] is False
        assert ["looked at are in the domain of small" in note for note in summary.notes] == [True]
        assert "conformers looked at" in summary.model_choice["reason"]
        again = molgiae.embed(tmp_path / "a.h5", output=tmp_path / "b.h5")
        assert again.model == "big" and not again.model_choice["complete"]

    def test_of_a_compressed_file_and_a_stream_the_start_decides_and_the_end_tells(
        self, shipped, sorted_conformers, tmp_path
    ):
        text = written(tmp_path / "a.xyz", sorted_conformers).read_bytes()
        (tmp_path / "b.xyz.gz").write_bytes(gzip.compress(text))
        for words, stdin in ((["b.xyz.gz"], None), (["-", "--format", "xyz"], text)):
            result = run("embed", *words, "-o", "b.h5", "--overwrite", "--json", stdin=stdin)
            assert result.exit_code == 3
            summary = json.loads(result.stdout)
            assert (summary["model"], summary["written"]) == ("small", 160)
            advice = "of all 180 conformers the domain of big would cover 180, that of small 160"
            assert advice in summary["notes"][0] and advice in result.stderr
            assert summary["notes"][0].endswith("use --model big")

    def test_one_file_of_several(self, shipped, tmp_path):
        for k in range(5):
            written(tmp_path / f"{k}.xyz", [small(k + j) for j in range(30)])
        written(tmp_path / "5.xyz", [big(k) for k in range(30)])
        assert molgiae.embed([str(tmp_path)], output=tmp_path / "a.h5").model == "big"

    def test_bad_records_do_not_matter(self, shipped, tmp_path):
        records = [sdf_record(molecule(0), f"m{k}") for k in range(30)]
        records[3] = "garbage\n$$$$\n"
        (tmp_path / "a.sdf").write_text("".join(records))
        summary = molgiae.embed(tmp_path / "a.sdf", output=tmp_path / "a.h5")
        assert (summary.model, summary.written, summary.rejected) == ("small", 29, 1)

    def test_the_first_bad_record_is_the_one_that_stops(self, shipped, tmp_path):
        """Record 3 is refused by the model, record 5 by the reader: looking ahead must not change which is first."""
        records = [sdf_record(molecule(0), f"m{k}") for k in range(9)]
        records[2] = sdf_record([("Br", 0.0, 0.0, 0.0), ("Br", 2.3, 0.0, 0.0)])
        path = tmp_path / "a.sdf"
        path.write_text("".join(records))
        with pytest.raises(ConformerError, match=r"record 3.*Br is unknown"):
            molgiae.embed(path, output=tmp_path / "a.h5", on_error="stop")
        records[1] = "garbage\n$$$$\n"
        path.write_text("".join(records))
        with pytest.raises(ConformerError, match="record 2"):
            molgiae.embed(path, output=tmp_path / "a.h5", on_error="stop")
        assert not (tmp_path / "a.h5").exists()

    def test_an_error_while_looking_comes_in_its_turn(self, shipped, tmp_path):
        blocks = [ConformerBlock.of([small(0), small(1)])]

        def broken():
            yield from blocks
            raise ConformerError("the disk is gone", source="a.xyz")

        watch, stream = choice.choose_by_look(broken(), ["a.xyz"])
        assert watch.choice.model == "small" and next(stream) is blocks[0]
        with pytest.raises(ConformerError, match="the disk is gone"):
            next(stream)

    def test_glimpses_are_from_all_over(self, tmp_path):
        path = written(tmp_path / "a.xyz", [replace(small(k), title=str(k)) for k in range(600)])
        seen = [int(title) for block in glimpse([str(path)]) for title in block.title]
        assert len(seen) == len(set(seen)) < 500
        assert np.histogram(seen, bins=10, range=(0, 600))[0].min() > 0
        assert list(glimpse(["-"])) == []

    def test_a_glimpse_reads_whole_records_or_none(self, tmp_path):
        conformers = [replace(small(k), title=str(k)) for k in range(600)]
        for name in ("a.xyz", "a.sdf"):
            path = written(tmp_path / name, conformers)
            for block in glimpse([str(path)]):
                for c in block:
                    np.testing.assert_allclose(c.position, conformers[int(c.title)].position, atol=1e-4)


class TestCommands:
    @pytest.fixture(autouse=True)
    def in_an_empty_directory(self, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("command", ["embed", "reconstruct"])
    def test_it_is_said_at_once_and_kept(self, shipped, command):
        written(Path("a.xyz"), [big(0), big(0)])
        result = run(command, "a.xyz", "-o", "a.h5", "--json")
        assert result.exit_code == 0, result.output
        reason = "auto chose big, the smallest shipped model whose domain covers all 2 conformers"
        assert result.stderr.splitlines()[0] == reason
        summary = json.loads(result.stdout)
        assert summary["model_choice"]["reason"] == reason
        assert summary["model_choice"]["covered"] == {"small": 0, "big": 2}
        with h5py.File("a.h5") as file:
            assert file.attrs["model"] == "big" and file.attrs["model_choice"] == reason
            assert file.attrs["model_sha256"] == sha256_of(shipped / "big.safetensors")

    @pytest.mark.parametrize("command", ["embed", "reconstruct"])
    def test_what_another_model_holds_is_said(self, shipped, command):
        written(Path("a.xyz"), [*map(small, range(5)), big(0)])
        summary = json.loads(run(command, "a.xyz", "-o", "a.h5", "--json").stdout)
        assert summary["model"] == "big" and summary["model_choice"]["covered"] == {"small": 5, "big": 6}
        assert len([note for note in summary["notes"] if "is narrower" in note]) == 1

    def test_who_is_refused_hears_which_model_takes_him(self, shipped):
        written(Path("a.xyz"), [small(0), big(0), conformer([35, 35], [[0, 0, 0], [2.3, 0, 0]])])
        summary = json.loads(run("embed", "a.xyz", "-o", "a.h5", "--json", "--model", "small").stdout)
        assert sorted(reason.rpartition("; ")[2] for reason in summary["reasons"]) == [
            "no shipped model takes it, train one with molgiae pretrain",
            "use --model big",
        ]

    def test_a_named_model_needs_no_reason(self, shipped):
        written(Path("a.xyz"), [small(0)])
        result = run("embed", "a.xyz", "--model", "compact", "--json")
        assert json.loads(result.stdout)["model_choice"] is None and "auto" not in result.stderr
        with h5py.File("a.h5") as file:
            assert file.attrs["model"] == "compact" and "model_choice" not in file.attrs
        assert run("embed", "a.xyz", "--quiet", "--overwrite").stderr == ""

    def test_evaluate(self, shipped):
        written(Path("a.xyz"), [big(k) for k in range(4)])
        report = molgiae.evaluate("a.xyz", sections=["reconstruction"])
        assert report.model == "big" and report.about["model_choice"].startswith("auto chose big")

    def test_search_embeds_queries_with_the_model_of_the_file(self, shipped):
        written(Path("a.xyz"), [small(0), big(1)])
        written(Path("q.xyz"), [small(0)])
        assert molgiae.embed("a.xyz").model == "big"
        for words in ([], ["--model", "auto"], ["--model", "big"]):
            result = run("search", "q.xyz", "a.h5", "-k", "1", "--json", *words)
            assert json.loads(result.stdout)["model"] == "big"
            assert json.loads(result.stdout)["hits"][0]["distance"] < 1e-4
        refused = run("search", "q.xyz", "a.h5", "--model", "small")
        assert refused.exit_code == 1 and refused.stdout == ""
        [line] = refused.stderr.splitlines()
        digests = [sha256_of(shipped / f"{name}.safetensors")[:12] for name in ("big", "small")]
        assert f"embedded with model big (sha256 {digests[0]}), not with small (sha256 {digests[1]})" in line

    def test_a_shipped_model_that_was_replaced_is_another_one(self, shipped, monkeypatch, tmp_path):
        written(Path("a.xyz"), [small(0)])
        molgiae.embed("a.xyz")
        update = tmp_path / "update"
        update.mkdir()
        monkeypatch.setattr(shipping, "pretrained", lambda: update)
        checkpoint.save(update / "small.safetensors", build(SMALL), SMALL_DOMAIN, {})
        line = run("search", "a.xyz", "a.h5").stderr
        assert "embedded with model small (sha256" in line and "not with small (sha256" in line
        # the old one under another name is found by its digest
        (update / "old.safetensors").write_bytes((shipped / "small.safetensors").read_bytes())
        assert run("search", "a.xyz", "a.h5").exit_code == 0
