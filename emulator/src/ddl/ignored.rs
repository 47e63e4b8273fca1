//! Statements that change nothing here, and ALTERs that would.

use super::script::Statement;
use super::statements::DdlError;

/// Statements that change no table and no pipe, by their first word.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "COMMENT", "COMMIT", "DESC", "DESCRIBE", "EXPLAIN", "GET", "GRANT", "LIST", "LS", "PUT",
    "REMOVE", "REVOKE", "RM", "ROLLBACK", "SELECT", "SET", "SHOW", "UNSET", "WITH",
];

/// Words of an ALTER whose effect a row would meet. An ALTER without them changes nothing here.
const OF_EFFECT: &[&str] = &[
    "ADD",
    "ALTER",
    "BINARY_INPUT_FORMAT",
    "DATE_INPUT_FORMAT",
    "DEFAULT_DDL_COLLATION",
    "DROP",
    "LOG_EVENT_LEVEL",
    "MODIFY",
    "PIPE_EXECUTION_PAUSED",
    "RENAME",
    "SEQUENCE",
    "SWAP",
    "TIMESTAMP_INPUT_FORMAT",
    "TIMESTAMP_TYPE_MAPPING",
    "TIMEZONE",
    "TIME_INPUT_FORMAT",
];

/// Ignores an ALTER that no row would notice, and refuses the others.
pub(super) fn alter(statement: &Statement) -> Result<(), DdlError> {
    let effect = statement
        .words()
        .skip(1)
        .find(|word| OF_EFFECT.contains(&word.as_str()));
    let Some(effect) = effect else {
        ignored(statement);
        return Ok(());
    };
    let remedy = match effect.as_str() {
        "BINARY_INPUT_FORMAT" => "start the emulator with --binary-input-format",
        "LOG_EVENT_LEVEL" => "its event table has all events",
        "SEQUENCE" => "write CREATE OR REPLACE SEQUENCE",
        "TIMEZONE" => "start the emulator with --timezone",
        "PIPE_EXECUTION_PAUSED" => "the emulator's pipes always run",
        _ => "write the table as it is to be into its CREATE TABLE",
    };
    Err(DdlError::at(
        statement.at,
        format!(
            "the emulator has no {} with {effect}: {remedy}",
            statement.head()
        ),
    ))
}

pub(super) fn ignored(statement: &Statement) {
    tracing::debug!(
        statement = statement.head(),
        line = statement.at.line,
        "the emulator has no use for this statement"
    );
}
