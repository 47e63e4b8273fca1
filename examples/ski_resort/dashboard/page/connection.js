// The stream of events from the program, for as long as somebody sees the page, and whether the program is there.

const RETRY_MS = 2000;

let source = null;
let retry = null;
let state = "connecting";
let isOpen = false;
/** When the program was last there, as far as is known. */
let seen = null;

/**
 * Asks for events anew. `heard` has a function for each kind of them; `changed` is told whether the program is "live",
 * "ended" by its own word, "silent" or "refusing", and since when that is so.
 */
export function connect(query, heard, changed) {
  clearTimeout(retry);
  leave();
  source?.close();
  // A browser has six connections to a server for all its tabs: one that nobody sees takes none.
  if (document.hidden) {
    return;
  }
  const become = (next) => {
    leave();
    // Nobody answers after the end either.
    if (state !== "ended" || next === "live") {
      state = next;
    }
    isOpen = next === "live";
    changed(state, seen);
  };
  const opened = new EventSource(`/events?${query}`);
  source = opened;
  opened.addEventListener("open", () => become("live"));
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
    opened.addEventListener(name, (event) => hear(JSON.parse(event.data)));
  }
}

/** Remembers that the program was there until now, if it was. */
function leave() {
  if (isOpen) {
    seen = new Date();
    isOpen = false;
  }
}
