//! Bad input of every kind: it is refused before it can do harm, by a message that names the thing and the remedy.

mod appends;
mod profiles;
mod servers;

use snowpipe_streaming::{Error, ErrorKind};

/// Checks kind and words; of the remedy as well.
#[track_caller]
fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
}
