"""SDF and XYZ text for tests, written by the plainest possible code."""

from __future__ import annotations

from collections.abc import Sequence

SYMBOL = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 16: "S", 17: "Cl", 35: "Br"}
Atoms = list[tuple[str, float, float, float]]


def molecule(seed: int) -> Atoms:
    """Ethanol-like heavy chain with hydrogens, different for every seed; no two atoms close."""
    symbols = ["C", "C", "O", "N", "Cl"][: 3 + seed % 3] + ["H"] * (4 + seed % 4)
    return [
        (
            symbol,
            round(1.1 * i + 0.0137 * seed, 4),
            round(-0.9 + 0.3 * (i % 3), 4),
            round(0.7 * (i % 2) - 0.01 * seed, 4),
        )
        for i, symbol in enumerate(symbols)
    ]


def sdf_record(
    atoms: Atoms,
    title: str = "",
    bonds: Sequence[tuple[int, int]] | None = None,
    block: Sequence[str] = (),
    data: Sequence[tuple[str, str]] = (),
) -> str:
    if bonds is None:
        bonds = [(i, i + 1) for i in range(1, len(atoms))]
    lines = [title, "     test           3D", ""]
    lines.append(f"{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000")
    lines += [
        f"{x:10.4f}{y:10.4f}{z:10.4f} {s:<3} 0  0  0  0  0  0  0  0  0  0  0  0" for s, x, y, z in atoms
    ]
    lines += [f"{a:3d}{b:3d}  1  0" for a, b in bonds]
    lines += [*block, "M  END"]
    for name, value in data:
        lines += [f">  <{name}>", *value.split("\n"), ""]
    return "\n".join([*lines, "$$$$", ""])


def v3000_record(
    atoms: Atoms, title: str = "", extra: Sequence[str] = (), data: Sequence[tuple[str, str]] = ()
) -> str:
    lines = [
        title,
        "     test           3D",
        "",
        "  0  0  0     0  0            999 V3000",
        "M  V30 BEGIN CTAB",
    ]
    lines += [f"M  V30 COUNTS {len(atoms)} {len(atoms) - 1} 0 0 0", "M  V30 BEGIN ATOM"]
    for i, (symbol, x, y, z) in enumerate(atoms):
        tail = extra[i] if i < len(extra) else ""
        lines.append(f"M  V30 {i + 1} {symbol} {x} {y} {z} 0 {tail}".rstrip())
    lines += ["M  V30 END ATOM", "M  V30 BEGIN BOND"]
    lines += [f"M  V30 {i} 1 {i} {i + 1}" for i in range(1, len(atoms))]
    lines += ["M  V30 END BOND", "M  V30 END CTAB", "M  END"]
    for name, value in data:
        lines += [f">  <{name}>", *value.split("\n"), ""]
    return "\n".join([*lines, "$$$$", ""])


def xyz_frame(atoms: Atoms, comment: str = "", form: str = "{:<2} {:15.8f} {:15.8f} {:15.8f}") -> str:
    return "\n".join([str(len(atoms)), comment, *(form.format(*atom) for atom in atoms), ""])
