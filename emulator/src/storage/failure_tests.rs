//! A storage that fails: the emulator claims nothing that is not stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;

use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::rig::{Client, PIPES, settings};
use crate::storage::interface::{Storage, StorageError};
use crate::storage::memory::MemoryStorage;
use crate::storage::records::{AcceptedBatch, ChannelRecord, Commit, RejectedRow, StoredChannel};
use snowpipe_connector_support::trace::Trace;

/// A storage whose disk can be full.
#[derive(Debug, Clone, Default)]
struct Fragile {
    inner: MemoryStorage,
    full: Arc<AtomicBool>,
    /// There is room for commits of one row.
    nearly_full: Arc<AtomicBool>,
}

impl Fragile {
    fn write(&mut self) -> Result<&mut MemoryStorage, StorageError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StorageError {
                message: "the disk is full".to_owned(),
                source: None,
            });
        }
        Ok(&mut self.inner)
    }
}

impl Storage for Fragile {
    fn load(&mut self) -> Result<Vec<StoredChannel>, StorageError> {
        self.write()?.load()
    }

    fn put_channel(&mut self, record: &ChannelRecord, discard: bool) -> Result<(), StorageError> {
        self.write()?.put_channel(record, discard)
    }

    fn drop_channel(&mut self, pipe: &ObjectName, channel: &str) -> Result<(), StorageError> {
        self.write()?.drop_channel(pipe, channel)
    }

    fn accept(
        &mut self,
        record: &ChannelRecord,
        batch: &AcceptedBatch,
    ) -> Result<(), StorageError> {
        self.write()?.accept(record, batch)
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), StorageError> {
        if self.nearly_full.load(Ordering::Relaxed) && commit.rows.len() > 1 {
            return Err(StorageError {
                message: "the disk is nearly full".to_owned(),
                source: None,
            });
        }
        self.write()?.commit(commit)
    }

    fn rows(&mut self, table: &ObjectName) -> Result<Vec<Vec<Cell>>, StorageError> {
        self.inner.rows(table)
    }

    fn error_rows(&mut self, table: &ObjectName) -> Result<Vec<RejectedRow>, StorageError> {
        self.inner.error_rows(table)
    }
}

#[test]
fn a_request_that_cannot_be_kept_is_a_server_error_and_changes_nothing() {
    let storage = Fragile::default();
    let client = Client::of(settings().storage(storage.clone()));
    let next = client.open("c");
    let path = format!("{PIPES}/T-STREAMING/channels/c");
    storage.full.store(true, Ordering::Relaxed);
    assert_eq!(client.try_append("c", &next, "1", "{\"n\":1}\n").0, 500);
    assert_eq!(client.try_open("c", "{}").0, 500);
    assert_eq!(client.try_open("d", "{}").0, 500);
    assert_eq!(client.call("DELETE", &path, "").0, 500);
    storage.full.store(false, Ordering::Relaxed);
    assert!(client.status("d").is_null());
    assert_eq!(client.append("c", &next, "1", "{\"n\":1}\n"), "0_2");
    client.emulator.commit_now();
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_commit_that_fails_is_tried_again() {
    let storage = Fragile::default();
    let mut client = Client::of(settings().storage(storage.clone()));
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n7\n");
    client.pass(500);
    storage.full.store(true, Ordering::Relaxed);
    assert!(client.committed("c").is_null());
    assert_eq!(client.status("c")["rows_parsed"], 0);
    storage.full.store(false, Ordering::Relaxed);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(client.status("c")["rows_parsed"], 2);
    assert_eq!(client.landed(), [1]);
}

#[test]
fn a_disk_that_stays_full_is_logged_once_each_time() {
    let storage = Fragile::default();
    let mut client = Client::of(settings().storage(storage.clone()));
    let next = client.open("c");
    let next = client.append("c", &next, "1", "{\"n\":1}\n");
    let trace = Trace::of(Level::INFO);
    let logged = |times: usize| {
        let text = trace.text();
        assert_eq!(text.matches("cannot be committed").count(), times, "{text}");
        assert_eq!(text.matches("channel=\"c\"").count(), times, "{text}");
        text.matches("can be committed again").count()
    };
    client.pass(500);
    storage.full.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        assert!(client.committed("c").is_null());
    }
    assert_eq!(logged(1), 0);
    storage.full.store(false, Ordering::Relaxed);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(logged(1), 1);
    client.append("c", &next, "2", "{\"n\":2}\n");
    client.pass(500);
    storage.full.store(true, Ordering::Relaxed);
    assert_eq!(client.committed("c"), "1");
    assert_eq!(logged(2), 1);
}

#[test]
fn a_batch_that_does_not_fit_is_logged_once_although_smaller_ones_are_committed() {
    let storage = Fragile::default();
    let mut client = Client::of(settings().storage(storage.clone()));
    let large = client.open("large");
    client.append("large", &large, "2", "{\"n\":1}\n{\"n\":2}\n");
    let mut small = client.open("small");
    let trace = Trace::of(Level::INFO);
    storage.nearly_full.store(true, Ordering::Relaxed);
    for n in 0..5 {
        small = client.append("small", &small, &n.to_string(), "{\"n\":3}\n");
        client.pass(500);
        assert_eq!(client.committed("small"), n.to_string());
    }
    assert!(client.committed("large").is_null());
    let text = trace.text();
    assert_eq!(text.matches("cannot be committed").count(), 1, "{text}");
    assert_eq!(text.matches("can be committed again").count(), 0, "{text}");

    storage.nearly_full.store(false, Ordering::Relaxed);
    assert_eq!(client.committed("large"), "2");
    let text = trace.text();
    assert_eq!(text.matches("can be committed again").count(), 1, "{text}");
}

#[test]
fn a_storage_that_cannot_be_loaded_stops_the_start() {
    let storage = Fragile::default();
    storage.full.store(true, Ordering::Relaxed);
    let why = settings().storage(storage).build().unwrap_err();
    assert!(
        why.to_string().contains("storage cannot be loaded"),
        "{why}"
    );
}
