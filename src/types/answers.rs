//! How the service behaves at the points that its documentation leaves open: one answer for each point.
//!
//! A conformance run finds the answers of an account; the emulator plays them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::types::error::{Error, ErrorKind, Result};

/// Declares the answers to one point. The first one is the default, which is what is documented or was observed.
macro_rules! answers {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $answer:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $answer),+
        }

        impl $name {
            /// Every answer, the default first.
            pub const ALL: &'static [Self] = &[$(Self::$answer),+];

            const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl Default for $name {
            fn default() -> Self {
                let [first, ..] = [$(Self::$answer),+];
                first
            }
        }
    };
}

answers! {
    /// The body of an answer that is a single text.
    TextBody {
        /// The text alone.
        Text = "text",
        /// The text and a line feed.
        Line = "line",
        /// A JSON object with the text as its field.
        Json = "json",
    }
}

answers! {
    /// The body of an answer to an elastic append.
    ElasticBody {
        /// `{"status_code":0,"message":"OK","next_continuation_token":""}`, which the official SDK needs.
        WithToken = "with_token",
        /// `{"message":"OK"}`, as documented.
        Message = "message",
    }
}

answers! {
    /// The body of an error.
    ErrorBody {
        /// `error_code` and `message` for what is missing or in conflict (404, 409), else `code` and `message`.
        ByStatus = "by_status",
        /// `code` and `message`.
        Code = "code",
        /// `error_code` and `message`.
        ErrorCode = "error_code",
        /// The code as a JSON string.
        Text = "text",
    }
}

answers! {
    /// The `channel_status_code` of a healthy channel.
    HealthyStatus {
        /// `SUCCESS`
        Success = "SUCCESS",
        /// `ACTIVE`
        Active = "ACTIVE",
    }
}

answers! {
    /// The name of the count of rejected rows in the bulk status.
    ErrorCounter {
        /// `rows_error_count`
        RowsErrorCount = "rows_error_count",
        /// `rows_errors`
        RowsErrors = "rows_errors",
    }
}

answers! {
    /// The form of `last_error_timestamp`.
    ErrorTimestamp {
        /// Milliseconds since 1970.
        Milliseconds = "milliseconds",
        /// A text like `2026-01-17T14:00:00.000Z`.
        Text = "text",
    }
}

answers! {
    /// The answer to a continuation token whose batch was already accepted.
    ReplayedToken {
        /// 200 with the same next token. The rows are not accepted again.
        Accept = "accept",
        /// 400 `STALE_CONTINUATION_TOKEN_SEQUENCER`.
        Stale = "stale",
        /// 409 `ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER`.
        Conflict = "conflict",
    }
}

answers! {
    /// The answer to a continuation token that the channel has not given out yet. The channel must be reopened.
    SkippedToken {
        /// 400 `ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP`.
        Gap = "gap",
        /// 400 `ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER`.
        Invalid = "invalid",
        /// 409 `ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP`.
        Conflict = "conflict",
    }
}

answers! {
    /// The answer to a continuation token from before the channel was reopened.
    SupersededToken {
        /// 400 `STALE_CONTINUATION_TOKEN_SEQUENCER`.
        Stale = "stale",
        /// 409 `ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER`.
        Conflict = "conflict",
    }
}

answers! {
    /// The longest body of an append on the wire.
    MaxBody {
        /// 4,000,000 bytes.
        Decimal = "4000000",
        /// 4,194,304 bytes.
        Binary = "4194304",
    }
}

answers! {
    /// The status of the answer to a longer body.
    OversizedBody {
        /// 413
        TooLarge = "413",
        /// 400
        BadRequest = "400",
    }
}

answers! {
    /// What becomes of rows on a channel whose table was replaced.
    ReplacedTable {
        /// They are accepted and lost until the channel is reopened.
        AcceptAndLose = "accept_and_lose",
        /// They are refused: 400 `ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED`.
        Refuse = "refuse",
    }
}

/// The answers of the endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Wire {
    /// The body of `GET /v2/streaming/hostname`.
    pub hostname_body: TextBody,
    /// The body of `POST /oauth/token`.
    pub token_body: TextBody,
    /// The body of an answer to an elastic append.
    pub elastic_body: ElasticBody,
    /// The body of an error.
    pub error_body: ErrorBody,
    /// The status of a healthy channel.
    pub healthy_status: HealthyStatus,
    /// The name of the count of rejected rows in the bulk status.
    pub error_counter: ErrorCounter,
    /// The form of `last_error_timestamp`.
    pub error_timestamp: ErrorTimestamp,
    /// The answer to a continuation token whose batch was already accepted.
    pub replayed_token: ReplayedToken,
    /// The answer to a continuation token that the channel has not given out yet.
    pub skipped_token: SkippedToken,
    /// The answer to a continuation token from before the channel was reopened.
    pub superseded_token: SupersededToken,
    /// The longest body of an append on the wire.
    pub max_body: MaxBody,
    /// The status of the answer to a longer body.
    pub oversized_body: OversizedBody,
}

/// What statements do to open channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Tables {
    /// What becomes of rows on a channel whose table was replaced.
    pub replaced_table: ReplacedTable,
}

/// An answer for each point. The default is what Snowflake documents, or what others observed.
///
/// As JSON each group is an object, and each answer a word; what is missing has its default, and an unknown point or word is an
/// error.
///
/// ```
/// use snowpipe_streaming::answers::{Answers, ReplayedToken};
/// let answers: Answers = serde_json::from_str(r#"{"wire": {"replayed_token": "stale"}}"#)?;
/// assert_eq!(answers.wire.replayed_token, ReplayedToken::Stale);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Answers {
    /// The answers of the endpoints.
    pub wire: Wire,
    /// What statements do to open channels.
    pub tables: Tables,
}

/// A point with more than one possible answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// Group and name, as in `wire.replayed_token`.
    pub key: &'static str,
    /// The possible answers, the default first.
    pub words: &'static [&'static str],
}

/// All points.
pub const POINTS: &[Point] = &[
    point("wire.hostname_body", TextBody::WORDS),
    point("wire.token_body", TextBody::WORDS),
    point("wire.elastic_body", ElasticBody::WORDS),
    point("wire.error_body", ErrorBody::WORDS),
    point("wire.healthy_status", HealthyStatus::WORDS),
    point("wire.error_counter", ErrorCounter::WORDS),
    point("wire.error_timestamp", ErrorTimestamp::WORDS),
    point("wire.replayed_token", ReplayedToken::WORDS),
    point("wire.skipped_token", SkippedToken::WORDS),
    point("wire.superseded_token", SupersededToken::WORDS),
    point("wire.max_body", MaxBody::WORDS),
    point("wire.oversized_body", OversizedBody::WORDS),
    point("tables.replaced_table", ReplacedTable::WORDS),
];

const fn point(key: &'static str, words: &'static [&'static str]) -> Point {
    Point { key, words }
}

impl Answers {
    /// Reads a file of answers: the JSON of [`Answers`], or a report that has it as its field `answers`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the text is not JSON, or has a point or an answer that there is not.
    pub fn from_json(text: &str) -> Result<Self> {
        let unreadable = |why: serde_json::Error| {
            let message = format!(
                "the answers cannot be read: {why}; give a report of `snowpipe conformance`, or its field \"answers\""
            );
            Error::new(ErrorKind::Config, message)
        };
        let mut value: Value = serde_json::from_str(text).map_err(unreadable)?;
        let answers = value.get_mut("answers").map(Value::take);
        serde_json::from_value(answers.unwrap_or(value)).map_err(unreadable)
    }

    /// The same answers with another one for a point, by the words of [`POINTS`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there is no such point, or it has no such answer.
    pub fn with(self, key: &str, word: &str) -> Result<Self> {
        let unknown = || {
            let message = format!("there is no answer {word:?} to a point {key:?}");
            Error::new(ErrorKind::Config, message)
        };
        let known = POINTS.iter().find(|point| point.key == key);
        let (group, name) = key.split_once('.').ok_or_else(unknown)?;
        let mut value = serde_json::to_value(self).map_err(|_| unknown())?;
        let fields = value.get_mut(group).and_then(Value::as_object_mut);
        let fields: &mut Map<_, _> = fields.filter(|_| known.is_some()).ok_or_else(unknown)?;
        fields.insert(name.to_owned(), word.into());
        serde_json::from_value(value).map_err(|_| unknown())
    }

    /// The answer to a point, as its word; `None` if there is no such point.
    pub fn word(&self, key: &str) -> Option<&'static str> {
        let point = POINTS.iter().find(|point| point.key == key)?;
        let value = serde_json::to_value(self).ok()?;
        let (group, name) = key.split_once('.')?;
        let word = value.get(group)?.get(name)?.as_str()?;
        point.words.iter().copied().find(|known| *known == word)
    }

    /// The points whose answers are not the default ones, with these answers.
    pub fn differences(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<'_> {
        POINTS.iter().filter_map(|point| {
            let word = self.word(point.key)?;
            (point.words.first() != Some(&word)).then_some((point.key, word))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, POINTS};

    #[test]
    fn each_field_is_a_point_and_each_word_an_answer() {
        let value = serde_json::to_value(Answers::default()).unwrap();
        let fields = value.as_object().unwrap().iter().flat_map(|(group, of)| {
            let fields = of.as_object().unwrap();
            fields.keys().map(move |name| format!("{group}.{name}"))
        });
        let mut fields: Vec<String> = fields.collect();
        let mut keys: Vec<_> = POINTS.iter().map(|point| point.key).collect();
        fields.sort_unstable();
        keys.sort_unstable();
        assert_eq!(fields, keys);
        for point in POINTS {
            assert_eq!(
                Answers::default().word(point.key),
                point.words.first().copied()
            );
            for word in point.words {
                let answers = Answers::default().with(point.key, word).unwrap();
                assert_eq!(answers.word(point.key), Some(*word));
                let text = serde_json::to_string(&answers).unwrap();
                assert_eq!(Answers::from_json(&text).unwrap(), answers);
                let differences: Vec<_> = answers.differences().collect();
                let is_default = *word == point.words[0];
                assert_eq!(differences.is_empty(), is_default, "{differences:?}");
            }
        }
    }

    #[test]
    fn what_is_unknown_is_an_error_that_names_it() {
        for (text, named) in [
            ("", "cannot be read"),
            (r#"{"wires": {}}"#, "wires"),
            (r#"{"wire": {"token": "x"}}"#, "token"),
            (r#"{"wire": {"replayed_token": "maybe"}}"#, "maybe"),
            (r#"{"answers": {"wire": {"x": 1}}}"#, "x"),
        ] {
            let why = Answers::from_json(text).unwrap_err().to_string();
            assert!(why.contains(named), "{why}");
        }
        for (key, word) in [
            ("wire.replayed_token", "maybe"),
            ("wire.nothing", "accept"),
            ("nothing", "accept"),
        ] {
            let why = Answers::default().with(key, word).unwrap_err().to_string();
            assert!(why.contains(key) && why.contains(word), "{why}");
        }
        assert_eq!(Answers::default().word("wire.nothing"), None);
    }
}
