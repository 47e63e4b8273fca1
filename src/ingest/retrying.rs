//! Calls to a source: failures are retried, and answers are checked.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::shutdown::{Shutdown, StopReason};
use super::source::{Batch, Offset, Ownership, Rejected, Source};
use crate::base::retry::{Retry, RetryLimit};
use crate::client::StreamingIngestClient;
use crate::types::error::{Error, ErrorKind, Result};

/// The first and the longest pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A source, with the retries of its methods.
pub(super) struct RetryingSource<'a, S> {
    pub(super) source: &'a mut S,
    pub(super) shutdown: Shutdown<'a>,
    client: StreamingIngestClient,
    patience: Duration,
    /// The retries of the methods whose last call failed, by the methods' names in messages. The success of one method does
    /// not reset another. Otherwise a source that can be read but fails to keep dead letters would be retried without end.
    retries: BTreeMap<&'static str, Retry>,
}

/// Why a single attempt failed.
#[derive(Debug)]
pub(super) enum Setback {
    /// The source failed. The next attempt is due after this pause.
    Retry(Duration),
    /// The run has to stop.
    Stop(StopReason),
}

impl From<StopReason> for Setback {
    fn from(reason: StopReason) -> Self {
        Self::Stop(reason)
    }
}

impl<'a, S: Source> RetryingSource<'a, S> {
    pub(super) fn new(
        source: &'a mut S,
        shutdown: Shutdown<'a>,
        client: StreamingIngestClient,
        patience: Duration,
    ) -> Self {
        Self {
            source,
            shutdown,
            client,
            patience,
            retries: BTreeMap::new(),
        }
    }

    pub(super) async fn released(&mut self) -> Result<Option<S::Offset>, StopReason> {
        loop {
            match self.source.released().await {
                Ok(released) => {
                    self.succeeded("return the released offset");
                    return Ok(released);
                }
                Err(error) => self.pause("return the released offset", error).await?,
            }
        }
    }

    pub(super) async fn check(
        &mut self,
        channel: &str,
        committed: Option<&S::Offset>,
    ) -> Result<(), StopReason> {
        loop {
            match self.source.check(channel, committed).await {
                Ok(()) => {
                    self.succeeded("accept the channel");
                    return Ok(());
                }
                Err(error) => self.pause("accept the channel", error).await?,
            }
        }
    }

    pub(super) async fn ownership(&mut self, channel: &str) -> Result<Ownership, StopReason> {
        const WHAT: &str = "say whether it is still owned";
        loop {
            // The answer may take long, for example until an engine is reachable again.
            let answer = self.source.ownership(channel);
            match self.shutdown.interrupting(answer).await? {
                Ok(ownership) => {
                    self.succeeded(WHAT);
                    return Ok(ownership);
                }
                Err(error) => self.pause(WHAT, error).await?,
            }
        }
    }

    pub(super) async fn rejects_seen(&mut self, channel: &str) -> Result<Option<u64>, StopReason> {
        loop {
            match self.source.rejects_seen(channel).await {
                Ok(seen) => {
                    self.succeeded("return the rejects it has seen");
                    return Ok(seen);
                }
                Err(error) => self.pause("return the rejects it has seen", error).await?,
            }
        }
    }

    pub(super) async fn release_through(&mut self, through: &S::Offset) -> Result<(), StopReason> {
        loop {
            match self.source.release_through(through).await {
                Ok(()) => {
                    self.succeeded("release rows");
                    return Ok(());
                }
                Err(error) => self.pause("release rows", error).await?,
            }
        }
    }

    /// Reads rows, and checks that their offsets rise. `through` is set if anything was read.
    pub(super) async fn read_after(
        &mut self,
        after: Option<&S::Offset>,
        max: usize,
    ) -> Result<Batch<S::Offset, S::Row>, StopReason> {
        loop {
            match self.try_read_after(after, max).await {
                Ok(batch) => return Ok(batch),
                Err(Setback::Retry(pause)) => self.shutdown.interrupting(sleep(pause)).await?,
                Err(Setback::Stop(reason)) => return Err(reason),
            }
        }
    }

    /// A single attempt of [`read_after`](Self::read_after).
    pub(super) async fn try_read_after(
        &mut self,
        after: Option<&S::Offset>,
        max: usize,
    ) -> Result<Batch<S::Offset, S::Row>, Setback> {
        const WHAT: &str = "be read";
        match self.source.read_after(after, max).await {
            Ok(batch) => {
                self.succeeded(WHAT);
                Ok(checked(after, batch).map_err(StopReason::from)?)
            }
            Err(error) => Err(Setback::Retry(self.failed(WHAT, error)?)),
        }
    }

    /// A single attempt to have the source keep rejected rows.
    pub(super) async fn try_dead_letter(
        &mut self,
        rejected: &Rejected<S::Offset>,
        rows: Vec<(S::Offset, S::Row)>,
    ) -> Result<(), Setback> {
        const WHAT: &str = "keep dead letters";
        match self.source.dead_letter(rejected, rows).await {
            Ok(()) => {
                self.succeeded(WHAT);
                Ok(())
            }
            Err(error) => Err(Setback::Retry(self.failed(WHAT, error)?)),
        }
    }

    /// Waits before the next attempt of the method named `what`.
    pub(super) async fn pause(
        &mut self,
        what: &'static str,
        error: S::Error,
    ) -> Result<(), StopReason> {
        let pause = self.failed(what, error)?;
        self.shutdown.interrupting(sleep(pause)).await
    }

    /// The method succeeded, so its next failure is a first one.
    pub(super) fn succeeded(&mut self, what: &'static str) {
        self.retries.remove(what);
    }

    /// The method failed. Returns how long to wait before the next attempt, or the error that ends the run.
    fn failed(&mut self, what: &'static str, error: S::Error) -> Result<Duration, StopReason> {
        let is_fatal = self.source.is_fatal(&error);
        let error: Box<dyn std::error::Error + Send + Sync> = error.into();
        let now = Instant::now();
        let retry = self.retries.entry(what).or_insert_with(|| {
            let limit = RetryLimit::For(self.patience);
            Retry::new(FIRST_PAUSE, LONGEST_PAUSE, limit).started(now)
        });
        let next = if is_fatal || retry.is_over(now) {
            None
        } else {
            retry.next(now, None, self.client.random_unit())
        };
        let Some(next) = next else {
            let how = if is_fatal {
                String::new()
            } else {
                format!(" for {:?}", retry.elapsed(now))
            };
            let text = format!("the source could not {what}{how}: {error}");
            return Err(Error::new(ErrorKind::Source, text)
                .with_retryable(!is_fatal)
                .with_boxed_source(error)
                .into());
        };
        warn!(%error, "the source could not {what}; trying again");
        Ok(next.saturating_duration_since(now))
    }
}

/// Refuses offsets that do not rise: a resume would lose or repeat rows.
fn checked<O: Offset, R>(after: Option<&O>, mut batch: Batch<O, R>) -> Result<Batch<O, R>> {
    let mut before = after;
    for (offset, _) in &batch.rows {
        if let Some(before) = before.filter(|before| offset <= *before) {
            return Err(disordered(&format!(
                "gave the offset {offset} after {before}; offsets must rise, starting after the one that was passed to `read_after`"
            )));
        }
        before = Some(offset);
    }
    match (batch.through.take(), before) {
        (None, _) => batch.through = batch.rows.last().map(|(last, _)| last.clone()),
        (Some(through), Some(last)) if through < *last => {
            return Err(disordered(&format!(
                "returned a batch read through {through}, although it was already read through to {last}"
            )));
        }
        // Nothing new was read.
        (Some(through), Some(last)) if batch.rows.is_empty() && through == *last => {}
        (through, _) => batch.through = through,
    }
    Ok(batch)
}

/// Refuses an offset that cannot be parsed back from its text: a resume would start at another place.
pub(super) fn check_text<O: Offset>(offset: &O) -> Result<()> {
    let text = offset.to_string();
    let problem = match text.parse::<O>() {
        Ok(read) if read == *offset => return Ok(()),
        Ok(read) => format!("reads back as {read}"),
        Err(why) => format!("does not read back: {why}"),
    };
    Err(disordered(&format!(
        "has the offset {text:?}, which {problem}; Display and FromStr of its type have to agree"
    )))
}

fn disordered(what: &str) -> Error {
    Error::new(ErrorKind::Source, format!("the source {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(after: Option<i64>, rows: &[i64], through: Option<i64>) -> Result<Option<i64>> {
        let batch = Batch {
            rows: rows.iter().map(|n| (*n, ())).collect(),
            through,
            is_end: false,
        };
        checked(after.as_ref(), batch).map(|batch| batch.through)
    }

    #[test]
    fn a_batch_is_read_through_its_last_offset_or_a_later_one() {
        assert_eq!(check(None, &[], None).unwrap(), None);
        assert_eq!(check(Some(3), &[4, 9], None).unwrap(), Some(9));
        assert_eq!(check(Some(3), &[4, 9], Some(9)).unwrap(), Some(9));
        assert_eq!(check(Some(3), &[4, 9], Some(12)).unwrap(), Some(12));
        assert_eq!(check(Some(3), &[], Some(12)).unwrap(), Some(12));
        assert_eq!(check(None, &[], Some(0)).unwrap(), Some(0));
        // Read again, and still nothing there.
        assert_eq!(check(Some(3), &[], Some(3)).unwrap(), None);
    }

    #[test]
    fn offsets_that_do_not_rise_are_refused_and_named() {
        let refused = |after, rows: &[i64], through, named: [&str; 2]| {
            let error = check(after, rows, through).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Source);
            for name in named {
                assert!(error.to_string().contains(name), "{error}");
            }
        };
        refused(Some(3), &[3], None, ["offset 3", "after 3"]);
        refused(None, &[5, 5], None, ["offset 5", "after 5"]);
        refused(None, &[7, 6], None, ["offset 6", "after 7"]);
        refused(None, &[7, 8], Some(7), ["through 7", "to 8"]);
        refused(Some(9), &[], Some(8), ["through 8", "to 9"]);
    }

    #[test]
    fn an_offset_must_parse_back_from_its_text() {
        check_text(&17_u64).unwrap();
        check_text(&"order_17".to_owned()).unwrap();
        let nan = check_text(&Rounded(17)).unwrap_err();
        assert!(nan.to_string().contains("reads back as 10"), "{nan}");
    }

    /// Prints less than it is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    struct Rounded(u32);

    impl std::fmt::Display for Rounded {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}", self.0 / 10 * 10)
        }
    }

    impl std::str::FromStr for Rounded {
        type Err = std::num::ParseIntError;

        fn from_str(text: &str) -> Result<Self, Self::Err> {
            text.parse().map(Self)
        }
    }
}
