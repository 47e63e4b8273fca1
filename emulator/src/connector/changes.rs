//! Statements of connectors that change tables and rows: they are carried out as scripts are, each by itself.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::answers::{Rejection, ResultSet, StatementType, number_column};
use super::requests::Outcome;
use super::sessions::{Names, Sessions};
use crate::channels::schema_change::{Applied, SchemaChangeError};
use crate::channels::state::State;
use crate::ddl::literal::Literal;
use crate::ddl::script::{Cursor, Statement};
use crate::messages::answer::Answer;
use crate::protocol::deferred::Deferred;
use crate::sql_api::statements::storage_failure;

const DONE: &str = "Statement executed successfully.";

/// Kinds of objects whose statements a script carries out, or that change no answer.
const KINDS: &[&str] = &[
    "TABLE",
    "PIPE",
    "SEQUENCE",
    "DATABASE",
    "SCHEMA",
    "ROLE",
    "USER",
    "WAREHOUSE",
];

/// What a statement does, as far as its answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Insert,
    Delete,
    Use,
    /// The object by its kind and name, and the answer where nothing was to do: it exists, or does not.
    Create {
        created: String,
        existed: Option<String>,
    },
    Drop {
        dropped: String,
        missing: Option<String>,
    },
    Other,
}

/// A statement and what is needed to carry it out.
#[derive(Debug)]
pub(crate) struct Change {
    action: Action,
    text: String,
    bindings: Vec<Vec<Literal>>,
    names: Names,
}

impl Change {
    /// The change that a statement makes; none if it begins with no such word.
    pub(crate) fn read(
        statement: &Statement,
        text: &str,
        names: &Names,
    ) -> Result<Option<Self>, Rejection> {
        let mut cursor = statement.cursor();
        let Some(first) = statement.words().next() else {
            return Ok(None);
        };
        cursor.next();
        let action = match first.as_str() {
            "INSERT" => Action::Insert,
            "DELETE" => Action::Delete,
            "USE" => Action::Use,
            "CREATE" => create(cursor)?,
            "DROP" => drop(cursor)?,
            "ALTER" => {
                cursor.keyword("ICEBERG");
                kind(&mut cursor, "ALTER")?;
                Action::Other
            }
            "TRUNCATE" | "GRANT" | "REVOKE" | "COMMENT" => Action::Other,
            _ => return Ok(None),
        };
        Ok(Some(Self {
            action,
            text: text.to_owned(),
            bindings: Vec::new(),
            names: names.clone(),
        }))
    }

    /// The same with values for its placeholders: for each execution, the values in order.
    pub(crate) fn with_bindings(mut self, bindings: Vec<Vec<Literal>>) -> Result<Self, Rejection> {
        if !bindings.is_empty() && self.action != Action::Insert {
            return Err(Rejection::unsupported(
                "bindings in a statement that is no query and no INSERT",
            ));
        }
        self.bindings = bindings;
        Ok(self)
    }

    /// The columns of its answer, without carrying it out.
    pub(crate) fn described(&self) -> ResultSet {
        ResultSet {
            rows: Vec::new(),
            ..self.answer(0, false)
        }
    }

    /// Carries it out at the server's turn. The same request once more, after an answer that was lost, has the first answer.
    pub(crate) fn into_outcome(
        self,
        sessions: &Arc<Sessions>,
        request: &Request<Bytes>,
    ) -> Outcome {
        let (sessions, headers) = (sessions.clone(), request.headers().clone());
        let query = request.uri().query().unwrap_or_default();
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let id = pairs.find(|(name, _)| name == "requestId");
        let id = id.map(|(_, id)| id.into_owned());
        Outcome::Deferred(Deferred::new(move |state| {
            if let Some(known) = id.as_ref().and_then(|id| sessions.answered(&headers, id)) {
                return known;
            }
            let answer = self.carry_out(state, |names, answer| {
                sessions.settle(&headers, names, id.clone(), answer);
            });
            answer.unwrap_or_else(Rejection::into_answer)
        }))
    }

    fn carry_out(
        &self,
        state: &mut State,
        done: impl FnOnce(Names, &Answer),
    ) -> Result<Answer, Rejection> {
        let (names, result) = self.apply(state)?;
        let answer = result.into_answer(&names);
        done(names, &answer);
        Ok(answer)
    }

    /// Carries it out; the database and schema that a session is in afterwards, and the result.
    pub(crate) fn apply(&self, state: &mut State) -> Result<(Names, ResultSet), Rejection> {
        let count = |state: &State| {
            let catalog = &state.catalog;
            catalog.tables().count() + catalog.pipes().count() + catalog.sequences.len()
        };
        let objects = count(state);
        let script = format!("{}{}", self.names.as_script(), self.text);
        let applied = state.apply(&script, &self.bindings);
        let Applied {
            session,
            inserted,
            deleted,
        } = applied.map_err(rejected)?;
        let names = Names {
            database: session.database().map(str::to_owned),
            schema: session.schema().map(str::to_owned),
        };
        let rows = match self.action {
            Action::Delete => deleted,
            _ => inserted as u64,
        };
        Ok((names, self.answer(rows, objects != count(state))))
    }

    /// The answer of a statement that has changed so many rows, and the number of objects or not.
    fn answer(&self, rows: u64, has_other_objects: bool) -> ResultSet {
        let counted = |kind, column| ResultSet {
            kind,
            columns: vec![number_column(column)],
            rows: vec![vec![Some(rows.to_string())]],
        };
        let status = |message: &String| ResultSet::status(StatementType::Ddl, message);
        match &self.action {
            Action::Insert => counted(StatementType::Insert, "number of rows inserted"),
            Action::Delete => counted(StatementType::Delete, "number of rows deleted"),
            Action::Use => ResultSet::status(StatementType::Use, DONE),
            Action::Create { created, existed } => match existed {
                Some(existed) if !has_other_objects => status(existed),
                _ => status(created),
            },
            Action::Drop { dropped, missing } => match missing {
                Some(missing) if !has_other_objects => status(missing),
                _ => status(dropped),
            },
            Action::Other => ResultSet::status(StatementType::Ddl, DONE),
        }
    }
}

impl Names {
    /// What brings a script into this database and schema, on a separate line.
    fn as_script(&self) -> String {
        let quoted = |name: &str| name.replace('"', "\"\"");
        match (&self.database, &self.schema) {
            (Some(database), Some(schema)) => format!(
                "USE SCHEMA \"{}\".\"{}\";\n",
                quoted(database),
                quoted(schema)
            ),
            (Some(database), None) => format!("USE DATABASE \"{}\";\n", quoted(database)),
            (None, Some(schema)) => format!("USE SCHEMA \"{}\";\n", quoted(schema)),
            (None, None) => "\n".to_owned(),
        }
    }
}

/// Behind CREATE.
fn create(mut cursor: Cursor<'_>) -> Result<Action, Rejection> {
    if cursor.keyword("OR") && !cursor.keyword("REPLACE") {
        return Err(Rejection::unsupported("CREATE OR ALTER"));
    }
    for temporary in ["TEMPORARY", "TEMP", "VOLATILE", "LOCAL", "GLOBAL"] {
        if cursor.keyword(temporary) {
            return Err(Rejection::unsupported(
                "temporary tables: every session would see them",
            ));
        }
    }
    let _ = cursor.keyword("TRANSIENT") || cursor.keyword("ICEBERG");
    let kind = kind(&mut cursor, "CREATE")?;
    let keeps = cursor.if_not_exists();
    let name = last(&mut cursor)?;
    Ok(Action::Create {
        created: format!("{kind} {name} successfully created."),
        existed: keeps.then(|| format!("{name} already exists, statement succeeded.")),
    })
}

/// Behind DROP.
fn drop(mut cursor: Cursor<'_>) -> Result<Action, Rejection> {
    kind(&mut cursor, "DROP")?;
    let keeps = cursor.if_exists();
    let name = last(&mut cursor)?;
    Ok(Action::Drop {
        dropped: format!("{name} successfully dropped."),
        missing: keeps
            .then(|| format!("Drop statement executed successfully ({name} already dropped).")),
    })
}

/// The kind of object that a statement is about, as answers spell it.
fn kind(cursor: &mut Cursor<'_>, verb: &str) -> Result<String, Rejection> {
    let found = KINDS.iter().find(|kind| cursor.keyword(kind));
    let Some(kind) = found else {
        let next = cursor.peek().map(ToString::to_string);
        let next = next.unwrap_or_default().to_uppercase();
        return Err(Rejection::unsupported(format!("{verb} {next}")));
    };
    let (first, rest) = kind.split_at(1);
    Ok(format!("{first}{}", rest.to_lowercase()))
}

/// The last part of a name.
fn last(cursor: &mut Cursor<'_>) -> Result<String, Rejection> {
    let (mut parts, _) = cursor.name()?;
    Ok(parts.pop().unwrap_or_default())
}

fn rejected(why: SchemaChangeError) -> Rejection {
    match why {
        SchemaChangeError::Script(mut why) => {
            // The first line is not the statement's.
            why.line = why.line.saturating_sub(1).max(1);
            why.into()
        }
        SchemaChangeError::TakesEverything => Rejection::unsupported(why.to_string()),
        SchemaChangeError::Storage(why) => storage_failure(&why).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_in_scripts() {
        let names = |database: Option<&str>, schema: Option<&str>| Names {
            database: database.map(str::to_owned),
            schema: schema.map(str::to_owned),
        };
        for (names, script) in [
            (names(None, None), "\n"),
            (names(Some("D"), None), "USE DATABASE \"D\";\n"),
            (
                names(Some("a\"b"), Some("s")),
                "USE SCHEMA \"a\"\"b\".\"s\";\n",
            ),
        ] {
            assert_eq!(names.as_script(), script);
        }
    }
}
