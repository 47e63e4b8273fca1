//! Tables and pipes from Snowflake DDL: splits a script into statements and carries out those that matter here.
//!
//! `table` reads CREATE TABLE with sqlparser, `pipe` reads CREATE PIPE, which sqlparser does not know. What concerns roles,
//! warehouses, grants and queries changes nothing here and is ignored. `rows` has INSERT and DELETE. Statements that would change what lands, and that the
//! emulator does not carry out, are refused.

use std::collections::BTreeMap;

use sqlparser::ast;
use sqlparser::tokenizer::Location;

use super::defaults::Scope;
use super::ignored::{WITHOUT_EFFECT, alter, ignored};
use super::options::{self, error_table};
use super::rows::Rows;
use super::script::{Cursor, Statement, split};
use super::session::Session;
use super::table::{self, columns, name_parts, parse};
use super::{deep_stack, pipe};
use crate::catalog::cell::Cell;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Catalog, Table, folded};

/// A DDL script that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
#[non_exhaustive]
pub struct DdlError {
    /// What is wrong and what to do about it.
    pub message: String,
    /// Where, counted from 1.
    pub line: u64,
    /// Where on the line, counted in characters from 1.
    pub column: u64,
    pub(crate) code: ErrorCode,
}

/// Snowflake's code and SQLSTATE of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ErrorCode(pub(crate) &'static str, pub(crate) &'static str);

impl ErrorCode {
    pub(crate) const UNSUPPORTED: Self = Self("000002", "0A000");
    pub(crate) const SYNTAX: Self = Self("001003", "42000");
    const EXISTS: Self = Self("002002", "42710");
    pub(crate) const NO_OBJECT: Self = Self("002003", "42S02");
}

impl DdlError {
    pub(crate) fn at(location: Location, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            line: location.line.max(1),
            column: location.column.max(1),
            code: ErrorCode::UNSUPPORTED,
        }
    }

    pub(crate) fn with_code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }
}

/// A change that a script made, which the storage has to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A table is new and empty.
    CreateTable(ObjectName),
    /// A table has more columns, or columns without their NOT NULL.
    AlterTable(ObjectName),
    /// A table has lost its rows. Its rejected rows stay.
    TruncateTable(ObjectName),
    /// A table has lost its rejected rows.
    TruncateErrors(ObjectName),
    /// A table is gone with its rows.
    DropTable(ObjectName),
    /// A pipe has forgotten its channels: it is gone, new, or leads to a new table.
    ForgetChannels(ObjectName),
}

/// Words between CREATE and the kind of object that change nothing here.
const MODIFIERS: &[&str] = &[
    "TEMPORARY",
    "TEMP",
    "VOLATILE",
    "LOCAL",
    "GLOBAL",
    "TRANSIENT",
    "ICEBERG",
];

impl Catalog {
    /// The tables and pipes that a DDL script makes.
    ///
    /// # Errors
    ///
    /// When a statement cannot be read or carried out, with its line and column.
    pub fn from_ddl(text: &str) -> Result<Self, DdlError> {
        let mut catalog = Self::default();
        catalog.apply_ddl(text)?;
        Ok(catalog)
    }

    /// Carries out a DDL script on top of what is here. After an error the catalog is as it was.
    ///
    /// # Errors
    ///
    /// When a statement cannot be read or carried out, with its line and column.
    pub fn apply_ddl(&mut self, text: &str) -> Result<(), DdlError> {
        *self = self.after_ddl(text, Rows::Refused)?.catalog;
        Ok(())
    }

    /// What a script makes of the catalog, and what the storage has to follow.
    pub(crate) fn after_ddl(&self, text: &str, rows: Rows<'_>) -> Result<Outcome, DdlError> {
        deep_stack::run("snowpipe-emulator-ddl", || self.run_ddl(text, rows)).unwrap_or_else(|| {
            let start = Location::new(1, 1);
            Err(DdlError::at(
                start,
                "the system has no thread to read the script on",
            ))
        })
    }

    fn run_ddl(&self, text: &str, rows: Rows<'_>) -> Result<Outcome, DdlError> {
        let mut catalog = self.clone();
        if !matches!(rows, Rows::Changed(_)) {
            catalog = catalog.without_anything();
        }
        let mut run = Run {
            catalog,
            session: Session::default(),
            changes: Vec::new(),
            rows,
        };
        for statement in split(text)? {
            run.statement(&statement)?;
        }
        Ok(Outcome {
            catalog: run.catalog,
            changes: run.changes,
            inserted: run.rows.into_inserted(),
            session: run.session,
        })
    }
}

/// What a script comes to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) catalog: Catalog,
    /// The changes that the storage has to follow, before rows are inserted.
    pub(crate) changes: Vec<Change>,
    /// The rows that are inserted, by the name under which their table is kept.
    pub(crate) inserted: BTreeMap<ObjectName, Vec<Vec<Cell>>>,
    /// The database and schema that the script ends in.
    pub(crate) session: Session,
}

/// `OR REPLACE`, `IF NOT EXISTS`, or neither.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing {
    pub(crate) replace: bool,
    pub(crate) keep: bool,
}

/// A script on its way.
pub(super) struct Run<'a> {
    pub(super) catalog: Catalog,
    pub(super) session: Session,
    pub(super) changes: Vec<Change>,
    pub(super) rows: Rows<'a>,
}

impl Run<'_> {
    fn statement(&mut self, statement: &Statement) -> Result<(), DdlError> {
        let mut cursor = statement.cursor();
        if cursor.keyword("INSERT") {
            return self.insert(statement, cursor);
        }
        if cursor.keyword("DELETE") {
            return self.delete(statement, cursor);
        }
        if cursor.keyword("CREATE") {
            return self.create(statement, cursor);
        }
        if cursor.keyword("USE") {
            return self.use_context(cursor);
        }
        if cursor.keyword("DROP") {
            return self.drop(statement, cursor);
        }
        if cursor.keyword("TRUNCATE") {
            return self.truncate(statement, cursor);
        }
        if cursor.keyword("ALTER") {
            let is_table =
                cursor.keyword("TABLE") || cursor.keyword("ICEBERG") && cursor.keyword("TABLE");
            if is_table && options::are_set(cursor.clone()) {
                return self.set_options(cursor);
            }
            if is_table
                && statement
                    .words()
                    .any(|word| word == "ADD" || word == "DROP")
            {
                return self.alter_table(statement);
            }
            return alter(statement);
        }
        match statement.words().next() {
            Some(word) if WITHOUT_EFFECT.contains(&word.as_str()) => {
                ignored(statement);
                Ok(())
            }
            _ => Err(DdlError::at(
                statement.at,
                format!(
                    "{} is not a statement that the emulator carries out: it has CREATE, ALTER, TRUNCATE and DROP of tables, CREATE and DROP of pipes, INSERT of values, DELETE of all rows, and USE",
                    statement.head()
                ),
            )),
        }
    }

    fn create(&mut self, statement: &Statement, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        let mut replace = false;
        if cursor.keyword("OR") {
            replace = cursor.keyword("REPLACE");
            if !replace && cursor.keyword("ALTER") && cursor.keyword("TABLE") {
                return Err(DdlError::at(
                    statement.at,
                    "the emulator has no CREATE OR ALTER TABLE: write CREATE OR REPLACE, which empties the table, or CREATE TABLE IF NOT EXISTS",
                ));
            }
        }
        while MODIFIERS.iter().any(|word| cursor.keyword(word)) {}
        if cursor.keyword("TABLE") {
            return self.create_table(statement);
        }
        if cursor.keyword("PIPE") {
            let keep = cursor.if_not_exists();
            let existing = Existing { replace, keep };
            return self.create_pipe(statement, cursor, existing);
        }
        if cursor.keyword("SEQUENCE") {
            let keep = cursor.if_not_exists();
            let existing = Existing { replace, keep };
            return self.create_sequence(statement, cursor, existing);
        }
        if cursor.keyword("DATABASE") {
            cursor.if_not_exists();
            let (mut parts, _) = cursor.name()?;
            if let Some(database) = parts.pop() {
                self.session.use_database(database);
            }
        } else if cursor.keyword("SCHEMA") {
            cursor.if_not_exists();
            let (parts, _) = cursor.name()?;
            self.session.use_schema(parts);
        } else {
            ignored(statement);
        }
        Ok(())
    }

    fn use_context(&mut self, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        if cursor.keyword("ROLE") || cursor.keyword("WAREHOUSE") || cursor.keyword("SECONDARY") {
            return Ok(());
        }
        if cursor.keyword("SCHEMA") {
            let (parts, _) = cursor.name()?;
            self.session.use_schema(parts);
            return Ok(());
        }
        cursor.keyword("DATABASE");
        let (parts, _) = cursor.name()?;
        if let [database] = parts.as_slice() {
            self.session.use_database(database.clone());
        } else {
            self.session.use_schema(parts);
        }
        Ok(())
    }

    fn create_table(&mut self, statement: &Statement) -> Result<(), DdlError> {
        let ast::Statement::CreateTable(table) = parse(statement)? else {
            return Err(DdlError::at(statement.at, "this is not a CREATE TABLE"));
        };
        let name = self
            .session
            .object(name_parts(&table.name, statement.at)?, statement.at)?;
        let existing = Existing {
            replace: table.or_replace,
            keep: table.if_not_exists,
        };
        if let Some(known) = self.catalog.tables.get(&folded(&name)) {
            differs_by_more_than_case(statement.at, "table", &known.name, &name)?;
            if existing.keep {
                return Ok(());
            }
            if !existing.replace {
                return Err(already_exists(statement.at, "table", &name));
            }
            self.drop_table(&name);
        }
        if table.query.is_some() || table.like.is_some() || table.clone.is_some() {
            return Err(DdlError::at(
                statement.at,
                format!(
                    "the emulator needs the columns of table {} spelled out: it has no AS SELECT, LIKE or CLONE",
                    name.name
                ),
            ));
        }
        let scope = Scope {
            table: &name,
            session: &self.session,
            sequences: &self.catalog.sequences,
            zone: self.catalog.zone(),
        };
        let columns = columns(&table, scope, statement.at)?;
        self.only_named_tables();
        self.changes.push(Change::CreateTable(name.clone()));
        let is_evolving = table.enable_schema_evolution == Some(true);
        self.catalog.add_table(Table {
            is_evolving,
            has_error_logging: options::has_error_logging(statement)?,
            ..Table::new(name, columns)
        });
        Ok(())
    }

    fn alter_table(&mut self, statement: &Statement) -> Result<(), DdlError> {
        let at = statement.at;
        let ast::Statement::AlterTable(alter) = parse(statement)? else {
            return Err(DdlError::at(at, "this is not an ALTER TABLE"));
        };
        let name = self.session.object(name_parts(&alter.name, at)?, at)?;
        let (sequences, zone) = (self.catalog.sequences.clone(), self.catalog.zone());
        let Some(table) = self.catalog.table_to_alter(&name) else {
            if alter.if_exists {
                return Ok(());
            }
            let text = format!("there is no table {} to alter: create it before", name.name);
            return Err(DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT));
        };
        for operation in &alter.operations {
            let scope = Scope {
                table: &name,
                session: &self.session,
                sequences: &sequences,
                zone,
            };
            table::alter(table, operation, scope, at)?;
        }
        self.rows.widen(table);
        self.changes.push(Change::AlterTable(table.name.clone()));
        Ok(())
    }

    fn truncate(&mut self, statement: &Statement, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        cursor.keyword("TABLE");
        let keep = cursor.if_exists();
        let errors_of = error_table(&mut cursor, &self.session)?;
        if let (Some(table), None) = (errors_of, cursor.peek()) {
            return self.truncate_errors(&table, statement, keep);
        }
        let (parts, at) = cursor.name()?;
        if cursor.peek().is_some() {
            return Err(cursor.expected("the end of the statement"));
        }
        let name = self.session.object(parts, at)?;
        match self.kept_table(&name) {
            Some(table) => self.empty(table),
            None if keep => {}
            None => {
                let text = format!("there is no table {} to truncate", name.name);
                return Err(DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT));
            }
        }
        Ok(())
    }

    /// An emulator that takes every table has only those of a script from its first one on.
    fn only_named_tables(&mut self) {
        self.catalog = std::mem::take(&mut self.catalog).without_anything();
    }

    fn create_pipe(
        &mut self,
        statement: &Statement,
        cursor: Cursor<'_>,
        existing: Existing,
    ) -> Result<(), DdlError> {
        let Some(pipe) = pipe::read(cursor, &self.session, &self.catalog)? else {
            ignored(statement);
            return Ok(());
        };
        let key = folded(&pipe.name);
        if let Some(known) = self.catalog.pipes.get(&key) {
            differs_by_more_than_case(statement.at, "pipe", &known.name, &pipe.name)?;
            if existing.keep {
                return Ok(());
            }
            if !existing.replace {
                return Err(already_exists(statement.at, "pipe", &pipe.name));
            }
            self.changes.push(Change::ForgetChannels(pipe.name.clone()));
        }
        self.only_named_tables();
        self.catalog.pipes.insert(key, pipe);
        Ok(())
    }
}

/// Refuses a name that differs from another one by case alone: requests find tables and pipes in any case.
fn differs_by_more_than_case(
    at: Location,
    kind: &str,
    known: &ObjectName,
    name: &ObjectName,
) -> Result<(), DdlError> {
    if known == name {
        return Ok(());
    }
    Err(DdlError::at(
        at,
        format!(
            "there is a {kind} {}.{}.{} already, and the emulator has no two whose names differ by case alone: choose another name",
            known.database, known.schema, known.name
        ),
    ))
}

pub(super) fn already_exists(at: Location, kind: &str, name: &ObjectName) -> DdlError {
    DdlError::at(
        at,
        format!(
            "{kind} {}.{}.{} already exists: write OR REPLACE to start it anew, or IF NOT EXISTS to keep it",
            name.database, name.schema, name.name
        ),
    )
    .with_code(ErrorCode::EXISTS)
}

#[cfg(test)]
#[path = "statements_tests.rs"]
mod tests;
