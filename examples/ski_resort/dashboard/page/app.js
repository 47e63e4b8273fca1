// The page: the address selects the view, and the server's events bring the numbers.

import * as connection from "./connection.js";
import { byId, setAttribute, setMetric, setText, show } from "./dom.js";
import * as format from "./format.js";
import * as network from "./network.js";
import * as pipeline from "./pipeline.js";
import * as resort from "./resort.js";

const PERIODS = ["today", "week", "month"];
const TITLES = { network: "Network overview", resort: "Mountain operations", pipeline: "Pipeline" };

let wanted = null;

/** `#network/week`, `#resort/Vail`, `#pipeline`; anything else is today's network. */
function fromAddress() {
  const [view, rest = ""] = location.hash.slice(1).split("/");
  if (view === "pipeline") {
    return { view };
  }
  if (view === "resort") {
    return { view, resort: decode(rest) };
  }
  return { view: "network", period: PERIODS.includes(rest) ? rest : "today" };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

function navigate() {
  wanted = fromAddress();
  document.title = `${TITLES[wanted.view]} – Ski resorts`;
  for (const link of document.querySelectorAll("nav a")) {
    setAttribute(link, "aria-current", link.dataset.view === wanted.view ? "page" : null);
  }
  if (wanted.period) {
    byId("period").querySelector(`[value="${wanted.period}"]`).checked = true;
  }
  setAttribute(byId("content"), "aria-busy", "true");
  connect();
}

function connect() {
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value));
  connection.connect(query, { pipeline: onPipeline, report: onReport }, onConnection);
}

const WORDS = { live: "live", ended: "ended", silent: "reconnecting", refusing: "reconnecting" };

function onConnection(state, seen) {
  const isLive = state === "live";
  setAttribute(byId("connection"), "data-state", state);
  setText(byId("connection"), WORDS[state]);
  setAttribute(document.body, "data-stale", isLive ? null : "");
  const age = seen && isSettled() ? " All numbers are from then." : "";
  setText(byId("stale"), isLive ? "" : lost(state, seen) + age);
  if (!isLive && !isSettled()) {
    // The numbers on the page belong to another view.
    show(byId("problem"), false);
    reveal(null);
  }
}

function lost(state, seen) {
  const since = seen ? ` since ${format.moment(seen)}` : "";
  switch (state) {
    case "ended":
      return `The program ended at ${format.moment(seen)}.`;
    case "refusing":
      return `The program refuses this page its numbers${since}: perhaps too many pages are open.`;
    default:
      return seen ? `The program has not answered${since}.` : "The program does not answer.";
  }
}

function onPipeline(snapshot) {
  pipeline.renderHeader(snapshot);
  if (wanted.view === "pipeline") {
    show(byId("problem"), false);
    reveal("pipeline");
    pipeline.render(snapshot);
    settle();
  }
}

function onReport(report) {
  if (report.view !== wanted.view) {
    return;
  }
  show(byId("problem"), Boolean(report.problem));
  if (report.problem) {
    renderProblem(report.problem);
    reveal(null);
    settle();
    return;
  }
  reveal(report.view);
  renderHeader(report.header);
  const section = byId(`${report.view}-view`);
  show(section.querySelector("[data-when=empty]"), report.empty);
  show(section.querySelector("[data-when=full]"), !report.empty);
  if (report.view === "resort") {
    resort.renderChoice(report.resorts ?? [], report.resort);
  }
  if (!report.empty) {
    (report.view === "network" ? network : resort).render(report);
  } else if (report.view === "network") {
    setMetric("network.range", "");
  }
  settle();
}

function renderProblem(problem) {
  setText(byId("problem-message"), problem.message);
  setText(byId("problem-file"), problem.script ?? "");
  show(byId("problem-script"), problem.script !== null);
}

function renderHeader(header) {
  setMetric("header.reporting_time", format.text(header.reporting_local));
  setMetric("header.world_time", format.text(header.world_local));
  setMetric("header.time_zone", format.text(header.time_zone));
}

/** Shows one view. The clocks in the header belong to the views with reports. */
function reveal(view) {
  for (const section of document.querySelectorAll(".view")) {
    show(section, section.id === `${view}-view`);
  }
  for (const fact of document.querySelectorAll("[data-of=report]")) {
    show(fact, view === "network" || view === "resort");
  }
}

function settle() {
  setAttribute(byId("content"), "aria-busy", "false");
}

/** Whether the shown view is that of the address. */
function isSettled() {
  return byId("content").getAttribute("aria-busy") === "false";
}

pipeline.start();
network.start();
resort.start();
byId("period").addEventListener("change", (event) => {
  location.hash = `#network/${event.target.value}`;
});
byId("resorts").addEventListener("change", (event) => {
  location.hash = `#resort/${encodeURIComponent(event.target.value)}`;
});
// Keeps the address of the view.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("content").focus();
});
document.addEventListener("visibilitychange", connect);
addEventListener("hashchange", navigate);
navigate();
