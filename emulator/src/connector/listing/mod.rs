//! SHOW and DESC: what there is, filtered by name and place.

use sqlparser::tokenizer::Token;

use super::answers::{Rejection, ResultSet};
use super::sessions::Names;
use crate::catalog::object_name::ObjectName;
use crate::channels::state::State;
use crate::ddl::script::Cursor;
use crate::sql::failure::Failure;
use crate::sql_api::statements::Access;

mod channels;
mod parameters;
mod pipes;
mod tables;

/// The longest pattern: no name is longer than 255 characters.
const MOST_PATTERN: usize = 2_000;

/// Which objects a SHOW lists.
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
            filter.limit = Some(limit.ok_or_else(|| cursor.expected("a number"))?);
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
            return Err(crate::ddl::statements::DdlError::at(at, text).into());
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

/// `SHOW …`
pub(crate) fn show(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    let Some(kind) = cursor.next().map(|kind| kind.to_string().to_uppercase()) else {
        return Err(cursor.expected("TABLES").into());
    };
    if kind == "CHANNELS" {
        return channels::show(access, names, cursor);
    }
    if kind == "PARAMETERS" {
        return parameters::show(&access.handler().state, cursor);
    }
    if !matches!(kind.as_str(), "PIPES" | "SCHEMAS" | "TABLES") {
        return Err(Rejection::unsupported(format!(
            "SHOW {kind}: the emulator lists CHANNELS, PARAMETERS, PIPES, SCHEMAS and TABLES"
        )));
    }
    let filter = Filter::read(&mut cursor, names)?;
    is_at_end(&cursor)?;
    let state = &mut access.handler().state;
    match kind.as_str() {
        "PIPES" => Ok(pipes::show(state, &filter)),
        "SCHEMAS" => Ok(tables::show_schemas(state, names, &filter)),
        _ => tables::show(state, &filter),
    }
}

/// `DESC …`
pub(crate) fn describe(
    access: &Access<'_>,
    names: &Names,
    mut cursor: Cursor<'_>,
) -> Result<ResultSet, Rejection> {
    let is_pipe = cursor.keyword("PIPE");
    if !is_pipe && !cursor.keyword("TABLE") {
        return Err(Rejection::unsupported(
            "DESCRIBE of anything but PIPE and TABLE",
        ));
    }
    let (name, shown) = full_name(&mut cursor, names)?;
    is_at_end(&cursor)?;
    let state = &mut access.handler().state;
    if is_pipe {
        pipes::describe(state, &name, &shown)
    } else {
        tables::describe(state, &name, &shown)
    }
}

/// A name in full, and as it was written.
fn full_name(cursor: &mut Cursor<'_>, names: &Names) -> Result<(ObjectName, String), Rejection> {
    let (mut parts, _) = cursor.name()?;
    let shown = parts.join(".");
    let name = parts.pop();
    let schema = parts.pop().or_else(|| names.schema.clone());
    let database = parts.pop().or_else(|| names.database.clone());
    let (Some(database), Some(schema), Some(name)) = (database, schema, name) else {
        return Err(Failure::no_database().into());
    };
    Ok((ObjectName::new(database, schema, name), shown))
}

/// When the tables last changed, as a cell.
fn since(state: &State) -> String {
    time(state.pipes_since_ms.unwrap_or(state.now_ms))
}

/// An instant as a cell.
fn time(at_ms: u64) -> String {
    format!("{}.{:03}", at_ms / 1000, at_ms % 1000)
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
