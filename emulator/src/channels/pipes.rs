//! The pipes that requests name, and requests to pipes that were dropped or replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::state::State;
use crate::answers::NameCase;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::{Pipe, folded, unquoted};
use crate::messages::answer::Refusal;

/// What is left of pipes.
#[derive(Debug, Default)]
pub(crate) struct FormerPipes {
    /// Pipes whose table was dropped and whose channels go on accepting rows, by their folded names.
    dropped: BTreeMap<ObjectName, Pipe>,
    /// The folded names of pipes that were dropped or replaced, if the next request to a pipe of such a name is refused.
    stale: BTreeSet<ObjectName>,
    /// Until when opens are refused that address a pipe whose table was dropped, by the pipe's folded name.
    outlived: BTreeMap<ObjectName, u64>,
}

/// How long the service goes on serving a table that was dropped, if it knows a new one of the name later.
#[cfg(feature = "server")]
const OUTLIVED_MS: u64 = 120_000;

impl FormerPipes {
    #[cfg(feature = "server")]
    pub(super) fn add_dropped(&mut self, pipe: Pipe) {
        self.dropped.insert(folded(&pipe.name), pipe);
    }

    /// Forgets the dropped pipes without a channel.
    #[cfg(feature = "server")]
    pub(super) fn keep_dropped(&mut self, has_channel: impl Fn(&ObjectName) -> bool) {
        self.dropped.retain(|name, _| has_channel(name));
    }

    #[cfg(feature = "server")]
    pub(super) fn add_stale(&mut self, name: ObjectName) {
        self.stale.insert(name);
    }

    /// The table of a pipe that was streamed into was dropped.
    #[cfg(feature = "server")]
    pub(super) fn add_outlived(&mut self, name: &ObjectName, now_ms: u64) {
        self.outlived.retain(|_, until| *until > now_ms);
        self.outlived.insert(folded(name), now_ms + OUTLIVED_MS);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl State {
    /// The pipe with the name of an address.
    pub(crate) fn pipe(&self, name: &ObjectName) -> Result<Pipe, Refusal> {
        let pipe = self.catalog.pipe(name).filter(|pipe| {
            let is_any_case = self.rules.answers.pipes.name_case == NameCase::Folded;
            is_any_case || self.catalog.is_anything() || pipe.name == unquoted(name)
        });
        pipe.ok_or_else(|| self.not_found(name))
    }

    /// The refusal of a pipe that there is not. A database is known if it has a table; without any table nothing is.
    fn not_found(&self, name: &ObjectName) -> Refusal {
        let asked = folded(name).database;
        let mut tables = self.catalog.tables.keys().peekable();
        if tables.peek().is_none() || tables.any(|table| table.database == asked) {
            Refusal::no_pipe()
        } else {
            Refusal::no_database("of the token")
        }
    }

    /// The pipe for an append to a channel, which may go on after the pipe's table was dropped.
    pub(crate) fn pipe_of_append(
        &self,
        name: &ObjectName,
        channel: Option<&String>,
    ) -> Result<Pipe, Refusal> {
        self.pipe(name).or_else(|refusal| {
            let dropped = self.former_pipes.dropped.get(&folded(name));
            let is_open = |pipe: &&Pipe| channel.is_some_and(|c| self.channel(pipe, c).is_some());
            dropped.filter(is_open).cloned().ok_or(refusal)
        })
    }

    /// Refuses to open a channel of a table that was created again, while the service knows the dropped one alone.
    pub(crate) fn check_known(&self, pipe: &Pipe) -> Result<(), Refusal> {
        let until = self.former_pipes.outlived.get(&folded(&pipe.name));
        match until {
            Some(until) if self.now_ms < *until => Err(Refusal::no_pipe()),
            _ => Ok(()),
        }
    }

    /// Refuses the first request after the pipe was replaced, or dropped and created again, if that is the service's answer.
    pub(crate) fn check_recreated(&mut self, pipe: &Pipe) -> Result<(), Refusal> {
        if !self.former_pipes.stale.remove(&folded(&pipe.name)) {
            return Ok(());
        }
        Err(Refusal::bad_request(
            "STALE_PIPE_CACHE",
            "A pipe with this name was recently dropped. Reopen the channel and try again.",
        ))
    }
}
