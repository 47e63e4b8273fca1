// The network overview: key figures of a period, each resort's status, bars by resort and lines by date.

import { Chart } from "./charts.js";
import { byId, list, make, setAttribute, setChip, setMetric, setShare, setText, table } from "./dom.js";
import * as format from "./format.js";

const FORMATS = {
  visitors: format.count,
  revenue: format.money,
  capacity_pct: format.percent,
  rides: format.count,
};

const STATUS_LEVELS = { Normal: "normal", Busy: "busy", "At Capacity": "full" };

const chosen = { bars: "visitors", trend: "visitors" };
let shown = null;
let chart = null;

export function start() {
  chart = new Chart(byId("trend"), { points: true });
  for (const [name, draw] of [["bars", drawBars], ["trend", drawTrend]]) {
    byId(`${name}-metric`).addEventListener("change", (event) => {
      chosen[name] = event.target.value;
      if (shown) {
        draw(shown);
      }
    });
  }
}

export function render(report) {
  shown = report;
  setMetric("network.range", format.range(report.range.from, report.range.to));
  drawTiles(report);
  table(byId("resort-status"), report.resorts, STATUS_COLUMNS);
  drawBars(report);
  drawTrend(report);
}

function drawTiles({ kpis, range }) {
  const before = format.shortRange(range.previous_from, range.previous_to);
  for (const [name, write] of [["visitors", format.count], ["revenue", format.money], ["rides", format.count]]) {
    const { value, before: earlier, change_pct: change } = kpis[name];
    setMetric(`network.${name}`, write(value));
    const line = byId(`${name}-change`);
    setAttribute(line, "data-direction", change > 0 ? "up" : change < 0 ? "down" : "same");
    setMetric(`network.${name}.change`, format.change(change));
    setMetric(`network.${name}.words`, comparison(earlier, change));
    setMetric(`network.${name}.before`, before);
  }
  const { value, level } = kpis.capacity;
  setMetric("network.capacity", format.percent(value));
  // In an account the day may be missing for some time, and then its capacity is unknown.
  setChip(document.querySelector('[data-metric="network.capacity.level"]'), level, value === null ? "" : format.level(level));
}

/** The text between a change and the previous dates; empty without a previous number. */
function comparison(earlier, change) {
  if (!earlier) {
    return "no numbers for";
  }
  return change > 0 ? "up from" : change < 0 ? "down from" : "against";
}

const STATUS_COLUMNS = [
  { header: "row", text: (row) => row.resort },
  { metric: (row) => `network.resort.${row.resort}.capacity`, text: (row) => format.percent(row.capacity_pct) },
  {
    metric: (row) => `network.resort.${row.resort}.status`,
    level: (row) => STATUS_LEVELS[row.status],
    text: (row) => row.status,
  },
  { metric: (row) => `network.resort.${row.resort}.visitors`, text: (row) => format.count(row.visitors) },
  { metric: (row) => `network.resort.${row.resort}.rides`, text: (row) => format.count(row.rides) },
  { metric: (row) => `network.resort.${row.resort}.revenue`, text: (row) => format.money(row.revenue) },
];

/** A resort has the same colour everywhere, by the alphabetical position of its name. */
function colours(report) {
  const names = report.trend.resorts.map(({ resort }) => resort).sort();
  return new Map(names.map((name, index) => [name, `--series-${(index % 5) + 1}`]));
}

function drawBars(report) {
  const metric = chosen.bars;
  const most = Math.max(...report.resorts.map((row) => row[metric] ?? 0));
  const colour = colours(report);
  const makeBar = () =>
    make("li", "", make("span", "name"), make("span", "bar", make("span", "fill")), make("span", "value"));
  const byName = [...report.resorts].sort((one, other) => (one.resort < other.resort ? -1 : 1));
  list(byId("bars"), byName, makeBar, (item, row) => {
    const [name, bar, value] = item.children;
    setText(name, row.resort);
    setShare(bar, (row[metric] ?? 0) / most);
    bar.style.setProperty("--colour", `var(${colour.get(row.resort) ?? "--accent"})`);
    setAttribute(value, "data-metric", `network.bars.${row.resort}.${metric}`);
    setText(value, FORMATS[metric](row[metric]));
  });
}

function drawTrend(report) {
  const metric = chosen.trend;
  const { dates, resorts } = report.trend;
  const colour = colours(report);
  const write = FORMATS[metric];
  const name = (at, row) => `network.trend.${dates[at]}.${row.resort}.${metric}`;
  const makeKey = () => make("li", "", make("span", "swatch"), make("span"));
  list(byId("trend-legend"), resorts, makeKey, (item, row) => {
    item.firstElementChild.style.setProperty("--colour", `var(${colour.get(row.resort)})`);
    setText(item.lastElementChild, row.resort);
  });
  chart.draw({
    x: dates.map((_, index) => index),
    xText: (index) => (dates[index] ? format.shortDate(dates[index]) : ""),
    xTitle: (index) => format.date(dates[index]),
    isWholeX: true,
    isWholeY: metric === "visitors",
    yText: { visitors: format.axis, revenue: (value) => `$${format.axis(value)}`, capacity_pct: (value) => `${value}%` }[metric],
    series: resorts.map((row) => ({
      name: row.resort,
      colour: colour.get(row.resort),
      values: row[metric],
      text: write,
      metric: (index) => name(index, row),
    })),
  });
  const heads = [{ header: "col", text: () => "Date" }];
  const columns = [{ header: "row", text: (at) => format.date(dates[at]) }];
  for (const row of resorts) {
    heads.push({ header: "col", text: () => row.resort });
    columns.push({ metric: (at) => name(at, row), text: (at) => write(row[metric][at]) });
  }
  table(byId("trend-head"), [0], heads);
  table(byId("trend-body"), dates.map((_, index) => index), columns);
}
