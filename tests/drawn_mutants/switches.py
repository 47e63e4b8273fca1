"""Puts mutants into a copy of the code, all of them at once, each behind a switch.

A function with mutants becomes

    fn f(…) { if crate::drawn::is(7) { the body with mutant 7 } else { the body as it was } }

so that one build serves all of them: the environment names the mutant that a process runs with. The same switch notes
which mutants a test comes by, so that a mutant is tried by those tests alone.
"""

from collections import defaultdict

# What the switches ask. The file of the mutants that are come by is written at the first time of each.
MODULE = """
#[doc(hidden)]
#[allow(warnings, clippy::all)]
pub mod drawn {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

    struct Asked {
        on: usize,
        reached: Option<std::ffi::OsString>,
    }

    pub fn is(mutant: usize) -> bool {
        static ASKED: OnceLock<Asked> = OnceLock::new();
        let asked = ASKED.get_or_init(|| Asked {
            on: std::env::var("DRAWN_MUTANT").ok().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX),
            reached: std::env::var_os("DRAWN_REACHED"),
        });
        if let Some(path) = &asked.reached {
            if !SEEN[mutant].swap(true, Ordering::Relaxed) {
                use std::io::Write;
                let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
                file.write_all(format!("{mutant}\\n").as_bytes()).unwrap();
            }
        }
        asked.on == mutant
    }
}
"""


class Text:
    """A source file, cut by lines and columns as the list of mutants gives them: both from 1, ends not included."""

    def __init__(self, text):
        self.text = text
        self.starts = [0]
        for i, c in enumerate(text):
            if c == "\n":
                self.starts.append(i + 1)

    def at(self, place):
        return self.starts[place["line"] - 1] + place["column"] - 1


def body_of(text, start, end):
    """The body of the function that begins at `start`, without its braces."""
    depth = 0
    i = start
    while i < end:
        c = text[i]
        if text.startswith("//", i):
            i = text.index("\n", i)
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "{" and depth == 0:
            return i + 1, end - 1
        i += 1
    raise ValueError("no body")


def plain(text, mutant):
    """The file with this mutant and no other."""
    cut = Text(text)
    start, end = cut.at(mutant["span"]["start"]), cut.at(mutant["span"]["end"])
    return text[:start] + mutant["replacement"] + text[end:]


def switched(text, mutants):
    """The file with all of these mutants, which are pairs of number and mutant, and the lines of each: number, first, last.

    Mutants outside of functions cannot be switched.
    """
    cut = Text(text)
    functions = defaultdict(list)
    for number, mutant in mutants:
        span = mutant["function"]["span"]
        functions[cut.at(span["start"]), cut.at(span["end"])].append((number, mutant))
    out, last, lines = [], 0, []

    def put(piece):
        first = sum(part.count("\n") for part in out) + 1
        out.append(piece)
        return first, first + piece.count("\n")

    for (start, end), inside in sorted(functions.items()):
        if start < last:
            raise ValueError(f"a function inside of another at {start}")
        body, closed = body_of(text, start, end)
        put(text[last:body])
        whole = text[body:closed]
        put("\n")
        for number, mutant in inside:
            a, b = cut.at(mutant["span"]["start"]) - body, cut.at(mutant["span"]["end"]) - body
            put(f"if crate::drawn::is({number}) {{\n")
            lines.append((number, *put(whole[:a] + mutant["replacement"] + whole[b:])))
            put("\n} else ")
        put("{" + whole + "}\n")
        last = closed
    put(text[last:])
    return "".join(out), lines
