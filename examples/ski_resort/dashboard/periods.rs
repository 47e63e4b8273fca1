//! Periods as dates.

use anyhow::Result;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::asked::Period;

/// The dates of a period and of the one before it, the first and the last of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: Date,
    pub(super) to: Date,
    pub(super) previous_from: Date,
    pub(super) previous_to: Date,
}

impl Range {
    /// A period that ends at `date`.
    pub(super) fn new(period: Period, date: Date) -> Result<Self> {
        let (from, previous_from, previous_to) = match period {
            Period::Today => {
                let yesterday = date.yesterday()?;
                (date, yesterday, yesterday)
            }
            Period::Week => (
                week(date)?,
                date.checked_sub(13.days())?,
                date.checked_sub(7.days())?,
            ),
            Period::Month => {
                // A shorter month's last day stands for the days it does not have.
                let previous = date.checked_sub(1.month())?;
                (date.first_of_month(), previous.first_of_month(), previous)
            }
        };
        Ok(Self {
            from,
            to: date,
            previous_from,
            previous_to,
        })
    }
}

/// The first of the seven dates that end at `date`.
pub(super) fn week(date: Date) -> Result<Date> {
    Ok(date.checked_sub(6.days())?)
}

/// All dates from the first to the last.
pub(super) fn dates(from: Date, to: Date) -> impl Iterator<Item = Date> {
    from.series(1.day()).take_while(move |date| *date <= to)
}
