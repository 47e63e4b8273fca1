//! The dates of periods.

use anyhow::Result;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::asked::Period;

/// The first and last dates of a period and of the period before it.
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
                // In a shorter month, the last day replaces missing days.
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

/// The first of the seven dates up to `date`.
pub(super) fn week(date: Date) -> Result<Date> {
    Ok(date.checked_sub(6.days())?)
}

/// All dates from `first` to `last`.
pub(super) fn dates(from: Date, to: Date) -> impl Iterator<Item = Date> {
    from.series(1.day()).take_while(move |date| *date <= to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(period: Period, date: &str) -> [String; 4] {
        let range = Range::new(period, date.parse().unwrap()).unwrap();
        [range.from, range.to, range.previous_from, range.previous_to].map(|date| date.to_string())
    }

    #[test]
    fn a_period_is_compared_with_as_many_dates_before_it() {
        for (period, date, wanted) in [
            (
                Period::Today,
                "2026-01-18",
                ["2026-01-18", "2026-01-18", "2026-01-17", "2026-01-17"],
            ),
            (
                Period::Today,
                "2026-03-01",
                ["2026-03-01", "2026-03-01", "2026-02-28", "2026-02-28"],
            ),
            (
                Period::Week,
                "2026-01-18",
                ["2026-01-12", "2026-01-18", "2026-01-05", "2026-01-11"],
            ),
            (
                Period::Week,
                "2024-03-02",
                ["2024-02-25", "2024-03-02", "2024-02-18", "2024-02-24"],
            ),
            (
                Period::Week,
                "2026-01-03",
                ["2025-12-28", "2026-01-03", "2025-12-21", "2025-12-27"],
            ),
            (
                Period::Month,
                "2026-02-01",
                ["2026-02-01", "2026-02-01", "2026-01-01", "2026-01-01"],
            ),
            (
                Period::Month,
                "2026-01-18",
                ["2026-01-01", "2026-01-18", "2025-12-01", "2025-12-18"],
            ),
        ] {
            assert_eq!(range(period, date), wanted, "{period:?} {date}");
        }
    }

    #[test]
    fn a_shorter_month_is_compared_to_its_end() {
        for (date, previous_to) in [
            ("2026-03-31", "2026-02-28"),
            ("2026-03-28", "2026-02-28"),
            ("2024-03-30", "2024-02-29"),
            ("2024-03-28", "2024-02-28"),
            ("2026-05-31", "2026-04-30"),
        ] {
            assert_eq!(range(Period::Month, date)[3], previous_to, "{date}");
        }
    }

    #[test]
    fn dates_before_time_are_an_error_and_no_panic() {
        for period in [Period::Today, Period::Week, Period::Month] {
            assert!(Range::new(period, Date::MIN).is_err());
        }
    }

    #[test]
    fn dates_go_over_the_end_of_a_month() {
        let dates = dates("2024-02-28".parse().unwrap(), "2024-03-01".parse().unwrap());
        let dates: Vec<_> = dates.map(|date| date.to_string()).collect();
        assert_eq!(dates, ["2024-02-28", "2024-02-29", "2024-03-01"]);
    }
}
