//! The status of a channel, as the server reports it.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::offset::OffsetToken;

/// The state of a channel at the time of a status call.
///
/// The counters are cumulative since the channel was created; they survive reopening it.
///
/// With serde the fields have the names of the methods. Times are milliseconds, since the epoch or as a length, and their
/// names end in `_ms`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ChannelStatus {
    pub(crate) database_name: String,
    pub(crate) schema_name: String,
    pub(crate) pipe_name: String,
    pub(crate) channel_name: String,
    pub(crate) status_code: String,
    pub(crate) latest_committed_offset_token: Option<OffsetToken>,
    pub(crate) created_on_ms: Option<u64>,
    pub(crate) rows_inserted_count: u64,
    pub(crate) rows_parsed_count: u64,
    pub(crate) rows_error_count: u64,
    /// Whether the server reports how many rows it has inserted or parsed.
    #[serde(skip)]
    pub(crate) has_row_counts: bool,
    pub(crate) last_error_offset_token_upper_bound: Option<OffsetToken>,
    pub(crate) last_error_message: Option<String>,
    pub(crate) last_error_timestamp_ms: Option<u64>,
    #[serde(
        rename = "server_avg_processing_latency_ms",
        serialize_with = "milliseconds"
    )]
    pub(crate) server_avg_processing_latency: Option<Duration>,
}

impl ChannelStatus {
    /// Replaces the texts that are not names by what `edit` makes of them.
    pub(crate) fn with_texts(mut self, edit: impl Fn(&str) -> String) -> Self {
        self.status_code = edit(&self.status_code);
        self.last_error_message = self.last_error_message.as_deref().map(edit);
        self
    }

    /// The database of the pipe; empty if the server omitted it.
    pub fn database_name(&self) -> &str {
        &self.database_name
    }

    /// The schema of the pipe; empty if the server omitted it.
    pub fn schema_name(&self) -> &str {
        &self.schema_name
    }

    /// The pipe of the channel; empty if the server omitted it.
    pub fn pipe_name(&self) -> &str {
        &self.pipe_name
    }

    /// The channel's name.
    pub fn channel_name(&self) -> &str {
        &self.channel_name
    }

    /// The server's code for the state of the channel: `SUCCESS`, or an error code.
    pub fn status_code(&self) -> &str {
        &self.status_code
    }

    /// The offset token up to which everything is committed; `None` if no row with a token is committed.
    pub fn latest_committed_offset_token(&self) -> Option<&OffsetToken> {
        self.latest_committed_offset_token.as_ref()
    }

    /// When the channel was created.
    pub fn created_on(&self) -> Option<SystemTime> {
        self.created_on_ms.and_then(from_epoch)
    }

    /// The time of creation as the server writes it, which tells channels of the same name apart.
    pub(crate) fn created_on_ms(&self) -> Option<u64> {
        self.created_on_ms
    }

    /// The number of rows inserted into the table.
    pub fn rows_inserted_count(&self) -> u64 {
        self.rows_inserted_count
    }

    /// The number of rows the server read, inserted or not.
    pub fn rows_parsed_count(&self) -> u64 {
        self.rows_parsed_count
    }

    /// The number of rows the server rejected.
    pub fn rows_error_count(&self) -> u64 {
        self.rows_error_count
    }

    /// How many rows the counters account for, inserted and rejected ones; `None` if the server does not count them.
    pub(crate) fn rows_accounted(&self) -> Option<u64> {
        let accounted = self
            .rows_inserted_count
            .saturating_add(self.rows_error_count);
        self.has_row_counts.then_some(accounted)
    }

    /// A token at or after the last rejected row.
    pub fn last_error_offset_token_upper_bound(&self) -> Option<&OffsetToken> {
        self.last_error_offset_token_upper_bound.as_ref()
    }

    /// The reason for the last rejected row.
    pub fn last_error_message(&self) -> Option<&str> {
        self.last_error_message.as_deref()
    }

    /// When the last row was rejected.
    pub fn last_error_timestamp(&self) -> Option<SystemTime> {
        self.last_error_timestamp_ms.and_then(from_epoch)
    }

    /// The server's recent average time from receiving rows to committing them.
    pub fn server_avg_processing_latency(&self) -> Option<Duration> {
        self.server_avg_processing_latency
    }

    /// Whether the channel can continue: its code is `SUCCESS`, `ACTIVE` or `0`, or there is no code.
    pub fn is_healthy(&self) -> bool {
        let code = self.status_code.as_str();
        matches!(code, "" | "0")
            || code.eq_ignore_ascii_case("SUCCESS")
            || code.eq_ignore_ascii_case("ACTIVE")
    }
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn milliseconds<S: serde::Serializer>(
    length: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let milliseconds = length.and_then(|length| u64::try_from(length.as_millis()).ok());
    milliseconds.serialize(serializer)
}

/// `None` for a time that the clock of this machine cannot show.
fn from_epoch(milliseconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::ChannelStatus;

    #[test]
    fn times_are_since_the_epoch() {
        let status = ChannelStatus {
            created_on_ms: Some(1_500),
            last_error_timestamp_ms: Some(2_000),
            ..ChannelStatus::default()
        };
        let at = |ms| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(status.created_on(), at(1_500));
        assert_eq!(status.last_error_timestamp(), at(2_000));
        assert_eq!(ChannelStatus::default().created_on(), None);
    }

    #[test]
    fn serde_names_the_fields_like_the_methods_and_times_with_their_unit() {
        let status = ChannelStatus {
            channel_name: "c".to_owned(),
            latest_committed_offset_token: Some(7.into()),
            rows_inserted_count: 5,
            server_avg_processing_latency: Some(Duration::from_millis(1_250)),
            ..ChannelStatus::default()
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["channel_name"], "c");
        assert_eq!(json["latest_committed_offset_token"], "7");
        assert_eq!(json["rows_inserted_count"], 5);
        assert_eq!(json["server_avg_processing_latency_ms"], 1_250);
        assert_eq!(json["created_on_ms"], serde_json::Value::Null);
    }

    #[test]
    fn only_the_known_good_codes_are_healthy() {
        let with = |code: &str| ChannelStatus {
            status_code: code.to_owned(),
            ..ChannelStatus::default()
        };
        for good in ["SUCCESS", "success", "ACTIVE", "0", ""] {
            assert!(with(good).is_healthy(), "{good:?}");
        }
        for bad in [
            "ERR_CHANNEL_MUST_BE_REOPENED",
            "ERR_PIPE_IN_INVALID_STATE",
            "1",
            "00",
            "SUCCESSFUL",
        ] {
            assert!(!with(bad).is_healthy(), "{bad:?}");
        }
    }
}
