//! Queries for the rows of a channel that the server rejected.

use super::{Channel, Mode};
use crate::types::error::{Error, ErrorKind, Result};
use crate::types::sql_names;

impl<M: Mode> Channel<M> {
    /// A query for the rows of this channel that the server rejected, for a table with `ERROR_LOGGING = TRUE`. The table's
    /// name is inserted as given, so quote it if it needs quotes.
    ///
    /// The columns are those of Snowflake's page "Snowpipe Streaming error tables".
    pub fn error_table_sql(&self, table: &str) -> String {
        format!(
            "SELECT timestamp, error_code, error_metadata, error_data FROM ERROR_TABLE({table}) WHERE error_metadata:service = 'snowpipe_streaming' AND error_metadata:details:channel_name = {} ORDER BY timestamp",
            literal(self.name())
        )
    }

    /// A query for the `row_error` events of this channel in the account's event table: offset, code, message, column and
    /// line of rejected rows. It needs no `ERROR_LOGGING`, but it finds less than [`error_table_sql`](Self::error_table_sql):
    ///
    /// - There is not necessarily an event for every rejected row, and an event does not have the row's content.
    /// - `error_offset` is absent if Snowflake does not know the row's offset.
    /// - Events are recorded if `LOG_EVENT_LEVEL` is `INFO` or `ERROR` for the table's schema, and an event without the names of
    ///   its objects is not found.
    ///
    /// `event_table` is the event table or its view, inserted as given. By default it is `SNOWFLAKE.TELEMETRY.EVENTS_VIEW`, which
    /// needs the application role `SNOWFLAKE.EVENTS_VIEWER`. `table` is the table of the rows, as SQL writes it; database and
    /// schema are those of the pipe if the name has none. The query reads all events: in a large event table, add a condition
    /// on `timestamp`.
    ///
    /// The query is that of Snowflake's page "Monitor Snowpipe Streaming".
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if `table` is not the name of a table.
    pub fn event_table_sql(&self, event_table: &str, table: &str) -> Result<String> {
        let pipe = &self.registry.context.pipe;
        let named = |parts: &[&str]| {
            let [database, schema, table] = match *parts {
                [table] => [pipe.database(), pipe.schema(), table],
                [schema, table] => [pipe.database(), schema, table],
                [database, schema, table] => [database, schema, table],
                _ => return None,
            };
            Some(format!(
                "resource_attributes:\"snow.database.name\"::STRING = {} AND resource_attributes:\"snow.schema.name\"::STRING = {} AND resource_attributes:\"snow.table.name\"::STRING = {}",
                literal(database),
                literal(schema),
                literal(table)
            ))
        };
        let parts = sql_names::parts(table).map_err(|why| Error::new(ErrorKind::Config, why))?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let of_table = named(&parts).ok_or_else(|| {
            let message =
                format!("{table:?} is not the name of a table: write DATABASE.SCHEMA.TABLE");
            Error::new(ErrorKind::Config, message)
        })?;
        Ok(format!(
            "SELECT timestamp, value:\"error_offset\"::STRING AS error_offset, value:\"error_code\"::STRING AS error_code, value:\"error_message\"::STRING AS error_message, value:\"error_col_name\"::STRING AS error_col_name, value:\"error_line_number\"::STRING AS error_line_number FROM {event_table} WHERE scope:\"name\"::STRING = 'snow.snowpipe.streaming' AND record_type = 'EVENT' AND record:\"name\"::STRING = 'row_error' AND {of_table} AND value:\"channel_name\"::STRING = {} ORDER BY timestamp",
            literal(self.name())
        ))
    }
}

/// A text in a statement.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
