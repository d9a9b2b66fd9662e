"""molgiae experiments: the experiments of the paper, listed and repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from .command import Command
from .options import Device, Json, Overwrite, Quiet, Threads
from .printing import finish

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The experiments of the paper, repeated.")


def _names() -> list[str]:
    from molgiae.experiments import EXPERIMENTS

    return list(EXPERIMENTS)


@app.command("list", cls=Command)
def show(as_json: Json = False) -> None:
    """Say which experiments there are.

    \b
    molgiae experiments list
    """
    from dataclasses import asdict

    from molgiae.experiments import EXPERIMENTS

    if as_json:
        typer.echo(json.dumps([asdict(row) for row in EXPERIMENTS.values()]))
        return
    for row in EXPERIMENTS.values():
        data = f"needs {row.data}" if row.data else "generates its data"
        typer.echo(f"{row.name:12} {row.group:12} section {row.section:18} {row.title}; {data}")


@app.command(cls=Command, no_args_is_help=True)
def run(
    context: typer.Context,
    name: str = typer.Argument(
        help="Name of an experiment, see the list.", show_default=False, autocompletion=_names
    ),
    data: str | None = typer.Option(None, help="File, for an experiment that needs one."),
    fast: bool = typer.Option(
        False, "--fast", help="Small, within a minute; shows that it works, not what it reaches."
    ),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    output: str | None = typer.Option(
        None,
        "--output",
        "-o",
        help="Directory for report and figures.",
        show_default="the name of the experiment",
    ),
    device: Device = "auto",
    overwrite: Overwrite = False,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run an experiment of the paper; writes report.json and figures to a directory.

    Figures need matplotlib (pip install "molgiae[plots]"), which is looked for before the experiment starts.

    \b
    molgiae experiments run digits
    molgiae experiments run tetris --fast -o tetris-fast
    molgiae experiments run tetris --seed 1 --json
    """
    from molgiae.experiments import run as run_experiment

    folder = Path(output or name)
    report = run_experiment(
        name, folder, data=data, fast=fast, seed=seed, device=device, overwrite=overwrite, progress=not quiet
    )
    finish(context, report, _described(report, folder))


def _described(report: dict[str, Any], folder: Path) -> list[str]:
    lines = [f"{report['experiment']['name']}: {report['seconds']:.0f} s -> {folder / 'report.json'}"]
    if report["fast"]:
        lines.append("the small configuration says little about the bars")
    for bar in report["bars"]:
        sign = ">=" if bar["at_least"] else "<="
        verdict = "met" if bar["met"] else "missed"
        lines.append(f"  {verdict:6} {bar['what']}: {bar['value']:.4g} ({sign} {bar['limit']:.4g})")
    return lines
