"""``python -m molgiae.data.cheap_worker``: computes the conformers that come in as lines of JSON by a cheap method.

A process of its own, because nothing else can stop a library when it hangs, or outlive it when it crashes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from molgiae.data.atom_chemistry import chemistry_of
from molgiae.data.cheap_methods import METHODS, Method
from molgiae.data.conformer import Conformer
from molgiae.errors import ConformerError
from molgiae.parallel.processes import serve

Plain = dict[str, Any]

FIELDS = ("atomic_number", "position", "charge", "multiplicity", "bonds", "text")
"""Those of a `Conformer` that are sent."""

_ARRAYS = {
    "atomic_number": (np.uint8, (-1,)),
    "position": (np.float64, (-1, 3)),
    "bonds": (np.int64, (-1, 2)),
}


def plain(record: Plain) -> Plain:
    """Return a record with lists for its arrays."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in record.items()}


def answer(question: Plain, method: Method, chemistry: bool, solvents: Sequence[str]) -> Plain:
    """Return what is found of some conformers.

    Args:
        question: ``conformers``, each with `FIELDS` and whether its ``polarizability`` is wanted.
        method: by which.
        chemistry: whether to add what `chemistry_of` tells.
        solvents: in which the energy is wanted, too.

    Returns:
        ``found``: for each of them the fields of `Computed`, or the ``reason`` why there are none.
    """
    return {"found": [_computed(asked, method, chemistry, solvents) for asked in question["conformers"]]}


def _computed(asked: Plain, method: Method, chemistry: bool, solvents: Sequence[str]) -> Plain:
    given: Plain = {name: asked[name] for name in FIELDS}
    for name, (kind, shape) in _ARRAYS.items():
        given[name] = np.array(given[name], kind).reshape(shape)
    conformer = Conformer(**given)
    try:
        found = asdict(method.compute(conformer, asked["polarizability"], solvents))
    except ConformerError as error:
        return {"reason": error.reason}
    return plain(found | ({"chemistry": chemistry_of(conformer)} if chemistry else {}))


def answering(setup: Plain) -> Callable[[Plain], Plain]:
    """Return `answer` by the setup."""
    method = METHODS[setup["method"]]
    import_module(method.package)  # at the expense of no conformer
    return partial(answer, method=method, chemistry=setup["chemistry"], solvents=setup["solvents"])


if __name__ == "__main__":
    serve(answering)
