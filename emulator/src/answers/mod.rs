//! How the service behaves at the points that its documentation leaves open: one answer for each point.
//!
//! A conformance run finds the answers of an account; the emulator plays them.

mod points;
mod words;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};

pub use self::points::{Channels, Evolution, POINTS, Pipes, Point, Tables, Values, Wire};
pub use self::words::{
    AcceptOrReject, AfterSkippedToken, BinaryText, CreateOrRefuse, DroppedTable, DuplicateKey,
    EarlierToken, ElasticBody, ElasticStatus, ErrorBody, ErrorCounter, ErrorTimestamp,
    EvolvedArray, EvolvedFraction, EvolvedMoment, EvolvedTime, ExplicitNull, HealthyStatus,
    MalformedRow, MaxBody, NameCase, NullText, OmittedColumn, OversizedBody, PipeFunctions,
    PipeWhere, RecreatedPipe, RecreatedTable, RejectOrAccept, ReplacedTable, ReplayedToken,
    RowCounters, SkippedToken, SupersededToken, TextAsArray, TextAsObject, TextBody, TimeZone,
    UnknownKey, ValueAsArray, VariantNull, VariantNumber,
};

/// An answer for each point. The default is what Snowflake documents, or what others observed.
///
/// As JSON each group is an object, and each answer a word; what is missing has its default, and an unknown point or word is an
/// error.
///
/// ```
/// use snowpipe_streaming_emulator::answers::{Answers, ReplayedToken};
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
    /// Channels and their names.
    pub channels: Channels,
    /// What statements do to open channels.
    pub tables: Tables,
    /// What becomes of the rows and values of a default pipe.
    pub values: Values,
    /// The types of the columns that schema evolution adds.
    pub evolution: Evolution,
    /// Pipes that CREATE PIPE makes.
    pub pipes: Pipes,
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
