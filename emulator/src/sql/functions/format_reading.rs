//! Reads dates and times by a format: `TO_DATE`, `TO_TIME` and `TO_TIMESTAMP` with one.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};

use super::formats::{Element, Part, day_name, parts, short};
use super::moments::{self, Form};
use super::raised::Raised;
use crate::catalog::datetime_formats::MONTHS;

/// The first of the hundred years that two digits stand for: an account's default of `TWO_DIGIT_CENTURY_START`.
const CENTURY_START: i16 = 1970;

/// Reads a text by a format, in the form of a type.
pub(crate) fn read(text: &str, format: &str, form: Form) -> Result<String, Raised> {
    if format.eq_ignore_ascii_case("AUTO") {
        return form.parse(text);
    }
    let parts = parts(format)?;
    let by_format = |text: &str| fields(text, &parts).and_then(|fields| fields.shown(form));
    let failed = match by_format(text) {
        Ok(shown) => return Ok(shown),
        Err(failed) => failed,
    };
    let relaxed = moments::relaxed(text);
    let is_relaxed = relaxed != text && by_format(&relaxed).is_ok();
    Err(match failed {
        Failed::Mismatch if is_relaxed => Raised::unsupported(format!(
            "'{text}' with the format '{format}': it has wider fields"
        )),
        Failed::Mismatch => {
            let what = match form {
                Form::Date => "date",
                Form::Time => "time",
                _ => "timestamp",
            };
            let message = format!("Can't parse '{text}' as {what} with format '{format}'");
            Raised::new("100096", "22007", message)
        }
        Failed::Unsure(why) => {
            Raised::unsupported(format!("'{text}' with the format '{format}': {why}"))
        }
    })
}

/// Why a text is not read.
enum Failed {
    /// It is not in the format.
    Mismatch,
    /// Whether Snowflake reads it is not documented.
    Unsure(&'static str),
}

/// What has been read.
#[derive(Default)]
struct Fields {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    weekday: Option<String>,
    hour: Option<i8>,
    /// The hour of half a day, from 0 on.
    hour_of_half: Option<i8>,
    is_afternoon: Option<bool>,
    minute: Option<i8>,
    second: Option<i8>,
    nanoseconds: Option<i32>,
    /// Minutes east of UTC.
    offset: Option<i64>,
}

fn fields(text: &str, parts: &[Part<'_>]) -> Result<Fields, Failed> {
    let mut fields = Fields::default();
    let mut rest = text;
    for (position, part) in parts.iter().enumerate() {
        if rest.is_empty() && *part != Part::Literal("") {
            return Err(Failed::Unsure("the text ends before its format"));
        }
        rest = match part {
            Part::Literal(literal) => match rest.strip_prefix(literal) {
                Some(after) => after,
                None => return Err(differs(rest, literal)),
            },
            Part::Element(element) => {
                let is_number = |part: Option<&Part<'_>>| matches!(part, Some(Part::Element(element)) if has_digits(*element));
                let before = position.checked_sub(1).and_then(|before| parts.get(before));
                let is_tight = is_number(before) || is_number(parts.get(position + 1));
                let known = fields.read(*element, rest, is_tight)?;
                known.ok_or_else(|| differs(rest, "0"))?
            }
        };
    }
    match rest.trim_start() {
        "" if rest.is_empty() => Ok(fields),
        "" => Err(Failed::Unsure("white space behind the text")),
        _ => Err(Failed::Mismatch),
    }
}

/// A text that does not go on as its format does. Some differences in white space are allowed.
fn differs(rest: &str, literal: &str) -> Failed {
    if rest.starts_with(char::is_whitespace) || literal.starts_with(char::is_whitespace) {
        Failed::Unsure("white space differs from that of the format")
    } else {
        Failed::Mismatch
    }
}

fn has_digits(element: Element) -> bool {
    !matches!(
        element,
        Element::MonthName
            | Element::ShortMonthName
            | Element::Weekday
            | Element::Half
            | Element::HalfLetter
            | Element::Zone(_)
    )
}

/// A number of at most so many digits, how many it has, and what follows it.
fn digits(text: &str, most: usize) -> Option<(i32, usize, &str)> {
    let count = text
        .bytes()
        .take(most)
        .take_while(u8::is_ascii_digit)
        .count();
    let (number, rest) = text.split_at_checked(count)?;
    Some((number.parse().ok()?, count, rest))
}

/// Sets a field that no other element has set.
fn set<T>(field: &mut Option<T>, value: Option<T>) -> Result<(), Failed> {
    if field.is_some() {
        return Err(Failed::Unsure("the format has a field twice"));
    }
    *field = Some(value.ok_or(Failed::Mismatch)?);
    Ok(())
}

impl Fields {
    /// Reads an element; what follows it, or nothing if there is no such element in the text. `is_tight` says that a number is next to it.
    fn read<'a>(
        &mut self,
        element: Element,
        text: &'a str,
        is_tight: bool,
    ) -> Result<Option<&'a str>, Failed> {
        match element {
            Element::MonthName | Element::ShortMonthName => {
                let found = MONTHS.iter().zip(1_i8..).find_map(|(name, number)| {
                    let rest = after(text, name).or_else(|| after(text, &short(name)));
                    rest.map(|rest| (number, rest))
                });
                let Some((number, rest)) = found else {
                    return Ok(None);
                };
                set(&mut self.month, Some(number))?;
                Ok(Some(rest))
            }
            Element::Weekday => {
                let Some((name, rest)) = text.split_at_checked(3) else {
                    return Ok(None);
                };
                set(&mut self.weekday, Some(name.to_owned()))?;
                Ok(Some(rest))
            }
            Element::Half | Element::HalfLetter => {
                let (morning, afternoon) = match element {
                    Element::Half => ("AM", "PM"),
                    _ => ("A", "P"),
                };
                let (is_afternoon, rest) = match (after(text, morning), after(text, afternoon)) {
                    (Some(rest), _) => (false, rest),
                    (None, Some(rest)) => (true, rest),
                    (None, None) => return Ok(None),
                };
                set(&mut self.is_afternoon, Some(is_afternoon))?;
                Ok(Some(rest))
            }
            Element::Zone(between) => self.zone(between, text),
            _ => self.number(element, text, is_tight),
        }
    }

    fn number<'a>(
        &mut self,
        element: Element,
        text: &'a str,
        is_tight: bool,
    ) -> Result<Option<&'a str>, Failed> {
        let most = match element {
            Element::Year => 4,
            Element::Fraction(digits) => usize::from(digits),
            _ => 2,
        };
        let Some((number, count, rest)) = digits(text, most) else {
            return Ok(None);
        };
        if is_tight && count < most {
            return Err(Failed::Unsure(
                "digits of several fields without a sign between them",
            ));
        }
        if matches!(element, Element::Fraction(_)) && rest.starts_with(|c: char| c.is_ascii_digit())
        {
            return Err(Failed::Unsure(
                "more digits behind the point than the format has",
            ));
        }
        let small = |from: i8, to: i8| {
            let number = i8::try_from(number).ok();
            number.filter(|number| (from..=to).contains(number))
        };
        match element {
            Element::Year => set(&mut self.year, i16::try_from(number).ok())?,
            Element::ShortYear(_) => {
                let year = i16::try_from(number).ok().map(|year| {
                    let century = CENTURY_START / 100 * 100;
                    let is_before = year < CENTURY_START % 100;
                    century + year + if is_before { 100 } else { 0 }
                });
                set(&mut self.year, year)?;
            }
            Element::Month(_) => set(&mut self.month, small(1, 12))?,
            Element::Day(_) => set(&mut self.day, small(1, 31))?,
            Element::Hour(_) => set(&mut self.hour, small(0, 23))?,
            Element::HourOfHalf(_) => {
                set(&mut self.hour_of_half, small(1, 12).map(|hour| hour % 12))?;
            }
            Element::Minute(_) => set(&mut self.minute, small(0, 59))?,
            Element::Second(_) => set(&mut self.second, small(0, 59))?,
            _ => {
                let filled = text.get(..count).map(|digits| format!("{digits:0<9}"));
                set(
                    &mut self.nanoseconds,
                    filled.and_then(|digits| digits.parse().ok()),
                )?;
            }
        }
        Ok(Some(rest))
    }

    fn zone<'a>(
        &mut self,
        between: Option<&str>,
        text: &'a str,
    ) -> Result<Option<&'a str>, Failed> {
        let (sign, text) = match text.split_at_checked(1) {
            Some(("+", rest)) => (1, rest),
            Some(("-", rest)) => (-1, rest),
            _ => return Err(Failed::Unsure("an offset from UTC without a sign")),
        };
        let Some((hours, count, mut rest)) = digits(text, 2) else {
            return Ok(None);
        };
        let mut minutes = 0;
        if let Some(between) = between {
            if between.is_empty() && count < 2 {
                return Err(Failed::Unsure("an offset of one digit"));
            }
            let Some(after) = rest.strip_prefix(between) else {
                return Ok(None);
            };
            let Some((found, 2, after)) = digits(after, 2) else {
                return Err(Failed::Unsure("an offset whose minutes have no two digits"));
            };
            (minutes, rest) = (found, after);
        }
        let is_known = hours <= 14 && minutes < 60;
        let offset = is_known.then(|| i64::from(sign * (hours * 60 + minutes)));
        set(&mut self.offset, offset)?;
        Ok(Some(rest))
    }

    fn time(&self) -> Result<Time, Failed> {
        let hour = match (self.hour, self.hour_of_half, self.is_afternoon) {
            (hour, None, None) => hour,
            (None, Some(hour), Some(is_afternoon)) => {
                Some(hour + if is_afternoon { 12 } else { 0 })
            }
            _ => return Err(Failed::Unsure("an hour of half a day without AM or PM")),
        };
        let is_complete = [
            hour.is_some() || self.minute.is_none(),
            self.minute.is_some() || self.second.is_none(),
            self.second.is_some() || self.nanoseconds.is_none(),
        ];
        if is_complete.contains(&false) {
            return Err(Failed::Unsure("a time without its hour, minute or second"));
        }
        Time::new(
            hour.unwrap_or_default(),
            self.minute.unwrap_or_default(),
            self.second.unwrap_or_default(),
            self.nanoseconds.unwrap_or_default(),
        )
        .map_err(|_| Failed::Mismatch)
    }

    fn date(&self) -> Result<Date, Failed> {
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(Failed::Unsure("a date without its year, month or day"));
        };
        let date = Date::new(year, month, day)
            .map_err(|_| Failed::Unsure("a day that its month does not have"))?;
        let weekday = self.weekday.as_deref();
        if weekday.is_some_and(|name| !name.eq_ignore_ascii_case(&day_name(date.into()))) {
            return Err(Failed::Unsure(
                "a day of the week that is not that of the date",
            ));
        }
        Ok(date)
    }

    /// The value in the form of a type.
    fn shown(&self, form: Form) -> Result<String, Failed> {
        let far = |_| Failed::Unsure("a year beyond 9999 or before 0");
        if form == Form::Time {
            let is_time = self.year.is_none() && self.month.is_none() && self.day.is_none();
            if !is_time || self.weekday.is_some() || self.offset.is_some() {
                return Err(Failed::Unsure("a date or an offset in a time"));
            }
            let hour = self.hour.or(self.hour_of_half);
            hour.ok_or(Failed::Unsure("a time without its hour"))?;
            return moments::show(DateTime::from_parts(Date::ZERO, self.time()?), form)
                .map_err(far);
        }
        let wall = DateTime::from_parts(self.date()?, self.time()?);
        match (form, self.offset) {
            (Form::Date, Some(_)) => Err(Failed::Unsure("an offset in a date")),
            (Form::Ltz, Some(east)) => {
                let utc = wall.checked_sub(SignedDuration::from_mins(east));
                let utc = utc.map_err(|_| Failed::Unsure("a year beyond 9999 or before 0"))?;
                moments::show(utc, form).map_err(far)
            }
            (Form::Tz, east) => {
                let wall = moments::show(wall, Form::Ntz).map_err(far)?;
                let east = east.unwrap_or_default();
                let (sign, minutes) = (if east < 0 { '-' } else { '+' }, east.abs());
                Ok(format!(
                    "{wall} {sign}{:02}:{:02}",
                    minutes / 60,
                    minutes % 60
                ))
            }
            _ => moments::show(wall, form).map_err(far),
        }
    }
}

/// What follows a word in a text, whatever its case.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_their_format() {
        for (text, format, form, wanted) in [
            ("2024.05.10", "YYYY.MM.DD", Form::Date, "2024-05-10"),
            ("3/4/2024", "dd/mm/yyyy", Form::Date, "2024-04-03"),
            ("20240510", "YYYYMMDD", Form::Date, "2024-05-10"),
            ("10-may-79", "DD-MON-YY", Form::Date, "1979-05-10"),
            ("10 January 05", "DD MMMM YY", Form::Date, "2005-01-10"),
            ("11.15.00", "HH24.MI.SS", Form::Time, "11:15:00.000000000"),
            ("12:05 AM", "HH12:MI AM", Form::Time, "00:05:00.000000000"),
            (
                "04/05/2024 01:02:03",
                "mm/dd/yyyy hh24:mi:ss",
                Form::Tz,
                "2024-04-05 01:02:03.000000000 +00:00",
            ),
            (
                "2019-02-28T23:59:59.5 -07:00",
                "YYYY-MM-DD\"T\"HH24:MI:SS.FF TZH:TZM",
                Form::Ltz,
                "2019-03-01 06:59:59.500000000Z",
            ),
            (
                "Thu, 21 Dec 2000 04:01:07 PM +0200",
                "DY, DD MON YYYY HH12:MI:SS AM TZHTZM",
                Form::Ntz,
                "2000-12-21 16:01:07.000000000",
            ),
            ("2024-05-10", "AUTO", Form::Date, "2024-05-10"),
        ] {
            assert_eq!(read(text, format, form).unwrap(), wanted, "{text} {format}");
        }
    }

    #[test]
    fn other_texts_are_not_recognized_or_refused() {
        for (text, format, form) in [
            ("2024-05-10", "MM/DD/YYYY", Form::Date),
            ("2024-13-10", "YYYY-MM-DD", Form::Date),
            ("2024-05-10x", "YYYY-MM-DD", Form::Date),
            ("10 Foo 2024", "DD MON YYYY", Form::Date),
            ("24:00", "HH24:MI", Form::Time),
            ("13:00 AM", "HH12:MI AM", Form::Time),
        ] {
            let why = read(text, format, form).unwrap_err();
            assert_eq!(why.code, "100096", "{text} {format}: {why}");
        }
        for (text, format, form) in [
            ("2024-02-30", "YYYY-MM-DD", Form::Date),
            ("2024-05", "YYYY-MM-DD", Form::Date),
            ("2024-05", "YYYY-MM", Form::Date),
            ("2024115", "YYYYMMDD", Form::Date),
            ("2024-05-10 ", "YYYY-MM-DD", Form::Date),
            ("2019-02-28 23:59", "YYYY-MM-DDHH24:MI", Form::Ntz),
            ("10:30", "HH12:MI", Form::Time),
            ("Fri 10 05 2024 10", "DY DD MM YYYY DD", Form::Date),
            ("Mon 10 05 2024", "DY DD MM YYYY", Form::Date),
            ("10:30 0200", "HH24:MI TZHTZM", Form::Tz),
            ("2024-05-10", "YYYY-MM-DD", Form::Time),
            ("01.1234", "SS.FF3", Form::Time),
            ("2024-005-10", "YYYY-MM-DD", Form::Date),
        ] {
            let why = read(text, format, form).unwrap_err();
            assert!(why.is_unsupported(), "{text} {format}: {why}");
        }
    }
}
