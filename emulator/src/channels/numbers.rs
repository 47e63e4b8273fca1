//! The next numbers of sequences: kept with the rows, and taken up again when the emulator starts.

use std::collections::BTreeMap;

use super::state::State;
use crate::catalog::sequences::Sequence;
use crate::catalog::tables::Catalog;
use crate::storage::interface::{Storage, StorageError};

/// Lets the sequences of a catalog go on where the storage knows them to be.
pub(super) fn resume(catalog: &Catalog, storage: &mut dyn Storage) -> Result<(), StorageError> {
    let mut sequences = catalog.all_sequences().peekable();
    if sequences.peek().is_none() {
        return Ok(());
    }
    let kept = storage.numbers()?;
    for sequence in sequences {
        if let Some(number) = kept.get(sequence.name()) {
            sequence.resume(*number);
        }
    }
    Ok(())
}

/// Keeps the next numbers of sequences.
pub(super) fn keep<'a>(
    sequences: impl Iterator<Item = &'a Sequence>,
    storage: &mut dyn Storage,
) -> Result<(), StorageError> {
    let next = sequences.map(|sequence| (sequence.name().to_owned(), sequence.number()));
    let next: BTreeMap<String, i64> = next.collect();
    if next.is_empty() {
        return Ok(());
    }
    storage.keep_numbers(&next)
}

impl State {
    /// Lets the sequences start anew, or those of a database, whose name is in upper case.
    pub(super) fn restart_sequences(&mut self, database: Option<&str>) -> Result<(), StorageError> {
        let is_meant = |sequence: &&Sequence| {
            let start = database.map(|database| format!("{database}."));
            start.is_none_or(|start| sequence.name().starts_with(&start))
        };
        for sequence in self.catalog.all_sequences().filter(is_meant) {
            sequence.restart();
        }
        keep(self.catalog.all_sequences(), self.storage.as_mut())
    }
}
