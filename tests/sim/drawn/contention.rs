//! Tracks which client opened a channel last, and which clients know. A program may give up a channel only if another client
//! has opened it.

use std::collections::BTreeMap;

use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, OffsetToken, Recovery};
use snowpipe_streaming_emulator::{Emulator, Fault};

use super::plan::Plan;
use super::source_record::{Reader, SourceRecord};
use super::world::ClientProcess;

/// The number of an open, attached to its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened(pub u64);

/// The opens of all channels, by their names in upper case, and the sources behind each.
#[derive(Debug, Default)]
pub struct ChannelOpens {
    /// The number of the last open, and its client if known.
    last: BTreeMap<String, (u64, Option<u64>)>,
    /// The last open whose answer a client has received.
    known: BTreeMap<(u64, String), u64>,
    readers: BTreeMap<String, Vec<Reader>>,
}

impl ChannelOpens {
    /// Registers a source of a channel.
    pub fn register(&mut self, channel: &str, reader: Reader) {
        let readers = self.readers.entry(channel.to_uppercase()).or_default();
        readers.push(reader);
    }

    /// Records the channels that were opened since the last call. `process`: the client whose open was handled in between, if
    /// any. Returns the number of that open.
    pub fn update(&mut self, server: &Emulator, process: Option<u64>) -> Option<Opened> {
        let mut opened = None;
        for name in self.readers.keys() {
            let Some(channel) = server.channel(name) else {
                continue;
            };
            let number = channel.client_sequencer + 1;
            let before = self.last.get(name).map_or(0, |(number, _)| *number);
            if number > before {
                // With several opens, one of them was delayed, so the client of the last one is unknown.
                let process = process.filter(|_| number == before + 1);
                self.last.insert(name.clone(), (number, process));
                opened = Some(Opened(number));
            }
        }
        opened
    }

    /// Records that a client received the answer to an open.
    pub fn note_known(&mut self, process: u64, channel: &str, opened: Opened) {
        self.known
            .insert((process, channel.to_uppercase()), opened.0);
    }

    /// Whether a client was the last to open a channel, and knows.
    fn is_held(&self, process: u64, channel: &str) -> bool {
        let channel = channel.to_uppercase();
        let last = self.last.get(&channel);
        let known = self.known.get(&(process, channel.clone()));
        last.zip(known)
            .is_some_and(|((last, of), known)| last == known && *of == Some(process))
    }
}

/// Whether the token belongs to a row of another source that landed in the channel.
pub fn is_rival(record: &SourceRecord, token: &OffsetToken) -> bool {
    let world = &record.world;
    let opens = world.opens.lock().unwrap();
    let readers = opens.readers.get(&record.name.to_uppercase());
    readers.into_iter().flatten().any(|reader| {
        let row = reader.row(token.as_str());
        let landed = world.truth.next(reader.source);
        reader.source != record.source && row.is_some_and(|row| row < landed)
    })
}

/// Checks a program that gives up its channel to another writer: another client must have opened it.
pub fn check_ceded(record: &SourceRecord, process: &ClientProcess, error: &Error) {
    let world = &record.world;
    world.count("cession judged");
    let ErrorKind::Invalidated(cause) = error.kind() else {
        return;
    };
    // A replaying client has reopened the channel before it gives up.
    let replays = world.plan.processes[record.plan.process].recovery == Recovery::Replay;
    let is_injected = cause == InvalidationCause::Fenced && world.plan.fences();
    if replays || is_injected {
        return;
    }
    if world
        .opens
        .lock()
        .unwrap()
        .is_held(process.id, &record.name)
    {
        record.report_violation(format!(
            "it was the last to open its channel, and gave it up as {cause:?}"
        ));
    }
}

impl Plan {
    /// Whether holds of a channel are said to be over although no other writer opened it.
    fn fences(&self) -> bool {
        self.faults().any(|fault| match fault {
            Fault::Stale => true,
            Fault::Invalidate(code) => code.starts_with("STALE"),
            _ => false,
        })
    }
}
