//! A statement of a connector: which part of the emulator carries it out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use serde::Deserialize;
use serde_json::{Map, Value};
use sqlparser::tokenizer::Token;

use super::answers::{Rejection, ResultSet, StatementType};
use super::changes::Change;
use super::requests::{Outcome, malformed};
use super::sessions::{Names, Sessions};
use super::{cells, listing, parameters};
use crate::ddl::literal::Literal;
use crate::ddl::script::{Cursor, Statement, split};
use crate::sql::failure::Failure;
use crate::sql_api::execution::{Query, execute};
use crate::sql_api::statements::Access;

/// The longest text of a statement, as in Snowflake.
const MOST_TEXT: usize = 1024 * 1024;

/// The first words of statements that Snowflake has and the emulator refuses.
const REFUSED: &[&str] = &[
    "BEGIN", "CALL", "COPY", "EXECUTE", "EXPLAIN", "GET", "LIST", "LS", "MERGE", "PUT", "REMOVE",
    "RM", "SET", "START", "UNDROP", "UNSET", "UPDATE", "VALUES",
];

/// The body of a query request. What else it has does not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    sql_text: String,
    #[serde(default)]
    async_exec: bool,
    #[serde(default)]
    describe_only: bool,
    #[serde(default)]
    bindings: Option<BTreeMap<String, Binding>>,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// A value to bind, or with `executemany` one for each row.
#[derive(Deserialize)]
struct Binding {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: Value,
}

impl Binding {
    fn one(&self) -> Result<Option<&str>, Rejection> {
        text_of(&self.value)
    }
}

/// A value to bind.
fn text_of(value: &Value) -> Result<Option<&str>, Rejection> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Array(_) => Err(Rejection::unsupported("a query with a list of bindings")),
        _ => Err(Failure::syntax("a binding is neither a text nor null.").into()),
    }
}

impl Posted {
    fn read(body: &[u8]) -> Result<Self, Rejection> {
        let posted: Self = serde_json::from_slice(body).map_err(|why| malformed(&why))?;
        if posted.async_exec {
            return Err(Rejection::unsupported("asynchronous execution"));
        }
        let most = MOST_TEXT;
        if posted.sql_text.len() > most {
            return Err(Failure::too_large(format!("{most} bytes of text")).into());
        }
        for (name, value) in posted.parameters.iter().flatten() {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            parameters::check(name, &value)?;
        }
        Ok(posted)
    }

    /// The bindings in the order of their numbers.
    fn numbered(&self) -> Result<Vec<&Binding>, Rejection> {
        let mut numbered = BTreeMap::new();
        for (name, binding) in self.bindings.iter().flatten() {
            let number = name.parse::<usize>().map_err(|_| {
                Failure::syntax(format!("the binding {name:?} is not numbered from 1."))
            })?;
            numbered.insert(number, binding);
        }
        if numbered.keys().copied().ne(1..=numbered.len()) {
            return Err(Failure::syntax("the bindings are not numbered from 1.").into());
        }
        Ok(numbered.into_values().collect())
    }

    /// The values for the placeholders of a query.
    fn bound(&self) -> Result<Vec<(String, Option<String>)>, Rejection> {
        let bindings = self.numbered()?.into_iter().map(|binding| {
            let value = binding.one()?;
            Ok((binding.kind.clone(), value.map(str::to_owned)))
        });
        bindings.collect()
    }

    /// The values for the placeholders of an INSERT, for each of its executions.
    fn executions(&self) -> Result<Vec<Vec<Literal>>, Rejection> {
        let bindings = self.numbered()?;
        let lists: Vec<_> = bindings
            .iter()
            .filter_map(|one| one.value.as_array())
            .collect();
        let Some(first) = lists.first() else {
            let values = bindings.iter().map(|binding| {
                let literal = Literal::bound(&binding.kind, binding.one()?);
                literal.map_err(Rejection::from)
            });
            let values: Vec<Literal> = values.collect::<Result<_, Rejection>>()?;
            return Ok(if values.is_empty() {
                Vec::new()
            } else {
                vec![values]
            });
        };
        if lists.len() != bindings.len() || lists.iter().any(|list| list.len() != first.len()) {
            return Err(Failure::syntax("the lists of bindings are of different lengths.").into());
        }
        let mut executions = Vec::with_capacity(first.len());
        for row in 0..first.len() {
            let mut values = Vec::with_capacity(bindings.len());
            for binding in &bindings {
                let value = binding.value.get(row).unwrap_or(&Value::Null);
                values.push(Literal::bound(&binding.kind, text_of(value)?)?);
            }
            executions.push(values);
        }
        Ok(executions)
    }
}

/// Reads a statement, and answers it if it only reads.
pub(crate) fn prepare(
    access: &Access<'_>,
    sessions: &Arc<Sessions>,
    request: &Request<Bytes>,
    body: &[u8],
) -> Result<Outcome, Rejection> {
    let names = sessions.names(request.headers());
    let names = names.ok_or_else(Rejection::no_session)?;
    let posted = Posted::read(body)?;
    let mut statements = split(&posted.sql_text)?.into_iter();
    let statement = match (statements.next(), statements.len()) {
        (None, _) => return Err(Failure::syntax("the statement is empty.").into()),
        (Some(statement), 0) => statement,
        (Some(_), more) => return Err(Failure::several(more + 1).into()),
    };
    let is_session = statement.words().take(2).eq(["ALTER", "SESSION"]);
    if !is_session && let Some(change) = Change::read(&statement, &posted.sql_text, &names)? {
        if posted.describe_only {
            let answer = change.described().into_answer(&names);
            return Ok(Outcome::Answered(answer));
        }
        let change = change.with_bindings(posted.executions()?)?;
        return Ok(change.into_outcome(sessions, request));
    }
    let mut result = read(
        access,
        sessions,
        request.headers(),
        &names,
        &posted,
        &statement,
    )?;
    if posted.describe_only {
        result.rows.clear();
    }
    Ok(Outcome::Answered(result.into_answer(&names)))
}

fn read(
    access: &Access<'_>,
    sessions: &Sessions,
    headers: &HeaderMap,
    names: &Names,
    posted: &Posted,
    statement: &Statement,
) -> Result<ResultSet, Rejection> {
    let mut cursor = statement.cursor();
    if cursor.peek() == Some(&Token::LParen) || cursor.keyword("SELECT") || cursor.keyword("WITH") {
        return select(access, names, posted);
    }
    if cursor.keyword("SHOW") {
        return listing::show(access, names, cursor);
    }
    if cursor.keyword("DESC") || cursor.keyword("DESCRIBE") {
        return listing::describe(access, names, cursor);
    }
    if cursor.keyword("ALTER") && cursor.keyword("SESSION") {
        let altered = alter_session(cursor);
        if altered.is_err() && statement.words().any(|word| word == "AUTOCOMMIT") {
            sessions.refuse_transactions(headers);
        }
        return altered;
    }
    let first = statement.words().next();
    match first.as_deref() {
        Some("ROLLBACK") if sessions.wants_transactions(headers) => Err(Rejection::unsupported(
            "ROLLBACK: the emulator has no transactions, and every statement was committed",
        )),
        // Every statement commits by itself, so that there is nothing left to do.
        Some("COMMIT" | "ROLLBACK") => Ok(ResultSet::status(
            StatementType::Transaction,
            "Statement executed successfully.",
        )),
        Some(word) if REFUSED.contains(&word) => Err(Rejection::unsupported(format!(
            "{}: the emulator does not carry it out for a connector",
            statement.head()
        ))),
        _ => {
            let head = statement
                .tokens
                .first()
                .map(|first| first.token.to_string());
            let head = head.unwrap_or_default();
            Err(not_sql(statement, &head))
        }
    }
}

/// A statement that begins with no word of SQL.
fn not_sql(statement: &Statement, head: &str) -> Rejection {
    let at = statement.at;
    Failure::syntax(format!(
        "syntax error line {} at position {} unexpected '{head}'.",
        at.line,
        at.column.saturating_sub(1)
    ))
    .into()
}

fn select(access: &Access<'_>, names: &Names, posted: &Posted) -> Result<ResultSet, Rejection> {
    let query = Query {
        statement: posted.sql_text.clone(),
        database: names.database.clone(),
        schema: names.schema.clone(),
        bindings: posted.bound()?,
    };
    let mut answer = execute(access, query)?;
    cells::adapt(&mut answer.columns, &mut answer.rows);
    Ok(ResultSet {
        kind: StatementType::Select,
        columns: answer.columns,
        rows: answer.rows,
    })
}

/// `ALTER SESSION SET name = value [,] …`, or UNSET with names.
fn alter_session(mut cursor: Cursor<'_>) -> Result<ResultSet, Rejection> {
    let is_set = cursor.keyword("SET");
    if !is_set && !cursor.keyword("UNSET") {
        return Err(cursor.expected("SET or UNSET").into());
    }
    while cursor.peek().is_some() {
        let name = cursor.identifier()?;
        if is_set {
            cursor.expect(&Token::Eq)?;
            let value = match cursor.next() {
                Some(Token::SingleQuotedString(text)) => text.clone(),
                Some(Token::Number(number, _)) => number.clone(),
                Some(Token::Word(word)) => word.value.clone(),
                _ => return Err(cursor.expected("a value").into()),
            };
            parameters::check(&name, &value)?;
        }
        cursor.token(&Token::Comma);
    }
    Ok(ResultSet::status(
        StatementType::Session,
        "Statement executed successfully.",
    ))
}
