//! How far rows get: pauses, the status of a channel, and what became of rows in it.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::service::Answer;

/// How long a commit may take. The first ones of a new table took up to 90 seconds in tests of `supabase/etl`
/// (`tests/snowflake/stream_client.rs`).
pub(super) const COMMIT: Duration = Duration::from_secs(180);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pauses that double, until a time.
#[derive(Debug)]
pub(super) struct Patience {
    pause: Duration,
    longest: Duration,
    until: Instant,
}

impl Patience {
    pub(super) fn of(length: Duration) -> Self {
        Self {
            pause: FIRST_PAUSE,
            longest: LONGEST_PAUSE,
            until: Instant::now() + length,
        }
    }

    /// The same with pauses of at most this length.
    pub(super) fn with_pauses(self, longest: Duration) -> Self {
        Self { longest, ..self }
    }

    /// Pauses; false if the time is over.
    pub(super) async fn waits(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = self.longest.min(self.pause * 2);
        true
    }
}

/// The status of a channel; null if there is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Status(pub(super) Value);

impl Status {
    fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(super) fn inserted(&self) -> Option<u64> {
        self.count("rows_inserted")
    }

    /// The count of rejected rows, under either name.
    pub(super) fn rejected(&self) -> Option<u64> {
        let documented = self.count("rows_error_count");
        documented.or_else(|| self.count("rows_errors"))
    }

    /// How many rows are counted, if the status has such counts.
    pub(super) fn accounted(&self) -> Option<u64> {
        let inserted = self.inserted()?;
        Some(inserted + self.rejected().unwrap_or(0))
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.0.get("channel_status_code")?.as_str()
    }

    /// A field as JSON; null if it is missing.
    pub(super) fn field(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn is_absent(&self) -> bool {
        self.0.is_null()
    }

    pub(super) fn is_at(&self, end: &str) -> bool {
        self.field("last_committed_offset_token") == end
    }

    /// Whether the code says that something is wrong.
    pub(super) fn is_bad(&self) -> bool {
        self.code().is_some_and(|code| code.starts_with("ERR_"))
    }
}

/// How far rows got.
#[derive(Debug)]
pub(super) enum Outcome {
    OpenRefused(Answer),
    AppendRefused(Answer),
    Committed(Status),
    /// The code of the status says that something is wrong.
    Invalidated(Status),
    /// The channel is in no status, long after it was opened.
    Absent,
    StatusRefused(Answer),
    /// Nothing happened within the time.
    Pending(Status),
}

impl Outcome {
    /// What became of one row.
    pub(super) fn word(&self) -> String {
        match self {
            Self::OpenRefused(answer) => format!("the open is refused: {}", answer.outcome()),
            Self::AppendRefused(answer) => format!("the request is refused: {}", answer.outcome()),
            Self::Committed(status) => match (status.inserted(), status.rejected()) {
                (Some(1), _) => "lands".to_owned(),
                (_, Some(1)) => "is rejected".to_owned(),
                (Some(0), Some(0)) => "disappears".to_owned(),
                _ => "is committed and not counted".to_owned(),
            },
            Self::Invalidated(status) => {
                let code = status.code().unwrap_or_default();
                format!("the channel is invalidated: {code}")
            }
            Self::Absent => "the channel is in no status".to_owned(),
            Self::StatusRefused(answer) => format!("the status is refused: {}", answer.outcome()),
            Self::Pending(_) => format!("is not committed within {} s", COMMIT.as_secs()),
        }
    }
}
