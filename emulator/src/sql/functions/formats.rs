//! The formats of dates and times: their elements, and how `TO_CHAR` writes by them.
//!
//! From <https://docs.snowflake.com/en/sql-reference/date-time-input-output>.

use jiff::civil::DateTime;

use super::raised::Raised;
use crate::catalog::datetime_formats::MONTHS;

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// An element of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Year,
    /// Of the two digits of a year: with a leading zero, or without.
    ShortYear(bool),
    Month(bool),
    MonthName,
    ShortMonthName,
    Day(bool),
    Weekday,
    Hour(bool),
    HourOfHalf(bool),
    /// `AM` or `PM`
    Half,
    /// `A` or `P`
    HalfLetter,
    Minute(bool),
    Second(bool),
    Fraction(u8),
    /// The offset from UTC, by what stands before its minutes: `+07:00`, `+0700`, or `+07` without minutes.
    Zone(Option<&'static str>),
}

/// The elements, the longer ones before those that they begin with.
const ELEMENTS: &[(&str, Element)] = &[
    ("YYYY", Element::Year),
    ("UUUU", Element::Year),
    ("YY", Element::ShortYear(true)),
    ("Y", Element::ShortYear(false)),
    ("MMMM", Element::MonthName),
    ("MON", Element::ShortMonthName),
    ("MM", Element::Month(true)),
    ("MO", Element::Month(false)),
    ("MI", Element::Minute(true)),
    ("ME", Element::Minute(false)),
    ("DD", Element::Day(true)),
    ("DY", Element::Weekday),
    ("D", Element::Day(false)),
    ("HH24", Element::Hour(true)),
    ("HH12", Element::HourOfHalf(true)),
    ("HH", Element::Hour(true)),
    ("H24", Element::Hour(false)),
    ("H12", Element::HourOfHalf(false)),
    ("H", Element::Hour(false)),
    ("AM", Element::Half),
    ("PM", Element::Half),
    ("P", Element::HalfLetter),
    ("SS", Element::Second(true)),
    ("S", Element::Second(false)),
    ("FF0", Element::Fraction(0)),
    ("FF1", Element::Fraction(1)),
    ("FF2", Element::Fraction(2)),
    ("FF3", Element::Fraction(3)),
    ("FF4", Element::Fraction(4)),
    ("FF5", Element::Fraction(5)),
    ("FF6", Element::Fraction(6)),
    ("FF7", Element::Fraction(7)),
    ("FF8", Element::Fraction(8)),
    ("FF9", Element::Fraction(9)),
    ("FF", Element::Fraction(9)),
    ("TZH:TZM", Element::Zone(Some(":"))),
    ("TZHTZM", Element::Zone(Some(""))),
    ("TZH", Element::Zone(None)),
];

impl Element {
    pub(super) fn is_of_date(self) -> bool {
        matches!(
            self,
            Self::Year
                | Self::ShortYear(_)
                | Self::Month(_)
                | Self::MonthName
                | Self::ShortMonthName
                | Self::Day(_)
                | Self::Weekday
        )
    }
}

/// A part of a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Element(Element),
    Literal(&'a str),
}

/// The short English name of the month.
pub(crate) fn month_name(at: DateTime) -> String {
    short(name(&MONTHS, at.month() - 1))
}

/// The short English name of the day of the week.
pub(crate) fn day_name(at: DateTime) -> String {
    short(name(&DAYS, at.weekday().to_monday_zero_offset()))
}

fn name<'a>(names: &[&'a str], position: i8) -> &'a str {
    let position = usize::try_from(position).unwrap_or_default();
    names.get(position).copied().unwrap_or_default()
}

pub(super) fn short(name: &str) -> String {
    name.chars().take(3).collect()
}

/// The parts of a format. A letter alone is an element only between signs that are no letters, because words are not documented.
pub(super) fn parts(format: &str) -> Result<Vec<Part<'_>>, Raised> {
    let mut parts = Vec::new();
    let mut rest = format;
    let mut after_letter = false;
    while let Some(first) = rest.chars().next() {
        let length = if let Some(quoted) = rest.strip_prefix('"') {
            let (literal, _) = quoted.split_once('"').ok_or_else(|| unknown(format))?;
            parts.push(Part::Literal(literal));
            after_letter = false;
            literal.len() + 2
        } else if !first.is_ascii_alphabetic() {
            let length = first.len_utf8();
            parts.push(Part::Literal(rest.get(..length).unwrap_or_default()));
            after_letter = false;
            length
        } else {
            let length = match element(rest, after_letter) {
                Some((length, element)) => {
                    parts.push(Part::Element(element));
                    length
                }
                // The T between date and time needs no quotes.
                None if is_separator(rest, parts.last()) => {
                    parts.push(Part::Literal(rest.get(..1).unwrap_or_default()));
                    1
                }
                None => return Err(unknown(format)),
            };
            after_letter = true;
            length
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    let has = |wanted: fn(&Element) -> bool| {
        let mut parts = parts.iter();
        parts.any(|part| matches!(part, Part::Element(element) if wanted(element)))
    };
    let has_half = has(|element| matches!(element, Element::Half | Element::HalfLetter));
    if has_half && has(|element| matches!(element, Element::Hour(_))) {
        return Err(Raised::unsupported(format!(
            "the format '{format}': AM, PM and P stand beside HH12 and H12"
        )));
    }
    Ok(parts)
}

/// The element that a text begins with, and its length.
fn element(text: &str, after_letter: bool) -> Option<(usize, Element)> {
    let is = |name: &str| {
        let start = text.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    let (name, element) = ELEMENTS.iter().find(|(name, _)| is(name))?;
    let next = text.get(name.len()..).and_then(|rest| rest.chars().next());
    let is_alone = !after_letter && next.is_none_or(|next| !next.is_ascii_alphabetic());
    (name.len() > 1 || is_alone).then_some((name.len(), *element))
}

fn is_separator(rest: &str, before: Option<&Part<'_>>) -> bool {
    let is_after_day = matches!(before, Some(Part::Element(Element::Day(_))));
    let hours = rest.strip_prefix(['T', 't']).unwrap_or_default();
    is_after_day && hours.starts_with(['H', 'h'])
}

/// A moment to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: DateTime,
    /// Whether it is a date, or has one.
    pub(crate) has_date: bool,
    /// The minutes east of UTC of a timestamp with a zone.
    pub(crate) offset: Option<i64>,
}

/// Writes a moment by a format.
pub(crate) fn write(moment: Moment, format: &str) -> Result<String, Raised> {
    let mut written = String::new();
    for part in parts(format)? {
        match part {
            Part::Literal(text) => written.push_str(text),
            Part::Element(element) => {
                let text = element_of(moment, element).ok_or_else(|| {
                    Raised::unsupported(format!("the format '{format}' for a value of this type"))
                })?;
                written.push_str(&text);
            }
        }
    }
    Ok(written)
}

fn element_of(moment: Moment, element: Element) -> Option<String> {
    let at = moment.at;
    if element.is_of_date() && !moment.has_date {
        return None;
    }
    let twelve = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let digits = |number: i16, is_filled: bool| {
        if is_filled {
            format!("{number:02}")
        } else {
            number.to_string()
        }
    };
    let half = if at.hour() < 12 { "AM" } else { "PM" };
    Some(match element {
        Element::Year => format!("{:04}", at.year()),
        Element::ShortYear(is_filled) => digits(at.year() % 100, is_filled),
        Element::Month(is_filled) => digits(at.month().into(), is_filled),
        Element::MonthName => name(&MONTHS, at.month() - 1).to_owned(),
        Element::ShortMonthName => month_name(at),
        Element::Day(is_filled) => digits(at.day().into(), is_filled),
        Element::Weekday => day_name(at),
        Element::Hour(is_filled) => digits(at.hour().into(), is_filled),
        Element::HourOfHalf(is_filled) => digits(twelve.into(), is_filled),
        Element::Half => half.to_owned(),
        Element::HalfLetter => half.chars().take(1).collect(),
        Element::Minute(is_filled) => digits(at.minute().into(), is_filled),
        Element::Second(is_filled) => digits(at.second().into(), is_filled),
        Element::Fraction(digits) => {
            let all = format!("{:09}", at.subsec_nanosecond());
            all.chars().take(digits.into()).collect()
        }
        Element::Zone(between) => {
            let offset = moment.offset?;
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
            match between {
                Some(between) => format!("{sign}{hours:02}{between}{minutes:02}"),
                None if minutes == 0 => format!("{sign}{hours:02}"),
                None => return None,
            }
        }
    })
}

fn unknown(format: &str) -> Raised {
    let names: Vec<&str> = ELEMENTS.iter().map(|(name, _)| *name).collect();
    Raised::unsupported(format!(
        "the format '{format}': the emulator has {}, and text in double quotes",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_written_or_refused() {
        let moment = Moment {
            at: "2026-01-05T14:03:09.123456789".parse().unwrap(),
            has_date: true,
            offset: Some(-450),
        };
        for (format, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS.FF3", "2026-01-05 14:03:09.123"),
            ("yyyymmdd", "20260105"),
            ("DD-MON-YY", "05-Jan-26"),
            ("HH12:MI AM", "02:03 PM"),
            ("H12:ME:S P", "2:3:9 P"),
            ("D.MO.Y", "5.1.26"),
            ("YYYY-MM-DD\"T\"HH24", "2026-01-05T14"),
            ("YYYY-MM-DDTHH24", "2026-01-05T14"),
            ("DY, MMMM", "Mon, January"),
            ("HH TZH:TZM TZHTZM", "14 -07:30 -0730"),
        ] {
            assert_eq!(write(moment, format).unwrap(), wanted, "{format}");
        }
        for format in [
            "TZH",
            "Q",
            "\"open",
            "hh24:mi hours",
            "HH24 AM",
            "THH24",
            "DAY",
        ] {
            assert!(
                write(moment, format).unwrap_err().is_unsupported(),
                "{format}"
            );
        }
        let time = Moment {
            has_date: false,
            offset: None,
            ..moment
        };
        assert_eq!(write(time, "HH24").unwrap(), "14");
        for format in ["DD", "TZH:TZM"] {
            assert!(
                write(time, format).unwrap_err().is_unsupported(),
                "{format}"
            );
        }
    }
}
