//! A landing that fails: nothing is claimed that is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::emulator::MemoryLanding;
use crate::emulator::landing::{
    AcceptedBatch, Cell, ChannelRecord, Commit, Landing, LandingError, ObjectName, RejectedRow,
    StoredChannel,
};

/// A landing whose disk can be full.
#[derive(Debug, Clone, Default)]
struct Fragile {
    inner: MemoryLanding,
    full: Arc<AtomicBool>,
}

impl Fragile {
    fn write(&mut self) -> Result<&mut MemoryLanding, LandingError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(LandingError {
                message: "the disk is full".to_owned(),
                source: None,
            });
        }
        Ok(&mut self.inner)
    }
}

impl Landing for Fragile {
    fn load(&mut self) -> Result<Vec<StoredChannel>, LandingError> {
        self.write()?.load()
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), LandingError> {
        self.write()?.put_channel(record, discard)
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), LandingError> {
        self.write()?.drop_channel(pipe, channel)
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), LandingError> {
        self.write()?.accept(record, batch)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), LandingError> {
        self.write()?.commit(commit)
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, LandingError> {
        self.inner.rows(table)
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, LandingError> {
        self.inner.error_rows(table)
    }
}

#[test]
fn a_request_that_cannot_be_kept_is_a_server_error_and_changes_nothing() {
    let landing = Fragile::default();
    let client = Client::of(settings().landing(landing.clone()));
    let next = client.open("c");
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    landing.full.store(true, Ordering::Relaxed);
    assert_eq!(client.try_append("c", &next, "1", "{\"n\":1}\n").0, 500);
    assert_eq!(client.try_open("c", "{}").0, 500);
    assert_eq!(client.try_open("d", "{}").0, 500);
    assert_eq!(client.call("DELETE", &path, "").0, 500);
    landing.full.store(false, Ordering::Relaxed);
    assert!(client.status("d").is_null());
    assert_eq!(client.append("c", &next, "1", "{\"n\":1}\n"), "0_2");
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_commit_that_fails_is_tried_again() {
    let landing = Fragile::default();
    let mut client = Client::of(settings().landing(landing.clone()));
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n7\n");
    client.pass(500);
    landing.full.store(true, Ordering::Relaxed);
    assert!(client.committed("c").is_null());
    assert_eq!(client.status("c")["rows_parsed"], 0);
    landing.full.store(false, Ordering::Relaxed);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.status("c")["rows_parsed"], 2);
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_landing_that_cannot_be_loaded_stops_the_start() {
    let landing = Fragile::default();
    landing.full.store(true, Ordering::Relaxed);
    let why = settings().landing(landing).build().unwrap_err();
    assert!(
        why.to_string().contains("landing cannot be loaded"),
        "{why}"
    );
}
