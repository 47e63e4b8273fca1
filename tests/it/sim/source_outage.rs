//! A source that fails for a while, and how long it is asked in vain.

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

/// One call of a source fails whenever it is made.
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

    pub fn strikes(self, call: Call, now_ms: u64) -> bool {
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
    /// A call failed or not. An error says that the source is asked too long or too often.
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
        // Pauses double up to half a minute.
        let most = 20 + u32::try_from(took.as_secs() / 10).unwrap();
        if before >= time_limit || self.times > most {
            return Err(format!(
                "a source with {time_limit:?} of time_limit is asked {} times in {took:?}",
                self.times
            ));
        }
        Ok(())
    }

    /// How long the source was asked in vain.
    pub fn length(&self) -> Duration {
        self.since
            .zip(self.last)
            .map_or(Duration::ZERO, |(since, last)| last - since)
    }
}
