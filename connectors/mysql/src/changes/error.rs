//! Why the changes cannot be read, now or at all.

use std::time::Duration;

use mysql_async::Error as DriverError;

use super::place::Place;

/// What to do when the log no longer says what happened to the table.
pub(super) const COPY_AGAIN: &str = "copy the table again under another --source-id";

/// A failure of the source of changes.
#[derive(Debug, thiserror::Error)]
pub enum ChangesError {
    /// The connection failed. The next read connects again.
    #[error("the connection to the database failed: {0}")]
    Connection(#[source] DriverError),
    /// The database refuses the reader: a wrong password, or a missing right.
    #[error("the database refused the reader of its log: {0}")]
    Refused(#[source] DriverError),
    /// The database did not answer in this time.
    #[error("the database did not answer in {0:?}")]
    Late(Duration),
    /// The database ended the connection.
    #[error("the database closed the connection")]
    Closed,
    /// The changes cannot be followed exactly any more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The changes cannot be followed exactly any more. Trying again is useless before the remedy is applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}; {remedy}", place.as_ref().map(|place| format!("at {place} of the binary log: ")).unwrap_or_default())]
pub struct Stopped {
    /// Where in the log, if that is known.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Stopped {
    /// An obstacle at an unknown place.
    pub fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            place: None,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

fn may_not_read(message: &str) -> Stopped {
    Stopped::new(
        format!("the user may not read the log ({message})"),
        "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO the user",
    )
}

impl ChangesError {
    /// Whether another attempt is useless.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Stopped(_) | Self::Refused(_))
    }

    /// The error of a request for the log, which is refused with the words of a wrong password if a right is missing.
    pub fn of_request(error: DriverError) -> Self {
        match &error {
            DriverError::Server(server) if server.code == 1045 => {
                may_not_read(&server.message).into()
            }
            _ => error.into(),
        }
    }

    /// Adds the place where the source stops.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        match self {
            Self::Stopped(stopped) if stopped.place.is_none() => stopped.at(place).into(),
            other => other,
        }
    }
}

/// What the server's refusal means. Its own messages about positions mislead: they speak of packet sizes and disks.
impl From<DriverError> for ChangesError {
    fn from(error: DriverError) -> Self {
        let DriverError::Server(server) = &error else {
            return Self::Connection(error);
        };
        let message = &server.message;
        match server.code {
            1236 => Stopped::new(
                format!("the log cannot be read from here ({message})"),
                COPY_AGAIN,
            )
            .into(),
            4052 => Stopped::new(
                "another reader with the same id has connected to the database",
                "stop the other program, or start this one with another --source-id",
            )
            .into(),
            1227 => may_not_read(message).into(),
            // Wrong password, no such database, no right to it.
            1044 | 1045 | 1049 | 1142 | 1698 => Self::Refused(error),
            _ => Self::Connection(error),
        }
    }
}
