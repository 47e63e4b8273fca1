//! From a source that can be read again to a table, each row once: what a source has to offer, and the loop that runs it.

mod source;

pub use self::source::{Batch, Offset, Rejected, Source};
