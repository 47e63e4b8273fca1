//! The possible answers to each point, the default first.

use serde::{Deserialize, Serialize};

/// Declares the answers to one point. The first one is the default, which is what is documented or was observed.
macro_rules! answers {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $answer:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $answer),+
        }

        impl $name {
            /// Every answer, the default first.
            pub const ALL: &'static [Self] = &[$(Self::$answer),+];

            pub(super) const WORDS: &'static [&'static str] = &[$($word),+];
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
    /// What a second exchange of the credential does to the token of the first one.
    EarlierToken {
        /// The earlier token stays valid until its end.
        Lives = "lives",
        /// The earlier token is refused from then on.
        Dies = "dies",
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
    /// The elastic channel in a bulk status before its first append.
    ElasticStatus {
        /// It has a status.
        Present = "present",
        /// It has none.
        Absent = "absent",
    }
}

answers! {
    /// The body of an error.
    ErrorBody {
        /// `error_code` and `message` for what is missing (404), else `code` and `message`; both for a conflict (409).
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
    /// The answer to a continuation token that the channel has not given out yet.
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
    /// What a channel does with the right continuation token after a skipped one.
    AfterSkippedToken {
        /// It refuses rows until it is reopened.
        Refuses = "refuses",
        /// It takes rows as if nothing had happened.
        Takes = "takes",
    }
}

answers! {
    /// The answer to a continuation token from before the channel was reopened.
    SupersededToken {
        /// 400 `STALE_CONTINUATION_TOKEN_SEQUENCER`.
        Stale = "stale",
        /// 409 `ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER`.
        Conflict = "conflict",
        /// 200 with the next token of the channel's owner. The rows are dropped.
        DropWithOwners = "drop_with_owners_token",
        /// 200 with the token after the one that was sent. The rows are dropped.
        DropWithOld = "drop_with_old_token",
    }
}

answers! {
    /// When a status shows the row counters of a commit.
    RowCounters {
        /// With its token.
        AtOnce = "at_once",
        /// Four seconds after its token.
        Late = "late",
    }
}

answers! {
    /// The longest body of an append on the wire.
    MaxBody {
        /// 4,194,304 bytes (observed: supabase/etl, `tests/snowflake/large_rows.rs`).
        Binary = "4194304",
        /// 4,000,000 bytes, the other reading of "4 MB" ("Snowpipe Streaming REST API endpoints").
        Decimal = "4000000",
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
    /// Names in addresses that differ only by case.
    NameCase {
        /// They mean the same object.
        Folded = "folded",
        /// They mean different objects.
        Exact = "exact",
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

answers! {
    /// What becomes of rows on a channel whose table was dropped.
    DroppedTable {
        /// They are refused: 404 `ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED`.
        Refuse = "refuse",
        /// They are accepted and lost. The status is refused.
        AcceptAndLose = "accept_and_lose",
    }
}

answers! {
    /// When a table can be streamed into that was dropped and created again under its name.
    RecreatedTable {
        /// At once.
        AtOnce = "at_once",
        /// Two minutes after it was dropped, if channels of it were open. Until then opens are refused: 404
        /// `ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED`. A test of `estuary/connectors` waits three minutes for an open
        /// (`materialize-snowflake/streamv2_test.go`, "a drop and re-create does not").
        NotYet = "not_yet",
    }
}

answers! {
    /// What becomes of a value.
    RejectOrAccept {
        /// Its row is rejected.
        Reject = "reject",
        /// It is converted.
        Accept = "accept",
    }
}

answers! {
    /// What becomes of a value.
    AcceptOrReject {
        /// It is converted.
        Accept = "accept",
        /// Its row is rejected.
        Reject = "reject",
    }
}

answers! {
    /// What becomes of a row with a key twice.
    DuplicateKey {
        /// The row is rejected.
        Reject = "reject",
        /// The last value counts.
        Last = "last",
    }
}

answers! {
    /// What becomes of a request with a line that is no JSON.
    MalformedRow {
        /// The line is a rejected row.
        Reject = "reject",
        /// The whole request is refused: 400.
        RefuseRequest = "refuse_request",
    }
}

answers! {
    /// What becomes of a key that the table has no column for.
    UnknownKey {
        /// The key is ignored.
        Ignore = "ignore",
        /// The row is rejected.
        Reject = "reject",
    }
}

answers! {
    /// What an explicit null becomes in a column with a DEFAULT.
    ExplicitNull {
        /// SQL NULL.
        Null = "null",
        /// The DEFAULT.
        Default = "default",
    }
}

answers! {
    /// What the text `\N` becomes.
    NullText {
        /// The same text.
        Text = "text",
        /// SQL NULL.
        Null = "null",
    }
}

answers! {
    /// What a null becomes in a VARIANT column.
    VariantNull {
        /// A JSON null.
        JsonNull = "json_null",
        /// SQL NULL.
        SqlNull = "sql_null",
    }
}

answers! {
    /// What a number becomes in a VARIANT column.
    VariantNumber {
        /// All its digits are kept. A number with an exponent is shown as a double.
        Exact = "exact",
        /// It becomes a double.
        Double = "double",
    }
}

answers! {
    /// What a text becomes in an ARRAY column.
    TextAsArray {
        /// An array of the text.
        Wrap = "wrap",
        /// The array that the text holds as JSON. The row is rejected if it holds none.
        Parse = "parse",
    }
}

answers! {
    /// What a number, a boolean or an object becomes in an ARRAY column.
    ValueAsArray {
        /// The row is rejected.
        Reject = "reject",
        /// An array of the value.
        Wrap = "wrap",
    }
}

answers! {
    /// What a text becomes in an OBJECT column.
    TextAsObject {
        /// The object that the text holds as JSON. The row is rejected if it holds none.
        Parse = "parse",
        /// The row is rejected.
        Reject = "reject",
    }
}

answers! {
    /// How default pipes read texts as BINARY.
    BinaryText {
        /// As base64.
        Base64 = "base64",
        /// As hexadecimal digits.
        Hex = "hex",
    }
}

answers! {
    /// The time zone in which a time without one is read.
    TimeZone {
        /// That of the account.
        Account = "account",
        /// UTC.
        Utc = "utc",
    }
}

answers! {
    /// The type of a column that schema evolution makes of a number with a fraction.
    EvolvedFraction {
        /// FLOAT.
        Float = "float",
        /// NUMBER with the scale of the first value.
        Number = "number",
    }
}

answers! {
    /// The type of a column that schema evolution makes of a text in the form of a date or timestamp.
    EvolvedMoment {
        /// VARCHAR.
        Varchar = "varchar",
        /// DATE or `TIMESTAMP_NTZ`.
        Moment = "moment",
    }
}

answers! {
    /// The type of a column that schema evolution makes of a text in the form of a time of day.
    EvolvedTime {
        /// TIME.
        Time = "time",
        /// VARCHAR.
        Varchar = "varchar",
    }
}

answers! {
    /// The type of a column that schema evolution makes of an array.
    EvolvedArray {
        /// ARRAY.
        Array = "array",
        /// VARIANT.
        Variant = "variant",
    }
}

answers! {
    /// Whether CREATE PIPE takes an option or an expression.
    CreateOrRefuse {
        /// The pipe is created.
        Create = "create",
        /// The statement is refused.
        Refuse = "refuse",
    }
}

answers! {
    /// The functions of a pipe's select list.
    PipeFunctions {
        /// Those that the documentation lists.
        Listed = "listed",
        /// Every scalar function of a query.
        All = "all",
    }
}

answers! {
    /// A WHERE in a pipe's select.
    PipeWhere {
        /// The pipe is refused.
        Refuse = "refuse",
        /// Rows for which the condition is not true are neither inserted nor rejected.
        Filter = "filter",
    }
}

answers! {
    /// What a column with a DEFAULT holds that a pipe's select list leaves out.
    OmittedColumn {
        /// Its DEFAULT.
        Default = "default",
        /// SQL NULL.
        Null = "null",
    }
}

answers! {
    /// The answer to the first request of a channel after its pipe was replaced, or dropped and created again.
    RecreatedPipe {
        /// The request is carried out.
        AtOnce = "at_once",
        /// 400 `STALE_PIPE_CACHE`. The next request is carried out.
        Stale = "stale",
    }
}
