//! The parameters of a session: those that change nothing here are accepted, and only those.

use super::answers::Rejection;

/// Parameters that no answer depends on.
const WITHOUT_EFFECT: &[&str] = &[
    "ABORT_DETACHED_QUERY",
    "LOCK_TIMEOUT",
    "QUERY_TAG",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS",
    "STATEMENT_TIMEOUT_IN_SECONDS",
    "USE_CACHED_RESULT",
];
/// Parameters with the only value that the emulator has.
const FIXED: &[(&str, &[&str])] = &[
    ("AUTOCOMMIT", &["TRUE"]),
    ("MULTI_STATEMENT_COUNT", &["1"]),
    ("QUOTED_IDENTIFIERS_IGNORE_CASE", &["FALSE"]),
    ("TIMESTAMP_TYPE_MAPPING", &["TIMESTAMP_NTZ"]),
    ("TIMEZONE", &["UTC", "ETC/UTC"]),
];

/// Refuses a parameter with which an account would answer otherwise.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Rejection> {
    let name = name.to_uppercase();
    // What concerns the connector itself, which reads JSON whatever it prefers.
    let is_of_connector = name.starts_with("CLIENT_") || name.ends_with("_QUERY_RESULT_FORMAT");
    if is_of_connector || WITHOUT_EFFECT.contains(&name.as_str()) {
        return Ok(());
    }
    let Some((_, values)) = FIXED.iter().find(|(known, _)| *known == name) else {
        return Err(Rejection::parameter(&format!(
            "invalid value [{value}] for parameter '{name}': the emulator does not have the parameter."
        )));
    };
    if values.contains(&value.to_uppercase().as_str()) {
        return Ok(());
    }
    let only = values.first().unwrap_or(&"its default");
    Err(Rejection::parameter(&format!(
        "invalid value [{value}] for parameter '{name}': the emulator has {only} alone."
    )))
}
