//! Changes of a data file while the emulator runs: other tables, rows of fixtures, or no rows.

use std::collections::BTreeMap;

use rusqlite::{Transaction, TransactionBehavior, params_from_iter};

use super::data_file_tables::{Kept, carry_out, create_table, forget_pipe, pipes};
use super::interface::StorageError;
use super::records::SchemaChange;
use super::sqlite_cells::Bound;
use super::sqlite_file::{SqliteFile, failure, store};
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, folded, folded_part};
use crate::ddl::statements::Change;
use crate::sql::names::quoted;

impl SqliteFile {
    /// Carries out a script that came while the emulator runs.
    pub(crate) fn change(&mut self, change: &SchemaChange<'_>) -> Result<(), StorageError> {
        let mut kept = self.kept.clone();
        let failed = |why| failure(&self.path, "cannot be changed", why);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let gone = change.dropped.iter().cloned().map(Change::DropTable);
        let forgotten = change.forgotten.iter().cloned();
        let changes = gone.chain(forgotten.map(Change::ForgetChannels));
        let made = change.catalog.tables();
        let made = made.map(|table| Change::CreateTable(table.name.clone()));
        let altered = change.altered.iter().cloned().map(Change::AlterTable);
        let truncated = change.truncated.iter().cloned().map(Change::TruncateTable);
        let errors = change.errors_truncated.iter().cloned();
        let errors = errors.map(Change::TruncateErrors);
        let steps = changes.chain(made).chain(truncated).chain(errors);
        for step in steps.chain(altered) {
            carry_out(&transaction, change.catalog, &mut kept, step).map_err(failed)?;
        }
        for (name, rows) in change.inserted {
            insert(&transaction, change.catalog, &mut kept, name, rows).map_err(failed)?;
        }
        if let Some(script) = change.script {
            store(&transaction, script).map_err(failed)?;
            transaction
                .execute(
                    "INSERT INTO _snowpipe_posted VALUES (last_insert_rowid())",
                    [],
                )
                .map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.kept = kept;
        self.catalog = change.catalog.clone();
        Ok(())
    }

    /// Deletes rows and channels, or those of a database. Tables that no script declared are deleted too.
    pub(crate) fn clear(&mut self, database: Option<&str>) -> Result<(), StorageError> {
        let mut kept = self.kept.clone();
        let failed = |why| failure(&self.path, "cannot be emptied", why);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let is_meant =
            |name: &ObjectName| database.is_none_or(|meant| folded_part(&name.database) == meant);
        for (name, place) in self.kept.iter().filter(|(name, _)| is_meant(name)) {
            if self.catalog.is_declared(name) {
                transaction
                    .execute_batch(&format!(
                        "DELETE FROM {}; DELETE FROM {};",
                        quoted(&place.table),
                        quoted(&place.errors())
                    ))
                    .map_err(failed)?;
            } else {
                let gone = Change::DropTable(name.clone());
                carry_out(&transaction, &self.catalog, &mut kept, gone).map_err(failed)?;
            }
        }
        for table in ["_snowpipe_accepted", "_snowpipe_channels"] {
            for pipe in pipes(&transaction, table).map_err(failed)? {
                if is_meant(&pipe) {
                    forget_pipe(&transaction, table, &pipe).map_err(failed)?;
                }
            }
        }
        transaction.commit().map_err(failed)?;
        self.kept = kept;
        Ok(())
    }
}

/// Inserts rows into a table, which is created if it stands for any and has no rows yet.
fn insert(
    transaction: &Transaction<'_>,
    catalog: &Catalog,
    kept: &mut BTreeMap<ObjectName, Kept>,
    name: &ObjectName,
    rows: &[Vec<Cell>],
) -> rusqlite::Result<()> {
    if let Some(table) = catalog.table(name) {
        create_table(transaction, kept, name, table)?;
    }
    let Some(place) = kept.get(&folded(name)) else {
        return Ok(());
    };
    let mut insert = transaction.prepare_cached(&place.insert)?;
    for row in rows {
        insert.execute(params_from_iter(row.iter().map(Bound)))?;
    }
    Ok(())
}
