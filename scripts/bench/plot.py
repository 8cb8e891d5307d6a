"""A picture of the samples of `growth`: rate, memory and databases over the number of rows, as SVG."""

import argparse
import csv
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Line = list[tuple[float, float]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 920, 220, 70, 190, 40, 60
COLOURS = ("#1f5fa8", "#c4511d", "#2e7d4f", "#7b3fa0", "#8a6d00", "#555555")


def run(arguments: Sequence[str]) -> None:
    """Draw CSV files of `growth`."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench plot", description=__doc__)
    parser.add_argument("csv", type=Path, nargs="+", help="the rate of all files is drawn, memory only of the first")
    parser.add_argument("svg", type=Path, help="the picture")
    asked = parser.parse_args(arguments)
    draw(asked.csv, asked.svg)


def draw(samples: Sequence[Path], picture: Path) -> None:
    """Draw the rate of all files, and memory and databases of the first file, into the SVG file `picture`."""
    files = {path.stem: _read(path) for path in samples}
    first = next(iter(files.values()))
    panels = [
        ("rows a second", {name: smooth(_line(rows, "per_s")[1:]) for name, rows in files.items()}),
        ("memory, MB", _lines(first, "rss_mb_")),
        ("databases, MB", _lines(first, "db_mb_")),
    ]
    height = TOP + len(panels) * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#222" role="img">',
        "<title>Rate, memory and size of the databases while rows of a file become open cases.</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        parts += _panel(title, lines, TOP + number * (HEIGHT + GAP))
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text("\n".join([*parts, "</svg>"]) + "\n")


def _read(path: Path) -> list[dict[str, float]]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _line(rows: Sequence[Mapping[str, float]], name: str) -> Line:
    return [(row["done"], row[name]) for row in rows]


def _lines(rows: Sequence[Mapping[str, float]], prefix: str) -> dict[str, Line]:
    names = [name for name in rows[0] if name.startswith(prefix)]
    return {name.removeprefix(prefix): _line(rows, name) for name in names}


def smooth(line: Line, most: int = 60) -> Line:
    """Return the line with the means of neighbours, so that it has at most `most` points."""
    size = math.ceil(len(line) / most) or 1
    parts = [line[start : start + size] for start in range(0, len(line), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def ticks(largest: float) -> list[float]:
    """Return four to six round values from 0 up to the first that is not below `largest`; 0 and 1 if that is 0."""
    if largest <= 0:
        return [0.0, 1.0]
    power = 10.0 ** math.floor(math.log10(largest))
    step = next(power * each for each in (0.2, 0.25, 0.5, 1.0, 2.0) if largest / (power * each) <= 5)
    return [step * number for number in range(math.ceil(largest / step) + 1)]


def _panel(title: str, lines: Mapping[str, Line], top: float) -> list[str]:
    """Return the elements of one diagram."""
    across = ticks(max((x for line in lines.values() for x, _ in line), default=0))
    up = ticks(max((y for line in lines.values() for _, y in line), default=0))
    wide = WIDTH - LEFT - RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + wide * x / across[-1], top + HEIGHT - HEIGHT * y / up[-1]

    parts = [f'<text x="{LEFT}" y="{top - 12}" font-weight="600">{escape(title)}</text>']
    for value in up:
        _, y = place(0, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{LEFT + wide}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:,g}</text>')
    for value in across:
        x, y = place(value, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{value:,.0f}</text>')
    parts.append(f'<text x="{LEFT + wide + 34}" y="{top + HEIGHT + 18}">rows done</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*each) for each in line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 14 + 20 * number
        parts.append(f'<rect x="{LEFT + wide + 16}" y="{y - 9}" width="12" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + wide + 34}" y="{y}">{escape(name)}</text>')
    return parts
