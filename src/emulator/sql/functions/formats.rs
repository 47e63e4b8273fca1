//! The format models of `TO_CHAR` for dates and times.

use jiff::civil::DateTime;

use super::raised::Raised;

const MONTHS: [&str; 12] = [
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
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// The elements, the longer ones before those that they begin with.
const ELEMENTS: &[&str] = &[
    "YYYY", "YY", "MMMM", "MON", "MM", "DD", "DY", "HH24", "HH12", "AM", "PM", "MI", "SS", "FF0",
    "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "FF7", "FF8", "FF9", "FF",
];

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

fn short(name: &str) -> String {
    name.chars().take(3).collect()
}

/// Writes a moment by a format.
pub(crate) fn write(at: DateTime, format: &str) -> Result<String, Raised> {
    let mut written = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some((literal, after)) = quoted.split_once('"') else {
                return Err(unknown(format));
            };
            written.push_str(literal);
            rest = after;
            continue;
        }
        if !first.is_ascii_alphabetic() {
            written.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            continue;
        }
        let upper = rest.to_ascii_uppercase();
        let element = ELEMENTS.iter().find(|element| upper.starts_with(**element));
        let Some(element) = element else {
            return Err(unknown(format));
        };
        written.push_str(&element_of(at, element));
        rest = rest.get(element.len()..).unwrap_or_default();
    }
    Ok(written)
}

fn element_of(at: DateTime, element: &str) -> String {
    let twelve = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    match element {
        "YYYY" => format!("{:04}", at.year()),
        "YY" => format!("{:02}", at.year() % 100),
        "MMMM" => name(&MONTHS, at.month() - 1).to_owned(),
        "MON" => month_name(at),
        "MM" => format!("{:02}", at.month()),
        "DD" => format!("{:02}", at.day()),
        "DY" => day_name(at),
        "HH24" => format!("{:02}", at.hour()),
        "HH12" => format!("{twelve:02}"),
        "AM" | "PM" => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "MI" => format!("{:02}", at.minute()),
        "SS" => format!("{:02}", at.second()),
        fraction => {
            let digits = fraction.get(2..).and_then(|digits| digits.parse().ok());
            let all = format!("{:09}", at.subsec_nanosecond());
            all.chars().take(digits.unwrap_or(9)).collect()
        }
    }
}

fn unknown(format: &str) -> Raised {
    Raised::unsupported(format!(
        "the format '{format}': the emulator has {}",
        ELEMENTS.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_written_or_refused() {
        let at: DateTime = "2026-01-05T14:03:09.123456789".parse().unwrap();
        for (format, wanted) in [
            ("YYYY-MM-DD HH24:MI:SS.FF3", "2026-01-05 14:03:09.123"),
            ("yyyymmdd", "20260105"),
            ("DD-MON-YY", "05-Jan-26"),
            ("HH12:MI AM", "02:03 PM"),
            ("YYYY-MM-DD\"T\"HH24", "2026-01-05T14"),
            ("DY, MMMM", "Mon, January"),
        ] {
            assert_eq!(write(at, format).unwrap(), wanted, "{format}");
        }
        for format in ["TZH", "Q", "\"open"] {
            assert!(write(at, format).unwrap_err().is_unsupported(), "{format}");
        }
    }
}
