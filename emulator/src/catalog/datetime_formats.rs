//! The text formats of dates and timestamps that Snowflake detects beside ISO 8601 with two digits for every part.
//!
//! From <https://docs.snowflake.com/en/sql-reference/date-time-input-output>.

use jiff::civil::{Date, Time, Weekday};

use super::datetime::{Moment, clock, digits, one_or_two, parse_offset};

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [(&str, Weekday); 7] = [
    ("MON", Weekday::Monday),
    ("TUE", Weekday::Tuesday),
    ("WED", Weekday::Wednesday),
    ("THU", Weekday::Thursday),
    ("FRI", Weekday::Friday),
    ("SAT", Weekday::Saturday),
    ("SUN", Weekday::Sunday),
];

/// `DD-MON-YYYY` and `MM/DD/YYYY`: formats of a DATE alone.
pub(super) fn date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    if let (Some(day), Some(month), Some(year), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    {
        return civil(digits(year, 4)?, month_named(month)?, one_or_two(day)?);
    }
    american(text)
}

/// The formats of a timestamp.
pub(super) fn timestamp(text: &str) -> Option<Moment> {
    iso(text)
        .or_else(|| with_slashes(text))
        .or_else(|| rfc(text))
        .or_else(|| of_a_c_program(text))
}

/// `YYYY-MM-DD`, and after `T` or a space `HH24[:MI[:SS[.FF]]]` and a zone: one digit may stand for two.
fn iso(text: &str) -> Option<Moment> {
    let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (day, rest) = text.split_at_checked(end)?;
    let mut parts = day.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let date = civil(digits(year, 4)?, one_or_two(month)?, one_or_two(day)?)?;
    let Some(time) = rest.get(1..) else {
        return Some(at(date, (Time::midnight(), None)));
    };
    // An hour alone, without minutes.
    if let Some(hour) = one_or_two(time) {
        let time = Time::new(hour.try_into().ok()?, 0, 0, 0).ok()?;
        return Some(at(date, (time, None)));
    }
    Some(at(date, clock(time)?))
}

/// `MM/DD/YYYY HH24:MI:SS`.
fn with_slashes(text: &str) -> Option<Moment> {
    let (day, time) = text.split_once(' ')?;
    let has_seconds = time.split(':').count() == 3;
    match clock(time)? {
        (time, None) if has_seconds => Some(at(american(day)?, (time, None))),
        _ => None,
    }
}

/// `DY, DD MON YYYY HH24:MI:SS[.FF] [TZHTZM]`, or with HH12 and AM or PM.
fn rfc(text: &str) -> Option<Moment> {
    let (weekday, rest) = text.split_once(", ")?;
    let mut words = rest.splitn(4, ' ');
    let day = one_or_two(words.next()?)?;
    let month = month_named(words.next()?)?;
    let year = digits(words.next()?, 4)?;
    let date = civil(year, month, day)?;
    is_on(date, weekday)?;
    Some(at(date, clock(words.next()?)?))
}

/// `DY MON DD HH24:MI:SS TZHTZM YYYY`.
fn of_a_c_program(text: &str) -> Option<Moment> {
    let mut words = text.split(' ');
    let mut word = || words.next();
    let (weekday, month, day) = (word()?, word()?, word()?);
    let (time, zone, year) = (word()?, word()?, word()?);
    if word().is_some() {
        return None;
    }
    let date = civil(digits(year, 4)?, month_named(month)?, one_or_two(day)?)?;
    is_on(date, weekday)?;
    let (time, None) = clock(time)? else {
        return None;
    };
    Some(at(date, (time, Some(parse_offset(zone)?))))
}

/// `MM/DD/YYYY`.
fn american(text: &str) -> Option<Date> {
    let mut parts = text.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    civil(digits(year, 4)?, one_or_two(month)?, one_or_two(day)?)
}

fn at(date: Date, (time, offset): (Time, Option<i32>)) -> Moment {
    Moment {
        wall: date.to_datetime(time),
        offset,
    }
}

fn civil(year: i32, month: i32, day: i32) -> Option<Date> {
    let (month, day) = (month.try_into().ok()?, day.try_into().ok()?);
    Date::new(year.try_into().ok()?, month, day).ok()
}

/// The number of a month by its name, which may be cut to three letters.
fn month_named(name: &str) -> Option<i32> {
    let is_it = |month: &str| {
        let short = month.get(..3).unwrap_or_default();
        month.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
    };
    let mut months = MONTHS.iter().zip(1..);
    let found = months.find(|(month, _)| is_it(month));
    found.map(|(_, number)| number)
}

/// Whether a date is on the day of the week that a text names.
fn is_on(date: Date, name: &str) -> Option<()> {
    let mut days = DAYS.iter();
    let (_, weekday) = days.find(|(day, _)| day.eq_ignore_ascii_case(name))?;
    (date.weekday() == *weekday).then_some(())
}

#[cfg(test)]
mod tests {
    use crate::catalog::account_zone::AccountZone;
    use crate::catalog::datetime::{self, Zone};

    #[test]
    fn timestamps_are_read_in_each_format() {
        for (text, wanted) in [
            ("2026-1-7 4:5:6", "2026-01-07 04:05:06"),
            ("2026-01-17T14", "2026-01-17 14:00:00"),
            ("2026-01-17 9", "2026-01-17 09:00:00"),
            ("01/17/2026 14:05:06", "2026-01-17 14:05:06"),
            ("Sat, 17 Jan 2026 14:05:06 +0200", "2026-01-17 14:05:06"),
            ("Sat, 17 Jan 2026 02:05:06 PM", "2026-01-17 14:05:06"),
            (
                "Sat, 17 Jan 2026 12:05:06.5 AM -0700",
                "2026-01-17 00:05:06",
            ),
            ("Sat Jan 17 14:05:06 +0000 2026", "2026-01-17 14:05:06"),
        ] {
            let found = datetime::timestamp(text, 0, Zone::Without, AccountZone::UTC);
            assert_eq!(found.as_deref(), Some(wanted), "{text}");
        }
        let instant = datetime::timestamp(
            "Sat, 17 Jan 2026 14:05:06 +0200",
            0,
            Zone::Local,
            AccountZone::UTC,
        );
        assert_eq!(instant.as_deref(), Some("2026-01-17 12:05:06Z"));
    }

    #[test]
    fn dates_and_times_are_read_in_each_format() {
        for (text, wanted) in [
            ("17-JAN-2026", "2026-01-17"),
            ("7-jan-2026", "2026-01-07"),
            ("03-April-2024", "2024-04-03"),
            ("1/7/2026", "2026-01-07"),
            ("2026-1-7", "2026-01-07"),
        ] {
            assert_eq!(datetime::date(text).as_deref(), Some(wanted), "{text}");
        }
        for (text, wanted) in [
            ("4:05", "04:05:00"),
            ("12:05 AM", "00:05:00"),
            ("2:05:06 pm", "14:05:06"),
        ] {
            assert_eq!(
                datetime::time(text, 0, false).as_deref(),
                Some(wanted),
                "{text}"
            );
        }
    }

    #[test]
    fn what_has_none_of_the_formats_is_refused() {
        for text in [
            "2026/01/17",
            "17-JAN-26",
            "17-JANU-2026",
            "13/17/2026",
            "Sun, 17 Jan 2026 14:05:06",
            "Sat, 17 Jan 2026",
            "Sat Jan 17 14:05:06 2026",
            "01/17/2026 14:05",
            "2026-001-17",
            "2026-01-17 140",
            "0:05 AM",
        ] {
            assert_eq!(datetime::date(text), None, "{text}");
            assert_eq!(datetime::time(text, 0, true), None, "{text}");
        }
    }
}
