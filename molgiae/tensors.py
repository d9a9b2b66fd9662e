"""Tensor aliases: the shape, type and unit of what travels between modules, written once.

Letters: B conformers, n atoms of one conformer (padded), N atoms of a block, S slots of the decoder,
D dimensions of the embedding, E elements a model knows.
"""

from typing import Annotated, TypeAlias

from torch import Tensor

AtomicNumbers: TypeAlias = Annotated[Tensor, "(B, n) int64, 0 marks padding at the end of a row"]
Positions: TypeAlias = Annotated[Tensor, "(B, n, 3) angstrom, 0 where padded"]
Mask: TypeAlias = Annotated[Tensor, "(B, n) bool, true for atoms"]
Vectors: TypeAlias = Annotated[Tensor, "(B, 2, 3) angstrom"]
Points: TypeAlias = Annotated[Tensor, "(B, 3) angstrom"]
Scores: TypeAlias = Annotated[Tensor, "(B, n) float64, +inf where padded"]
Embedding: TypeAlias = Annotated[Tensor, "(B, D)"]
