//! VARCHAR: its functions, which count in characters.

use super::raised::Raised;

/// `SUBSTR(text, start, length)`: positions from 1, 0 is 1, a negative one counts from the end.
pub(crate) fn substring(text: &str, start: i64, length: Option<i64>) -> Result<String, Raised> {
    let skipped = match start {
        0 => 0,
        1.. => usize::try_from(start - 1).unwrap_or(usize::MAX),
        _ => {
            let from_end = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
            let count = text.chars().count();
            count.checked_sub(from_end).ok_or_else(|| {
                Raised::unsupported(format!(
                    "SUBSTR from {start} in a text of {count} characters"
                ))
            })?
        }
    };
    let length = length.map_or(usize::MAX, |length| {
        usize::try_from(length.max(0)).unwrap_or(usize::MAX)
    });
    Ok(text.chars().skip(skipped).take(length).collect())
}

/// The last `length` characters.
pub(crate) fn right(text: &str, length: i64) -> String {
    let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
    let skipped = text.chars().count().saturating_sub(length);
    text.chars().skip(skipped).collect()
}

/// Changes the case of each character. The case of a few letters has more than one letter; what Snowflake does with these is not
/// documented.
pub(crate) fn change_case(text: &str, to_upper: bool) -> Result<String, Raised> {
    let mut changed = String::with_capacity(text.len());
    for letter in text.chars() {
        let (mut upper, mut lower) = (letter.to_uppercase(), letter.to_lowercase());
        let other = if to_upper {
            (upper.next(), upper.next())
        } else {
            (lower.next(), lower.next())
        };
        let (Some(other), None) = other else {
            return Err(Raised::unsupported(format!("the other case of {letter:?}")));
        };
        changed.push(other);
    }
    Ok(changed)
}

/// `SPLIT_PART`: parts from 1, 0 is 1, a negative one counts from the end; none is the empty text.
pub(crate) fn split_part(text: &str, delimiter: &str, part: i64) -> String {
    let parts: Vec<&str> = if delimiter.is_empty() {
        vec![text]
    } else {
        text.split(delimiter).collect()
    };
    let position = match part {
        0 => Some(0),
        1.. => usize::try_from(part - 1).ok(),
        _ => usize::try_from(part.unsigned_abs())
            .ok()
            .and_then(|back| parts.len().checked_sub(back)),
    };
    let found = position.and_then(|position| parts.get(position));
    found.map(|part| (*part).to_owned()).unwrap_or_default()
}

/// The position of `part` in `text`, from 1, at or after `start`; 0 where it is not.
pub(crate) fn position(part: &str, text: &str, start: i64) -> Result<usize, Raised> {
    let skipped = usize::try_from(start - 1).map_err(|_| {
        Raised::unsupported(format!("POSITION from {start}: a position is at least 1"))
    })?;
    let Some(rest) = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .nth(skipped)
        .and_then(|at| text.get(at..))
    else {
        return Ok(0);
    };
    let found = memchr::memmem::find(rest.as_bytes(), part.as_bytes());
    let before = found.and_then(|at| rest.get(..at));
    Ok(before.map_or(0, |before| before.chars().count() + skipped + 1))
}

/// `LPAD` and `RPAD`: cut to `length` characters, or filled up to it.
pub(crate) fn pad(
    text: &str,
    length: i64,
    with: &str,
    at_start: bool,
    most_bytes: usize,
) -> Result<String, Raised> {
    let length = usize::try_from(length.max(0)).unwrap_or(usize::MAX);
    let count = text.chars().count();
    if length <= count || with.is_empty() {
        return Ok(text.chars().take(length).collect());
    }
    let missing = length - count;
    if missing.saturating_mul(4).saturating_add(text.len()) > most_bytes {
        return Err(too_long());
    }
    let filling: String = with.chars().cycle().take(missing).collect();
    Ok(if at_start {
        filling + text
    } else {
        text.to_owned() + &filling
    })
}

pub(crate) fn repeat(text: &str, times: i64, most_bytes: usize) -> Result<String, Raised> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    if text.len().saturating_mul(times) > most_bytes {
        return Err(too_long());
    }
    Ok(text.repeat(times))
}

pub(crate) fn too_long() -> Raised {
    let message = "The statement makes a text of more than 8 MB, which is the emulator's most.";
    Raised::new("391908", "54000", message)
}

/// Reads a text as a boolean.
pub(crate) fn boolean(text: &str) -> Result<bool, Raised> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err(Raised::not_a("Boolean value", "100037", "22018", text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_counted_from_one() {
        for (start, length, wanted) in [
            (1, Some(2), "gr"),
            (0, Some(2), "gr"),
            (3, None, "\u{fc}n"),
            (-2, Some(1), "\u{fc}"),
            (9, None, ""),
            (2, Some(-1), ""),
        ] {
            let found = substring("gr\u{fc}n", start, length).unwrap();
            assert_eq!(found, wanted, "{start} {length:?}");
        }
        assert!(substring("ab", -3, None).unwrap_err().is_unsupported());
        assert_eq!(position("n", "gr\u{fc}n", 1).unwrap(), 4);
        assert_eq!(position("", "abc", 2).unwrap(), 2);
        assert_eq!(position("a", "abca", 2).unwrap(), 4);
        assert_eq!(position("x", "abc", 9).unwrap(), 0);
        assert_eq!(right("gr\u{fc}n", 2), "\u{fc}n");
    }

    #[test]
    fn texts_are_split_padded_and_repeated() {
        for (part, wanted) in [(0, "a"), (1, "a"), (3, ""), (-1, "c"), (-4, "")] {
            assert_eq!(split_part("a..c", "..", part), wanted, "{part}");
        }
        assert_eq!(split_part("abc", "", 1), "abc");
        assert_eq!(pad("7", 3, "0", true, 100).unwrap(), "007");
        assert_eq!(pad("abc", 2, "0", false, 100).unwrap(), "ab");
        assert!(pad("a", 1000, "0", true, 100).is_err());
        assert_eq!(repeat("ab", 2, 100).unwrap(), "abab");
        assert!(repeat("ab", i64::MAX, 100).is_err());
    }

    #[test]
    fn cases_are_those_of_unicode() {
        assert_eq!(change_case("\u{e9}a", true).unwrap(), "\u{c9}A");
        assert_eq!(change_case("\u{c9}A", false).unwrap(), "\u{e9}a");
        assert!(change_case("\u{df}", true).unwrap_err().is_unsupported());
    }
}
