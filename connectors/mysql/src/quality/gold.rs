//! The row of the gold table: a pure function of the row of the raw table.

use jiff::civil::Date;
use serde::Serialize;

use super::phone;

/// A row of the raw table or of the gold table, which have the same columns. The field names are the columns; case does not
/// matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[expect(
    clippy::struct_field_names,
    reason = "they are the names of the columns"
)]
pub(crate) struct Customer {
    pub(crate) customer_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) phone: Option<String>,
    /// In the gold table a date; in the raw table whatever the source has.
    pub(crate) date_of_birth: Option<String>,
}

/// The columns of [`Customer::values`].
pub(crate) const COLUMNS: [&str; 4] = ["CUSTOMER_ID", "EMAIL", "PHONE", "DATE_OF_BIRTH"];

impl Customer {
    /// The row of the gold table: the phone number by the phone rule, so ten zeros for NULL, and the date of birth as
    /// `YYYY-MM-DD`, or NULL if it is not a date. The other columns are unchanged.
    pub(crate) fn from_raw(raw: &Self) -> Self {
        let phone = phone::national_number(raw.phone.as_deref().unwrap_or_default());
        Self {
            customer_id: raw.customer_id.clone(),
            email: raw.email.clone(),
            phone: Some(phone),
            date_of_birth: raw.birth().map(|date| date.to_string()),
        }
    }

    /// The row of the raw table: a date whose year, month or day is zero becomes NULL, because Snowflake has no such date.
    pub(crate) fn landed(mut self) -> Self {
        let is_zero = |part: &str| !part.is_empty() && part.bytes().all(|digit| digit == b'0');
        self.date_of_birth = self
            .date_of_birth
            .filter(|date| !date.split('-').any(is_zero));
        self
    }

    /// The date of birth. None if there is none, or if it is not a date: MariaDB has dates such as 0000-00-00.
    pub(crate) fn birth(&self) -> Option<Date> {
        let date: Date = self.date_of_birth.as_deref()?.trim().parse().ok()?;
        (date.year() > 0).then_some(date)
    }

    /// The values in the order of [`COLUMNS`].
    pub(crate) fn values(&self) -> [Option<&str>; COLUMNS.len()] {
        [
            self.customer_id.as_deref(),
            self.email.as_deref(),
            self.phone.as_deref(),
            self.date_of_birth.as_deref(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::Customer;

    fn raw(phone: Option<&str>, date_of_birth: Option<&str>) -> Customer {
        Customer {
            customer_id: Some("fFbD9".to_owned()),
            email: Some(" Zoë@Example.org".to_owned()),
            phone: phone.map(str::to_owned),
            date_of_birth: date_of_birth.map(str::to_owned),
        }
    }

    #[test]
    fn the_phone_and_the_date_are_converted_and_the_rest_is_unchanged() {
        let gold = Customer::from_raw(&raw(
            Some("(360)423-5286x0123"),
            Some("1990-05-17 00:00:00"),
        ));
        assert_eq!(gold, raw(Some("3604235286"), Some("1990-05-17")));
    }

    #[test]
    fn a_date_with_a_zero_part_lands_as_null() {
        for date in ["0000-00-00", "1990-00-17", "1990-05-00", "0000-05-17"] {
            assert_eq!(raw(None, Some(date)).landed(), raw(None, None), "{date:?}");
        }
        for date in ["1990-05-17", "2000-10-20", "", "never"] {
            assert_eq!(raw(None, Some(date)).landed(), raw(None, Some(date)));
        }
    }

    #[test]
    fn what_cannot_be_converted_has_a_fixed_value() {
        let nothing = raw(Some("0000000000"), None);
        for date in [
            None,
            Some(""),
            Some("0000-00-00"),
            Some("0000-05-17"),
            Some("1990-05-00"),
            Some("1990-02-29"),
            Some("17.5.1990"),
        ] {
            assert_eq!(Customer::from_raw(&raw(None, date)), nothing, "{date:?}");
        }
        assert_eq!(Customer::from_raw(&raw(Some("n/a"), None)), nothing);
    }
}
