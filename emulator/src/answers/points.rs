//! The points that the documentation leaves open, in groups.

use serde::{Deserialize, Serialize};

use super::words::{
    AcceptOrReject, AfterSkippedToken, BinaryText, CreateOrRefuse, DroppedTable, DuplicateKey,
    EarlierToken, ElasticBody, ElasticStatus, ErrorBody, ErrorCounter, ErrorTimestamp,
    EvolvedArray, EvolvedFraction, EvolvedMoment, EvolvedTime, ExplicitNull, HealthyStatus,
    MalformedRow, MaxBody, NameCase, NullText, OmittedColumn, OversizedBody, PipeFunctions,
    PipeWhere, RecreatedPipe, RecreatedTable, RejectOrAccept, ReplacedTable, ReplayedToken,
    RowCounters, SkippedToken, SupersededToken, TextAsArray, TextAsObject, TextBody, TimeZone,
    UnknownKey, ValueAsArray, VariantNull, VariantNumber,
};

/// A point with more than one possible answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Point {
    /// Group and name, as in `wire.replayed_token`.
    pub key: &'static str,
    /// The possible answers, the default first.
    pub words: &'static [&'static str],
}

/// Declares the groups and their points.
macro_rules! groups {
    ($($(#[$doc:meta])* $group:ident = $key:literal {
        $($(#[$about:meta])* $point:ident: $answer:ident),+ $(,)?
    })+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            #[non_exhaustive]
            pub struct $group {
                $($(#[$about])* pub $point: $answer),+
            }
        )+

        /// All points.
        pub const POINTS: &[Point] = &[
            $($(Point { key: concat!($key, ".", stringify!($point)), words: $answer::WORDS }),+),+
        ];
    };
}

groups! {
    /// The answers of the endpoints.
    Wire = "wire" {
        /// The body of `GET /v2/streaming/hostname`.
        hostname_body: TextBody,
        /// The body of `POST /oauth/token`.
        token_body: TextBody,
        /// What a second exchange of the credential does to the token of the first one.
        earlier_token: EarlierToken,
        /// The body of an answer to an elastic append.
        elastic_body: ElasticBody,
        /// The elastic channel in a bulk status before its first append.
        elastic_status: ElasticStatus,
        /// The body of an error.
        error_body: ErrorBody,
        /// The status of a healthy channel.
        healthy_status: HealthyStatus,
        /// The name of the count of rejected rows in the bulk status.
        error_counter: ErrorCounter,
        /// The form of `last_error_timestamp`.
        error_timestamp: ErrorTimestamp,
        /// When a status shows the row counters of a commit.
        row_counters: RowCounters,
        /// The answer to a continuation token whose batch was already accepted.
        replayed_token: ReplayedToken,
        /// The answer to a continuation token that the channel has not given out yet.
        skipped_token: SkippedToken,
        /// What the channel does with the right continuation token after a skipped one.
        after_skipped_token: AfterSkippedToken,
        /// The answer to a continuation token from before the channel was reopened.
        superseded_token: SupersededToken,
        /// The longest body of an append on the wire.
        max_body: MaxBody,
        /// The status of the answer to a longer body.
        oversized_body: OversizedBody,
    }

    /// Channels and their names.
    Channels = "channels" {
        /// Names of channels that differ only by case, in addresses. A bulk status has a channel by the exact name alone.
        name_case: NameCase,
    }

    /// What statements do to open channels.
    Tables = "tables" {
        /// What becomes of rows on a channel whose table was replaced.
        replaced_table: ReplacedTable,
        /// What becomes of rows on a channel whose table was dropped.
        dropped_table: DroppedTable,
        /// When channels can be opened of a table that was dropped and created again.
        recreated_table: RecreatedTable,
    }

    /// What becomes of the rows and values of a default pipe.
    Values = "values" {
        /// A row with a key twice, at the top or in a nested object.
        duplicate_key: DuplicateKey,
        /// A line that is no JSON.
        malformed_row: MalformedRow,
        /// A key that the table has no column for.
        unknown_key: UnknownKey,
        /// An explicit null in a column with a DEFAULT.
        null_with_default: ExplicitNull,
        /// The text `\N`.
        null_text: NullText,
        /// A boolean in a NUMBER column.
        boolean_as_number: RejectOrAccept,
        /// A number in a BOOLEAN column: true unless it is 0.
        number_as_boolean: RejectOrAccept,
        /// A text with an offset in a TIME column: the offset is left out.
        time_with_offset: RejectOrAccept,
        /// A timestamp in a DATE column: its date.
        timestamp_as_date: AcceptOrReject,
        /// `"NaN"`, `"inf"` and `"-inf"` in a FLOAT column.
        float_words: AcceptOrReject,
        /// An object or array in a VARCHAR column: its JSON text.
        json_as_text: AcceptOrReject,
        /// A text in an ARRAY column.
        text_as_array: TextAsArray,
        /// A number, a boolean or an object in an ARRAY column.
        value_as_array: ValueAsArray,
        /// A text in an OBJECT column.
        text_as_object: TextAsObject,
        /// A text in a BINARY column.
        binary_text: BinaryText,
        /// A null in a VARIANT column.
        variant_null: VariantNull,
        /// A number in a VARIANT column.
        variant_number: VariantNumber,
        /// The zone in which an integer becomes the wall clock of a `TIMESTAMP_NTZ`.
        integer_zone: TimeZone,
        /// The zone of a text without an offset in a `TIMESTAMP_LTZ` or `TIMESTAMP_TZ` column.
        text_zone: TimeZone,
    }

    /// The types of the columns that schema evolution adds.
    Evolution = "evolution" {
        /// Of a number with a fraction and no exponent. With an exponent it is FLOAT.
        fraction: EvolvedFraction,
        /// Of a text in the form of a date or timestamp.
        moment: EvolvedMoment,
        /// Of a text in the form of a time of day.
        time: EvolvedTime,
        /// Of an array.
        array: EvolvedArray,
    }

    /// Pipes that CREATE PIPE makes.
    Pipes = "pipes" {
        /// Names of databases, schemas and pipes that differ only by case, in addresses.
        name_case: NameCase,
        /// `FILE_FORMAT = (TYPE = JSON)`.
        file_format: CreateOrRefuse,
        /// The functions of a select list.
        functions: PipeFunctions,
        /// A WHERE in the select.
        where_clause: PipeWhere,
        /// What a column with a DEFAULT holds that a select list leaves out.
        omitted_column: OmittedColumn,
        /// The answer to the first request of a channel after its pipe was replaced, or dropped and created again.
        recreated_pipe: RecreatedPipe,
    }
}
