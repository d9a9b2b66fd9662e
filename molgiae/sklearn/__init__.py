"""Embeddings as a step of scikit-learn: a row of numbers for each molecule, from whatever holds its conformers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from molgiae.config import AUTO_MODEL, BATCH_SIZE
from molgiae.data.blocks import Result, concatenate
from molgiae.data.conformer import ConformerBlock
from molgiae.data.given import Given, conformers_of, items_of
from molgiae.data.hdf5.embeddings import Embeddings
from molgiae.data.readers import OnError
from molgiae.errors import CheckpointError, ConfigError, ConformerError
from molgiae.matching.molecules import hill
from molgiae.model.embedder import Embedder
from molgiae.parts import column_names

if TYPE_CHECKING:
    from sklearn.utils import Tags

Pooling = Literal["mean", "first"]


class ConformerEmbedder(TransformerMixin, BaseEstimator):
    """A transformer of scikit-learn from molecules to the embeddings of their conformers, a row for each item.

    An item of X is a molecule: an RDKit molecule with all of its conformers, ASE atoms, a conformer, or a path to
    conformers of one molecule. The row of several conformers is their mean, or that of the first. Where X itself is a
    path, a block, a result or an embedding file, each conformer in it is an item. A table of one column, as a frame of
    pandas, holds an item in each row.

    Args:
        model: name of a shipped model, "auto" for the default one, or path of a checkpoint.
        parts: names of the parts of the embedding that make the columns, also as a text with commas; None for all.
        pooling: "mean" of the conformers of an item, or the "first".
        on_error: "stop" raises where a conformer cannot be embedded; "skip" leaves it out, and an item without others
            gets a row of NaN, so that rows stay those of X; so do None, NaN and a file that is not there.
        device: "auto", "cpu" or "cuda".
        batch_size: conformers in a batch.

    Attributes:
        model_: name or path of the model, after `fit`.
        model_sha256_: digest of its file; a copy that was pickled refuses another model of this name.

    Raises:
        ConfigError: if an option is wrong, or an item holds several molecules.
        ConformerError: if an item has no conformer, or one that cannot be embedded.

    Examples:
        >>> from sklearn.linear_model import Ridge
        >>> from sklearn.pipeline import make_pipeline
        >>> model = make_pipeline(molgiae.ConformerEmbedder("qm9"), Ridge())
        >>> model.fit([mol, mol], [1.0, 1.0]).predict([mol]).round(3).tolist()
        [1.0]
        >>> frame = molgiae.ConformerEmbedder(parts="shape").set_output(transform="pandas").fit_transform([mol])
        >>> frame.shape, frame.columns[0]
        ((1, 128), 'shape_0')
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = AUTO_MODEL,
        *,
        parts: str | Iterable[str] | None = "features",
        pooling: Pooling = "mean",
        on_error: OnError = "stop",
        device: str = "auto",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.model, self.parts, self.pooling, self.on_error = model, parts, pooling, on_error
        self.device, self.batch_size = device, batch_size

    def fit(self, X: Given, y: object = None) -> Self:
        """Open the model; there is nothing to learn from X."""
        if self.pooling not in get_args(Pooling):
            raise ConfigError(f"pooling {self.pooling!r} is unknown; use {' or '.join(get_args(Pooling))}")
        self.model_ = os.fspath(self.model)
        self._embedder = self._open()
        self.model_, self.model_sha256_ = self._embedder.checkpoint.name, self._embedder.checkpoint.sha256
        self._names = column_names(self._embedder.parts)
        return self

    def transform(self, X: Given) -> NDArray[np.float32]:
        """Return (items, D), a row of the embedding for each item."""
        check_is_fitted(self)
        if not hasattr(self, "_embedder"):
            self._embedder = self._open()
        if self._embedder.checkpoint.sha256 != self.model_sha256_:
            raise CheckpointError(
                f"{self.model_}: is not the model that was here at the time of fit; fit again"
            )
        block, items = self._read(X)
        found = self._embedder.embed(block)
        if found.block.rejected and self.on_error == "stop":
            bad = found.block.rejected[0]
            raise ConformerError(bad.reason, source=f"item {bad.record}", title=bad.title)
        item = found.block.record - 1
        rows = np.zeros((items, len(self._names)))
        np.add.at(rows, item, found["embedding"])
        number = np.bincount(item, minlength=items)[:, None]
        return (rows / np.where(number > 0, number, np.nan)).astype(np.float32)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return a name for each column: that of its part, and its number there, as in ``features_0``."""
        check_is_fitted(self)
        return np.array(self._names, dtype=object)

    def _open(self) -> Embedder:
        return Embedder(
            self.model_, device=self.device, batch_size=self.batch_size, parts=self.parts, check=False
        )

    def _read(self, X: Given) -> tuple[ConformerBlock, int]:
        """Return the conformers of all items, whose numbers from 1 are their `record`, and the number of items."""
        if isinstance(X, str | os.PathLike | ConformerBlock | Result | Embeddings):
            block = replace(conformers_of(X, on_error=self.on_error), rejected=[])
            return replace(block, record=np.arange(1, len(block) + 1)), len(block)
        blocks = [self._item(item, k) for k, item in enumerate(items_of(_one_column(X)), 1)]
        return concatenate(blocks), len(blocks)

    def _item(self, item: Given, k: int) -> ConformerBlock:
        """Return the conformers of item k."""
        given: Any = [None] if item is None or (isinstance(item, float) and isnan(item)) else item
        if self.on_error == "skip" and isinstance(item, str | os.PathLike) and not os.path.exists(item):
            return ConformerBlock.of([])
        try:
            block = conformers_of(given, on_error=self.on_error)
        except ConformerError as error:
            if self.on_error == "stop":
                raise ConformerError(str(error), source=f"item {k}") from error
            return ConformerBlock.of([])
        except ConfigError as error:
            raise ConfigError(f"item {k}: {error}") from error
        if len(formulas := {hill(conformer) for conformer in block}) > 1:
            raise ConfigError(
                f"item {k} holds several molecules, {' and '.join(sorted(formulas)[:2])}: make each an item, "
                "or give one path alone, of which each conformer makes a row"
            )
        block = block.take(slice(0, 1)) if self.pooling == "first" else block
        return replace(block, record=np.full(len(block), k), rejected=[])

    def __getstate__(self) -> dict[str, Any]:
        # weights stay in their file
        return {key: value for key, value in super().__getstate__().items() if key != "_embedder"}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_sha256_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.no_validation = False, True
        return tags


def _one_column(X: Any) -> Any:
    """Return the items of a table of one column, which would be gone through by its columns or by rows; else X.

    Raises:
        ConfigError: if it has several.
    """
    if getattr(X, "ndim", 1) != 2:
        return X
    if X.shape[1] != 1:
        raise ConfigError(f"a table of {X.shape[1]} columns: give the one that holds the molecules")
    return np.asarray(X, dtype=object)[:, 0].tolist()
