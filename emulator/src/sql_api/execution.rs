//! A query for others than the SQL API: the text and its context in, columns and cells out.

use super::reading::Answer;
use super::statements::{Access, Posted, run};
use crate::sql::compiler::literals::Binding;
use crate::sql::failure::Failure;

/// A query and the session that it belongs to.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) statement: String,
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
    /// The values of its placeholders in order: the type as the SQL API names it, and the text.
    pub(crate) bindings: Vec<(String, Option<String>)>,
}

/// Runs a query without the emulator's lock, and within the limits of the SQL API.
pub(crate) fn execute(access: &Access<'_>, query: Query) -> Result<Answer, Failure> {
    let bindings = query.bindings.into_iter().zip(1..);
    let posted = Posted {
        statement: query.statement,
        timeout: 0,
        database: query.database,
        schema: query.schema,
        bindings: bindings
            .map(|((kind, value), number): (_, usize)| {
                (number.to_string(), Binding { kind, value })
            })
            .collect(),
    };
    let bindings = posted
        .bindings()
        .map_err(|refusal| Failure::syntax(refusal.message))?;
    run(access, posted, &bindings)
}
