"""The picture of the rooms in CONTRIBUTING: a box for each room of molgiae, an arrow for each that it imports from.

    python benchmarks/rooms.py
    python benchmarks/rooms.py --output rooms.svg

Imports are read from the text of the modules, those inside functions and for typing included. Rooms stand in layers, so
that every arrow points down; an arrow to a room that others on the way already import from is left out. Prints the
rooms with their files and lines, and how many arrows there are. A circle is an error.
"""

from __future__ import annotations

import argparse
import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

HOME = Path(__file__).parents[1]
PICTURE = HOME / "examples" / "figures" / "rooms.svg"
ROOT = "config, errors, tensors, plots"
"""The room of modules that lie in no folder."""
BOX_WIDTH, BOX_HEIGHT, GAP_ACROSS, GAP_DOWN, MARGIN = 200, 44, 26, 46, 16
"""Pixels."""
SWEEPS = 24
"""Times that rooms of a layer are sorted by the places of those that they are tied to."""

Arrows = dict[str, set[str]]
"""Room to the rooms that it imports from."""


@dataclass
class Room:
    """A folder of modules.

    Attributes:
        files: number of modules.
        lines: of all of them.
    """

    files: int = 0
    lines: int = 0


def modules() -> Iterator[tuple[str, str]]:
    """Yield the room and the text of each module of molgiae and of its command line."""
    for folder in (HOME / "molgiae", HOME / "cli"):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).parts
            room = "cli" if folder.name == "cli" else parts[0] if len(parts) > 1 else ROOT
            yield room, path.read_text(encoding="utf-8")


def imported(text: str) -> Iterator[str]:
    """Yield the full names of what a module of molgiae imports from molgiae."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue  # relative ones stay in their room
        yield from (name for name in names if name.split(".")[0] == "molgiae")


def read_house() -> tuple[dict[str, Room], Arrows]:
    """Return the rooms, and which imports from which."""
    rooms: dict[str, Room] = defaultdict(Room)
    texts = list(modules())
    for room, text in texts:
        rooms[room].files += 1
        rooms[room].lines += text.count("\n")
    arrows: Arrows = {room: set() for room in rooms}
    for room, text in texts:
        targets = [name.split(".")[1] for name in imported(text) if "." in name]
        arrows[room] |= {target if target in rooms else ROOT for target in targets} - {room}
    return dict(rooms), arrows


def layers_of(arrows: Arrows) -> dict[str, int]:
    """Return room to layer, 0 at the bottom: one above the highest room that it imports from.

    Raises:
        SystemExit: if rooms import from each other in a circle.
    """
    found: dict[str, int] = {}
    while len(found) < len(arrows):
        free = [room for room in arrows if room not in found and arrows[room] <= found.keys()]
        if not free:
            raise SystemExit(f"a circle among {', '.join(sorted(set(arrows) - found.keys()))}")
        for room in free:
            found[room] = max((found[target] + 1 for target in arrows[room]), default=0)
    return found


def without_detours(arrows: Arrows, layers: dict[str, int]) -> Arrows:
    """Return the transitive reduction: arrows that no way over another room explains."""
    reached: Arrows = {}
    for room in sorted(arrows, key=lambda room: layers[room]):
        reached[room] = arrows[room].union(*(reached[target] for target in arrows[room]))
    return {
        room: {t for t in targets if not any(t in reached[other] for other in targets - {t})}
        for room, targets in arrows.items()
    }


@dataclass
class Drawing:
    """Places of boxes and of the bends of arrows.

    Attributes:
        rows: names in each layer from the top, left to right; bends are named ``room>target>layer``.
        paths: for each arrow the names it passes, from the room to its target.
    """

    rows: list[list[str]]
    paths: list[list[str]]

    @classmethod
    def of(cls, arrows: Arrows, layers: dict[str, int]) -> Drawing:
        """Return a drawing in which arrows cross rarely; the same for the same house."""
        top = max(layers.values())
        rows: list[list[str]] = [[] for _ in range(top + 1)]
        for room in sorted(layers):
            rows[top - layers[room]].append(room)
        paths = []
        for room in sorted(arrows):
            for target in sorted(arrows[room]):
                between = range(layers[room] - 1, layers[target], -1)
                bends = [f"{room}>{target}>{layer}" for layer in between]
                for bend, layer in zip(bends, between, strict=True):
                    rows[top - layer].append(bend)
                paths.append([room, *bends, target])
        drawing = cls(rows, paths)
        drawing.untangle()
        return drawing

    def untangle(self) -> None:
        """Sort each layer by the mean place of what its names are tied to, downwards and upwards in turn."""
        tied = defaultdict(list)
        for path in self.paths:
            for one, other in pairwise(path):
                tied[one].append(other)
                tied[other].append(one)
        for sweep in range(SWEEPS):
            rows = self.rows if sweep % 2 == 0 else self.rows[::-1]
            for above, row in pairwise(rows):
                place = {name: (k + 0.5) / len(above) for k, name in enumerate(above)}
                own = {name: (k + 0.5) / len(row) for k, name in enumerate(row)}
                near = {n: [place[t] for t in tied[n] if t in place] or [own[n]] for n in row}
                row.sort(key=lambda name, near=near: (sum(near[name]) / len(near[name]), name))

    def places(self) -> dict[str, tuple[float, float]]:
        """Return the middle of each name, pixels from the top left."""
        widths = [
            sum(GAP_ACROSS if ">" in name else BOX_WIDTH + GAP_ACROSS for name in row) for row in self.rows
        ]
        found = {}
        for k, (row, width) in enumerate(zip(self.rows, widths, strict=True)):
            x = MARGIN + (max(widths) - width) / 2
            y = MARGIN + BOX_HEIGHT / 2 + k * (BOX_HEIGHT + GAP_DOWN)
            for name in row:
                step = GAP_ACROSS if ">" in name else BOX_WIDTH + GAP_ACROSS
                found[name] = (x + step / 2, y)
                x += step
        return found

    def svg(self, rooms: dict[str, Room]) -> str:
        """Return the picture as text."""
        places = self.places()
        width = 2 * MARGIN + max(x for x, _ in places.values()) + BOX_WIDTH / 2
        height = 2 * MARGIN + BOX_HEIGHT + (len(self.rows) - 1) * (BOX_HEIGHT + GAP_DOWN)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
            'font-family="sans-serif" text-anchor="middle">',
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>',
            f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
            *(curve([places[name] for name in path]) for path in self.paths),
            *(box(name, room, places[name]) for name, room in sorted(rooms.items())),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def curve(points: list[tuple[float, float]]) -> str:
    """Return an arrow from the lower edge of the first box, through the bends, to the upper edge of the last."""
    half = BOX_HEIGHT / 2
    (x, y), last = points[0], len(points) - 1
    path = f"M{x:.0f} {y + half:.0f}"
    for k, (there, level) in enumerate(points[1:], start=1):
        start, end = y + half, level - half
        middle = (start + end) / 2
        path += f"C{x:.0f} {middle:.0f} {there:.0f} {middle:.0f} {there:.0f} {end:.0f}"
        path += "" if k == last else f"V{level + half:.0f}"
        x, y = there, level
    return f'<path d="{path}" fill="none" stroke="#667" stroke-width="1.2" marker-end="url(#head)"/>'


def box(name: str, room: Room, place: tuple[float, float]) -> str:
    """Return a box with the name of a room, its files and its lines."""
    x, y = place
    return (
        f'<rect x="{x - BOX_WIDTH / 2:.0f}" y="{y - BOX_HEIGHT / 2:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
        f'rx="6" fill="#eef3fa" stroke="#456"/><text x="{x:.0f}" y="{y - 4:.0f}" font-size="13">{escape(name)}</text>'
        f'<text x="{x:.0f}" y="{y + 13:.0f}" font-size="11" fill="#556">{described(room)}</text>'
    )


def described(room: Room) -> str:
    """Return the size of a room in words."""
    lines = f"{room.lines:,}".replace(",", " ")
    return f"{room.files} file{'s' if room.files > 1 else ''}, {lines} lines"


def main() -> None:
    """Read, draw, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", "-o", type=Path, default=PICTURE, help="the picture, an SVG file")
    options = parser.parse_args()
    rooms, arrows = read_house()
    layers = layers_of(arrows)
    drawn = without_detours(arrows, layers)
    options.output.write_text(Drawing.of(drawn, layers).svg(rooms), encoding="utf-8")
    for room in sorted(rooms, key=lambda room: (-layers[room], room)):
        targets = ", ".join(sorted(arrows[room])) or "nothing"
        print(f"{room:32s}{rooms[room].files:4d} files{rooms[room].lines:7d} lines   imports {targets}")
    count = sum(map(len, arrows.values()))
    print(
        f"{len(rooms)} rooms, {count} arrows, {sum(map(len, drawn.values()))} of them drawn; "
        f"{sum(room.files for room in rooms.values())} files, {sum(room.lines for room in rooms.values())} lines"
    )


if __name__ == "__main__":
    main()
