//! The enumeration: it extends each history by one choice after its last.
//!
//! A history is run before another choice is added to it. The longer history begins with the same requests up to the new choice,
//! so choices at requests that never come, and faults that do not apply to a request, are not tried. If requests are concurrent,
//! a choice at the later one may still prevent one at the earlier.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::choice::{Choice, ENTRIES, Entry};
use crate::drawn::script::{Event, RequestSeen};
use crate::drawn::shrink::failure_kind;

/// The number of requests at which choices are made.
const REQUESTS: u64 = 6;

/// The result of a history.
#[derive(Debug, PartialEq, Eq)]
pub struct History {
    pub wrong: Vec<String>,
    pub seen: Vec<RequestSeen>,
    pub skipped: Vec<Event>,
    pub trace: Vec<String>,
}

/// A client and a server for which all histories are tried.
pub trait Subject: Sync {
    fn name(&self) -> &'static str;
    /// The minimum number of histories with one choice, with two and with three.
    fn least(&self) -> [u64; 3];
    /// Whether this event can be added to the choices before.
    fn has(&self, entry: &Entry, before: &[Choice]) -> bool;
    fn run(&self, choices: &[Choice]) -> History;
}

/// How many histories were tried, by the number of their choices, and what failed.
#[derive(Debug, Default)]
pub struct Tally {
    pub tried: [u64; 4],
    /// Histories in which a choice had no effect. They equal shorter histories.
    pub void: u64,
    /// The kinds of failure, each with its shortest history and the number of histories.
    pub failed: BTreeMap<String, Failure>,
}

#[derive(Debug)]
pub struct Failure {
    pub times: u64,
    pub history: Vec<Choice>,
    pub wrong: Vec<String>,
}

/// The text of a history, which is printed and can be run again.
pub fn text(name: &str, choices: &[Choice]) -> String {
    let choices = choices.iter().map(Choice::to_string);
    let words: Vec<_> = std::iter::once(name.to_owned()).chain(choices).collect();
    words.join(" ")
}

/// Tries the histories of a subject on this many threads. Of those with several choices it tries every `stride`-th.
pub fn explore(subject: &dyn Subject, stride: u64, threads: usize) -> Tally {
    let tally = Mutex::new(Tally::default());
    let search = Search {
        subject,
        stride,
        tally: &tally,
    };
    let first = search.visit(&[]);
    let next = AtomicUsize::new(0);
    std::thread::scope(|threads_of| {
        for _ in 0..threads {
            threads_of.spawn(|| {
                while let Some(choice) = first.get(next.fetch_add(1, Ordering::Relaxed)) {
                    search.descend(&mut vec![*choice]);
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

struct Search<'a> {
    subject: &'a dyn Subject,
    stride: u64,
    tally: &'a Mutex<Tally>,
}

impl Search<'_> {
    fn descend(&self, choices: &mut Vec<Choice>) {
        for choice in self.visit(choices) {
            choices.push(choice);
            self.descend(choices);
            choices.pop();
        }
    }

    /// Runs a history. Returns the choices that can be added to it.
    fn visit(&self, choices: &[Choice]) -> Vec<Choice> {
        let ran = catch_unwind(AssertUnwindSafe(|| self.subject.run(choices)));
        let history = ran.unwrap_or_else(|why| {
            let why = why.downcast_ref::<String>().map_or("", String::as_str);
            History {
                wrong: vec![format!("panicked: {why}")],
                seen: Vec::new(),
                skipped: Vec::new(),
                trace: Vec::new(),
            }
        });
        let mut tally = self.tally.lock().unwrap();
        if !history.wrong.is_empty() {
            tally.fail(choices, &history.wrong);
        }
        if !history.skipped.is_empty() {
            tally.void += 1;
            return Vec::new();
        }
        tally.tried[choices.len()] += 1;
        drop(tally);
        self.children(choices, &history.seen)
    }

    fn children(&self, choices: &[Choice], seen: &[RequestSeen]) -> Vec<Choice> {
        let last = choices.last();
        let from = last.map_or(1, |last| last.request);
        let mut children = Vec::new();
        for (request, seen) in (1..=REQUESTS).zip(seen).filter(|(at, _)| *at >= from) {
            for entry in ENTRIES.iter() {
                let is_behind = last.is_none_or(|last| {
                    last.request < request || last.entry.place() < entry.place()
                });
                if !is_behind || !entry.fits(*seen) || !self.subject.has(entry, choices) {
                    continue;
                }
                children.push(Choice { request, entry });
            }
        }
        children.retain(|child| {
            let all: Vec<_> = choices.iter().chain([child]).collect();
            self.is_in_scope(&all)
        });
        children
    }

    fn is_in_scope(&self, choices: &[&Choice]) -> bool {
        let is_step = |choice: &&&Choice| choice.entry.is_step();
        let steps = choices.iter().filter(is_step).count();
        let is_representative = |choice: &&Choice| choice.entry.is_core || choice.entry.is_step();
        if steps > 1
            || choices.len() - steps > 2
            || (choices.len() > 2 && !choices.iter().all(is_representative))
        {
            return false;
        }
        if choices.len() < 2 {
            return true;
        }
        let number = choices.iter().fold(0_u64, |number, choice| {
            let mut names = ENTRIES.iter().map(|entry| entry.name);
            let place = names.position(|name| name == choice.entry.name);
            4_096 * number + 8 * place.unwrap() as u64 + choice.request
        });
        // A fixed part of the histories, with all requests and faults alike.
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed.is_multiple_of(self.stride)
    }
}

impl Tally {
    fn fail(&mut self, choices: &[Choice], wrong: &[String]) {
        let failure = self
            .failed
            .entry(failure_kind(wrong))
            .or_insert_with(|| Failure {
                times: 0,
                history: choices.to_vec(),
                wrong: wrong.to_vec(),
            });
        failure.times += 1;
        if choices.len() < failure.history.len() {
            failure.history = choices.to_vec();
            failure.wrong = wrong.to_vec();
        }
    }
}
