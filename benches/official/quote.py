"""Writes what README.md quotes of the figures, and prints what the performance notes quote: quote.py [--check] [FIGURES.json]

The table in README.md is made anew between its two marks; with --check it is only compared. Only the standard library is needed.
"""

import argparse
import json
import pathlib
import re
import sys

# No cache beside the scripts.
sys.dont_write_bytecode = True

from plot import label, official

HERE = pathlib.Path(__file__).parent
README = HERE.parent.parent / "README.md"
BEGIN = "<!-- figures, by benches/official/quote.py -->\n"
END = "<!-- end of figures -->\n"
# A figure of ours by the official SDK's, as the table calls it.
COLUMNS = {
    "cpu_us_per_row": "CPU a row",
    "rows_per_s": "rows a second",
    "wire_bytes": "bytes sent",
    "peak_rss": "peak memory",
    "append_p99": "append p99",
    "commit_known_s": "commit known",
}
# What the notes quote: the place there, the configuration, and the figure.
NOTES = [
    ("CPU a row, batches of 1,000", "1000", "cpu_us_per_row"),
    ("CPU a row, row by row", "1", "cpu_us_per_row"),
    ("rows a second, one channel", "1000", "rows_per_s"),
    ("rows a second, one channel, row by row", "1", "rows_per_s"),
    ("bytes on the wire", "1000", "wire_bytes"),
    ("peak memory, the server keeps up", "1000", "peak_rss"),
    ("append p99, batches of 1,000", "1000", "append_p99"),
]


def main():
    parser = argparse.ArgumentParser(description="Quotes the figures of run.sh --json")
    parser.add_argument("--check", action="store_true", help="only compare the table in README.md")
    parser.add_argument("figures", nargs="?", type=pathlib.Path, default=HERE / "figures.json")
    args = parser.parse_args()

    figures = json.loads(args.figures.read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    old, after = rest.split(END)
    new = block(figures)
    if args.check:
        if old != new:
            sys.exit(f"{README} does not quote {args.figures}: benches/official/quote.py writes it anew")
        return
    README.write_text(before + BEGIN + new + END + after, encoding="utf-8")
    notes(figures)


def block(figures):
    lines = [
        f"There were {figures['pairs']} pairs of runs of {figures['rows']:,} rows, beside version {official()}, on {figures['machine']['cores']} "
        "cores. Each value is this crate's",
        "divided by the official SDK's: the median of the pairs, with the lowest and the highest where they are recorded.",
        "",
        "| appended | " + " | ".join(COLUMNS.values()) + " |",
        "|---" * (len(COLUMNS) + 1) + "|",
    ]
    for one in figures["configurations"]:
        cells = [ratio(one, figure) for figure in COLUMNS]
        lines.append("| " + " | ".join([title(one), *cells]) + " |")
    lines.append("")
    if any(one["contradictions"] for one in figures["configurations"]):
        lines += ["A median is left out if the ratio of the two sides' medians contradicts it.", ""]
    return "\n".join(lines) + "\n"


def title(configuration):
    words = label(configuration)
    if configuration["rate"]:
        words.append(f"{configuration['rate']:,} rows/s")
    return ", ".join(words)


def ratio(configuration, figure):
    """A ratio with its spread; without a median if its two statistics contradict each other, and nothing if it is not known."""
    values = configuration["ratios"].get(figure)
    # At a given rate there is no rate to compare.
    if values is None or values["median"] is None or figure == "rows_per_s" and configuration["rate"]:
        return "–"
    ends = [f"{values[end]:.2f}" for end in ("lowest", "highest") if values[end] is not None]
    # Alike to two decimals is no spread.
    spread = "–".join(ends) if len(set(ends)) > 1 else ""
    if any(one["figure"] == figure for one in configuration["contradictions"]):
        return spread or "–"
    return f"{values['median']:.2f} ({spread})" if spread else f"{values['median']:.2f}"


def notes(figures):
    """What benches/README.md says under "What was aimed at"."""
    by_name = {one["name"]: one for one in figures["configurations"]}
    print(f"Written: the table in {README}. Of benches/README.md, \"What was aimed at\":")
    for place, name, figure in NOTES:
        if name in by_name:
            print(f"  {place}: {ratio(by_name[name], figure)} × official")
    floors = figures["floors"]
    if floors:
        alone, beside = (floors[which]["cpu_us_per_row"] for which in ("alone", "beside"))
        print(f"  the floor: {alone:.2f} µs a row alone, {beside:.2f} beside a busy neighbour")
    for name in ("1000", "1"):
        one = by_name.get(name)
        if one and one["times_floor"]:
            print(f"  {name}: {one['times_floor']:.2f} × the floor, {one['times_busy_floor']:.2f} × the floor beside a busy neighbour")
    if "1" in by_name and "1000" in by_name:
        single, batch = (by_name[name]["ours"]["cpu_us_per_row"] for name in ("1", "1000"))
        print(f"  CPU a row, row by row by batches: {single / batch:.2f}")
    for one in figures["configurations"]:
        ours, theirs = (one[side]["append_max_us"] / 1000 for side in ("ours", "official"))
        print(f"  {title(one)}: the longest append took {ours:.0f} ms, the official SDK's {theirs:.0f}")


if __name__ == "__main__":
    main()
