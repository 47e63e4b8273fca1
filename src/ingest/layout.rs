//! The names of a run's channels, and the check that no earlier run has spread the same source over other channels.
//!
//! A run also opens and closes the channels of the other numbers of shards. Their status alone does not prove that nothing is
//! buffered: rows that were accepted and not committed would land later, a second time.

use std::collections::BTreeMap;

use tracing::debug;

use super::recover::OWN_ROWS;
use super::source::Offset;
use crate::client::StreamingIngestClient;
use crate::context::retries::{OPEN_RETRY_FOR, Retries};
use crate::types::channel_status::ChannelStatus;
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::offset::OffsetToken;

/// The largest number of shards.
pub(super) const MOST_SHARDS: usize = 64;
/// The most channels of other layouts, which a run opens: those of 1, 2, 4 … and 64 shards, and as many again.
const MOST_OTHERS: usize = 256;
/// The longest channel name.
const MAX_NAME: usize = 255;

/// How a source is spread: over one channel with the run's name, or over this many channels named after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Plain,
    Sharded(usize),
}

impl Layout {
    /// The names of the channels, in order.
    pub(super) fn names(self, name: &str) -> Vec<String> {
        match self {
            Self::Plain => vec![name.to_owned()],
            Self::Sharded(count) => (0..count)
                .map(|i| format!("{name}-{i}-of-{count}"))
                .collect(),
        }
    }

    fn channels(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Sharded(count) => count,
        }
    }

    fn first(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Sharded(count) => format!("{name}-0-of-{count}"),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Plain).chain((1..=MOST_SHARDS).map(Self::Sharded))
    }

    fn in_words(self) -> String {
        match self {
            Self::Plain => "without shards".to_owned(),
            Self::Sharded(count) => format!("with {count} shards"),
        }
    }
}

/// Fails if channels of another layout have committed rows that are not released: it is unknown which rows these are.
///
/// The other channels of such a layout are opened and closed. After that, rows that an earlier run sent last are either
/// committed or discarded, and cannot land later.
///
/// # Errors
///
/// [`ErrorKind::Config`], or the error of a call.
pub(super) async fn check_others<O: Offset>(
    client: &StreamingIngestClient,
    name: &str,
    ours: Layout,
    released: Option<&O>,
) -> Result<()> {
    let others: Vec<Layout> = Layout::all()
        .filter(|layout| *layout != ours && layout.first(name).len() <= MAX_NAME)
        .collect();
    let firsts = others.iter().map(|layout| layout.first(name));
    let retries = Retries::For {
        retry_for: OPEN_RETRY_FOR,
        channel: name,
        problem: "the statuses of channels of other layouts cannot be requested",
    };
    let firsts: Vec<String> = firsts.collect();
    let known = client.statuses(&firsts, retries).await?;
    let used = others
        .into_iter()
        .filter(|layout| known.contains_key(&layout.first(name)));
    let used: Vec<Layout> = used.collect();
    check_count(&used)?;
    for layout in used {
        let statuses = client.statuses(&layout.names(name), retries).await?;
        for (channel, token) in tokens(&statuses) {
            check_released(channel, token, layout, released)?;
        }
        for channel in statuses.into_keys() {
            debug!(channel, "settling a channel of another layout");
            let channel = client
                .open_channel(channel)
                .on_uncommitted(OWN_ROWS)
                .await?;
            let token = channel.latest_committed_offset_token();
            check_released(channel.name(), token.as_ref(), layout, released)?;
            channel.close().await?;
        }
    }
    Ok(())
}

/// Refuses layouts with more channels than a source can have been spread over: each of them would be opened.
fn check_count(used: &[Layout]) -> Result<()> {
    let channels: usize = used.iter().map(|layout| layout.channels()).sum();
    if channels <= MOST_OTHERS {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "the server has channels of {} other numbers of shards for this run's name, {channels} channels in all; drop those that are not in use, or give the run another name",
            used.len()
        ),
    ))
}

fn tokens(
    statuses: &BTreeMap<String, ChannelStatus>,
) -> impl Iterator<Item = (&str, Option<&OffsetToken>)> {
    statuses
        .iter()
        .map(|(name, status)| (name.as_str(), status.latest_committed_offset_token()))
}

fn check_released<O: Offset>(
    channel: &str,
    committed: Option<&OffsetToken>,
    layout: Layout,
    released: Option<&O>,
) -> Result<()> {
    let Some(committed) = committed else {
        return Ok(());
    };
    let is_released = committed
        .parse::<O>()
        .is_ok_and(|committed| released.is_some_and(|released| committed <= *released));
    if is_released {
        return Ok(());
    }
    let released = released.map_or_else(
        || "has released nothing".to_owned(),
        |released| format!("has released no more than {released}"),
    );
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "the channel {channel:?} of an earlier run {} has committed the offset {committed}, and the source {released}; run once more {} until everything is released, or drop those channels if their rows may be sent again",
            layout.in_words(),
            layout.in_words(),
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_show_the_layout() {
        assert_eq!(Layout::Plain.names("rides"), ["rides"]);
        assert_eq!(
            Layout::Sharded(3).names("rides"),
            ["rides-0-of-3", "rides-1-of-3", "rides-2-of-3"]
        );
        assert_eq!(Layout::all().count(), 65);
    }

    #[test]
    fn channels_of_many_other_layouts_are_not_all_opened() {
        check_count(&[]).unwrap();
        let usual = [1, 2, 4, 8, 16, 32, 64].map(Layout::Sharded);
        check_count(&usual).unwrap();
        let all: Vec<Layout> = Layout::all().collect();
        let error = check_count(&all).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.to_string().contains("2081 channels in all"),
            "{error}"
        );
    }

    #[test]
    fn an_old_layout_is_refused_if_it_committed_more_than_was_released() {
        let check = |committed: Option<&str>, released: Option<u64>| {
            let committed = committed.map(OffsetToken::from_server);
            check_released(
                "rides-0-of-4",
                committed.as_ref(),
                Layout::Sharded(4),
                released.as_ref(),
            )
        };
        check(None, None).unwrap();
        check(Some("7"), Some(7)).unwrap();
        check(Some("7"), Some(10)).unwrap();
        for (committed, released, named) in [
            ("7", None, "released nothing"),
            ("7", Some(6), "no more than 6"),
            ("ride 7", Some(10), "\"rides-0-of-4\""),
        ] {
            let error = check(Some(committed), released).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(named), "{error}");
            assert!(
                error
                    .to_string()
                    .contains("run once more with 4 shards until"),
                "{error}"
            );
        }
    }
}
