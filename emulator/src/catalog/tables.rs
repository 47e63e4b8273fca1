//! Tables and pipes, and how they are found by name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::binary::BinaryFormat;
use super::cell::Cell;
use super::coercion::DataType;
use super::columns::Column;
use super::object_name::ObjectName;
use super::rules::Rules;
use super::sequences::Sequence;
use super::transforms::Transform;
use crate::answers::{Answers, BinaryText, Pipes, Values};

/// The suffix of a default pipe's name after the name of its table.
pub(crate) const DEFAULT_PIPE_SUFFIX: &str = "-STREAMING";

/// How a pipe matches a row's keys to columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatchBy {
    /// Letter by letter.
    CaseSensitive,
    /// Whatever the case.
    CaseInsensitive,
}

/// How a pipe makes a table's row of a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mapping {
    /// Keys are columns.
    ByName(MatchBy),
    /// The whole object is the value of the table's only column.
    WholeRow,
    /// Columns are picked out one by one; the others get their defaults.
    Select(Vec<Selected>),
    /// Columns are computed by the expressions of a select list; the others get their defaults.
    Transform(Transform),
}

/// One item of a pipe's select list: `$1:A.B::INT`, and the column it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selected {
    /// The position of the column in its table.
    pub column: usize,
    /// The keys that lead to the value; none is the whole object.
    pub path: Vec<String>,
    /// The type the value takes on its way, if there is a cast.
    pub cast: Option<DataType>,
}

/// A streaming pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pipe {
    /// Its name.
    pub name: ObjectName,
    /// Where its rows go.
    pub table: ObjectName,
    /// How its rows become cells.
    pub mapping: Mapping,
    /// The COPY statement behind AS, as CREATE PIPE has it. A default pipe has none.
    pub definition: Option<String>,
    pub(crate) rules: Rules,
}

impl Pipe {
    /// The sequences that its select list takes numbers from.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        let numbers = match &self.mapping {
            Mapping::Transform(transform) => transform.numbers.as_slice(),
            _ => &[],
        };
        numbers.iter().map(|(_, sequence)| sequence)
    }
}

/// What a row, or the statement that inserts it, has for a column.
pub(crate) enum Given<'a> {
    Value(Cell),
    Default,
    /// The next number of a sequence.
    Number(&'a Sequence),
}

impl From<Option<Cell>> for Given<'_> {
    fn from(cell: Option<Cell>) -> Self {
        cell.map_or(Self::Default, Self::Value)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Table {
    /// Its name.
    pub name: ObjectName,
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Whether it gets columns for keys that it does not know: `ENABLE_SCHEMA_EVOLUTION`.
    pub is_evolving: bool,
    /// Whether queries may read its rejected rows as `ERROR_TABLE(…)`: `ERROR_LOGGING`.
    pub has_error_logging: bool,
}

impl Table {
    /// A table with these columns.
    pub fn new(name: ObjectName, columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            name,
            columns: columns.into_iter().collect(),
            is_evolving: false,
            has_error_logging: false,
        }
    }

    /// The same table with `ENABLE_SCHEMA_EVOLUTION`.
    #[must_use]
    pub fn evolving(mut self) -> Self {
        self.is_evolving = true;
        self
    }

    /// The same table with `ERROR_LOGGING`.
    #[must_use]
    pub fn with_error_logging(mut self) -> Self {
        self.has_error_logging = true;
        self
    }

    /// A row as a JSON object by column.
    pub(crate) fn to_json(&self, row: Vec<Cell>) -> Value {
        let names = self.columns.iter().map(|column| column.name.clone());
        names.zip(row.into_iter().map(Cell::into_json)).collect()
    }

    /// The sequences that its columns take numbers from.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.columns.iter().filter_map(Column::sequence)
    }
}

/// Tables and pipes, found by name whatever the case.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pub(crate) tables: BTreeMap<ObjectName, Table>,
    pub(crate) pipes: BTreeMap<ObjectName, Pipe>,
    /// Those of CREATE SEQUENCE.
    pub(crate) sequences: BTreeMap<ObjectName, Sequence>,
    anything: Option<Table>,
    /// What pipes settle about values: the account's format of BINARY, and what becomes of JSON nulls.
    pub(super) rules: Rules,
    /// The answers to what is not documented of CREATE PIPE.
    pub(crate) answers: Pipes,
}

impl Catalog {
    /// A catalog that has whatever pipe is asked for, each into its own table of one VARIANT column, `ROW`.
    pub fn anything() -> Self {
        let any = || "ANY".to_owned();
        let name = ObjectName {
            database: any(),
            schema: any(),
            name: any(),
        };
        let columns = [Column::new("ROW", DataType::Variant).not_null()];
        let table = Table::new(name, columns).with_error_logging();
        Self {
            anything: Some(table),
            ..Self::default()
        }
    }

    /// The same catalog with JSON nulls in VARIANT columns stored as SQL NULL, or, as in Snowflake, not.
    #[must_use]
    pub fn with_sql_null(mut self, sql_null: bool) -> Self {
        self.rules.sql_null = sql_null;
        self
    }

    /// The same catalog with the account's `BINARY_INPUT_FORMAT`: the format in which the pipes that CREATE PIPE made read
    /// BINARY. [`BinaryFormat::Hex`] by default, as in Snowflake.
    #[must_use]
    pub fn with_binary_input_format(mut self, format: BinaryFormat) -> Self {
        self.rules.binary = format;
        self
    }

    /// The same catalog with answers to what Snowflake does not document, for the statements that are carried out on it. An emulator
    /// that is built with the catalog follows its own, [`EmulatorBuilder::answers`](crate::EmulatorBuilder::answers).
    #[must_use]
    pub fn with_answers(mut self, answers: &Answers) -> Self {
        self.rules.values = answers.values;
        self.rules.omitted = answers.pipes.omitted_column;
        self.answers = answers.pipes;
        self
    }

    /// Adds a table, in place of one of the same name.
    pub fn add_table(&mut self, table: Table) {
        self.tables.insert(folded(&table.name), table);
    }

    /// The same catalog without a table for every name, for the tables of a script.
    #[cfg(feature = "server")]
    pub(crate) fn without_anything(mut self) -> Self {
        self.anything = None;
        self
    }

    /// A pipe by name. Each table has a default pipe, `<TABLE>-STREAMING`, which matches keys in any case.
    pub fn pipe(&self, name: &ObjectName) -> Option<Pipe> {
        let key = folded(name);
        if let Some(made) = self.pipes.get(&key) {
            let rules = match made.mapping {
                Mapping::Select(_) | Mapping::Transform(_) => Rules {
                    is_cast: true,
                    values: Values::default(),
                    ..self.rules
                },
                _ => self.rules,
            };
            let made = made.clone();
            return Some(Pipe { rules, ..made });
        }
        self.default_pipe(&key).or_else(|| self.any_pipe(&key))
    }

    /// A table by name.
    pub fn table(&self, name: &ObjectName) -> Option<&Table> {
        self.tables.get(&folded(name)).or(self.anything.as_ref())
    }

    /// A table by the exact name, as statements find it.
    #[cfg(feature = "server")]
    pub(crate) fn table_in_sql(&self, name: &ObjectName) -> Option<&Table> {
        let found = self.table(name)?;
        (found.name == *name || !self.is_declared(name)).then_some(found)
    }

    /// The same, to change it. A table that stands in for any other is not found.
    #[cfg(feature = "server")]
    pub(crate) fn table_to_alter(&mut self, name: &ObjectName) -> Option<&mut Table> {
        let found = self.tables.get_mut(&folded(name))?;
        (found.name == *name).then_some(found)
    }

    /// A pipe by the exact name, as statements find it.
    #[cfg(feature = "server")]
    pub(crate) fn pipe_in_sql(&self, name: &ObjectName) -> Option<Pipe> {
        let found = self.pipe(name)?;
        (found.name == *name || self.is_anything()).then_some(found)
    }

    /// Whether every pipe there is taken.
    pub(crate) fn is_anything(&self) -> bool {
        self.anything.is_some()
    }

    /// How values of the account's statements become cells.
    #[cfg(feature = "server")]
    pub(crate) fn cast_rules(&self) -> Rules {
        // Statements run in sessions, whose zone is UTC.
        Rules {
            binary: self.rules.binary,
            ..Rules::of_casts()
        }
    }

    /// Whether it has the same tables and pipes as another one.
    #[cfg(feature = "server")]
    pub(crate) fn has_same_objects(&self, other: &Self) -> bool {
        self.tables == other.tables
            && self.pipes == other.pipes
            && self.sequences == other.sequences
            && self.anything == other.anything
    }

    /// Every sequence, those of columns included.
    pub(crate) fn all_sequences(&self) -> impl Iterator<Item = &Sequence> {
        let of_tables = self.tables.values().flat_map(Table::sequences);
        of_tables.chain(self.sequences.values())
    }

    /// Whether a table is known by its name, and not because any is.
    #[cfg(feature = "server")]
    pub(crate) fn is_declared(&self, name: &ObjectName) -> bool {
        self.tables.contains_key(&folded(name))
    }

    /// All tables, in order of their names.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// All pipes that CREATE PIPE made, in order of their names.
    pub fn pipes(&self) -> impl Iterator<Item = &Pipe> {
        self.pipes.values()
    }

    /// The rules of default pipes, which read the same format of BINARY whatever the account's is.
    fn default_rules(&self) -> Rules {
        let binary = match self.rules.values.binary_text {
            BinaryText::Hex => BinaryFormat::Hex,
            BinaryText::Base64 => BinaryFormat::Base64,
        };
        Rules {
            binary,
            ..self.rules
        }
    }

    fn default_pipe(&self, key: &ObjectName) -> Option<Pipe> {
        let table = self.tables.get(&table_of_default_pipe(key)?)?;
        Some(Pipe {
            name: default_pipe_name(&table.name),
            table: table.name.clone(),
            mapping: Mapping::ByName(MatchBy::CaseInsensitive),
            definition: None,
            rules: self.default_rules(),
        })
    }

    fn any_pipe(&self, key: &ObjectName) -> Option<Pipe> {
        self.anything.as_ref()?;
        Some(Pipe {
            name: key.clone(),
            table: table_of_default_pipe(key).unwrap_or_else(|| key.clone()),
            mapping: Mapping::WholeRow,
            definition: None,
            rules: self.default_rules(),
        })
    }
}

/// The name under which an object is found: upper-case, and without the quotes that some clients put around names.
pub(crate) fn folded(name: &ObjectName) -> ObjectName {
    ObjectName {
        database: folded_part(&name.database),
        schema: folded_part(&name.schema),
        name: folded_part(&name.name),
    }
}

/// A part of a name as [`folded`] has it.
pub(crate) fn folded_part(part: &str) -> String {
    unquoted_part(part).to_uppercase()
}

/// A name without the quotes that some clients put around its parts.
pub(crate) fn unquoted(name: &ObjectName) -> ObjectName {
    let part = |part: &str| unquoted_part(part).to_owned();
    ObjectName {
        database: part(&name.database),
        schema: part(&name.schema),
        name: part(&name.name),
    }
}

fn unquoted_part(part: &str) -> &str {
    part.strip_prefix('"')
        .and_then(|part| part.strip_suffix('"'))
        .unwrap_or(part)
}

/// The default pipe of a table.
pub(crate) fn default_pipe_name(table: &ObjectName) -> ObjectName {
    ObjectName {
        name: format!("{}{DEFAULT_PIPE_SUFFIX}", table.name),
        ..table.clone()
    }
}

fn table_of_default_pipe(key: &ObjectName) -> Option<ObjectName> {
    Some(ObjectName {
        name: key.name.strip_suffix(DEFAULT_PIPE_SUFFIX)?.to_owned(),
        ..key.clone()
    })
}

/// The name a table's rows are kept under: its own, unless it stands in for whatever table is asked for.
pub(crate) fn kept_as<'a>(found: &'a Table, asked: &'a ObjectName) -> &'a ObjectName {
    let same = |one: &str, other: &str| one.to_uppercase() == other;
    let own = same(&found.name.database, &asked.database)
        && same(&found.name.schema, &asked.schema)
        && same(&found.name.name, &asked.name);
    if own { &found.name } else { asked }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
