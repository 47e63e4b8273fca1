//! What all partitions of the program have in common: how records are read.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::{OnGap, Rejects, Start, Undecodable};
use crate::letters::DeadLetters;
use crate::row::Layout;
use crate::status::Status;

pub(crate) struct Reading {
    pub(crate) layout: Layout,
    pub(crate) undecodable: Undecodable,
    pub(crate) rejected: Rejects,
    pub(crate) letters: Option<DeadLetters>,
    pub(crate) start: Start,
    pub(crate) on_gap: OnGap,
    /// After this time the brokers have answered whether a partition is still owned.
    pub(crate) heartbeat: Duration,
    pub(crate) status: Arc<Status>,
}
