//! Who has opened a channel, and who knows: a program may give a channel up to another writer only if there is one.

use std::collections::BTreeMap;

use snowpipe_streaming::emulator::{Emulator, Fault};
use snowpipe_streaming::{Error, ErrorKind, InvalidationCause, OffsetToken, Recovery};

use super::plan::Plan;
use super::source_record::{Reader, SourceRecord};
use super::world::ClientProcess;

/// The number of an open, which goes with its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened(pub u64);

/// The opens of all channels, by their names in upper case, and the sources behind each.
#[derive(Debug, Default)]
pub struct Contests {
    /// The number of the last open, and whose it was, if that is known.
    last: BTreeMap<String, (u64, Option<u64>)>,
    /// The last open of which a client knows.
    known: BTreeMap<(u64, String), u64>,
    readers: BTreeMap<String, Vec<Reader>>,
}

impl Contests {
    /// A source is to be streamed into a channel.
    pub fn enter(&mut self, channel: &str, reader: Reader) {
        let readers = self.readers.entry(channel.to_uppercase()).or_default();
        readers.push(reader);
    }

    /// Looks which channels were opened since the last look. `process`: the client whose open was handled in between, if it
    /// was one. Returns the number of that open.
    pub fn look(&mut self, server: &Emulator, process: Option<u64>) -> Option<Opened> {
        let mut opened = None;
        for name in self.readers.keys() {
            let Some(channel) = server.channel(name) else {
                continue;
            };
            let number = channel.client_sequencer + 1;
            let before = self.last.get(name).map_or(0, |(number, _)| *number);
            if number > before {
                // Where there were several, one of them came late.
                let process = process.filter(|_| number == before + 1);
                self.last.insert(name.clone(), (number, process));
                opened = Some(Opened(number));
            }
        }
        opened
    }

    /// A client was answered an open.
    pub fn knows(&mut self, process: u64, channel: &str, opened: Opened) {
        self.known
            .insert((process, channel.to_uppercase()), opened.0);
    }

    /// Whether a client has opened a channel last, and knows.
    fn is_held(&self, process: u64, channel: &str) -> bool {
        let channel = channel.to_uppercase();
        let last = self.last.get(&channel);
        let known = self.known.get(&(process, channel.clone()));
        last.zip(known)
            .is_some_and(|((last, of), known)| last == known && *of == Some(process))
    }
}

/// Whether the token is that of a row which another source has brought to the channel.
pub fn is_rival(record: &SourceRecord, token: &OffsetToken) -> bool {
    let world = &record.world;
    let contests = world.contests.lock().unwrap();
    let readers = contests.readers.get(&record.name.to_uppercase());
    readers.into_iter().flatten().any(|reader| {
        let row = reader.row(token.as_str());
        let landed = world.truth.next(reader.source);
        reader.source != record.source && row.is_some_and(|row| row < landed)
    })
}

/// A program gives its channel up to another writer: somebody has opened it since.
pub fn ceded(record: &SourceRecord, process: &ClientProcess, error: &Error) {
    let world = &record.world;
    world.count("cession judged");
    let ErrorKind::Invalidated(cause) = error.kind() else {
        return;
    };
    // One that replays has opened the channel once more before it gives up.
    let replays = world.plan.processes[record.plan.process].recovery == Recovery::Replay;
    let is_injected = cause == InvalidationCause::Fenced && world.plan.fences();
    if replays || is_injected {
        return;
    }
    if world
        .contests
        .lock()
        .unwrap()
        .is_held(process.id, &record.name)
    {
        record.blame(format!(
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
