"""What a process loads and keeps: a model takes little more memory than its weights."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import sys
from molgiae.model.embedder import Embedder
from molgiae.data.readers import read_blocks
embedder = Embedder({model!r}, device="cpu")
for block in read_blocks({sdf!r}):
    embedder.embed(block, reconstruct=True)
print([name for name in ("torch._dynamo", "sympy", "rdkit", "ase") if name in sys.modules])
"""


@pytest.mark.parametrize("model", ["qm9", pytest.param("drug", marks=pytest.mark.slow)])
def test_embedding_does_not_load_a_compiler_of_networks(sdf, model):
    code = CODE.format(model=model, sdf=str(sdf))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
