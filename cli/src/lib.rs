//! What the command `snowpipe conformance` does, as functions: experiments that find out how an account behaves, and a soak.
//!
//! The guide of these experiments is [`guide`]. The other commands have no functions here: `snowpipe send` and `snowpipe status` use
//! `snowpipe-streaming`, and `snowpipe doctor` is its module `doctor`.

pub mod conformance;

#[doc = include_str!("guide/conformance.md")]
pub mod guide {}
