"""Commands about the paper's experiments: list them, run one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Device, DeviceName, Json, Overwrite, Quiet

if TYPE_CHECKING:
    from molgiae.experiments.contract import Bar, Report

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The experiments of the paper, repeated.")


@app.command("list")
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
        typer.echo(f"{row.name:10} {row.group:12} section {row.section:18} {row.title}; {data}")


@app.command(no_args_is_help=True)
def run(
    name: Annotated[str, typer.Argument(help="Of an experiment; see the list.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(help="File, for an experiment that needs one.", show_default="none")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Small, within a minute; shows that it works, not what it reaches.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Directory for report and figures.",
            show_default="the name of the experiment",
        ),
    ] = None,
    device: Device = DeviceName.auto,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run an experiment of the paper; writes report.json and figures to a directory.

    \b
    molgiae experiments run digits
    molgiae experiments run tetris --fast -o tetris-fast
    molgiae experiments run tetris --seed 1 --json
    """
    from molgiae.experiments import run as run_experiment

    folder = output or name
    report = run_experiment(
        name,
        folder,
        data=data,
        fast=fast,
        seed=seed,
        device=device.value,
        overwrite=overwrite,
        progress=not quiet,
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    if not quiet:
        typer.echo("\n".join(_outcome(report, Path(folder))), err=True)


def _outcome(report: Report, folder: Path) -> list[str]:
    heading = f"{report.experiment['name']}: {report.seconds:.0f} s -> {folder / 'report.json'}"
    small = ["the small configuration says little about the bars"] if report.fast else []
    return [heading, *small, *map(_line, report.findings.bars)]


def _line(bar: Bar) -> str:
    sign = ">=" if bar.at_least else "<="
    return f"  {'met' if bar.met else 'missed':6} {bar.what}: {bar.value:.4g} ({sign} {bar.limit:.4g})"
