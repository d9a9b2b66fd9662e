"""molgiae info."""

from __future__ import annotations

import json

from molgiae.model.header import FORMAT_VERSION
from tests.cli.invoke import assert_one_line, molgiae_
from tests.conftest import N_MOLECULES


def test_info_of_embeddings_and_models(sdf, model_path):
    molgiae_("embed", sdf, "-m", model_path)
    content = json.loads(molgiae_("info", "molecules.h5", "--json").stdout)
    assert (content["kind"], content["conformers"], content["dimension"]) == ("embeddings", N_MOLECULES, 12)
    content = json.loads(molgiae_("info", model_path, "--json").stdout)
    assert (content["kind"], content["format_version"]) == ("autoencoder", FORMAT_VERSION)
    assert content["config"]["embedding_dim"] == 12 and len(content["sha256"]) == 64
    text = molgiae_("info", model_path).stdout
    assert "kind: autoencoder" in text and "  embedding_dim: 12" in text


def test_info_of_anything_else_is_an_error(sdf):
    assert_one_line(molgiae_("info", sdf), "molecules.sdf: holds conformers")
    assert_one_line(molgiae_("info", "gone.h5"), "gone.h5: no such file")
    assert_one_line(molgiae_("info", "gone"), "gone: no such model")
