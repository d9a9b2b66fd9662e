"""Results as data frames of pandas, which is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from molgiae.errors import ConfigError
from molgiae.parts import column_names

if TYPE_CHECKING:
    from pandas import DataFrame

    from molgiae.data.blocks import Result


def frame_of(result: Result) -> DataFrame:
    """Return what `Result.to_pandas` describes."""
    try:
        import pandas  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "to_pandas needs pandas, which is not here; run pip install 'molgiae[frames]'"
        ) from error
    block = result.block
    cells: dict[str, Any] = {"source": block.source, "record": block.record, "title": block.title}
    for name, values in result.columns.items():
        if len(values) == len(result):
            names = column_names(result.parts) if name == "embedding" else []
            cells |= _flat(name, values, names)
    for key in dict.fromkeys(key for properties in block.properties for key in properties):
        own = _numbers([properties.get(key, "") for properties in block.properties])
        cells[f"{key} (property)" if key in cells else key] = own
    return pandas.DataFrame(cells)


def _flat(name: str, values: NDArray[Any], names: list[str]) -> dict[str, NDArray[Any]]:
    """Return columns of one axis each, of several axes named by these names or by their numbers."""
    if values.ndim == 1:
        return {name: values}
    names = names or ["_".join(map(str, (name, *index))) for index in np.ndindex(values.shape[1:])]
    return dict(zip(names, values.reshape(len(values), len(names)).T, strict=True))


def _numbers(texts: list[str]) -> list[str] | NDArray[np.float64]:
    """Return texts as numbers, NaN where there is none, or as they are if one is no number."""
    try:
        return np.array([float(text.replace("_", "?") or "nan") for text in texts])
    except ValueError:
        return texts
