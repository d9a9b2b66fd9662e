"""Conformers per second and peak memory from an SDF to an embedding in HDF5: molgiae beside RDKit and SOAP.

    python benchmarks/embedding.py molecules.sdf.gz --records 20000 --json embedding.json

The SDF is repeated to at least `--records` records. Each method runs `--repeats` times in turn, in a process of
its own, tied to one core and to all of them; the best counts. Rates are of the loop over the file, after imports
and loading of the model; the seconds of the whole process are beside them. SOAP is dscribe's, averaged over the
atoms (`inner`), for the elements in the file, read with RDKit, as float32 in blocks of 1024 rows.
"""

# ruff: noqa: PLC0415 - each process imports only the library it measures

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from apart import peak_memory

SOAP = {"r_cut": 5.0, "n_max": 8, "l_max": 6, "average": "inner", "periodic": False}
BLOCK = 1024
WARM = 64
"""Records of the short file that each process reads first."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Method = Callable[[str, str, int], int]
"""SDF, HDF5 to write and number of threads to number of conformers."""


def rdkit_molecules(sdf: str, sanitize: bool) -> Iterator[Any]:
    """The molecules that RDKit reads, one after another."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    with open(sdf, "rb") as file:
        supplier = Chem.ForwardSDMolSupplier(file, sanitize=sanitize, removeHs=False)
        yield from (mol for mol in supplier if mol is not None)


def read_sanitised(sdf: str, output: str, threads: int) -> int:
    """RDKit as most scripts use it; writes nothing."""
    return sum(1 for _ in rdkit_molecules(sdf, sanitize=True))


def read_unsanitised(sdf: str, output: str, threads: int) -> int:
    """RDKit at its fastest; writes nothing."""
    return sum(1 for _ in rdkit_molecules(sdf, sanitize=False))


def embed_with_molgiae(sdf: str, output: str, threads: int) -> int:
    """What `molgiae embed` does."""
    import torch

    from molgiae.commands.embed import embed
    from molgiae.commands.run import Options

    torch.set_num_threads(threads)
    options = Options(output=output, overwrite=True, model=os.environ.get("MODEL", Options().model))
    return embed(sdf, options).written


def embed_with_soap(sdf: str, output: str, threads: int) -> int:
    """Averaged SOAP of each molecule."""
    import h5py
    import numpy as np
    from ase import Atoms
    from dscribe.descriptors import SOAP as Soap

    soap = Soap(species=os.environ["ELEMENTS"].split(), **SOAP)
    molecules = rdkit_molecules(sdf, sanitize=False)
    written = 0
    with h5py.File(output, "w") as file:
        size = soap.get_number_of_features()
        rows = file.create_dataset(
            "embedding", (0, size), np.float32, maxshape=(None, size), chunks=(BLOCK, size)
        )
        while block := list(islice(molecules, BLOCK)):
            atoms = [
                Atoms([atom.GetAtomicNum() for atom in mol.GetAtoms()], mol.GetConformer().GetPositions())
                for mol in block
            ]
            values = soap.create(atoms, n_jobs=threads).reshape(len(block), size)
            rows.resize(written + len(block), axis=0)
            rows[written:] = values
            written += len(block)
    return written


METHODS: dict[str, tuple[Method, bool]] = {
    "RDKit reading, unsanitised": (read_unsanitised, False),
    "RDKit reading": (read_sanitised, False),
    "SOAP, dscribe": (embed_with_soap, True),
    "molgiae embed": (embed_with_molgiae, True),
}
"""Name to method, and whether it can use several cores."""


def measure(name: str, sdf: str, warm: str, threads: int) -> dict[str, Any]:
    """Run a method once on a short file and once on the file; this process does nothing else."""
    method = METHODS[name][0]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "embedding.h5")
        method(warm, output, threads)
        before = peak_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        records = method(sdf, output, threads)
        return {
            "method": name,
            "cores": threads,
            "records": records,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,  # without those of child processes, which SOAP starts
            "peak_memory_MB": peak_memory(),
            "peak_memory_before_MB": before,
        }


def measure_apart(name: str, sdf: Path, warm: Path, threads: int) -> dict[str, Any]:
    """The same in a new process, with its whole time."""
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, "--measure", name, str(sdf), str(warm), str(threads)],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    row: dict[str, Any] = json.loads(done.stdout)
    row["process_seconds"] = time.perf_counter() - started
    row["conformers_per_second"] = row["records"] / row["seconds"]
    row["conformers_per_cpu_second"] = row["records"] / row["cpu_seconds"]
    return row


def prepare(sdf: Path, folder: Path, records: int) -> tuple[Path, Path]:
    """The SDF, uncompressed and repeated to at least so many records, and its first records; notes the elements."""
    with gzip.open(sdf, "rt") if sdf.suffix == ".gz" else sdf.open() as file:
        text = file.read()
    if not text.endswith("\n"):
        text += "\n"
    long, warm = folder / "long.sdf", folder / "warm.sdf"
    with long.open("w") as file:
        for _ in range(max(1, -(-records // text.count("$$$$\n")))):
            file.write(text)
    atoms = (
        atom.GetSymbol() for mol in rdkit_molecules(str(long), sanitize=False) for atom in mol.GetAtoms()
    )
    os.environ["ELEMENTS"] = " ".join(sorted(set(atoms)))
    parts = text.split("$$$$\n", WARM)
    warm.write_text("".join(f"{part}$$$$\n" for part in parts[: min(WARM, len(parts) - 1)]))
    return long, warm


def compare(sdf: Path, warm: Path, repeats: int, cores: int, methods: list[str]) -> list[dict[str, Any]]:
    """The fastest run of each method and number of threads."""
    runs = [(name, n) for name in methods for n in ((1, cores) if METHODS[name][1] and cores > 1 else (1,))]
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for _ in range(repeats):
        for run in runs:
            row = measure_apart(run[0], sdf, warm, run[1])
            if run not in best or row["seconds"] < best[run]["seconds"]:
                best[run] = row
    return list(best.values())


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    lines = [
        f"{'method':28}{'cores':>8}{'records':>9}{'per s':>9}{'per CPU s':>11}{'process s':>11}{'MB':>7}"
    ]
    lines += [
        f"{row['method']:28}{row['cores']:8d}{row['records']:9d}{row['conformers_per_second']:9.0f}"
        f"{row['conformers_per_cpu_second']:11.0f}{row['process_seconds']:11.1f}{row['peak_memory_MB']:7.0f}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sdf", type=Path, nargs="?")
    parser.add_argument("--records", type=int, default=0, help="repeat the SDF to at least so many")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--model", help="a shipped model or a checkpoint")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, sdf, warm, threads = options.measure
        print(json.dumps(measure(name, sdf, warm, int(threads))))
        return
    if options.sdf is None:
        parser.error("name an SDF file")
    if options.model:
        os.environ["MODEL"] = options.model
    with tempfile.TemporaryDirectory() as folder:
        sdf, warm = prepare(options.sdf, Path(folder), options.records)
        rows = compare(sdf, warm, options.repeats, options.cores, options.methods)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
