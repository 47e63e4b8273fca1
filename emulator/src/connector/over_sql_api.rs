//! Statements of the SQL API that are no query: they are carried out as those of a connector are, and answered as the SQL API does.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use sqlparser::tokenizer::Token;

use super::answers::{Rejection, ResultSet};
use super::changes::Change;
use super::listing;
use super::requests::Outcome;
use super::sessions::Names;
use crate::ddl::literal::Literal;
use crate::ddl::script::{Statement, split};
use crate::protocol::deferred::Deferred;
use crate::sql_api::reading;
use crate::sql_api::statements::{Access, Asked, Posted};

/// What becomes of a POST whose statement is no query; none for other requests.
pub(crate) fn prepare(access: &Access<'_>, request: &Request<Bytes>) -> Option<Outcome> {
    if request.method() != Method::POST || access.admitted(request).is_err() {
        return None;
    }
    let posted = Posted::read(request.body()).ok()?;
    let mut statements = split(&posted.statement).ok()?.into_iter();
    let statement = statements.next().filter(|_| statements.len() == 0)?;
    let asked = Asked::read(request, access.now);
    carry_out(access, asked, &posted, &statement)
}

fn carry_out(
    access: &Access<'_>,
    asked: Asked,
    posted: &Posted,
    statement: &Statement,
) -> Option<Outcome> {
    let names = Names {
        database: posted.database.clone(),
        schema: posted.schema.clone(),
    };
    let mut cursor = statement.cursor();
    if cursor.peek() == Some(&Token::LParen) {
        return None;
    }
    let listed = if cursor.keyword("SHOW") {
        Some(listing::show(access, &names, cursor))
    } else if cursor.keyword("DESC") || cursor.keyword("DESCRIBE") {
        Some(listing::describe(access, &names, cursor))
    } else {
        None
    };
    if let Some(listed) = listed {
        let listed = listed.map(read).map_err(Rejection::into_failure);
        return Some(Outcome::Answered(asked.answer(access.statements, listed)));
    }
    let change = match change(posted, statement, &names) {
        Ok(change) => change?,
        Err(why) => {
            let failed = Err(why.into_failure());
            return Some(Outcome::Answered(asked.answer(access.statements, failed)));
        }
    };
    let kept = Arc::clone(access.statements);
    Some(Outcome::Deferred(Deferred::new(move |state| {
        if let Some(answer) = asked.earlier(&kept) {
            return answer;
        }
        let changed = change.apply(state);
        let changed = changed.map(|(_, result)| read(result));
        asked.answer(&kept, changed.map_err(Rejection::into_failure))
    })))
}

/// The change that a statement makes; none if it begins with another word.
fn change(
    posted: &Posted,
    statement: &Statement,
    names: &Names,
) -> Result<Option<Change>, Rejection> {
    let is = |words: &[&str]| {
        statement
            .words()
            .take(words.len())
            .eq(words.iter().copied())
    };
    if is(&["ALTER", "SESSION"]) || is(&["USE"]) {
        return Err(Rejection::unsupported(format!(
            "{}: a statement of the SQL API has no session; its request names the database and the schema",
            statement.head()
        )));
    }
    let Some(change) = Change::read(statement, &posted.statement, names)? else {
        return Ok(None);
    };
    let bindings = posted.bindings()?;
    let values = bindings.iter().map(|binding| {
        let value = binding.value.as_deref();
        Literal::bound(&binding.kind, value).map_err(Rejection::from)
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let executions = if values.is_empty() {
        Vec::new()
    } else {
        vec![values]
    };
    change.with_bindings(executions).map(Some)
}

fn read(result: ResultSet) -> reading::Answer {
    let cells = result.rows.iter().flatten().flatten();
    reading::Answer {
        bytes: cells.map(String::len).sum(),
        columns: result.columns,
        rows: result.rows,
    }
}

#[cfg(test)]
#[path = "over_sql_api_tests.rs"]
mod tests;
