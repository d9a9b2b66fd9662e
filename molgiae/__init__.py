"""molgiae: invariant embeddings, canonical forms and exact group actions of molecular conformers."""

__version__ = "0.1.0"
