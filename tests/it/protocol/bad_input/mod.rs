//! Bad input is refused before it can do harm, with a message that names the input and the remedy.

mod appends;
mod profiles;
mod servers;

use snowpipe_streaming::{Error, ErrorKind};

/// Checks the kind of an error, and that its message contains these words, including the remedy.
#[track_caller]
fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}
