//! What an experiment works with: the names of its tables and pipes, and what it has seen.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Broken;
use super::service::Service;
use snowpipe_streaming::sql::SqlClient;

/// What stays as it is in a part of a path.
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Where the tables of a run are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) database: String,
    pub(super) schema: String,
}

/// A pipe of an experiment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pipe<'a> {
    /// The default pipe of a table.
    OfTable(&'a str),
    /// A pipe that CREATE PIPE made.
    Made(&'a str),
}

impl<'a> From<&'a str> for Pipe<'a> {
    fn from(table: &'a str) -> Self {
        Self::OfTable(table)
    }
}

/// The parts of an experiment: one that fails leaves the others to be carried out.
#[derive(Debug, Default)]
pub(super) struct Parts(Option<Broken>);

impl Parts {
    /// Takes note of how a part has ended. An error is that no further part can succeed.
    pub(super) fn add(&mut self, part: Result<(), Broken>) -> Result<(), Broken> {
        match part {
            Err(why) if why.is_last => return Err(why),
            Err(why) => {
                self.0.get_or_insert(why);
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// The first failure.
    pub(super) fn end(self) -> Result<(), Broken> {
        self.0.map_or(Ok(()), Err)
    }
}

/// What an experiment has seen at a point or question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) what: &'static str,
    pub(super) word: String,
}

/// The means of one experiment in one run.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    pub(super) service: &'a mut Service,
    pub(super) sql: Option<&'a SqlClient>,
    pub(super) place: &'a Place,
    pub(super) id: &'static str,
    pub(super) run: u32,
    pub(super) seen: Vec<Seen>,
}

/// The name of a table of an experiment.
pub(super) fn table_name(id: &str, name: &str, run: u32) -> String {
    format!("{id}_{name}_{run}")
}

/// A statement with `{NAME}` in place of each table's full name.
pub(super) fn filled(statement: &str, place: &Place, id: &str, run: u32) -> String {
    let mut text = String::new();
    let mut rest = statement;
    while let Some((before, name, after)) = rest.split_once('{').and_then(|(before, rest)| {
        let (name, after) = rest.split_once('}')?;
        Some((before, name, after))
    }) {
        text.push_str(before);
        let table = table_name(id, name, run);
        text.push_str(&qualified(place, &table));
        rest = after;
    }
    text + rest
}

/// A full name with quotes, as in a statement.
pub(super) fn qualified(place: &Place, name: &str) -> String {
    let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!(
        "{}.{}.{}",
        quoted(&place.database),
        quoted(&place.schema),
        quoted(name)
    )
}

impl<'a> Lab<'a> {
    pub(super) fn new(
        service: &'a mut Service,
        sql: Option<&'a SqlClient>,
        place: &'a Place,
        id: &'static str,
        run: u32,
    ) -> Self {
        Self {
            service,
            sql,
            place,
            id,
            run,
            seen: Vec::new(),
        }
    }

    /// Notes what is seen at a point or question.
    pub(super) fn see(&mut self, what: &'static str, word: impl Into<String>) {
        let word = word.into();
        tracing::debug!(id = self.id, what, word, "seen");
        self.seen.push(Seen { what, word });
    }

    /// Notes the word of a part. The failure of the part is what is seen, unless nothing else can succeed.
    pub(super) fn see_part(
        &mut self,
        what: &'static str,
        word: Result<String, Broken>,
    ) -> Result<(), Broken> {
        match word {
            Ok(word) => self.see(what, word),
            Err(why) if why.is_last => return Err(why),
            Err(why) => self.see(what, why.why),
        }
        Ok(())
    }

    /// The path of a pipe's endpoint, `data` for rows.
    pub(super) fn path(&self, is_data: bool, rest: &str) -> String {
        path_at(self.place, is_data, rest)
    }

    /// The name of a pipe.
    pub(super) fn pipe<'p>(&self, pipe: impl Into<Pipe<'p>>) -> String {
        match pipe.into() {
            Pipe::OfTable(table) => format!("{}-STREAMING", self.table(table)),
            Pipe::Made(name) => self.table(name),
        }
    }

    /// The path of a channel.
    pub(super) fn channel_path<'p>(
        &self,
        is_data: bool,
        pipe: impl Into<Pipe<'p>>,
        channel: &str,
    ) -> String {
        let pipe = segment(&self.pipe(pipe));
        self.path(
            is_data,
            &format!("pipes/{pipe}/channels/{}", segment(channel)),
        )
    }

    /// The path of a pipe's action, such as `:bulk-channel-status`.
    pub(super) fn pipe_path<'p>(&self, pipe: impl Into<Pipe<'p>>, action: &str) -> String {
        let pipe = segment(&self.pipe(pipe));
        self.path(false, &format!("pipes/{pipe}:{action}"))
    }

    /// The full name of a pipe, as in a statement.
    pub(super) fn pipe_name<'p>(&self, pipe: impl Into<Pipe<'p>>) -> String {
        qualified(self.place, &self.pipe(pipe))
    }

    /// A name in the schema of the run in full, as in a statement.
    pub(super) fn qualified(&self, name: &str) -> String {
        qualified(self.place, name)
    }

    /// The name of a table or pipe of this experiment.
    pub(super) fn table(&self, name: &str) -> String {
        table_name(self.id, name, self.run)
    }
}

/// The path of an endpoint in a database and schema.
pub(super) fn path_at(place: &Place, is_data: bool, rest: &str) -> String {
    let data = if is_data { "/data" } else { "" };
    let database = segment(&place.database);
    let schema = segment(&place.schema);
    format!("/v2/streaming{data}/databases/{database}/schemas/{schema}/{rest}")
}

pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Place, filled};

    #[test]
    fn names_of_tables_are_filled_in() {
        let place = Place {
            database: "DB".to_owned(),
            schema: "S\"S".to_owned(),
        };
        assert_eq!(
            filled("INSERT INTO {A} SELECT * FROM {B}", &place, "E7", 2),
            r#"INSERT INTO "DB"."S""S"."E7_A_2" SELECT * FROM "DB"."S""S"."E7_B_2""#
        );
        assert_eq!(filled("SELECT '{'", &place, "E7", 1), "SELECT '{'");
    }
}
