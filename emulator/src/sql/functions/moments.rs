//! DATE, TIME and timestamps in SQLite: texts with nine fraction digits, so that their order is that of time.
//!
//! | type | form |
//! |---|---|
//! | DATE | `2026-01-17` |
//! | TIME | `14:00:00.000000000` |
//! | `TIMESTAMP_NTZ` | `2026-01-17 14:00:00.000000000` |
//! | `TIMESTAMP_LTZ` | `2026-01-17 14:00:00.000000000Z`, in UTC |
//! | `TIMESTAMP_TZ` | `2026-01-17 14:00:00.000000000 -07:00` |

use std::time::SystemTime;

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, Span, ToSpan};

use super::formats::Moment;
use super::raised::Raised;
use crate::catalog::account_zone::AccountZone;
use crate::catalog::datetime::{self, Zone};

/// How a moment is written: which type it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Date,
    Time,
    Ntz,
    Ltz,
    Tz,
}

impl Form {
    const ALL: [Self; 5] = [Self::Date, Self::Time, Self::Ntz, Self::Ltz, Self::Tz];

    /// The number by which the compiler names it in a call.
    pub(crate) fn number(self) -> usize {
        Self::ALL.iter().position(|form| *form == self).unwrap_or(0)
    }

    pub(crate) fn numbered(number: i64) -> Result<Self, Raised> {
        let form = usize::try_from(number).ok().and_then(|n| Self::ALL.get(n));
        form.copied()
            .ok_or_else(|| Raised::internal("a moment of no type"))
    }

    /// A wall clock in UTC as a value of a type without a further zone.
    pub(crate) fn of_wall(self, wall: &str) -> String {
        match self {
            Self::Date => wall.get(..10).unwrap_or_default().to_owned(),
            Self::Time => wall.get(11..).unwrap_or_default().to_owned(),
            Self::Ltz => format!("{wall}Z"),
            Self::Ntz | Self::Tz => wall.to_owned(),
        }
    }

    /// Reads a text in one of the formats that Snowflake detects.
    pub(crate) fn parse(self, text: &str) -> Result<String, Raised> {
        self.detected(text).ok_or_else(|| {
            let relaxed = relaxed(text);
            let is_relaxed = relaxed != text && self.detected(&relaxed).is_some();
            if is_relaxed || is_perhaps_a_moment(text) {
                return Raised::unsupported(format!(
                    "the format of '{text}', which Snowflake may detect"
                ));
            }
            let (what, code) = match self {
                Self::Date => ("Date", "100040"),
                Self::Time => ("Time", "100108"),
                Self::Ntz | Self::Ltz | Self::Tz => ("Timestamp", "100035"),
            };
            Raised::not_a(what, code, "22007", text)
        })
    }

    fn detected(self, text: &str) -> Option<String> {
        let timestamp = |zone| datetime::timestamp(text, 9, zone, AccountZone::UTC);
        match self {
            Self::Date => datetime::date(text),
            Self::Time => datetime::time(text, 9, true),
            Self::Ntz => timestamp(Zone::Without),
            Self::Ltz => timestamp(Zone::Local),
            Self::Tz => timestamp(Zone::With),
        }
    }
}

/// A text with one space where it has several, and without zeros before two digits: Snowflake detects formats in texts that are wider.
pub(super) fn relaxed(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let words = words.join(" ");
    let mut relaxed = String::with_capacity(words.len());
    let mut rest = words.as_str();
    while let Some(from) = rest.find(|letter: char| letter.is_ascii_digit()) {
        let (before, digits) = rest.split_at(from);
        let end = digits.find(|letter: char| !letter.is_ascii_digit());
        let (number, after) = digits.split_at(end.unwrap_or(digits.len()));
        let zeros = number.len() - number.trim_start_matches('0').len();
        let wide = zeros.min(number.len().saturating_sub(2));
        relaxed.push_str(before);
        relaxed.push_str(number.get(wide..).unwrap_or(number));
        rest = after;
    }
    relaxed.push_str(rest);
    relaxed
}

/// Whether a text could be a moment in a format that is not documented: `17-JAN-2026` with a time, `5-JAN-24`.
fn is_perhaps_a_moment(text: &str) -> bool {
    let month = text.split('-').nth(1).unwrap_or_default();
    let is_month = month.len() >= 3 && month.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_month && text.starts_with(|first: char| first.is_ascii_digit())
}

fn unreadable(text: &str) -> Raised {
    Raised::unsupported(format!("the moment {text}: years go from 0 to 9999"))
}

/// The wall clock of a DATE or timestamp in its form.
pub(crate) fn wall(text: &str) -> Result<DateTime, Raised> {
    let wall = text.get(..29).or_else(|| text.get(..10));
    let wall = wall.and_then(|wall| match wall.len() {
        10 => wall.parse::<Date>().ok().map(DateTime::from),
        _ => wall.parse().ok(),
    });
    wall.filter(|wall| wall.year() >= 0)
        .ok_or_else(|| unreadable(text))
}

/// A time of the system as a wall clock in UTC.
pub(crate) fn utc(at: SystemTime) -> Result<String, Raised> {
    let wall = jiff::Timestamp::try_from(at)
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        .map_err(|_| Raised::unsupported("the time of the emulator"))?;
    show(wall, Form::Ntz)
}

pub(crate) fn time(text: &str) -> Result<Time, Raised> {
    text.parse().map_err(|_| unreadable(text))
}

/// Writes a wall clock in the form of `like`, whose type it has.
pub(crate) fn show(wall: DateTime, form: Form) -> Result<String, Raised> {
    if wall.year() < 0 {
        return Err(unreadable(&wall.to_string()));
    }
    let (date, time) = (wall.date(), wall.time());
    Ok(match form {
        Form::Date => date.to_string(),
        Form::Time => format!("{time:.9}"),
        Form::Ntz => format!("{date} {time:.9}"),
        Form::Ltz => format!("{date} {time:.9}Z"),
        Form::Tz => return Err(Raised::internal("a TIMESTAMP_TZ")),
    })
}

/// Without the fraction digits behind the first `digits`.
pub(crate) fn cut(text: &str, digits: u8) -> String {
    let Some(point) = text.find('.') else {
        return text.to_owned();
    };
    let kept = point + 1 + usize::from(digits);
    text.char_indices()
        .map(|(at, letter)| match letter {
            '0'..='9' if at >= kept && at <= point + 9 => '0',
            _ => letter,
        })
        .collect()
}

/// A column's text with nine fraction digits.
pub(crate) fn fill(text: &str) -> String {
    // `HH:MM:SS` ends where the fraction begins: behind the last colon of the clock.
    let clock = text.find(':').map_or(0, |first| first + 6);
    let (head, rest) = text.split_at_checked(clock).unwrap_or((text, ""));
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    format!("{head}.{fraction:0<9}{zone}")
}

/// The minutes east of UTC of a `TIMESTAMP_TZ`; none of another type.
fn offset(text: &str) -> Option<i64> {
    let offset = text.get(30..)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
    Some(if offset.starts_with('-') {
        -minutes
    } else {
        minutes
    })
}

/// A moment for a format to write.
pub(crate) fn written(text: &str) -> Result<Moment, Raised> {
    let is_time = text.as_bytes().get(2) == Some(&b':');
    let at = if is_time {
        time(text)?.to_datetime(Date::constant(1970, 1, 1))
    } else {
        wall(text)?
    };
    let local = text.ends_with('Z').then_some(0);
    Ok(Moment {
        at,
        has_date: !is_time,
        offset: local.or_else(|| offset(text)),
    })
}

/// The instant of a `TIMESTAMP_TZ`, as a `TIMESTAMP_LTZ`.
pub(crate) fn instant(text: &str) -> Result<String, Raised> {
    let east = offset(text).ok_or_else(|| unreadable(text))?;
    let utc = wall(text)?
        .checked_sub(SignedDuration::from_mins(east))
        .map_err(|_| unreadable(text))?;
    show(utc, Form::Ltz)
}

/// A part of a date or time, as functions name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
}

impl Part {
    const ALL: [(Self, &'static [&'static str]); 11] = [
        (
            Self::Year,
            &["year", "y", "yy", "yyy", "yyyy", "yr", "years", "yrs"],
        ),
        (Self::Quarter, &["quarter", "q", "qtr", "qtrs", "quarters"]),
        (Self::Month, &["month", "mm", "mon", "mons", "months"]),
        (Self::Week, &["week", "w", "wk", "weekofyear", "woy", "wy"]),
        (Self::Day, &["day", "d", "dd", "days", "dayofmonth"]),
        (Self::Hour, &["hour", "h", "hh", "hr", "hours", "hrs"]),
        (
            Self::Minute,
            &["minute", "m", "mi", "min", "minutes", "mins"],
        ),
        (Self::Second, &["second", "s", "sec", "seconds", "secs"]),
        (
            Self::Millisecond,
            &["millisecond", "ms", "msec", "milliseconds"],
        ),
        (
            Self::Microsecond,
            &["microsecond", "us", "usec", "microseconds"],
        ),
        (
            Self::Nanosecond,
            &[
                "nanosecond",
                "ns",
                "nsec",
                "nanosec",
                "nsecond",
                "nanoseconds",
                "nanosecs",
                "nseconds",
            ],
        ),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let mut all = Self::ALL.into_iter();
        all.find(|(_, names)| names.contains(&name.as_str()))
            .map(|(part, _)| part)
    }

    /// The number by which the compiler names it in a call.
    pub(crate) fn number(self) -> usize {
        let mut all = Self::ALL.iter();
        all.position(|(part, _)| *part == self).unwrap_or(0)
    }

    pub(crate) fn numbered(number: i64) -> Result<Self, Raised> {
        let part = usize::try_from(number).ok().and_then(|n| Self::ALL.get(n));
        part.map(|(part, _)| *part)
            .ok_or_else(|| Raised::internal("a part of no moment"))
    }

    /// The nanoseconds of a part that always has as many.
    fn nanoseconds(self) -> Option<i128> {
        Some(match self {
            Self::Year | Self::Quarter | Self::Month => return None,
            Self::Week => 604_800_000_000_000,
            Self::Day => 86_400_000_000_000,
            Self::Hour => 3_600_000_000_000,
            Self::Minute => 60_000_000_000,
            Self::Second => 1_000_000_000,
            Self::Millisecond => 1_000_000,
            Self::Microsecond => 1_000,
            Self::Nanosecond => 1,
        })
    }
}

/// The beginning of the part that `at` is in. Weeks begin on Monday.
pub(crate) fn truncate(part: Part, at: DateTime) -> Result<DateTime, Raised> {
    let date = at.date();
    let first = |month: i8| Date::new(at.year(), month, 1).map(DateTime::from);
    let truncated = match part {
        Part::Year => first(1),
        Part::Quarter => first((at.month() - 1) / 3 * 3 + 1),
        Part::Month => first(at.month()),
        Part::Week => date
            .checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
            .map(DateTime::from),
        _ => {
            let length = part.nanoseconds().unwrap_or(1);
            let since = nanoseconds(at);
            return from_nanoseconds(since - since.rem_euclid(length));
        }
    };
    truncated.map_err(|_| unreadable(&at.to_string()))
}

/// Adds parts; a day that the month does not have becomes its last.
pub(crate) fn add(part: Part, count: i64, to: DateTime) -> Result<DateTime, Raised> {
    let too_far = || {
        Raised::unsupported(format!(
            "{to} and {count} {part:?}s: years go from 0 to 9999"
        ))
    };
    if let Some(length) = part.nanoseconds() {
        let moved = length
            .checked_mul(count.into())
            .and_then(|by| nanoseconds(to).checked_add(by))
            .ok_or_else(too_far)?;
        return from_nanoseconds(moved).map_err(|_| too_far());
    }
    let months = match part {
        Part::Year => 12,
        Part::Quarter => 3,
        _ => 1,
    };
    let span = count
        .checked_mul(months)
        .and_then(|months| Span::new().try_months(months).ok())
        .ok_or_else(too_far)?;
    to.checked_add(span).map_err(|_| too_far())
}

/// A value of a type to which parts are added. A `TIMESTAMP_TZ` keeps its offset.
pub(crate) fn moved(text: &str, part: Part, count: i64, form: Form) -> Result<String, Raised> {
    if form == Form::Time {
        let day = Date::constant(1970, 1, 1);
        let moved = add(part, count, time(text)?.to_datetime(day))?;
        if moved.date() != day {
            return Err(Raised::unsupported(format!(
                "{text} and {count} {part:?}s: beyond midnight"
            )));
        }
        return show(moved, form);
    }
    let moved = add(part, count, wall(text)?)?;
    if form != Form::Tz {
        return show(moved, form);
    }
    let offset = text.get(29..).unwrap_or_default();
    show(moved, Form::Ntz).map(|wall| format!("{wall}{offset}"))
}

/// How many borders between parts lie between two moments.
pub(crate) fn difference(part: Part, from: DateTime, to: DateTime) -> Result<i128, Raised> {
    let months = |at: DateTime| i128::from(at.year()) * 12 + i128::from(at.month()) - 1;
    Ok(match part {
        Part::Year => i128::from(to.year()) - i128::from(from.year()),
        Part::Quarter => months(to).div_euclid(3) - months(from).div_euclid(3),
        Part::Month => months(to) - months(from),
        _ => {
            let length = part.nanoseconds().unwrap_or(1);
            let between = nanoseconds(truncate(part, to)?) - nanoseconds(truncate(part, from)?);
            between / length
        }
    })
}

/// Nanoseconds since 1970 on the wall clock.
pub(crate) fn nanoseconds(at: DateTime) -> i128 {
    at.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0))
        .as_nanos()
}

pub(crate) fn from_nanoseconds(since: i128) -> Result<DateTime, Raised> {
    let far = || Raised::unsupported("a moment whose year is beyond 9999 or before 0");
    let seconds = i64::try_from(since.div_euclid(1_000_000_000)).map_err(|_| far())?;
    let rest = i32::try_from(since.rem_euclid(1_000_000_000)).map_err(|_| far())?;
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .checked_add(SignedDuration::new(seconds, rest))
        .map_err(|_| far())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    #[test]
    fn fraction_digits_are_filled_and_cut() {
        for (text, wanted) in [
            ("2026-01-17 14:00:00", "2026-01-17 14:00:00.000000000"),
            ("2026-01-17 14:00:00.25Z", "2026-01-17 14:00:00.250000000Z"),
            ("2026-01-17 14:00:00Z", "2026-01-17 14:00:00.000000000Z"),
            (
                "2026-01-17 14:00:00.5 -07:00",
                "2026-01-17 14:00:00.500000000 -07:00",
            ),
            (
                "2026-01-17 14:00:00 -07:00",
                "2026-01-17 14:00:00.000000000 -07:00",
            ),
            ("14:00:00.1", "14:00:00.100000000"),
        ] {
            assert_eq!(fill(text), wanted);
        }
        assert_eq!(cut("14:00:00.123456789", 3), "14:00:00.123000000");
        assert_eq!(
            cut("2026-01-17 14:00:00.123456789 -07:00", 0),
            "2026-01-17 14:00:00.000000000 -07:00"
        );
    }

    #[test]
    fn parts_are_truncated_added_and_counted() {
        let cases = [
            (Part::Year, "2026-01-01T00:00:00"),
            (Part::Quarter, "2026-07-01T00:00:00"),
            (Part::Month, "2026-08-01T00:00:00"),
            (Part::Week, "2026-08-17T00:00:00"),
            (Part::Day, "2026-08-19T00:00:00"),
            (Part::Hour, "2026-08-19T14:00:00"),
            (Part::Second, "2026-08-19T14:05:06"),
        ];
        for (part, wanted) in cases {
            let moment = at("2026-08-19T14:05:06.789");
            assert_eq!(truncate(part, moment).unwrap(), at(wanted), "{part:?}");
        }
        let end = at("2024-01-31T10:00:00");
        assert_eq!(add(Part::Month, 1, end).unwrap(), at("2024-02-29T10:00:00"));
        assert_eq!(
            add(Part::Hour, -11, end).unwrap(),
            at("2024-01-30T23:00:00")
        );
        assert!(add(Part::Year, i64::MAX, end).unwrap_err().is_unsupported());
        let (new_year, before) = (at("2026-01-01T00:00:00"), at("2025-12-31T23:59:59"));
        for (part, wanted) in [
            (Part::Year, 1),
            (Part::Day, 1),
            (Part::Week, 0),
            (Part::Second, 1),
        ] {
            assert_eq!(
                difference(part, before, new_year).unwrap(),
                wanted,
                "{part:?}"
            );
        }
        assert_eq!(difference(Part::Quarter, new_year, before).unwrap(), -1);
    }

    #[test]
    fn instants_are_compared_in_utc() {
        let west = "2026-01-17 23:30:00.000000000 -07:00";
        assert_eq!(instant(west).unwrap(), "2026-01-18 06:30:00.000000000Z");
        assert_eq!(Form::Date.parse("17-JAN-2026").unwrap(), "2026-01-17");
        let with_time = Form::Ntz.parse("17-JAN-2026 10:00").unwrap_err();
        assert!(with_time.is_unsupported());
        assert_eq!(Form::Date.parse("soon").unwrap_err().code, "100040");
    }
}
