//! Dates, times and timestamps as Snowflake reads them, kept as text that sorts.
//!
//! | type | kept as |
//! |---|---|
//! | DATE | `2026-01-17` |
//! | TIME | `14:00:00.000000000` |
//! | `TIMESTAMP_NTZ` | `2026-01-17 14:00:00.000000000` |
//! | `TIMESTAMP_LTZ` | `2026-01-17 14:00:00.000000000Z`, in UTC |
//! | `TIMESTAMP_TZ` | `2026-01-17 14:00:00.000000000 -07:00`, the wall clock and its offset |
//!
//! A column has as many fraction digits as its type says. SQLite's date functions read all of these.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

use super::account_zone::AccountZone;
use super::datetime_formats as formats;

/// What a timestamp column does with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Keeps the wall clock and forgets the offset.
    Without,
    /// Keeps the instant.
    Local,
    /// Keeps both.
    With,
}

/// DATE; a timestamp loses its time.
pub(crate) fn date(text: &str) -> Option<String> {
    let date = match moment(text) {
        Some(moment) => moment.wall.date(),
        None => formats::date(text.trim())?,
    };
    let mut shown = String::with_capacity(10);
    show_date(&mut shown, date);
    Some(shown)
}

/// TIME with `digits` fraction digits. `with_offset` accepts an offset and ignores it.
pub(crate) fn time(text: &str, digits: u8, with_offset: bool) -> Option<String> {
    let text = text.trim();
    let time = match whole_number(text) {
        Some(number) => from_epoch(number)?.time(),
        None => match clock(text)? {
            (time, None) => time,
            (time, Some(_)) if with_offset => time,
            _ => return None,
        },
    };
    let mut shown = String::with_capacity(18);
    show_time(&mut shown, time, digits);
    Some(shown)
}

/// TIMESTAMP with `digits` fraction digits. An integer, and a text without an offset, are in the zone of the account.
pub(crate) fn timestamp(
    text: &str,
    digits: u8,
    zone: Zone,
    account: AccountZone,
) -> Option<String> {
    let found = moment(text)?;
    let (wall, seconds) = match found.offset {
        Some(seconds) => (found.wall, seconds),
        None if whole_number(text.trim()).is_some() => account.at(found.wall)?,
        None => (found.wall, account.offset_of(found.wall)),
    };
    let at = match zone {
        Zone::Without | Zone::With => wall,
        Zone::Local => wall
            .checked_sub(SignedDuration::from_secs(seconds.into()))
            .ok()?,
    };
    let mut shown = String::with_capacity(36);
    show_date(&mut shown, at.date());
    shown.push(' ');
    show_time(&mut shown, at.time(), digits);
    match zone {
        Zone::Without => {}
        Zone::Local => shown.push('Z'),
        Zone::With => {
            let minutes = seconds.unsigned_abs() / 60;
            shown.push_str(if seconds < 0 { " -" } else { " +" });
            push_digits(&mut shown, minutes / 60, 2);
            shown.push(':');
            push_digits(&mut shown, minutes % 60, 2);
        }
    }
    Some(shown)
}

pub(super) struct Moment {
    pub(super) wall: DateTime,
    /// Seconds east of UTC.
    pub(super) offset: Option<i32>,
}

/// An integer, or a text in one of the formats of a timestamp. Most texts are ISO 8601 with two digits for every part.
fn moment(text: &str) -> Option<Moment> {
    let text = text.trim();
    iso_moment(text).or_else(|| formats::timestamp(text))
}

/// `YYYY-MM-DD`, optionally with a time after `T` or a space and an offset after that; or an integer.
fn iso_moment(text: &str) -> Option<Moment> {
    if let Some(number) = whole_number(text) {
        return Some(Moment {
            wall: from_epoch(number)?,
            offset: None,
        });
    }
    let date = calendar(text.get(..10)?)?;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(Moment {
            wall: date.to_datetime(Time::midnight()),
            offset: None,
        });
    }
    let (time, offset) = clock(rest.strip_prefix(['T', 't', ' '])?)?;
    Some(Moment {
        wall: date.to_datetime(time),
        offset,
    })
}

fn calendar(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = digits(parts.next()?, 2)?;
    let day = digits(parts.next()?, 2)?;
    if parts.next().is_some() {
        return None;
    }
    Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    )
    .ok()
}

/// `HH:MI[:SS[.FF]]`, optionally with AM or PM, and, after it, `Z` or an offset.
pub(super) fn clock(text: &str) -> Option<(Time, Option<i32>)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(text.len());
    let (time, zone) = text.split_at_checked(end)?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let (half, zone) = half_of_day(zone);
    let mut parts = time.split(':');
    let hour = hour_of_day(one_or_two(parts.next()?)?, half)?;
    let minute = one_or_two(parts.next()?)?;
    let second = match parts.next() {
        Some(second) => one_or_two(second)?,
        None if fraction.is_some() => return None,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    let nanos = match fraction {
        Some(fraction) if (1..=9).contains(&fraction.len()) => {
            let scale = 10_i32.pow(u32::try_from(9 - fraction.len()).ok()?);
            digits(fraction, fraction.len())? * scale
        }
        Some(_) => return None,
        None => 0,
    };
    let time = Time::new(
        hour.try_into().ok()?,
        minute.try_into().ok()?,
        second.try_into().ok()?,
        nanos,
    )
    .ok()?;
    let zone = zone.trim_start();
    let offset = if zone.is_empty() {
        None
    } else {
        Some(parse_offset(zone)?)
    };
    Some((time, offset))
}

/// AM or PM, and what follows it.
fn half_of_day(text: &str) -> (Option<bool>, &str) {
    let found = text.trim_start();
    let name = found.get(..2).unwrap_or_default();
    let rest = found.get(2..).unwrap_or_default();
    if name.eq_ignore_ascii_case("AM") {
        (Some(false), rest)
    } else if name.eq_ignore_ascii_case("PM") {
        (Some(true), rest)
    } else {
        (None, text)
    }
}

/// The hour of 24; with AM or PM it is one of 12 before.
fn hour_of_day(hour: i32, is_afternoon: Option<bool>) -> Option<i32> {
    match (hour, is_afternoon) {
        (hour, None) => Some(hour),
        (12, Some(is_afternoon)) => Some(if is_afternoon { 12 } else { 0 }),
        (1..=11, Some(is_afternoon)) => Some(if is_afternoon { hour + 12 } else { hour }),
        _ => None,
    }
}

pub(super) fn one_or_two(text: &str) -> Option<i32> {
    digits(text, text.len().clamp(1, 2))
}

pub(super) fn parse_offset(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let (hours, minutes) = match rest.split_once(':') {
        Some((hours, minutes)) => (digits(hours, 2)?, digits(minutes, 2)?),
        None if rest.len() == 2 => (digits(rest, 2)?, 0),
        None => (digits(rest.get(..2)?, 2)?, digits(rest.get(2..)?, 2)?),
    };
    if hours > 14 || minutes > 59 {
        return None;
    }
    Some(sign * (hours * 60 + minutes) * 60)
}

pub(super) fn digits(text: &str, length: usize) -> Option<i32> {
    if text.len() != length || length > 9 {
        return None;
    }
    text.bytes().try_fold(0, |number: i32, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + i32::from(byte - b'0'))
    })
}

/// Whether a text is a date or timestamp in ISO 8601 that says nothing about its zone.
pub(super) fn is_without_offset(text: &str) -> bool {
    let found = iso_moment(text).filter(|_| !is_integer(text));
    found.is_some_and(|moment| moment.offset.is_none())
}

/// Whether a text is an integer, which counts from 1970.
pub(super) fn is_integer(text: &str) -> bool {
    whole_number(text.trim()).is_some()
}

fn whole_number(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// An integer counts seconds, milliseconds, microseconds or nanoseconds since 1970, whichever its size makes likely.
fn from_epoch(number: i64) -> Option<DateTime> {
    const YEARS_1000: u64 = 31_536_000_000;
    let since = match number.unsigned_abs() {
        n if n < YEARS_1000 => SignedDuration::from_secs(number),
        n if n < YEARS_1000 * 1000 => SignedDuration::from_millis(number),
        n if n < YEARS_1000 * 1_000_000 => SignedDuration::from_micros(number),
        _ => SignedDuration::from_nanos(number),
    };
    DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
        .checked_add(since)
        .ok()
}

fn show_date(text: &mut String, date: Date) {
    match u32::try_from(date.year()) {
        Ok(year) => push_digits(text, year, 4),
        Err(_) => return text.push_str(&date.to_string()),
    }
    for part in [date.month(), date.day()] {
        text.push('-');
        push_digits(text, part.unsigned_abs().into(), 2);
    }
}

fn show_time(text: &mut String, time: Time, digits: u8) {
    let digits = usize::from(digits.min(9));
    push_digits(text, time.hour().unsigned_abs().into(), 2);
    for part in [time.minute(), time.second()] {
        text.push(':');
        push_digits(text, part.unsigned_abs().into(), 2);
    }
    if digits > 0 {
        text.push('.');
        let end = text.len() + digits;
        push_digits(text, time.subsec_nanosecond().unsigned_abs(), 9);
        text.truncate(end);
    }
}

/// Adds the last `width` digits of a number, at most nine. Unlike `format!` it allocates nothing: every timestamp comes here.
fn push_digits(text: &mut String, mut number: u32, width: usize) {
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
    let last = digits.get(9_usize.saturating_sub(width)..);
    text.push_str(
        last.and_then(|last| str::from_utf8(last).ok())
            .unwrap_or_default(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntz(text: &str) -> Option<String> {
        timestamp(text, 9, Zone::Without, AccountZone::UTC)
    }

    #[test]
    fn ntz_keeps_the_wall_clock_and_drops_the_offset() {
        for (input, want) in [
            ("2026-01-17T14:00:00+00:00", "2026-01-17 14:00:00.000000000"),
            (
                "2026-01-17T15:00:19.794240+00:00",
                "2026-01-17 15:00:19.794240000",
            ),
            ("2026-01-17T23:30:00-07:00", "2026-01-17 23:30:00.000000000"),
            ("2026-01-17T14:00", "2026-01-17 14:00:00.000000000"),
            ("2026-01-17T14:00Z", "2026-01-17 14:00:00.000000000"),
            (
                "2026-01-17 14:00:00.123456789 +0530",
                "2026-01-17 14:00:00.123456789",
            ),
            ("2026-01-17", "2026-01-17 00:00:00.000000000"),
            ("1768658400", "2026-01-17 14:00:00.000000000"),
            ("1768658400123", "2026-01-17 14:00:00.123000000"),
            ("1768658400123456", "2026-01-17 14:00:00.123456000"),
            ("1768658400123456789", "2026-01-17 14:00:00.123456789"),
            ("-1", "1969-12-31 23:59:59.000000000"),
            ("0", "1970-01-01 00:00:00.000000000"),
        ] {
            assert_eq!(ntz(input).as_deref(), Some(want), "{input}");
        }
    }

    #[test]
    fn zones_and_digits() {
        let west = "2026-01-17T23:30:00.987654321-07:00";
        assert_eq!(
            timestamp(west, 9, Zone::Local, AccountZone::UTC).as_deref(),
            Some("2026-01-18 06:30:00.987654321Z")
        );
        assert_eq!(
            timestamp(west, 3, Zone::With, AccountZone::UTC).as_deref(),
            Some("2026-01-17 23:30:00.987 -07:00")
        );
        assert_eq!(
            timestamp("0000-01-01T00:00-03:30", 1, Zone::With, AccountZone::UTC).as_deref(),
            Some("0000-01-01 00:00:00.0 -03:30")
        );
        assert_eq!(
            timestamp("0000-01-01T00:00+14:00", 0, Zone::Local, AccountZone::UTC).as_deref(),
            Some("-000001-12-31 10:00:00Z")
        );
        assert_eq!(
            timestamp("2026-01-17", 0, Zone::With, AccountZone::UTC).as_deref(),
            Some("2026-01-17 00:00:00 +00:00")
        );
    }

    #[test]
    fn dates_truncate_and_times_stand_alone() {
        assert_eq!(
            date("2026-01-19T14:00:00+00:00").as_deref(),
            Some("2026-01-19")
        );
        assert_eq!(date("2026-02-28").as_deref(), Some("2026-02-28"));
        assert_eq!(date("86400").as_deref(), Some("1970-01-02"));
        assert_eq!(
            time("14:05", 9, false).as_deref(),
            Some("14:05:00.000000000")
        );
        assert_eq!(
            time("14:05:06.7", 3, false).as_deref(),
            Some("14:05:06.700")
        );
        let offset = "14:05:06+02:00";
        assert_eq!(time(offset, 0, true).as_deref(), Some("14:05:06"));
        assert_eq!(time(offset, 0, false), None);
        assert_eq!(time("14:05:06Z", 0, false), None);
        assert_eq!(time("3661", 0, false).as_deref(), Some("01:01:01"));
    }

    #[test]
    fn refuses_everything_else() {
        for input in [
            "",
            "soon",
            "2026-02-29",
            "2026-13-01",
            "26-01-17",
            "2026-01-17T",
            "2026-01-17T25:00",
            "2026-01-17T14:00:00.",
            "2026-01-17T14:00:00.1234567890",
            "2026-01-17T14:00+25:00",
            "2026-01-17T14:00 MST",
            "2026/01/17",
            "17-JAN-2026",
            "01/17/2026",
            "2026-01-17T14:00:60",
            "2026-01-17 13:00 PM",
            "2026-01-17T14:00.5",
            "99999999999999999999",
            "2026-01-1é",
            "2026-01-17T14:00+é",
        ] {
            assert_eq!(ntz(input), None, "{input}");
        }
        assert_eq!(time("2026-01-17T14:00", 9, true), None);
    }
}
