// Changes the page in place, so that focus, scroll position and selection are kept.

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

export function setAttribute(element, name, value) {
  if (value === null || value === undefined) {
    element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value);
  }
}

export function show(element, isShown) {
  if (element.hidden === isShown) {
    element.hidden = !isShown;
  }
}

/** Writes a number into its element of the document. */
export function setMetric(name, text) {
  setText(document.querySelector(`[data-metric="${name}"]`), text);
}

/** Writes a word with a colour and a sign. */
export function setChip(element, level, text) {
  setAttribute(element, "data-level", level);
  setText(element, text);
}

/** Gives `parent` as many children as there are items, made by `make`, and lets `fill` write each item into its own. */
export function list(parent, items, make, fill) {
  while (parent.children.length > items.length) {
    parent.lastElementChild.remove();
  }
  items.forEach((item, index) => {
    const child = parent.children[index] ?? parent.appendChild(make(item));
    fill(child, item, index);
  });
}

/** An element with classes and children. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  element.append(...children);
  return element;
}

/**
 * Fills the body or the head of a table. A column says how an item becomes a cell: `text`, and where wanted `metric` (the
 * number's name), `level` (a chip of that level) and `header` ("row" or "col").
 */
export function table(body, items, columns) {
  list(body, items, () => make("tr"), (row, item, index) => {
    // The heading of a row never changes its place, so a cell keeps its tag.
    list(row, columns, (column) => cell(column), (element, column) => {
      const holder = column.level ? element.firstElementChild : element;
      if (column.level) {
        setAttribute(holder, "data-level", column.level(item, index));
      }
      setAttribute(holder, "data-metric", column.metric?.(item, index));
      setText(holder, column.text(item, index));
    });
  });
}

function cell(column) {
  const element = make(column.header ? "th" : "td");
  if (column.header) {
    element.scope = column.header;
  }
  if (column.level) {
    element.append(make("span", "chip"));
  }
  return element;
}

/** How far a bar is filled, from 0 to 1. */
export function setShare(element, share) {
  const bounded = Number.isFinite(share) ? Math.min(Math.max(share, 0), 1) : 0;
  element.style.setProperty("--share", bounded.toFixed(4));
}
