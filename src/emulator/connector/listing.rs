//! SHOW SCHEMAS, SHOW TABLES and DESC TABLE: the first columns that Snowflake documents, as far as the emulator knows what is in them.

use std::collections::BTreeSet;

use sqlparser::tokenizer::Token;

use super::answers::{
    Rejection, ResultSet, StatementType, number_column, text_column, time_column,
};
use super::sessions::Names;
use crate::emulator::catalog::cell::Cell;
use crate::emulator::catalog::coercion::DataType;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::catalog::tables::{Column, ColumnDefault, kept_as};
use crate::emulator::channels::state::State;
use crate::emulator::ddl::script::Cursor;
use crate::emulator::sql::failure::Failure;
use crate::emulator::sql_api::statements::{Access, storage_failure};

/// The longest pattern: no name is longer than 255 characters.
const MOST_PATTERN: usize = 2_000;

/// Which tables a SHOW lists.
#[derive(Debug, Default)]
struct Filter {
    database: Option<String>,
    schema: Option<String>,
    like: Option<String>,
    starts_with: Option<String>,
    limit: Option<usize>,
}

impl Filter {
    /// Reads `[LIKE 'pattern'] [IN …] [STARTS WITH 'text'] [LIMIT n]`.
    fn read(cursor: &mut Cursor<'_>, names: &Names) -> Result<Self, Rejection> {
        let mut filter = Self::default();
        if cursor.keyword("LIKE") {
            filter.like = Some(text(cursor)?);
        }
        if cursor.keyword("IN") {
            filter.read_scope(cursor, names)?;
        } else {
            filter.database.clone_from(&names.database);
        }
        if cursor.keyword("STARTS") {
            cursor.expect_keyword("WITH")?;
            filter.starts_with = Some(text(cursor)?);
        }
        if cursor.keyword("LIMIT") {
            let limit = match cursor.peek() {
                Some(Token::Number(digits, _)) => digits.parse().ok(),
                _ => None,
            };
            filter.limit = Some(limit.ok_or_else(|| cursor.expected("a number of tables"))?);
            cursor.next();
        }
        Ok(filter)
    }

    fn read_scope(&mut self, cursor: &mut Cursor<'_>, names: &Names) -> Result<(), Rejection> {
        if cursor.keyword("ACCOUNT") {
            return Ok(());
        }
        self.database.clone_from(&names.database);
        let is_name = |cursor: &Cursor<'_>| match cursor.peek() {
            Some(Token::Word(word)) => {
                let value = word.value.to_uppercase();
                word.quote_style.is_some() || (value != "STARTS" && value != "LIMIT")
            }
            _ => false,
        };
        if cursor.keyword("DATABASE") {
            if is_name(cursor) {
                self.database = Some(cursor.identifier()?);
            }
            return Ok(());
        }
        cursor.keyword("SCHEMA");
        if !is_name(cursor) {
            self.schema.clone_from(&names.schema);
            return Ok(());
        }
        let (mut parts, at) = cursor.name()?;
        self.schema = parts.pop();
        if let Some(database) = parts.pop() {
            self.database = Some(database);
        }
        if !parts.is_empty() {
            let text = "the name of a schema has at most two parts";
            return Err(crate::emulator::ddl::statements::DdlError::at(at, text).into());
        }
        Ok(())
    }

    fn lists(&self, name: &ObjectName) -> bool {
        let same = |wanted: &Option<String>, part: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == part)
        };
        let like = self.like.as_ref();
        let start = self.starts_with.as_ref();
        same(&self.database, &name.database)
            && same(&self.schema, &name.schema)
            && like.is_none_or(|pattern| is_like(&name.name, pattern))
            && start.is_none_or(|start| name.name.starts_with(start))
    }
}

/// `SHOW TABLES …`
pub(crate) fn show(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    if cursor.keyword("SCHEMAS") {
        return schemas(access, names, cursor);
    }
    if !cursor.keyword("TABLES") {
        return Err(Rejection::unsupported(
            "SHOW of anything but SCHEMAS and TABLES",
        ));
    }
    let filter = Filter::read(&mut cursor, names)?;
    is_at_end(&cursor)?;
    let mut handler = access.handler();
    let state = &mut handler.state;
    let since = since(state);
    let listed = tables(state);
    let listed = listed.into_iter().filter(|name| filter.lists(name));
    let listed: Vec<ObjectName> = listed.take(filter.limit.unwrap_or(usize::MAX)).collect();
    let mut rows = Vec::with_capacity(listed.len());
    for name in listed {
        let count = state.storage.count(&name);
        let count = count.map_err(|why| storage_failure(&why))?;
        let texts = [
            since.clone(),
            name.name,
            name.database,
            name.schema,
            "TABLE".to_owned(),
            String::new(),
            String::new(),
            count.to_string(),
        ];
        rows.push(texts.into_iter().map(Some).collect());
    }
    Ok(ResultSet {
        kind: StatementType::Show,
        columns: vec![
            time_column("created_on"),
            text_column("name"),
            text_column("database_name"),
            text_column("schema_name"),
            text_column("kind"),
            text_column("comment"),
            text_column("cluster_by"),
            number_column("rows"),
        ],
        rows,
    })
}

/// `SHOW SCHEMAS …`: those that have a table.
fn schemas(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    let filter = Filter::read(&mut cursor, names)?;
    is_at_end(&cursor)?;
    let handler = access.handler();
    let since = since(&handler.state);
    let found = tables(&handler.state).into_iter().map(|table| ObjectName {
        name: table.schema.clone(),
        ..table
    });
    let found: BTreeSet<(String, String)> = found
        .filter(|schema| filter.lists(schema))
        .map(|schema| (schema.database, schema.name))
        .collect();
    let most = filter.limit.unwrap_or(usize::MAX);
    let rows = found.into_iter().take(most).map(|(database, schema)| {
        let is = |is: bool| if is { "Y" } else { "N" }.to_owned();
        let is_current = names.database.as_deref() == Some(&database)
            && names.schema.as_deref() == Some(&schema);
        let is_default = is(false);
        let texts = [since.clone(), schema, is_default, is(is_current), database];
        texts.into_iter().map(Some).collect()
    });
    Ok(ResultSet {
        kind: StatementType::Show,
        columns: vec![
            time_column("created_on"),
            text_column("name"),
            text_column("is_default"),
            text_column("is_current"),
            text_column("database_name"),
        ],
        rows: rows.collect(),
    })
}

/// The tables that are there.
fn tables(state: &State) -> BTreeSet<ObjectName> {
    let declared = state.catalog.tables().map(|table| table.name.clone());
    let mut known: BTreeSet<ObjectName> = declared.collect();
    if state.catalog.is_anything() {
        // A table exists because a client sends rows to it.
        let pipes = state.channels().map(|channel| &channel.record.pipe);
        known.extend(pipes.filter_map(|pipe| Some(state.catalog.pipe(pipe)?.table)));
    }
    known
}

/// When the tables last changed, as a cell.
fn since(state: &State) -> String {
    let since_ms = state.pipes_since_ms.unwrap_or(state.now_ms);
    format!("{}.{:03}", since_ms / 1000, since_ms % 1000)
}

/// `DESC TABLE …`
pub(crate) fn describe(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    if !cursor.keyword("TABLE") {
        return Err(Rejection::unsupported("DESCRIBE of anything but TABLE"));
    }
    let (mut parts, _) = cursor.name()?;
    is_at_end(&cursor)?;
    let shown = parts.join(".");
    let name = parts.pop();
    let schema = parts.pop().or_else(|| names.schema.clone());
    let database = parts.pop().or_else(|| names.database.clone());
    let (Some(database), Some(schema), Some(name)) = (database, schema, name) else {
        return Err(Failure::no_database().into());
    };
    let name = ObjectName::new(database, schema, name);
    let mut handler = access.handler();
    let state = &mut handler.state;
    let found = state.catalog.table(&name).cloned();
    let table = found.ok_or_else(|| Failure::no_object(&shown))?;
    if !state.catalog.is_declared(&name) {
        // A table that stands in for any other is there once it holds something.
        let count = state.storage.count(kept_as(&table, &name));
        if count.map_err(|why| storage_failure(&why))? == 0 {
            return Err(Failure::no_object(&shown).into());
        }
    }
    let rows = table.columns.iter().map(|column| {
        let nullable = if column.nullable { "Y" } else { "N" };
        vec![
            Some(column.name.clone()),
            Some(column.data_type.to_string()),
            Some("COLUMN".to_owned()),
            Some(nullable.to_owned()),
            default(column),
        ]
    });
    let columns = ["name", "type", "kind", "null?", "default"];
    Ok(ResultSet {
        kind: StatementType::Describe,
        columns: columns.into_iter().map(text_column).collect(),
        rows: rows.collect(),
    })
}

/// The default of a column as an expression.
fn default(column: &Column) -> Option<String> {
    let cell = match column.default.as_ref()? {
        ColumnDefault::CurrentTimestamp => return Some("CURRENT_TIMESTAMP()".to_owned()),
        ColumnDefault::Constant(cell) => cell.clone(),
    };
    Some(match cell {
        Cell::Null => return None,
        Cell::Text(text) if matches!(column.data_type, DataType::Number { .. }) => text,
        Cell::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Cell::Boolean(truth) => truth.to_string().to_uppercase(),
        other => other.into_json().to_string(),
    })
}

fn text(cursor: &mut Cursor<'_>) -> Result<String, Rejection> {
    match cursor.peek() {
        Some(Token::SingleQuotedString(text)) if text.len() <= MOST_PATTERN => {
            cursor.next();
            Ok(text.clone())
        }
        _ => Err(cursor.expected("a short text in single quotes").into()),
    }
}

fn is_at_end(cursor: &Cursor<'_>) -> Result<(), Rejection> {
    match cursor.peek() {
        None => Ok(()),
        Some(token) => Err(Rejection::unsupported(format!(
            "{token} in SHOW or DESCRIBE"
        ))),
    }
}

/// Whether a name is as a pattern says, whatever the case: `%` is any text, `_` any character.
fn is_like(name: &str, pattern: &str) -> bool {
    let name: Vec<char> = name.to_uppercase().chars().collect();
    let pattern: Vec<char> = pattern.to_uppercase().chars().collect();
    // Which prefixes of the name fit the pattern so far.
    let mut fits = vec![false; name.len() + 1];
    if let Some(empty) = fits.first_mut() {
        *empty = true;
    }
    for sign in pattern {
        let mut next = vec![false; fits.len()];
        let mut any_before = false;
        for (length, fit) in next.iter_mut().enumerate() {
            any_before |= fits.get(length).copied().unwrap_or_default();
            let before = length.checked_sub(1);
            let is_before = before
                .and_then(|at| fits.get(at))
                .copied()
                .unwrap_or_default();
            let character = before.and_then(|at| name.get(at));
            *fit = match sign {
                '%' => any_before,
                '_' => is_before,
                _ => is_before && character == Some(&sign),
            };
        }
        fits = next;
    }
    fits.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_pattern_has_two_signs_and_no_case() {
        for (name, pattern, expected) in [
            ("RIDES", "rides", true),
            ("RIDES", "R%S", true),
            ("RIDES", "%", true),
            ("RIDES", "_IDE_", true),
            ("RIDES", "RIDE", false),
            ("RIDES", "_RIDES", false),
            ("RIDES", "%X%", false),
            ("RIDES", "", false),
            ("", "%%", true),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} LIKE {pattern}");
        }
    }
}
