//! HTTP messages: bodies in, answers out.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod time;
