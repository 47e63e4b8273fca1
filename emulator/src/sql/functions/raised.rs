//! An error that a function raises while a statement runs: Snowflake's code and words, carried through SQLite.

use std::fmt;

/// Begins what SQLite carries as text.
const MARK: char = '\u{1}';

/// What a function cannot compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) code: String,
    pub(crate) sql_state: String,
    pub(crate) message: String,
}

impl Raised {
    pub(crate) fn new(code: &str, sql_state: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            sql_state: sql_state.to_owned(),
            message: message.into(),
        }
    }

    pub(crate) fn not_a_number(text: &str) -> Self {
        let message = format!("Numeric value '{}' is not recognized", shortened(text));
        Self::new("100038", "22018", message)
    }

    pub(crate) fn not_a(what: &str, code: &str, sql_state: &str, text: &str) -> Self {
        let message = format!("{what} '{}' is not recognized", shortened(text));
        Self::new(code, sql_state, message)
    }

    pub(crate) fn out_of_range(text: &str, precision: u8) -> Self {
        let message = format!(
            "Number out of representable range: type NUMBER of {precision} digits, value {}",
            shortened(text)
        );
        Self::new("100046", "22003", message)
    }

    pub(crate) fn division_by_zero() -> Self {
        Self::new("100051", "22012", "Division by zero")
    }

    pub(crate) fn several_rows() -> Self {
        let message = "Single-row subquery returns more than one row.";
        Self::new("090150", "22000", message)
    }

    pub(crate) fn not_cast(value: &str, to: &str) -> Self {
        let message = format!("Failed to cast variant value {} to {to}", shortened(value));
        Self::new("100071", "22000", message)
    }

    /// A value whose result in Snowflake is not known well enough.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::new("000002", "0A000", format!("Unsupported feature: {what}."))
    }

    /// Whether the emulator and not the value is at fault.
    pub(crate) fn is_unsupported(&self) -> bool {
        matches!(self.code.as_str(), "000002" | "000603" | "391908")
    }

    pub(crate) fn internal(what: &str) -> Self {
        Self::new(
            "000603",
            "XX000",
            format!("The emulator computed {what}: report the statement."),
        )
    }

    /// The error in a text of SQLite's; none where SQLite itself is its author.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (_, marked) = text.split_once(MARK)?;
        let mut parts = marked.splitn(3, MARK);
        Some(Self::new(parts.next()?, parts.next()?, parts.next()?))
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            sql_state,
            message,
        } = self;
        write!(f, "{MARK}{code}{MARK}{sql_state}{MARK}{message}")
    }
}

impl std::error::Error for Raised {}

/// A value as a message shows it.
pub(super) fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_as_text() {
        let raised = Raised::not_a_number("1\u{1}2");
        let carried = format!("user function error: {raised}");
        assert_eq!(Raised::read(&carried), Some(raised));
        assert_eq!(Raised::read("no such column: A"), None);
    }
}
