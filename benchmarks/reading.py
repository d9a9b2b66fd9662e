"""Records per second and peak memory of reading: molgiae, RDKit without sanitisation, ASE; one process each.

    python benchmarks/reading.py molecules.sdf.gz --conformers conformers.npz --json reading.json

The SDF is repeated to at least `--records` records. With `--conformers`, an npz file with `n_atoms`,
`atomic_number` and `position_mA` (or `position`), a second SDF of larger molecules is written. Both are also
written as XYZ. Every reader takes each file `--repeats` times, in turn; the best time counts.
"""

# ruff: noqa: PLC0415 - each process imports only the library it measures

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from apart import peak_memory

ASE_FRAMES = 2000


def read_with_molgiae(path: str) -> int:
    """Conformers of a file, with text and checks."""
    from molgiae.data.readers import read_blocks

    return sum(len(block) for block in read_blocks(path))


def read_with_molgiae_alone(path: str) -> int:
    """Conformers of a file, atoms and titles only."""
    from molgiae.data.readers import read_blocks

    return sum(len(block) for block in read_blocks(path, keep_text=False, check_geometry=False))


def read_with_rdkit(path: str) -> int:
    """Molecules of an SDF."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    with open(path, "rb") as file:
        supplier = Chem.ForwardSDMolSupplier(file, sanitize=False, removeHs=False)
        return sum(mol is not None for mol in supplier)


def read_with_ase(path: str) -> int:
    """The first frames of an XYZ file; ASE takes long."""
    import ase.io

    n = 0
    for _ in ase.io.iread(path):
        n += 1
        if n == ASE_FRAMES:
            break
    return n


READERS: dict[str, tuple[Callable[[str], int], tuple[str, ...]]] = {
    "molgiae": (read_with_molgiae, (".sdf", ".sdf.gz", ".xyz")),
    "molgiae, neither text nor checks": (read_with_molgiae_alone, (".sdf", ".xyz")),
    "RDKit, unsanitised": (read_with_rdkit, (".sdf",)),
    f"ASE, first {ASE_FRAMES} frames": (read_with_ase, (".xyz",)),
}


def measure(reader: str, path: str) -> dict[str, Any]:
    """Read once; this process does nothing else."""
    read = READERS[reader][0]
    read(str(Path(path).with_name("warm" + "".join(Path(path).suffixes))))
    before = peak_memory()
    start = time.perf_counter()
    records = read(path)
    seconds = time.perf_counter() - start
    peak = peak_memory()
    return {
        "records": records,
        "records_per_second": records / seconds,
        "peak_memory_MB": peak,
        "added_memory_MB": peak - before,
    }


def conformers_of(npz: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Elements and positions, angstrom, of each conformer."""
    data = np.load(npz)
    position = data["position"] if "position" in data else data["position_mA"].astype(float) / 1000
    cut = np.cumsum(data["n_atoms"])[:-1]
    yield from zip(np.split(data["atomic_number"], cut), np.split(position, cut), strict=True)


def write_sdf(npz: str, path: Path) -> None:
    """Records with bonds by distance, as a reader must take bonds too."""
    from molgiae.data.bonds import perceived_bonds
    from molgiae.data.elements import SYMBOLS

    with path.open("w") as file:
        for k, (number, position) in enumerate(conformers_of(npz)):
            bonds = perceived_bonds(number, position) + 1
            file.write(f"conformer {k}\n     benchmark      3D\n\n")
            file.write(f"{len(number):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000\n")
            for z, (x, y, w) in zip(number, position.tolist(), strict=True):
                file.write(
                    f"{x:10.4f}{y:10.4f}{w:10.4f} {SYMBOLS[z]:<3} 0  0  0  0  0  0  0  0  0  0  0  0\n"
                )
            file.writelines(f"{a:3d}{b:3d}  1  0\n" for a, b in bonds.tolist())
            file.write("M  END\n$$$$\n")


def write_xyz(sdf: Path, path: Path) -> None:
    """The conformers of an SDF as XYZ."""
    from molgiae.data.elements import SYMBOLS
    from molgiae.data.readers import read_conformers

    with path.open("w") as file:
        for conformer in read_conformers(sdf):
            file.write(f"{len(conformer)}\n{conformer.title}\n")
            for z, (x, y, w) in zip(conformer.atomic_number, conformer.position.tolist(), strict=True):
                file.write(f"{SYMBOLS[z]:<2} {x:15.8f} {y:15.8f} {w:15.8f}\n")


def prepare(sdf: Path, folder: Path, records: int) -> list[Path]:
    """The SDF repeated, the same compressed, the same as XYZ, and one short file of each to warm up."""
    opener = gzip.open if sdf.suffix == ".gz" else open
    with opener(sdf, "rb") as file:
        text = file.read()
    n = text.count(b"$$$$\n")
    folder.mkdir()
    paths = [folder / "all.sdf", folder / "all.sdf.gz", folder / "all.xyz"]
    for name, times in (("all", -(-records // n)), ("warm", 1)):
        part = text if name == "all" else text[: text.index(b"$$$$\n", min(len(text) // 2, 100_000)) + 5]
        (folder / f"{name}.sdf").write_bytes(part * times)
        (folder / f"{name}.sdf.gz").write_bytes(gzip.compress(part * times, 6))
        write_xyz(folder / f"{name}.sdf", folder / f"{name}.xyz")
    return paths


def compare(paths: list[Path], repeats: int) -> list[dict[str, Any]]:
    """Best of so many rounds of each reader on each of its files."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(repeats):
        for reader, (_, suffixes) in READERS.items():
            for path in paths:
                suffix = "".join(path.suffixes)
                if suffix not in suffixes:
                    continue
                command = [sys.executable, __file__, "--measure", reader, str(path)]
                found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                row = {"set": path.parent.name, "format": suffix[1:], "reader": reader, **found}
                best = rows.setdefault((reader, str(path)), row)
                if row["records_per_second"] > best["records_per_second"]:
                    rows[reader, str(path)] = row
    return sorted(rows.values(), key=lambda row: (row["set"], row["format"]))


def main() -> None:
    """Write the files, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sdf", type=Path, nargs="?")
    parser.add_argument("--conformers", help="npz file of larger molecules")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("READER", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    if options.sdf is None:
        parser.error("name an SDF file")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = prepare(options.sdf, folder / "small", options.records)
        if options.conformers:
            write_sdf(options.conformers, folder / "larger.sdf")
            paths += prepare(folder / "larger.sdf", folder / "larger", options.records)
        rows = compare(paths, options.repeats)
    print(f"{'set':8}{'format':9}{'reader':36}{'records':>9}{'records/s':>12}{'peak MB':>9}{'added MB':>10}")
    for row in rows:
        print(
            f"{row['set']:8}{row['format']:9}{row['reader']:36}{row['records']:9d}"
            f"{row['records_per_second']:12.0f}{row['peak_memory_MB']:9.0f}{row['added_memory_MB']:10.0f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
