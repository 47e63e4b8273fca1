"""Draws what run.sh --json has written: plot.py FIGURES.json OUT.svg

One panel each for rows a second, CPU a row and peak memory; in it a pair of bars for each configuration, with the ratio
below. Only the standard library is needed, and the same figures give the same picture.
"""

import argparse
import json
import pathlib
import re
import xml.etree.ElementTree as ET

WIDTH = 800
MARGIN = 24
HEAD = 62
# A panel from top to bottom: its title, the bars with room for a value above, the texts below, and a gap.
TITLE = 20
BARS = 104
LINE = 16
GAP = 28
# The longest bar, as a part of the height that the bars have.
TALLEST = 0.84
# A bar's width as a part of its group's, up to a limit if there are few groups.
BAR = 0.36
WIDEST = 70

# A picture of its own background is legible on a white page and on a dark one.
PAPER = "#ffffff"
EDGE = "#d0d7de"
INK = "#1f2328"
PALE = "#59636e"
# Blue and orange look different to everybody; their lightness differs as well.
OURS = "#0072b2"
OFFICIAL = "#e69f00"

MIB = 1 << 20


def rate(value):
    return f"{value / 1e6:.2f} M"


def microseconds(value):
    return f"{value:.2f}"


def mebibytes(value):
    return f"{value / MIB:,.0f}"


# Title, what is better, the key in the figures, and how a value is written.
PANELS = [
    ("rows a second", "more is better", "rows_per_s", rate),
    ("CPU a row (µs)", "less is better", "cpu_us_per_row", microseconds),
    ("peak memory (MiB)", "less is better", "peak_rss", mebibytes),
]


def main():
    parser = argparse.ArgumentParser(description="Draws the figures of run.sh --json")
    parser.add_argument("figures", metavar="FIGURES.json", type=pathlib.Path)
    parser.add_argument("out", metavar="OUT.svg", type=pathlib.Path)
    args = parser.parse_args()

    svg = draw(json.loads(args.figures.read_text(encoding="utf-8")))
    ET.indent(svg, " ")
    args.out.write_text(ET.tostring(svg, encoding="unicode") + "\n", encoding="utf-8")


def draw(figures):
    # At a given rate there is no rate to compare.
    configurations = [one for one in figures["configurations"] if not one.get("rate")]
    labels = [label(configuration) for configuration in configurations]
    notes = caption(figures)
    # The labels of all groups take as many lines as the longest one, and the ratio a further one.
    panel = TITLE + BARS + LINE * (max(map(len, labels)) + 1) + GAP
    foot = HEAD + panel * len(PANELS)
    height = foot + LINE * len(notes)

    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    svg.set("width", str(WIDTH))
    svg.set("height", str(height))
    svg.set("font-family", "Helvetica, Arial, sans-serif")
    ET.SubElement(svg, "title").text = "This crate beside the official SDK: rows a second, CPU a row, peak memory"
    rect(svg, 0.5, 0.5, WIDTH - 1, height - 1, PAPER, stroke=EDGE, rx="6")
    legend(svg)
    for index, (title, better, key, write) in enumerate(PANELS):
        top = HEAD + panel * index
        text(svg, MARGIN, top + 6, title, size=14, weight="bold")
        text(svg, WIDTH - MARGIN, top + 6, better, color=PALE, anchor="end")
        bars(svg, top + TITLE, configurations, labels, key, write)
    for index, note in enumerate(notes):
        text(svg, MARGIN, foot + LINE * index, note, size=11, color=PALE)
    return svg


def legend(svg):
    text(svg, MARGIN, 30, "Beside the official SDK", size=16, weight="bold")
    for x, color, who in ((WIDTH - MARGIN - 200, OURS, "this crate"), (WIDTH - MARGIN - 96, OFFICIAL, "official SDK")):
        rect(svg, x, 19, 12, 12, color)
        text(svg, x + 18, 30, who, size=13)


def bars(svg, top, configurations, labels, key, write):
    foot = top + BARS
    ratios = foot + LINE * (max(map(len, labels)) + 1)
    group = (WIDTH - 2 * MARGIN) / len(configurations)
    width = min(group * BAR, WIDEST)
    pairs = [(configuration["ours"][key], configuration["official"][key]) for configuration in configurations]
    scale = BARS * TALLEST / (max(map(max, pairs)) or 1)
    for index, (configuration, lines, pair) in enumerate(zip(configurations, labels, pairs)):
        middle = MARGIN + group * (index + 0.5)
        for value, color, x in zip(pair, (OURS, OFFICIAL), (middle - width - 1, middle + 1)):
            length = value * scale
            rect(svg, x, foot - length, width, length, color)
            # What the system does not tell is zero in the figures.
            text(svg, x + width / 2, foot - length - 5, write(value) if value else "?", anchor="middle")
        for below, line in enumerate(lines, 1):
            text(svg, middle, foot + LINE * below, line, color=PALE, anchor="middle")
        ratio = configuration["ratios"][key]["median"]
        text(svg, middle, ratios, "?" if ratio is None else f"{ratio:.2f} ×", size=13, anchor="middle", weight="bold")
    ET.SubElement(svg, "path", d=f"M{MARGIN} {foot + 0.5}H{WIDTH - MARGIN}", stroke=PALE)


def label(configuration):
    """What tells a configuration from the others, in lines."""
    batch, channels, delay = (configuration[key] for key in ("batch", "channels", "delay_ms"))
    lines = ["row by row" if batch == 1 else f"batches of {batch:,}"]
    if channels > 1:
        lines.append(f"{channels} channels")
    if delay:
        lines.append(f"{delay} ms delay")
    return lines


def caption(figures):
    machine = figures["machine"]
    load = "" if machine["load_before"] is None else f", load {machine['load_before']} before"
    notes = [
        "Bold: ours by the official SDK's, the median of the ratios of the pairs. Bars: medians. Memory: with interpreter and rows.",
        f"snowpipe-streaming {machine['crate_version']} ({machine['rustc'].split(' (')[0]}) and the official SDK {official()}; "
        f"{machine['cores']} cores{load}; {figures['rows']:,} rows a run; pairs: {figures['pairs']}.",
    ]
    return notes if machine["optimized"] else [*notes, "Built without optimization: the figures say nothing."]


def official():
    """The version that run.sh installs: the figures do not name it."""
    script = pathlib.Path(__file__).with_name("run.sh").read_text(encoding="utf-8")
    return re.search(r"^version=(\S+)$", script, re.MULTILINE)[1]


def rect(svg, x, y, width, height, color, **more):
    places = {"x": short(x), "y": short(y), "width": short(width), "height": short(height)}
    ET.SubElement(svg, "rect", places, fill=color, **more)


def text(svg, x, y, content, size=12, color=INK, anchor="start", weight="normal"):
    places = {"x": short(x), "y": short(y), "font-size": str(size)}
    element = ET.SubElement(svg, "text", places, fill=color)
    if anchor != "start":
        element.set("text-anchor", anchor)
    if weight != "normal":
        element.set("font-weight", weight)
    element.text = content


def short(value):
    return f"{value:.1f}".removesuffix(".0")


if __name__ == "__main__":
    main()
