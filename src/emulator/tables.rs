//! Tables and pipes as the emulator knows them.

use std::collections::BTreeMap;

use super::landing::ObjectName;

/// How a pipe matches a row's keys to columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchBy {
    /// Letter by letter.
    CaseSensitive,
    /// Whatever the case.
    CaseInsensitive,
}

/// A streaming pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipe {
    /// Its name.
    pub name: ObjectName,
    /// Where its rows go.
    pub table: ObjectName,
    /// How keys find their columns.
    pub match_by: MatchBy,
}

/// Tables and pipes.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pipes: BTreeMap<ObjectName, Pipe>,
}

impl Catalog {
    /// A pipe by name.
    pub fn pipe(&self, name: &ObjectName) -> Option<&Pipe> {
        self.pipes.get(name)
    }
}
