"""Check a molgiae HDF5 file from h5py and numpy alone; read it as an example of how to use such a file.

`python benchmarks/check_hdf5.py FILE...` prints what it found and ends with status 1 if anything is violated:
for conformer m with atoms s = atom_offset[m]:atom_offset[m + 1]

    position[s][permutation[s]] == canonical_position[s] @ rotation[m].T + translation[m]

where every rotation is proper, every permutation a bijection, and every dataset as long as it has to be; and no
conformer is in the domain that its embedding does not give back, where the file says what it does.
"""

import argparse
import sys

import h5py
import numpy as np

BLOCK = 4096
PER_CONFORMER = [
    "embedding",
    "rotation",
    "translation",
    "pose_defined",
    "order_defined",
    "symmetry_number",
    "point_group",
    "stability",
    "in_domain",
]
PER_CONFORMER += ["title", "source", "record", "charge"]
DECODED = {"decoded_rmsd", "decoded_formula"}  # of files whose embeddings were decoded again
LARGEST_DECODED_RMSD = np.float32(0.1)  # angstrom, of conformers with in_domain 1
PER_ATOM = ["permutation", "atomic_number", "position", "canonical_position"]
PER_PART = ["parts", "part_start", "part_stop", "part_unit", "part_meaning"]
PER_REJECTED = ["source", "record", "title", "line", "reason"]


def check_layout(file: h5py.File) -> list[str]:
    """Datasets that are missing, of the wrong length or without unit and description."""
    conformers = len(file["record"])
    offset = file["atom_offset"][:]
    faults = []
    if len(offset) != conformers + 1 or offset[0] != 0 or np.any(np.diff(offset) < 1):
        faults.append("atom_offset does not start with 0 and rise M times")
    expected = {name: conformers for name in [*PER_CONFORMER, *DECODED.intersection(file)]}
    expected |= {name: int(offset[-1]) for name in PER_ATOM}
    expected |= {f"rejected/{name}": len(file["rejected/record"]) for name in PER_REJECTED}
    expected |= {f"properties/{name}": conformers for name in file["properties"]}
    for name, length in expected.items():
        if name not in file:
            faults.append(f"{name} is missing")
        elif len(file[name]) != length:
            faults.append(f"{name} has {len(file[name])} rows, expected {length}")
        elif not {"unit", "description"} <= set(file[name].attrs):
            faults.append(f"{name} lacks its unit or description")
    return faults or check_parts(file["embedding"])


def check_parts(embedding: h5py.Dataset) -> list[str]:
    """What is wrong with the attributes that say which columns of the embedding are which of its parts."""
    size, about = embedding.shape[1], embedding.attrs
    if embedding.file.attrs["schema_version"] == 1:  # its first columns are shape, the others detail
        shape = embedding.file.attrs.get("shape_dimension", 0)
        return [] if 0 <= shape <= size else [f"shape_dimension is {shape}, the embedding has {size} columns"]
    if missing := [name for name in PER_PART if name not in about]:
        return [f"embedding lacks its {', '.join(missing)}"]
    if len(shapes := {np.shape(about[name]) for name in PER_PART}) > 1 or () in shapes:
        return [f"{', '.join(PER_PART)} of embedding are no lists of one length"]
    if [0, *about["part_stop"]] != [*about["part_start"], size] or np.any(
        about["part_stop"] <= about["part_start"]
    ):
        return [f"the parts of embedding are not its {size} columns, one part after the other"]
    return []


def check_block(file: h5py.File, first: int, last: int) -> dict[str, float]:
    """Largest deviations among conformers first:last; all are 0 in a perfect file."""
    offset = file["atom_offset"][first : last + 1]
    atoms = slice(offset[0], offset[-1])
    start = offset[:-1] - offset[0]  # first atom of each conformer within this block
    size = np.diff(offset)

    rotation = file["rotation"][first:last]
    translation = file["translation"][first:last]
    position = file["position"][atoms]
    canonical = file["canonical_position"][atoms]
    permutation = file["permutation"][atoms]

    # The permutations count from 0 within each conformer: shift them to rows of this block.
    in_range = (permutation >= 0) & (permutation < np.repeat(size, size))
    rows = np.where(in_range, permutation + np.repeat(start, size), 0)
    not_bijective = np.sum(np.bincount(rows, minlength=len(rows)) != 1) + np.sum(~in_range)

    # canonical @ R.T + t, with the R and t of the conformer that each atom belongs to
    placed = np.einsum("nj,nij->ni", canonical, np.repeat(rotation, size, axis=0))
    placed += np.repeat(translation, size, axis=0)
    orthogonality = rotation @ rotation.transpose(0, 2, 1) - np.eye(3)
    embedding = file["embedding"][first:last]
    return {
        "position, angstrom": worst(position[rows] - placed),
        "orthogonality of rotation": worst(orthogonality),
        "det(rotation) - 1": worst(np.linalg.det(rotation) - 1),
        "atoms not permuted one to one": float(not_bijective),
        "embedding values not finite": float(np.sum(~np.isfinite(embedding))),
        **(check_decoded(file, slice(first, last)) if set(file) >= DECODED else {}),
    }


def check_decoded(file: h5py.File, rows: slice) -> dict[str, float]:
    """How many conformers are said to be in the domain though they do not come back from their embeddings."""
    back = (file["decoded_formula"][rows] == 1) & (file["decoded_rmsd"][rows] <= LARGEST_DECODED_RMSD)
    return {"in_domain, but not decoded": float(np.sum((file["in_domain"][rows] == 1) & ~back))}


def worst(deviation: np.ndarray) -> float:
    """Largest absolute value; infinite if there is a NaN, 0 if there is nothing."""
    largest = float(np.max(np.abs(deviation), initial=0.0))
    return largest if np.isfinite(largest) else np.inf


def check(path: str, tolerance: float) -> bool:
    """Print a report on one file; true if nothing is violated."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        print(f"{path}: cannot be read as HDF5: {error}")
        return False
    with file:
        print(
            f"{path}: schema version {file.attrs['schema_version']}, molgiae {file.attrs['molgiae_version']}"
        )
        faults = check_layout(file)
        largest: dict[str, float] = {}
        conformers = len(file["record"])
        if not faults:
            for first in range(0, conformers, BLOCK):
                for name, value in check_block(file, first, min(first + BLOCK, conformers)).items():
                    largest[name] = max(value, largest.get(name, 0.0))
            limits = {"position, angstrom": tolerance}
            faults = [
                f"{name}: {value:.3g}"
                for name, value in largest.items()
                if not value <= limits.get(name, 1e-9)
            ]
        atoms, refused = len(file["position"]), len(file["rejected/record"])
        print(f"  conformers {conformers}, atoms {atoms}, refused {refused}")
        for name, value in largest.items():
            print(f"  largest deviation, {name}: {value:.3g}")
        for fault in faults:
            print(f"  VIOLATED: {fault}")
    return not faults


def main() -> int:
    """Check every file named; the exit status is 1 if one fails."""
    parser = argparse.ArgumentParser(description="Check molgiae HDF5 files from h5py and numpy alone.")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--tolerance", type=float, default=1e-6, help="angstrom (default 1e-6)")
    arguments = parser.parse_args()
    return 0 if all([check(path, arguments.tolerance) for path in arguments.files]) else 1


if __name__ == "__main__":
    sys.exit(main())
