"""Conformers of molecules in shards: parts are SDF, which keeps bonds, and each continues where it was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from molgiae.commands.conformers import GenerationSummary, finished_before, generate_conformers
from molgiae.config import ConformerSearch
from molgiae.data.molecule_files import Columns
from molgiae.data.pieces import Share
from molgiae.errors import ConfigError
from molgiae.shards.part import Job, Plain
from molgiae.shards.plan import Plan

OF_FILES = ("format", "smiles_column", "title_column")
"""Settings of how molecules are read; the others are of the search."""


class ConformersJob(Job):
    """Conformers in shards; the settings are those of `ConformerSearch` and `OF_FILES`."""

    @cached_property
    def plan(self) -> Plan:
        """What each part is made from."""
        return Plan(self.inputs, self.shards, self.how.get("format"), of_molecules=True)

    @cached_property
    def search(self) -> ConformerSearch:
        """How conformers are made."""
        return replace(
            ConformerSearch(), **{name: value for name, value in self.how.items() if name not in OF_FILES}
        )

    def path(self, k: int) -> Path:
        """Return the file of part k."""
        return super().path(k).with_suffix(".sdf")

    def is_made(self, k: int) -> bool:
        """Return whether part k is there and made from what it should be."""
        return self._made(k) is not None

    def counts(self, k: int) -> tuple[int, int]:
        """Return the conformers of part k, and how many molecules have none."""
        made = self._made(k)
        return (made.conformers, made.rejected) if made else (0, 0)

    def reasons(self, k: int) -> list[str]:
        """Return why molecules of part k have no conformers, a reason for each."""
        made = self._made(k)
        return [reason for reason, count in made.reasons.items() for _ in range(count)] if made else []

    def _made(self, k: int) -> GenerationSummary | None:
        path = self.path(k)
        return finished_before(self.inputs_of(k), path, self.search) if path.exists() else None

    def make(self, k: int, names: Sequence[str] | None = None) -> Plain:
        """Make part k, or continue it; begin anew if what is there is of something else."""
        try:
            made = self._generated(k)
        except ConfigError:
            path = self.path(k)
            for left in (path, path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.log")):
                left.unlink(missing_ok=True)
            made = self._generated(k)
        return {"read": made.molecules, "reasons": made.reasons, "notes": []}

    def _generated(self, k: int) -> GenerationSummary:
        return generate_conformers(
            self.inputs_of(k),
            self.path(k),
            self.search,
            format=self.how.get("format"),
            columns=Columns(self.how.get("smiles_column"), self.how.get("title_column")),
            jobs=1,
            resume=True,
            command=self.told([]),
            share=Share("", (), str(self.progress(k))),
        )
