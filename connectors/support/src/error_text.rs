//! The text of an error for people.

use std::error::Error;

/// The message of an error and those of its causes, without repetition.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    // SQLite's innermost error is only the number behind the message of the error above it.
    while let Some(error) = cause.filter(|cause| !cause.is::<rusqlite::ffi::Error>()) {
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
