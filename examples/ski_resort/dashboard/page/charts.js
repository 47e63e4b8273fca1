// Line and area charts: uPlot in the page's colours, with a box that names the numbers under the pointer.

import { list, make, setAttribute, setText, show } from "./dom.js";

/* global uPlot */

const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [5, 5]];
const WHOLE_STEPS = [1, 1e3, 1e6, 1e9].flatMap((unit) => [1, 2, 5, 10, 20, 50, 100, 200, 500].map((step) => step * unit));
const DECIMAL_STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, ...WHOLE_STEPS];
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const dark = matchMedia("(prefers-color-scheme: dark)");

export class Chart {
  #host;
  #options;
  #plot = null;
  #shape = "";
  #data = null;
  #tip = make("div", "tip", make("p"), make("ul"));

  /** `area` fills the area under the line, `points` marks each value. */
  constructor(host, options) {
    this.#host = host;
    this.#options = options;
    this.#tip.hidden = true;
    // The table below the chart has the same values.
    setAttribute(this.#tip, "aria-hidden", "true");
    new ResizeObserver(() => this.#resize()).observe(host);
    dark.addEventListener("change", () => {
      this.#shape = "";
      this.#update();
    });
  }

  /**
   * Shows `data`: `x`, and `series` of a name, a colour (a CSS variable), values, how one is written and what its metric is
   * called. `xText` and `yText` write the axes, `xTitle` heads the box; `xSplits` says where the x axis has labels.
   */
  draw(data) {
    this.#data = data;
    this.#update();
  }

  #update() {
    if (!this.#data || this.#host.clientWidth === 0) {
      return;
    }
    const { x, series } = this.#data;
    const values = [x, ...series.map((one) => one.values)];
    const shape = JSON.stringify(series.map(({ name, colour }) => [name, colour]));
    if (this.#plot && shape === this.#shape) {
      this.#plot.setData(values);
    } else {
      this.#plot?.destroy();
      this.#shape = shape;
      this.#plot = new uPlot(this.#settings(), values, this.#host);
      this.#plot.over.append(this.#tip);
    }
    this.#drawTip(this.#plot);
  }

  #resize() {
    if (!this.#plot) {
      this.#update();
    } else if (this.#host.clientWidth > 0) {
      this.#plot.setSize(this.#size());
    }
  }

  #size() {
    return { width: this.#host.clientWidth, height: this.#host.clientHeight };
  }

  /** From the first to the last x. A single x is in the middle, which uPlot does not do. */
  #span() {
    const [first, last] = [this.#data.x[0] ?? 0, this.#data.x.at(-1) ?? 0];
    return first === last ? [first - 0.5, last + 0.5] : [first, last];
  }

  #settings() {
    const style = getComputedStyle(this.#host);
    const colour = (name) => style.getPropertyValue(name).trim();
    const { area, points } = this.#options;
    const axis = {
      stroke: colour("--muted"),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    return {
      ...this.#size(),
      padding: [10, 24, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 8 } },
      scales: {
        x: { time: false, range: () => this.#span() },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        {
          ...axis,
          incrs: () => (this.#data.isWholeX ? WHOLE_STEPS : TIME_STEPS),
          space: 56,
          size: 30,
          values: (_, splits) => splits.map((split) => this.#data.xText(split)),
          ...(this.#data.xSplits ? { splits: () => this.#data.xSplits } : {}),
        },
        {
          ...axis,
          size: 52,
          space: (_plot, _axis, _low, _high, height) => Math.max(30, height / 9),
          incrs: () => (this.#data.isWholeY ? WHOLE_STEPS : DECIMAL_STEPS),
          values: (_, splits) => splits.map((split) => this.#data.yText(split)),
        },
      ],
      series: [
        {},
        ...this.#data.series.map((one, index) => ({
          label: one.name,
          stroke: colour(one.colour),
          width: 2,
          dash: DASHES[index % DASHES.length],
          fill: area ? `${colour(one.colour)}2e` : undefined,
          points: { show: points === true, size: 6, fill: colour(one.colour) },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#drawTip(plot)] },
    };
  }

  #drawTip(plot) {
    const { idx: index, left } = plot.cursor;
    const isShown = index !== null && index !== undefined && left >= 0 && index < this.#data.x.length;
    show(this.#tip, isShown);
    if (!isShown) {
      list(this.#tip.lastElementChild, [], null, null);
      return;
    }
    const [title, rows] = this.#tip.children;
    setText(title, this.#data.xTitle(this.#data.x[index]));
    const makeRow = () => make("li", "", make("span", "swatch"), make("span"), make("span", "value"));
    list(rows, this.#data.series, makeRow, (row, one) => {
      const [swatch, name, value] = row.children;
      swatch.style.setProperty("--colour", `var(${one.colour})`);
      setText(name, one.name);
      setAttribute(value, "data-metric", one.metric(index));
      setText(value, one.text(one.values[index]));
    });
    const { clientWidth: width } = plot.over;
    const x = left > width / 2 ? left - this.#tip.offsetWidth - 12 : left + 12;
    const inside = Math.max(0, Math.min(x, width - this.#tip.offsetWidth));
    this.#tip.style.transform = `translate(${Math.round(inside)}px, 8px)`;
  }
}
