// The stream of events from the program while the page is visible, and the state of the connection.

const RETRY_MS = 2000;
/** The longest silence: the program sends an event at least every three seconds. */
const PATIENCE_MS = 10000;
/** How long after that the connection is replaced: a connection that a sleeping machine or a router has lost does not report it. */
const RENEW_MS = 60000;

let source = null;
let retry = null;
let patience = null;
let state = "connecting";
let isOpen = false;
/** When the last event was received. */
let heardAt = null;
/** When the program was last known to run. */
let seen = null;

/**
 * Asks for events anew. `heard` has a function for each kind of them; `changed` is told whether the program is "live",
 * "ended" by its own word, "silent" or "refusing", and since when that is so.
 */
export function connect(query, heard, changed) {
  clearTimeout(retry);
  clearTimeout(patience);
  leave(new Date());
  source?.close();
  // A browser has six connections to a server for all its tabs, so a hidden tab uses none.
  if (document.hidden) {
    return;
  }
  const become = (next) => {
    clearTimeout(patience);
    clearTimeout(retry);
    leave(new Date());
    // After the end there is no response either.
    if (state !== "ended" || next === "live") {
      state = next;
    }
    isOpen = next === "live";
    changed(state, seen);
  };
  // A suspended program keeps its connections open and sends nothing.
  const wait = () => {
    clearTimeout(patience);
    patience = setTimeout(() => {
      leave(heardAt);
      become("silent");
      retry = setTimeout(() => connect(query, heard, changed), RENEW_MS);
    }, PATIENCE_MS);
  };
  const listen = () => {
    if (!isOpen) {
      become("live");
    }
    heardAt = new Date();
    wait();
  };
  const opened = new EventSource(`/events?${query}`);
  source = opened;
  wait();
  opened.addEventListener("open", listen);
  opened.addEventListener("alive", listen);
  opened.addEventListener("end", () => become("ended"));
  opened.addEventListener("error", async () => {
    if (opened.readyState !== EventSource.CLOSED) {
      become("silent");
      return;
    }
    // Browsers do not reconnect after a response that is not a stream, and some do not without a response.
    const next = await fetch("/metrics").then(() => "refusing", () => "silent");
    if (source === opened) {
      become(next);
      retry = setTimeout(() => connect(query, heard, changed), RETRY_MS);
    }
  });
  for (const [name, hear] of Object.entries(heard)) {
    opened.addEventListener(name, (event) => {
      listen();
      hear(JSON.parse(event.data));
    });
  }
}

/** Stores when the program was last running. */
function leave(then) {
  if (isOpen) {
    seen = then;
    isOpen = false;
  }
}
