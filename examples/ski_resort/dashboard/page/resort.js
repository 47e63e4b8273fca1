// Mountain operations: the hour, the lifts, the day and the weeks of one resort.

import { Chart } from "./charts.js";
import { byId, list, make, setAttribute, setChip, setMetric, setShare, setText, show, table } from "./dom.js";
import * as format from "./format.js";

const BADGES = { hot: "Hot", active: "Active", normal: "Normal" };
const DAILY = {
  ABOVE_TARGET: ["normal", "Above target"],
  NEAR_TARGET: ["busy", "Near target"],
  BELOW_TARGET: ["full", "Below target"],
};

const FIRST_HOUR = 6;
const HOURS_BETWEEN_LABELS = 2;

const narrow = matchMedia("(max-width: 480px)");
let chart = null;

export function start() {
  chart = new Chart(byId("hours"), { area: true, points: true });
}

/** The list of resorts, also if the chosen resort has no report. */
export function renderChoice(resorts, resort) {
  const makeChoice = () => {
    const input = make("input");
    input.type = "radio";
    input.name = "resort";
    return make("label", "", input, make("span"));
  };
  const holder = byId("resorts");
  if (holder.children.length === 1) {
    holder.append(make("div", "options"));
  }
  list(holder.lastElementChild, resorts, makeChoice, (label, name) => {
    const [input, text] = label.children;
    setText(text, name);
    input.value = name;
    input.checked = name === resort;
  });
  show(holder, resorts.length > 0);
  setText(byId("resort-title"), resort ?? "Resort");
}

export function render(report) {
  // In an account the tables of a report are refreshed at different times, so the hour or the day may be missing.
  const now = report.now ?? {};
  const daily = report.daily ?? {};
  setMetric("resort.now.visitors", format.count(now.visitors));
  setMetric("resort.now.capacity", format.percent(now.capacity_pct));
  setMetric("resort.now.rides", format.count(now.rides));
  setMetric("resort.now.revenue", format.money(now.revenue));
  setChip(document.querySelector('[data-metric="resort.now.level"]'), now.level, format.level(now.level));
  drawLifts(report.lifts);
  drawHours(report.hours);
  const [level, status] = DAILY[daily.status] ?? ["normal", ""];
  setChip(document.querySelector('[data-metric="resort.daily.status"]'), level, status);
  setMetric("resort.daily.date", format.date(daily.date));
  setMetric("resort.daily.revenue", format.money(daily.revenue));
  setMetric("resort.daily.target", format.money(daily.target));
  setMetric("resort.daily.achievement", format.percent(daily.achievement_pct));
  setShare(byId("daily-meter"), daily.achievement_pct / 100);
  table(byId("weeks"), report.weeks, WEEK_COLUMNS);
}

function drawLifts(lifts) {
  const span = (name) => make("span", name);
  const makeLift = () =>
    make(
      "li",
      "",
      span("rank"),
      span("name"),
      span("chip"),
      make("span", "bar", span("fill")),
      make("span", "detail", span("rides"), ", ", span("visitors"), ", ", span("rate")),
    );
  list(byId("lifts"), lifts, makeLift, (item, lift) => {
    const metric = (name, text) => {
      const element = item.querySelector(`.${name}`);
      setAttribute(element, "data-metric", `resort.lift.${lift.rank}.${name}`);
      setText(element, text);
    };
    metric("rank", String(lift.rank));
    metric("name", lift.lift);
    metric("rides", format.rides(lift.rides));
    metric("visitors", format.visitors(lift.visitors));
    metric("rate", format.ridesPerHour(lift.rides_per_hour));
    const chip = item.querySelector(".chip");
    setAttribute(chip, "data-metric", `resort.lift.${lift.rank}.badge`);
    setChip(chip, lift.badge, BADGES[lift.badge]);
    setShare(item.querySelector(".bar"), lift.share_pct / 100);
  });
}

function drawHours(hours) {
  const name = (hour) => `resort.hour.${hour}`;
  chart.draw({
    x: hours.map(({ hour }) => hour),
    xText: (hour) => (narrow.matches ? String(hour) : format.hour(hour)),
    xTitle: format.hour,
    xSplits: hours.map(({ hour }) => hour).filter((hour) => (hour - FIRST_HOUR) % HOURS_BETWEEN_LABELS === 0),
    isWholeY: true,
    yText: format.axis,
    series: [
      {
        name: "Visitors",
        colour: "--accent",
        values: hours.map(({ visitors }) => visitors),
        text: format.count,
        metric: (index) => name(hours[index].hour),
      },
    ],
  });
  table(byId("hours-body"), hours, [
    { header: "row", text: ({ hour }) => format.hour(hour) },
    { metric: ({ hour }) => name(hour), text: ({ visitors }) => format.count(visitors) },
  ]);
}

const weekly = (name, write, field) => ({
  metric: (_, index) => `resort.week.${index + 1}.${name}`,
  text: (week) => write(week[field]),
});

const WEEK_COLUMNS = [
  { ...weekly("start", format.date, "week_start"), header: "row" },
  weekly("visitors", format.count, "total_visitors"),
  weekly("max_daily_visitors", format.count, "max_daily_visitors"),
  weekly("avg_daily_visitors", format.count, "avg_daily_visitors"),
  weekly("rides", format.count, "total_rides"),
  weekly("revenue", format.money, "total_revenue"),
  weekly("avg_daily_revenue", format.money, "avg_daily_revenue"),
  weekly("peak_capacity", format.percent, "peak_capacity_pct"),
];
