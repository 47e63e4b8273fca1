//! Why a statement is not carried out, in Snowflake's codes and words.

use std::borrow::Cow;

use http::StatusCode;

use super::functions::raised::Raised;

/// A statement that is not carried out, in Snowflake's codes.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: Cow<'static, str>,
    pub(crate) sql_state: Cow<'static, str>,
    pub(crate) message: String,
}

impl Failure {
    fn compilation(code: &'static str, sql_state: &'static str, message: &str) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: code.into(),
            sql_state: sql_state.into(),
            message: format!("SQL compilation error:\n{message}"),
        }
    }

    /// The message without the line that Snowflake puts before it.
    pub(crate) fn reason(&self) -> &str {
        let line = "SQL compilation error:\n";
        self.message.strip_prefix(line).unwrap_or(&self.message)
    }

    pub(crate) fn syntax(message: impl AsRef<str>) -> Self {
        Self::compilation("001003", "42000", message.as_ref())
    }

    pub(crate) fn unsupported(what: impl AsRef<str>) -> Self {
        let message = format!("Unsupported feature: {}.", what.as_ref());
        Self::compilation("000002", "0A000", &message)
    }

    pub(crate) fn several(count: usize) -> Self {
        let message =
            format!("Actual statement count {count} did not match the desired statement count 1.");
        Self::compilation("000008", "0A000", &message)
    }

    pub(crate) fn no_object(name: &str) -> Self {
        let message = format!("Object '{name}' does not exist or not authorized.");
        Self::compilation("002003", "42S02", &message)
    }

    pub(crate) fn no_column(name: &str) -> Self {
        let message = format!("invalid identifier '{name}'");
        Self::compilation("000904", "42000", &message)
    }

    pub(crate) fn no_function(name: &str) -> Self {
        let message = format!(
            "Unknown function {}: the guide's chapter on what the emulator supports lists its functions.",
            name.to_uppercase()
        );
        Self::compilation("002140", "42601", &message)
    }

    pub(crate) fn ambiguous_column(name: &str) -> Self {
        Self::compilation(
            "002028",
            "42601",
            &format!("ambiguous column name '{name}'"),
        )
    }

    pub(crate) fn not_grouped(name: &str) -> Self {
        let message = format!(
            "'{name}' in select clause is neither an aggregate nor in the group by clause."
        );
        Self::compilation("000979", "42601", &message)
    }

    pub(crate) fn argument_types(name: &str, of: &str) -> Self {
        let message =
            format!("Invalid argument types for function '{name}': ({of}). Cast the argument.");
        Self::compilation("001044", "42P13", &message)
    }

    pub(crate) fn argument_count(name: &str, count: usize) -> Self {
        let message = format!("{name} of {count} arguments of these types");
        Self::unsupported(message)
    }

    pub(crate) fn column_counts(one: usize, other: usize) -> Self {
        let message = format!("invalid number of result columns: {one} and {other}");
        Self::compilation("002057", "42601", &message)
    }

    /// A binding whose value is none of its type.
    pub(crate) fn binding(kind: &str, value: &str) -> Self {
        let shown: String = value.chars().take(100).collect();
        Self::from(Raised::new(
            "100037",
            "22018",
            format!("Bind value '{shown}' is not a value of type {kind}"),
        ))
    }

    pub(crate) fn no_database() -> Self {
        Self::compilation(
            "090105",
            "22000",
            "Cannot perform SELECT. This session does not have a current database: name it in the request, or use a qualified name.",
        )
    }

    pub(crate) fn bindings(wanted: usize, given: usize) -> Self {
        let message = format!("The statement has {wanted} bind variables, and {given} are given.");
        Self::compilation("002049", "42601", &message)
    }

    pub(crate) fn too_large(than: impl AsRef<str>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "391908".into(),
            sql_state: "54000".into(),
            message: format!(
                "The statement reads or answers more than {}, which is the emulator's most: narrow it down.",
                than.as_ref()
            ),
        }
    }

    pub(crate) fn timeout() -> Self {
        Self {
            status: StatusCode::REQUEST_TIMEOUT,
            code: "000630".into(),
            sql_state: "57014".into(),
            message: "Statement reached its statement or warehouse timeout and was canceled."
                .to_owned(),
        }
    }

    pub(crate) fn broken(why: &rusqlite::Error) -> Self {
        tracing::error!(%why, "the storage cannot be queried");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "000603".into(),
            sql_state: "XX000".into(),
            message: "The emulator's storage cannot be queried: its log says why.".to_owned(),
        }
    }
}

/// What a function raises while the statement runs.
impl From<Raised> for Failure {
    fn from(raised: Raised) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: raised.code.into(),
            sql_state: raised.sql_state.into(),
            message: raised.message,
        }
    }
}
