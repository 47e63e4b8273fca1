//! Statements of an experiment.

use std::time::Duration;

use tokio::time::Instant;

use super::Broken;
use super::lab::{Lab, filled};
use super::outcome::Patience;
use snowpipe_streaming::sql::{Rows, Statement};
use snowpipe_streaming::{Error, ErrorKind};

/// How long committed rows may be invisible.
const VISIBLE: Duration = Duration::from_secs(90);

/// The code of a statement that needs a warehouse where there is none.
const NO_WAREHOUSE: &str = "000606";

/// What a refused statement is answered, as in `refused 002003`.
pub(super) fn refused(why: &Error) -> String {
    format!("refused {}", why.code().unwrap_or("without a code"))
}

/// The first cell of the first row; NULL is `NULL`.
pub(super) fn first_cell(rows: Rows) -> Option<String> {
    let cell = rows.rows.into_iter().next()?.into_iter().next()?;
    Some(cell.unwrap_or_else(|| "NULL".to_owned()))
}

impl Lab<'_> {
    /// Runs a statement, in which `{NAME}` is a table of the experiment. The inner error is that the statement is refused.
    pub(super) async fn try_sql(&mut self, statement: &str) -> Result<Result<Rows, Error>, Broken> {
        let text = filled(statement, self.place, self.id, self.run);
        self.try_plain_sql(text).await
    }

    /// Runs a statement as it is.
    pub(super) async fn try_plain_sql(
        &mut self,
        statement: impl Into<String>,
    ) -> Result<Result<Rows, Error>, Broken> {
        let sql = self.sql.ok_or_else(Broken::without_sql)?;
        let statement = statement.into();
        let begun = Instant::now();
        let answer = sql.query(&Statement::new(&statement)).await;
        self.service
            .note_statement(&statement, &answer, begun.elapsed());
        match answer {
            Ok(rows) => Ok(Ok(rows)),
            Err(why) => match (why.kind(), why.code()) {
                (ErrorKind::Refused, Some(code)) if code != NO_WAREHOUSE => Ok(Err(why)),
                (kind, _) => {
                    let text = self.service.hidden.hide(&why.to_string());
                    let is_login = matches!(kind, ErrorKind::Authentication | ErrorKind::Forbidden);
                    Err(if is_login {
                        Broken::last(text)
                    } else {
                        Broken::new(text)
                    })
                }
            },
        }
    }

    /// Runs a statement, which has to succeed.
    pub(super) async fn sql(&mut self, statement: &str) -> Result<Rows, Broken> {
        let rows = self.try_sql(statement).await?;
        rows.map_err(|why| Broken::new(self.service.hidden.hide(&why.to_string())))
    }

    /// The values of the first column of a statement's rows; NULL is `NULL`.
    pub(super) async fn column(&mut self, statement: &str) -> Result<Vec<String>, Broken> {
        let rows = self.sql(statement).await?.rows;
        let first = rows.into_iter().map(|row| row.into_iter().next().flatten());
        Ok(first
            .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
            .collect())
    }

    /// The same values as a word; what the statement is answered, if it is refused.
    pub(super) async fn cells(&mut self, statement: &str) -> Result<String, Broken> {
        let rows = match self.try_sql(statement).await? {
            Ok(rows) => rows,
            Err(why) => return Ok(refused(&why)),
        };
        let first = rows.rows.into_iter();
        let first = first.map(|row| row.into_iter().next().flatten());
        let first: Vec<_> = first
            .map(|value| value.unwrap_or_else(|| "NULL".to_owned()))
            .collect();
        Ok(if first.is_empty() {
            "no row".to_owned()
        } else {
            first.join(", ")
        })
    }

    /// The first cell of a statement's first row; none if there is no row.
    pub(super) async fn cell(&mut self, statement: &str) -> Result<Option<String>, Broken> {
        Ok(first_cell(self.sql(statement).await?))
    }

    /// Waits until a table has at least so many rows.
    pub(super) async fn visible(&mut self, table: &str, rows: u64) -> Result<(), Broken> {
        let statement = format!("SELECT COUNT(*) FROM {{{table}}}");
        let found = self.at_least(&statement, rows).await?;
        if found >= rows {
            return Ok(());
        }
        Err(Broken::new(format!(
            "{rows} rows are committed, and {found} can be read {} s later",
            VISIBLE.as_secs()
        )))
    }

    /// Repeats a statement that counts until it counts so many, or the time is over; the last count.
    pub(super) async fn at_least(&mut self, statement: &str, wanted: u64) -> Result<u64, Broken> {
        let patience = Patience::of(VISIBLE);
        self.at_least_within(statement, wanted, patience).await
    }

    pub(super) async fn at_least_within(
        &mut self,
        statement: &str,
        wanted: u64,
        mut patience: Patience,
    ) -> Result<u64, Broken> {
        loop {
            let found = self.cell(statement).await?;
            let found = found.and_then(|count| count.parse().ok());
            let found = found
                .ok_or_else(|| Broken::new(format!("the answer to {statement} is not a number")))?;
            if found >= wanted || !patience.waits().await {
                return Ok(found);
            }
        }
    }
}

/// The cells of a column in a listing; NULL is `NULL`. None if there is no such column.
pub(super) fn listed(rows: &Rows, name: &str) -> Option<Vec<String>> {
    let mut columns = rows.columns.iter();
    let place = columns.position(|column| column.eq_ignore_ascii_case(name))?;
    let cells = rows
        .rows
        .iter()
        .map(|row| row.get(place).cloned().flatten());
    Some(
        cells
            .map(|cell| cell.unwrap_or_else(|| "NULL".to_owned()))
            .collect(),
    )
}
