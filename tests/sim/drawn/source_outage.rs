//! Temporary failures of a source, and how long a run retries it.

use std::time::Duration;

use tokio::time::Instant;

/// A call of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Read,
    Ready,
    Release,
    Released,
    DeadLetter,
    RejectsSeen,
    Check,
}

impl Call {
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Ready,
        Self::Release,
        Self::Released,
        Self::DeadLetter,
        Self::RejectsSeen,
        Self::Check,
    ];

    /// The name its failures are counted under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "source cannot be read",
            Self::Ready => "source cannot wait",
            Self::Release => "source cannot release",
            Self::Released => "source cannot log what is released",
            Self::DeadLetter => "source cannot keep dead letters",
            Self::RejectsSeen => "source cannot log which rejects it saw",
            Self::Check => "source cannot check",
        }
    }
}

/// A period in which one call of a source always fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceOutage {
    pub call: Call,
    pub from_ms: u64,
    pub length_ms: u64,
}

impl SourceOutage {
    pub fn until_ms(self) -> u64 {
        self.from_ms + self.length_ms
    }

    pub fn applies(self, call: Call, now_ms: u64) -> bool {
        call == self.call && (self.from_ms..self.until_ms()).contains(&now_ms)
    }
}

/// Failures of one call of a run without a success of that call in between.
#[derive(Debug, Default)]
pub struct FailureStreak {
    since: Option<Instant>,
    /// When it failed last.
    last: Option<Instant>,
    times: u32,
}

impl FailureStreak {
    /// Records the result of a call. Returns an error if the source was retried for too long or too often.
    pub fn note(&mut self, failed: bool, time_limit: Duration) -> Result<(), String> {
        if !failed {
            *self = Self::default();
            return Ok(());
        }
        let now = Instant::now();
        let before = self.length();
        let since = *self.since.get_or_insert(now);
        self.last = Some(now);
        self.times += 1;
        let took = now - since;
        // Pauses between retries double up to half a minute.
        let most = 20 + u32::try_from(took.as_secs() / 10).unwrap();
        if before >= time_limit || self.times > most {
            return Err(format!(
                "a source with a time limit of {time_limit:?} is called {} times in {took:?}",
                self.times
            ));
        }
        Ok(())
    }

    /// How long the call has been failing.
    pub fn length(&self) -> Duration {
        self.since
            .zip(self.last)
            .map_or(Duration::ZERO, |(since, last)| last - since)
    }
}
