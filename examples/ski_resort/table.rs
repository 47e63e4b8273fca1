//! The three kinds of row, with their tables and pipes.

/// The column with the id of a row, in all tables.
pub(crate) const ID: &str = "TXID";

/// One of the three tables. Lists and reports have this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    ResortTicket,
    SeasonPass,
    LiftRide,
}

impl Table {
    pub(crate) const ALL: [Self; 3] = [Self::ResortTicket, Self::SeasonPass, Self::LiftRide];

    /// The table's name, in the queue and in Snowflake.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ResortTicket => "RESORT_TICKET",
            Self::SeasonPass => "SEASON_PASS",
            Self::LiftRide => "LIFT_RIDE",
        }
    }

    /// The pipe that `sql/setup.sql` creates for it.
    pub(crate) fn default_pipe(self) -> &'static str {
        match self {
            Self::ResortTicket => "RESORT_TICKET_PIPE",
            Self::SeasonPass => "SEASON_PASS_PIPE",
            Self::LiftRide => "LIFT_RIDE_PIPE",
        }
    }
}
