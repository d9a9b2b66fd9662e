"""Runs notebooks without Jupyter, and keeps in them what they print and draw today.

python examples/run_notebooks.py examples/*.ipynb
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

Output = dict[str, Any]


def shown(data: dict[str, Any]) -> Output:
    """What a cell displays, as notebooks store it."""
    return {"output_type": "display_data", "metadata": {}, "data": data}


def run_cell(source: str, space: dict[str, Any]) -> list[Output]:
    """Runs a cell in a namespace, and returns what it prints, its last value, and its figures as PNG."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 (after the backend is chosen)

    *body, last = ast.parse(source).body
    value, text = None, io.StringIO()
    with contextlib.redirect_stdout(text):
        if not isinstance(last, ast.Expr):
            body.append(last)
        exec(compile(ast.Module(body, []), "cell", "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), space)
    outputs: list[Output] = []
    if text.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines_of(text.getvalue())})
    figures = plt.get_fignums()
    if value is not None and not figures:
        outputs.append(shown({"text/plain": lines_of(repr(value))}))
    for number in figures:
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, dpi=70, bbox_inches="tight", metadata={"Software": None})
        plt.close(number)
        outputs.append(
            shown({"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": ["<Figure>"]})
        )
    return outputs


def lines_of(text: str) -> list[str]:
    """A text as notebooks store it: lines with their ends."""
    return text.splitlines(keepends=True)


def texts_of(outputs: list[Output]) -> list[str]:
    """The texts among the outputs of a cell."""
    return ["".join(o["text"] if "text" in o else o["data"]["text/plain"]) for o in outputs]


def run_notebook(path: Path) -> tuple[dict[str, Any], list[list[Output]]]:
    """Runs a notebook in the current directory; returns it, and what each cell of code puts out today."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    space: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return notebook, [run_cell("".join(cell["source"]), space) for cell in cells]


def main() -> None:
    """Runs the notebooks that are named, each in its folder, and stores their outputs."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    for path in [Path(name).resolve() for name in sys.argv[1:]]:
        os.chdir(path.parent)
        notebook, outputs = run_notebook(path)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for number, (cell, found) in enumerate(zip(cells, outputs, strict=True), 1):
            cell["outputs"], cell["execution_count"] = found, number
            print(*texts_of(found), sep="\n")
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
