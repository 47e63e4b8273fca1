//! The gold rows of a table of people: the pages of the table with each row converted.

use anyhow::{Result, ensure};
use snowpipe_connector_support::keyset::{Page, Pages};

use crate::quality::gold::Customer;
use crate::schema::Table;
use crate::value::{Row, Value};

/// The columns of [`Customer`], as the table of people has them.
const COLUMNS: [&str; 4] = ["USER_ID", "EMAIL", "PHONE", "DATE_OF_BIRTH"];
/// The columns of the gold table.
pub(crate) const GOLD: &str =
    "CUSTOMER_ID VARCHAR,\n    EMAIL VARCHAR,\n    PHONE VARCHAR,\n    DATE_OF_BIRTH DATE";

/// Pages whose rows are those of the gold table.
pub(crate) struct GoldPages<P>(pub(crate) P);

impl<P: Pages<Row = Row>> Pages for GoldPages<P> {
    type Offset = P::Offset;
    type Row = Customer;

    async fn page(
        &mut self,
        after: Option<&P::Offset>,
        max: usize,
    ) -> Result<Page<P::Offset, Customer>> {
        let Page { rows, is_end } = self.0.page(after, max).await?;
        let rows = rows.into_iter();
        let rows = rows.map(|(offset, row)| (offset, Customer::from_raw(&customer(&row))));
        Ok(Page {
            rows: rows.collect(),
            is_end,
        })
    }

    async fn check(&mut self, channel: &str, committed: &P::Offset) -> Result<()> {
        self.0.check(channel, committed).await
    }

    fn is_temporary(&self, error: &anyhow::Error) -> bool {
        self.0.is_temporary(error)
    }
}

/// Checks that the table has the columns of people.
///
/// # Errors
/// If one is missing.
pub(crate) fn check(table: &Table) -> Result<()> {
    for name in COLUMNS {
        let is_there = table
            .columns
            .iter()
            .any(|column| column.name.eq_ignore_ascii_case(name));
        ensure!(
            is_there,
            "the table {} has no column {name}, which the gold table needs",
            table.name
        );
    }
    Ok(())
}

fn customer(row: &Row) -> Customer {
    let [customer_id, email, phone, date_of_birth] = COLUMNS.map(|name| {
        let columns = row.table.columns.iter().zip(&row.values);
        let mut found = columns.filter(|(column, _)| column.name.eq_ignore_ascii_case(name));
        found.next().and_then(|(_, value)| match value {
            Value::Text(text) => Some(text.clone()),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            _ => None,
        })
    });
    Customer {
        customer_id,
        email,
        phone,
        date_of_birth,
    }
}
