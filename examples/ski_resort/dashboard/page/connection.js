// The stream of events from the program, for as long as somebody sees the page, and whether the program is there.

const RETRY_MS = 2000;
/** How long nothing may be heard: the program says something every three seconds at least. */
const PATIENCE_MS = 10000;
/** How long after that a connection is given up: one that a sleeping machine or a router forgot never says so. */
const RENEW_MS = 60000;

let source = null;
let retry = null;
let patience = null;
let state = "connecting";
let isOpen = false;
/** When something was last heard. */
let heardAt = null;
/** When the program was last there, as far as is known. */
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
  // A browser has six connections to a server for all its tabs: one that nobody sees takes none.
  if (document.hidden) {
    return;
  }
  const become = (next) => {
    clearTimeout(patience);
    clearTimeout(retry);
    leave(new Date());
    // Nobody answers after the end either.
    if (state !== "ended" || next === "live") {
      state = next;
    }
    isOpen = next === "live";
    changed(state, seen);
  };
  // A program that is stopped and not ended keeps its connections, and says nothing.
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
    // After an answer that is no stream a browser does not try again by itself, and some do not after none at all.
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

/** Remembers that the program was there until then, if it was. */
function leave(then) {
  if (isOpen) {
    seen = then;
    isOpen = false;
  }
}
