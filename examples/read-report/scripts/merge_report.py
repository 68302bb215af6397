"""usage: merge_report.py --counts FILE… --bases FILE… --qualities FILE…

Merges the samples' numbers into table.tsv, quality.svg and report.html, in the current folder. The samples are sorted
by name, whatever the order of the files: the result depends on nothing else.
"""

import argparse
import csv
import html
from pathlib import Path

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 130, 30, 50
HIGHEST_QUALITY = 42
TABLE = ("sample", "reads", "bases", "shortest", "longest", "mean_length", "gc_percent", "N", "mean_quality")
HEADINGS = ("Sample", "Reads", "Bases", "Shortest", "Longest", "Mean length", "GC %", "Not read (N)", "Mean quality")

Row = dict[str, str]


def read_rows(paths: list[Path]) -> dict[str, list[Row]]:
    """The rows of tab-separated files by sample, sorted by sample."""
    rows: dict[str, list[Row]] = {}
    for path in paths:
        with path.open(newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                rows.setdefault(row["sample"], []).append(row)
    return dict(sorted(rows.items()))


def summary(counts: dict[str, list[Row]], bases: dict[str, list[Row]], qualities: dict[str, list[Row]]) -> list[Row]:
    """One row per sample, with the columns of TABLE."""
    merged = []
    for sample, [count] in counts.items():
        total = sum(int(row["reads"]) for row in qualities[sample])
        weighted = sum(float(row["mean"]) * int(row["reads"]) for row in qualities[sample])
        mean = f"{weighted / total:.1f}" if total else "0.0"
        merged.append({**count, **bases[sample][0], "mean_quality": mean})
    return merged


def table_tsv(rows: list[Row]) -> str:
    lines = ["\t".join(TABLE), *("\t".join(row[column] for column in TABLE) for row in rows)]
    return "\n".join(lines) + "\n"


class Plot:
    """The plot's scales: positions from 1 to `longest`, qualities from 0 up."""

    def __init__(self, longest: int) -> None:
        self.longest = longest

    def x(self, position: int) -> str:
        return f"{LEFT + (position - 1) / max(1, self.longest - 1) * (WIDTH - LEFT - RIGHT):.1f}"

    def y(self, quality: float) -> str:
        return f"{HEIGHT - BOTTOM - quality / HIGHEST_QUALITY * (HEIGHT - TOP - BOTTOM):.1f}"

    def points(self, rows: list[Row], column: str) -> list[str]:
        return [f"{self.x(int(row['position']))},{self.y(float(row[column]))}" for row in rows]


def quality_svg(qualities: dict[str, list[Row]]) -> str:
    """The mean quality by position, a line per sample; its band holds the middle 80 % of the reads."""
    plot = Plot(max((int(row["position"]) for rows in qualities.values() for row in rows), default=1))
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    font = 'font-family="sans-serif" font-size="13" fill="#333333"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>',
        "<title>Mean base quality by position in the read</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *axes(plot),
    ]
    for number, (sample, rows) in enumerate(qualities.items()):
        color = COLORS[number % len(COLORS)]
        band = plot.points(rows, "high") + plot.points(rows, "low")[::-1]
        parts.append(f'<polygon points="{" ".join(band)}" fill="{color}" fill-opacity="0.12"/>')
        line = " ".join(plot.points(rows, "mean"))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += legend(sample, number, color)
    return "\n".join([*parts, "</svg>"]) + "\n"


def axes(plot: Plot) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for quality in range(0, HIGHEST_QUALITY + 1, 10):
        y = plot.y(quality)
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y}" dy="4" text-anchor="end">{quality}</text>')
    parts += [
        f'<text x="{plot.x(position)}" y="{bottom + 18}" text-anchor="middle">{position}</text>'
        for position in [1, *range(20, plot.longest + 1, 20)]
    ]
    middle = (TOP + bottom) // 2
    parts.append(f'<text x="{(LEFT + right) // 2}" y="{HEIGHT - 10}" text-anchor="middle">Position in the read</text>')
    turned = f'x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})"'
    parts.append(f"<text {turned}>Mean quality (Phred)</text>")
    return parts


def legend(sample: str, number: int, color: str) -> list[str]:
    x, y = WIDTH - RIGHT + 16, TOP + 12 + 22 * number
    return [
        f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{color}" stroke-width="2"/>',
        f'<text x="{x + 28}" y="{y}" dy="4">{html.escape(sample)}</text>',
    ]


def report_html(rows: list[Row], svg: str) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in HEADINGS)
    body = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(row[column])}</td>" for column in TABLE) + "</tr>" for row in rows
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Read report</title>
<style>
body {{ font-family: sans-serif; color: #222222; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: 0.3rem 0.8rem; text-align: right; border-bottom: 1px solid #dddddd; }}
th:first-child, td:first-child {{ text-align: left; }}
svg {{ max-width: 100%; height: auto; }}
</style>
</head>
<body>
<h1>Read report</h1>
<p>Lengths are in bases, qualities on the Phred scale.</p>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}
</tbody>
</table>
<h2>Quality by position</h2>
<p>The line is the mean of the reads that reach the position; 80 % of them lie in the band.</p>
{svg}</body>
</html>
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--counts", "--bases", "--qualities"):
        parser.add_argument(name, nargs="+", type=Path, required=True, metavar="FILE")
    given = parser.parse_args()
    counts, bases, qualities = read_rows(given.counts), read_rows(given.bases), read_rows(given.qualities)
    if not counts.keys() == bases.keys() == qualities.keys():
        parser.error(f"not the same samples: {sorted(counts)}, {sorted(bases)}, {sorted(qualities)}")
    rows, svg = summary(counts, bases, qualities), quality_svg(qualities)
    Path("table.tsv").write_text(table_tsv(rows))
    Path("quality.svg").write_text(svg)
    Path("report.html").write_text(report_html(rows, svg))


if __name__ == "__main__":
    main()
