//! Fills the table `people_100k` of a database with generated people.

use anyhow::Result;
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Value as Sql};
use snowpipe_connector_support::person::Person;

use crate::connection::{Database, answered};

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS people_100k (
        ROW_INDEX INT PRIMARY KEY,
        USER_ID VARCHAR(15) NOT NULL UNIQUE,
        FIRST_NAME VARCHAR(50),
        LAST_NAME VARCHAR(50),
        SEX VARCHAR(10),
        EMAIL VARCHAR(100),
        PHONE VARCHAR(30),
        DATE_OF_BIRTH DATE,
        JOB_TITLE VARCHAR(100)
    ) ENGINE=InnoDB CHARACTER SET utf8mb4";
/// Rows of one statement.
const BATCH: u32 = 1_000;

/// Inserts people until the table has those of the numbers up to `rows`. Returns how many are new.
///
/// # Errors
/// If the database refuses.
pub(crate) async fn fill(database: &Database, seed: u64, rows: u32) -> Result<u32> {
    let mut conn = database.connect().await?;
    answered(conn.query_drop(TABLE)).await?;
    let last = "SELECT COALESCE(MAX(ROW_INDEX), 0) FROM people_100k";
    let last: u32 = answered(conn.query_first(last)).await?.unwrap_or(0);
    let mut next = last + 1;
    while next <= rows {
        let end = rows.min(next.saturating_add(BATCH - 1));
        let mut values: Vec<Sql> = Vec::new();
        for row_index in next..=end {
            let person = Person::numbered(seed, row_index);
            values.extend([
                row_index.into(),
                person.user_id.into(),
                person.first_name.into(),
                person.last_name.into(),
                person.sex.into(),
                person.email.into(),
                person.phone.into(),
                person.date_of_birth.into(),
                person.job_title.into(),
            ]);
        }
        let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let rows_of_batch = vec![row; usize::try_from(end - next + 1)?].join(", ");
        let insert = format!("INSERT INTO people_100k VALUES {rows_of_batch}");
        answered(conn.exec_drop(insert, Params::Positional(values))).await?;
        next = end + 1;
    }
    answered(conn.disconnect()).await?;
    Ok(rows.saturating_sub(last))
}
