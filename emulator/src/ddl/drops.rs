//! DROP of tables, pipes, schemas and databases.

use super::ignored::ignored;
use super::script::{Cursor, Statement};
use super::statements::{Change, DdlError, ErrorCode, Run};
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{default_pipe_name, folded, folded_part};

impl Run<'_> {
    pub(super) fn drop(
        &mut self,
        statement: &Statement,
        mut cursor: Cursor<'_>,
    ) -> Result<(), DdlError> {
        let table = cursor.keyword("TABLE");
        if !table && !cursor.keyword("PIPE") {
            if cursor.keyword("SEQUENCE") {
                return self.drop_sequence(cursor);
            }
            let schema = cursor.keyword("SCHEMA");
            if schema || cursor.keyword("DATABASE") {
                return self.drop_all(schema, cursor);
            }
            ignored(statement);
            return Ok(());
        }
        let keep = cursor.if_exists();
        let (parts, at) = cursor.name()?;
        let name = self.session.object(parts, at)?;
        let key = folded(&name);
        let known = if table {
            self.catalog.tables.get(&key).map(|table| &table.name)
        } else {
            self.catalog.pipes.get(&key).map(|pipe| &pipe.name)
        };
        if known != Some(&name) {
            if keep {
                return Ok(());
            }
            let text = format!(
                "there is no {} to drop; write IF EXISTS if that is fine",
                name.name
            );
            return Err(DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT));
        }
        if table {
            self.drop_table(&name);
            self.catalog.tables.remove(&key);
            self.catalog
                .pipes
                .retain(|_, pipe| folded(&pipe.table) != key);
        } else {
            self.catalog.pipes.remove(&key);
            self.changes.push(Change::ForgetChannels(name));
        }
        Ok(())
    }

    /// `DROP SCHEMA` or `DROP DATABASE`: all tables and pipes in it. The emulator has no schemas and databases without a table, so there
    /// is nothing that could be missing.
    fn drop_all(&mut self, is_schema: bool, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        cursor.if_exists();
        let (mut parts, at) = cursor.name()?;
        if cursor.keyword("RESTRICT") {
            let text = "the emulator has no RESTRICT: drop the tables one by one";
            return Err(DdlError::at(at, text));
        }
        cursor.keyword("CASCADE");
        let schema = if is_schema { parts.pop() } else { None };
        let known = || self.session.database().map(str::to_owned);
        let database = parts.pop().or_else(known).filter(|_| parts.is_empty());
        let Some(database) = database else {
            let text = "the name of a schema has one or two parts, that of a database one; without USE DATABASE a schema needs both";
            return Err(DdlError::at(at, text));
        };
        let (database, schema) = (
            folded_part(&database),
            schema.map(|name| folded_part(&name)),
        );
        let is_in = |name: &ObjectName| {
            folded_part(&name.database) == database
                && schema
                    .as_ref()
                    .is_none_or(|schema| folded_part(&name.schema) == *schema)
        };
        let tables = self.catalog.tables().map(|table| table.name.clone());
        let tables: Vec<ObjectName> = tables.filter(|name| is_in(name)).collect();
        for name in tables {
            let key = folded(&name);
            self.drop_table(&name);
            self.catalog.tables.remove(&key);
            let pipes = &mut self.catalog.pipes;
            pipes.retain(|_, pipe| folded(&pipe.table) != key);
        }
        self.catalog.sequences.retain(|name, _| !is_in(name));
        let pipes = self.catalog.pipes().map(|pipe| pipe.name.clone());
        let pipes: Vec<ObjectName> = pipes.filter(|name| is_in(name)).collect();
        for name in pipes {
            self.catalog.pipes.remove(&folded(&name));
            self.changes.push(Change::ForgetChannels(name));
        }
        Ok(())
    }

    /// A table's rows go, and with them the tokens that promised them.
    pub(super) fn drop_table(&mut self, name: &ObjectName) {
        let key = folded(name);
        let into_it = self
            .catalog
            .pipes()
            .filter(|pipe| folded(&pipe.table) == key);
        let mut forgotten: Vec<ObjectName> = into_it.map(|pipe| pipe.name.clone()).collect();
        if let Some(table) = self.catalog.tables.get(&key) {
            self.rows.forget(&table.name);
            forgotten.push(default_pipe_name(&table.name));
            self.changes.push(Change::DropTable(table.name.clone()));
        }
        self.changes
            .extend(forgotten.into_iter().map(Change::ForgetChannels));
    }
}
