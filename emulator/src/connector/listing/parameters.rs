//! SHOW PARAMETERS, of the parameters that the emulator has.

use super::super::answers::{Rejection, ResultSet, StatementType, text_column};
use super::{is_at_end, is_like, text};
use crate::channels::state::State;
use crate::ddl::script::Cursor;

/// `SHOW PARAMETERS LIKE 'TIMEZONE' [IN SESSION | ACCOUNT]`.
pub(super) fn show(state: &State, mut cursor: Cursor<'_>) -> Result<ResultSet, Rejection> {
    const NAME: &str = "TIMEZONE";
    const DEFAULT: &str = "America/Los_Angeles";

    let is_it = cursor.keyword("LIKE") && {
        let pattern = text(&mut cursor)?;
        // A pattern that fits further parameters of an account would be answered in part.
        is_like(NAME, &pattern) && !pattern.contains(['%', '_'])
    };
    if !is_it {
        return Err(Rejection::unsupported(format!(
            "SHOW PARAMETERS of other parameters than {NAME}: write LIKE '{NAME}'"
        )));
    }
    let is_of_account = cursor.keyword("IN") && {
        let is_of_account = cursor.keyword("ACCOUNT");
        if !is_of_account && !cursor.keyword("SESSION") {
            return Err(cursor.expected("ACCOUNT or SESSION").into());
        }
        is_of_account
    };
    is_at_end(&cursor)?;
    // Statements run in sessions, whose zone is UTC.
    let (value, level) = match state.catalog.zone().name() {
        _ if !is_of_account => ("UTC", "SESSION"),
        DEFAULT => (DEFAULT, ""),
        zone => (zone, "ACCOUNT"),
    };
    let row = [NAME, value, DEFAULT, level, "time zone", "STRING"];
    let columns = ["key", "value", "default", "level", "description", "type"];
    Ok(ResultSet {
        kind: StatementType::Show,
        columns: columns.into_iter().map(text_column).collect(),
        rows: vec![row.iter().map(|cell| Some((*cell).to_owned())).collect()],
    })
}
