// The pipeline: the rows of each table, their rate, the requests and the memory.

import { Chart } from "./charts.js";
import { byId, list, make, setAttribute, setChip, setMetric, setShare, setText, show, table } from "./dom.js";
import * as format from "./format.js";

const STAGES = [
  ["generated", "Generated"],
  ["queued", "In the queue"],
  ["appended", "Appended"],
  ["accepted", "Accepted"],
  ["committed", "Committed"],
  ["landed", "Landed"],
];

/** Explanations of the phases whose names are not enough. */
const PHASES = { reconciling: "All streams have ended. What they sent is compared with what has landed." };

const CHANNEL_LEVELS = { opening: "waiting", open: "normal", reopening: "busy", closed: "waiting", failed: "full" };

let rate = null;
let lag = null;
let shown = null;

export function start() {
  rate = new Chart(byId("rate"), { area: true });
  lag = new Chart(byId("lag"), { area: true });
  byId("history-details").addEventListener("toggle", () => {
    if (shown) {
      drawHistoryTable(shown.history);
    }
  });
}

/** The part of the pipeline in the header of every view. */
export function renderHeader(pipeline) {
  setMetric("header.rows_per_s", format.rowsPerSecond(sum(pipeline.tables, "rows_per_s")));
  const phase = byId("phase");
  setAttribute(phase, "data-state", pipeline.phase);
  setText(phase, pipeline.phase);
  const [, failure] = pipeline.reports.match(/^failed: (.*)/s) ?? [];
  setText(byId("reports-failed"), failure ? `The reports are not brought up to date: ${failure}` : "");
}

export function render(pipeline) {
  shown = pipeline;
  setText(byId("target"), pipeline.target === "" ? "" : `To ${pipeline.target}`);
  const streams = pipeline.tables.some((row) => row.channel.name !== "");
  // Without streaming no snapshots arrive that would move the clock.
  setMetric("pipeline.elapsed", format.duration(streams ? pipeline.elapsed_s : null));
  setMetric("pipeline.speed", speed(pipeline.speed));
  const message = pipeline.message ?? PHASES[pipeline.phase] ?? "";
  setText(byId("pipeline-message"), message);
  setAttribute(byId("pipeline-message"), "data-phase", pipeline.phase);
  show(byId("pipeline-message"), message !== "");
  show(byId("pipeline-idle"), !streams);
  show(byId("pipeline-busy"), streams);
  list(byId("flows"), pipeline.tables, makeFlow, fillFlow);
  setMetric("pipeline.rows_per_s", format.rowsPerSecond(sum(pipeline.tables, "rows_per_s")));
  setMetric("pipeline.lag", format.seconds(Math.max(0, ...pipeline.tables.map((row) => row.lag_s))));
  drawHistory(pipeline.history);
  table(byId("requests"), pipeline.requests, REQUEST_COLUMNS);
  setMetric("pipeline.channels.open", format.count(pipeline.channels_open));
  setMetric("pipeline.channels.invalidated", format.count(pipeline.channels_invalidated));
  setMetric("pipeline.channels.reopened", format.count(pipeline.channels_reopened));
  setMetric("pipeline.memory.in_use", format.mebibytes(pipeline.memory_in_use));
  setMetric("pipeline.memory.budget", format.mebibytes(pipeline.memory_budget));
  setMetric("pipeline.bytes_sent", format.mebibytes(pipeline.bytes_sent));
  setShare(byId("memory-meter"), pipeline.memory_in_use / pipeline.memory_budget);
}

const sum = (rows, field) => rows.reduce((total, row) => total + row[field], 0);

function speed(text) {
  const times = Number(text);
  if (Number.isNaN(times)) {
    return text;
  }
  return times === 1 ? "real time" : `${format.factor(times)} times as fast`;
}

function makeFlow() {
  const pair = (name, label) => make("div", name, make("dt", "", label), make("dd"));
  return make(
    "section",
    "panel flow",
    make("div", "heading", make("h3"), make("p", "muted", "Channel ", make("span", "channel-name"), " ", make("span", "chip channel"))),
    make("dl", "stages", ...STAGES.map(([name, label]) => pair(name, label))),
    make("div", "meter"),
    make("dl", "figures", pair("rejected", "Rejected"), pair("rows_per_s", "Committing"), pair("lag_s", "Lag"), pair("reopens", "Opened again")),
  );
}

function fillFlow(panel, row) {
  const metric = (name, text) => {
    const element = panel.querySelector(`.${name} > dd`);
    setAttribute(element, "data-metric", `pipeline.${row.table}.${name}`);
    setText(element, text);
  };
  setText(panel.querySelector("h3"), row.table);
  for (const [name] of STAGES) {
    metric(name, format.count(row[name]));
  }
  metric("rejected", format.count(row.rejected));
  setAttribute(panel.querySelector(".rejected"), "data-some", row.rejected > 0 ? "" : null);
  metric("rows_per_s", format.rowsPerSecond(row.rows_per_s));
  metric("lag_s", format.seconds(row.lag_s));
  metric("reopens", format.count(row.channel.reopens));
  const chip = panel.querySelector(".channel");
  setAttribute(chip, "data-metric", `pipeline.${row.table}.channel`);
  setChip(chip, CHANNEL_LEVELS[row.channel.state], row.channel.state);
  setText(panel.querySelector(".channel-name"), row.channel.name);
  setShare(panel.querySelector(".meter"), row.committed / row.generated);
}

const historyMetric = (name) => (index) => `pipeline.history.${index + 1}.${name}`;

function drawHistory(history) {
  const shared = { x: history.elapsed_s, xText: format.duration, xTitle: format.duration };
  rate.draw({
    ...shared,
    isWholeY: true,
    yText: format.axis,
    series: [
      {
        name: "All tables",
        colour: "--accent",
        values: history.rows_per_s,
        text: format.rowsPerSecond,
        metric: historyMetric("rows_per_s"),
      },
    ],
  });
  lag.draw({
    ...shared,
    yText: (value) => `${format.axis(value)} s`,
    series: [
      {
        name: "Largest lag",
        colour: "--series-2",
        values: history.lag_s,
        text: format.seconds,
        metric: historyMetric("lag_s"),
      },
    ],
  });
  drawHistoryTable(history);
}

/** Up to 240 rows, twice a second, so only while the table is open. */
function drawHistoryTable(history) {
  const isOpen = byId("history-details").open;
  const points = isOpen ? history.elapsed_s.map((_, index) => index) : [];
  table(byId("history-body"), points, [
    { header: "row", metric: historyMetric("elapsed_s"), text: (at) => format.seconds(history.elapsed_s[at]) },
    { metric: historyMetric("rows_per_s"), text: (at) => format.rowsPerSecond(history.rows_per_s[at]) },
    { metric: historyMetric("lag_s"), text: (at) => format.seconds(history.lag_s[at]) },
  ]);
}

const requests = (field, write = format.count) => ({
  metric: (row) => `pipeline.requests.${row.endpoint}.${field}`,
  text: (row) => write(row[field]),
});

const REQUEST_COLUMNS = [
  { header: "row", text: (row) => row.endpoint },
  requests("total"),
  requests("retries"),
  requests("unanswered"),
  requests("throttled"),
  requests("refused"),
  requests("failed"),
  requests("mean_ms", format.milliseconds),
];
