"""What a directory of parts is of, for people and other programs; molgiae itself asks the parts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from molgiae import __version__
from molgiae.commands.outcomes import Summary
from molgiae.data.hdf5.schema import SCHEMA_VERSION
from molgiae.data.partial import PartialFile
from molgiae.shards.part import Job, Plain

MANIFEST = "manifest.json"


def told_in(directory: Path) -> Plain:
    """Return what the manifest of a directory says its parts are of; nothing where there is none."""
    try:
        told = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def write_manifest(job: Job, directory: Path, summary: Summary | None) -> None:
    """Write what the parts are of, if nothing says so; at the end of a whole run also what is in them."""
    path = directory / MANIFEST
    if summary is None and path.exists():
        return
    names = [file.name for file in job.plan.files]
    stats = [Path(name).stat() for name in names]
    manifest: Plain = {
        "molgiae_version": __version__,
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **job.to_dict(),
        "model_sha256": job.model_sha256,
        "files": [
            {"name": name, "bytes": stat.st_size, "changed": stat.st_mtime}
            for name, stat in zip(names, stats, strict=True)
        ],
    }
    if summary is not None:
        manifest |= {"written": summary.written, "rejected": summary.rejected}
        manifest["parts"] = [
            {
                "name": job.path(k).name,
                "written": written,
                "rejected": rejected,
                "bytes": job.path(k).stat().st_size,
            }
            for k in range(1, job.shards + 1)
            for written, rejected in [job.counts(k)]
        ]
    partial = PartialFile(path, overwrite=True)
    with partial.writing() as temporary:
        temporary.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
