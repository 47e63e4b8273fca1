//! What the compiler knows while it walks a statement.

use std::collections::BTreeMap;
use std::time::Instant;

use super::scopes::{Output, Scope};
use super::types::Typed;
use crate::catalog::columns::Column;
use crate::catalog::object_name::ObjectName;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::names::Context;

/// How many expressions a statement may have, those included that its aliases stand for.
const MOST_EXPRESSIONS: usize = 50_000;
/// How long the SQL of one expression may be.
const MOST_SQL: usize = 256 * 1024;

/// A table that a statement may read.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// What it is called in SQLite.
    pub(crate) kept_as: String,
    pub(crate) columns: Vec<Column>,
    /// Whether these are all of its columns.
    pub(crate) is_whole: bool,
}

/// A query that WITH has given a name.
#[derive(Debug, Clone)]
pub(crate) struct NamedQuery {
    pub(crate) name: String,
    /// What it is called in SQLite's SQL.
    pub(crate) sql_name: String,
    pub(crate) columns: Vec<Output>,
}

/// A text whose value is set for each run of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The row that a pipe lands.
    Row,
    /// The time, in the form of a date or timestamp.
    Now(Form),
}

/// What a statement is compiled with.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// The functions of a pipe's select list, which reads `$1` and no tables; none for a query.
    pub(crate) of_pipe: Option<&'a [&'a str]>,
    pub(crate) context: &'a Context,
    pub(crate) tables: &'a BTreeMap<ObjectName, Known>,
    /// The values of the placeholders, as literals.
    pub(crate) bindings: &'a [crate::sql::compiler::literals::Literal],
    /// The time at which the statement began, as a wall clock in UTC with nine fraction digits.
    pub(crate) now: &'a str,
    /// When the statement is given up.
    pub(crate) end: Instant,
}

/// The state of a walk through a statement.
#[derive(Debug)]
pub(crate) struct Compiler<'a> {
    pub(crate) settings: Settings<'a>,
    /// The texts of the statement, which are bound.
    pub(crate) texts: Vec<String>,
    /// Which of the texts are those of slots.
    pub(crate) slots: Vec<(usize, Slot)>,
    /// The queries around the expression at hand, the innermost last.
    pub(crate) scopes: Vec<Scope>,
    pub(crate) named: Vec<NamedQuery>,
    /// By the SQL of a column of whole numbers, the column itself, which has equal numbers in one form.
    pub(crate) whole_columns: BTreeMap<String, String>,
    /// How many placeholders have been met.
    pub(crate) bound: usize,
    /// How many queries are around the place at hand.
    pub(crate) depth: usize,
    names: usize,
    expressions: usize,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(settings: Settings<'a>) -> Self {
        Self {
            settings,
            texts: Vec::new(),
            slots: Vec::new(),
            scopes: Vec::new(),
            named: Vec::new(),
            whole_columns: BTreeMap::new(),
            bound: 0,
            depth: 0,
            names: 0,
            expressions: 0,
        }
    }

    /// A name that nothing else in the statement has.
    pub(crate) fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    /// The placeholder of a text; the same text has the same, so that expressions that are the same stay so.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let is_slot = |position: usize| self.slots.iter().any(|(slot, _)| *slot == position);
        let mut known = self.texts.iter().enumerate();
        let known = known.find(|(position, known)| *known == text && !is_slot(*position));
        let position = known.map(|(position, _)| position);
        let position = position.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        format!("?{}", position + 1)
    }

    /// The placeholder of a slot, whose text is `text` in this run.
    pub(crate) fn slot(&mut self, slot: Slot, text: &str) -> String {
        let mut known = self.slots.iter();
        let known = known.find(|(_, known)| *known == slot);
        let position = known.map_or(self.texts.len(), |(position, _)| *position);
        if position == self.texts.len() {
            self.texts.push(text.to_owned());
            self.slots.push((position, slot));
        }
        format!("?{}", position + 1)
    }

    pub(crate) fn scope(&self) -> Option<&Scope> {
        self.scopes.last()
    }

    /// Counts an expression, and looks at the clock.
    pub(crate) fn step(&mut self) -> Result<(), Failure> {
        self.expressions += 1;
        if Instant::now() >= self.settings.end {
            return Err(Failure::timeout());
        }
        if self.expressions > MOST_EXPRESSIONS {
            return Err(Failure::unsupported(
                "a statement of so many expressions, those of its aliases included",
            ));
        }
        Ok(())
    }
}

/// Refuses an expression whose SQL has become too long.
pub(crate) fn bounded(typed: Typed) -> Result<Typed, Failure> {
    if typed.sql.len() > MOST_SQL {
        return Err(Failure::unsupported(
            "an expression of this length, its aliases included",
        ));
    }
    Ok(typed)
}
