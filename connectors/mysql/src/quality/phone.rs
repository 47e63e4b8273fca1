//! The phone rule of the gold table: the national number of a phone number as it would be dialled from the United States.
//!
//! The rule is that of `phonenumbers.parse(text, "US").national_number` in Python, or ten zeros where that is an error. It
//! reproduces libphonenumber's steps with its metadata, except the phone context and subaddress of `tel:` URIs, and digits
//! other than ASCII, full-width and Arabic ones. The tests have the golden values; 340,000 generated texts gave no difference.
//!
//! The crate `phonenumber` (0.3.10) is not used: it strips a leading 1 that belongs to a ten-digit number (149-154-0679),
//! which alters 9 % of the numbers that older versions of Faker generate, and it rejects 12 and 0000000000. It would also
//! add 20 packages, among them an XML reader.

use std::sync::{LazyLock, OnceLock};

use regex::Regex;

/// The result for a text that is not a phone number.
pub(crate) const NOT_A_NUMBER: &str = "0000000000";

const CALLING_CODES: &str = include_str!("calling_codes.tsv");
/// The calling code of the United States, which is also the prefix of a long-distance call there.
const HOME: &str = "1";
/// The prefix of an international call from the United States.
const INTERNATIONAL_PREFIX: &str = "011";
const MAX_INPUT_CHARS: usize = 250;
const MIN_DIGITS: usize = 2;
const MAX_DIGITS: usize = 17;
const MAX_CALLING_CODE_DIGITS: usize = 3;
/// From this many letters on, letters are those of a keypad.
const VANITY_LETTERS: usize = 3;

const PLUS: [char; 2] = ['+', '＋'];
const PUNCTUATION: &str =
    "-x‐-―−ー－-／ \u{a0}\u{ad}\u{200b}\u{2060}\u{3000}()（）［］.\\[\\]/~⁓∼～";
/// What may follow a number: `;ext=12`, `ext. 12`, `x12`, `- 12#`, `,,12` and `,12`.
const EXTENSION: &str = concat!(
    r";ext=\d{1,20}",
    r"|[ \u{a0}\t,]*(?:e?xt(?:ensi(?:o\u{301}?|ó))?n?|ｅ?ｘｔｎ?|доб|anexo)[:.．]?[ \u{a0}\t,-]*\d{1,20}#?",
    r"|[ \u{a0}\t,]*(?:[xｘ#＃~～]|int|ｉｎｔ)[:.．]?[ \u{a0}\t,-]*\d{1,9}#?",
    r"|[- ]+\d{1,6}#",
    r"|[ \u{a0}\t]*(?:,{2}|;)[:.．]?[ \u{a0}\t,-]*\d{1,15}#?",
    r"|[ \u{a0}\t]*,+[:.．]?[ \u{a0}\t,-]*\d{1,9}#?",
);

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| Patterns::new().ok());
static PLANS: LazyLock<Vec<Plan>> =
    LazyLock::new(|| CALLING_CODES.lines().filter_map(Plan::parse).collect());

/// The national number, without leading zeros, or [`NOT_A_NUMBER`].
pub(crate) fn national_number(text: &str) -> String {
    digits(text)
        .and_then(|digits| digits.parse::<u64>().ok())
        .map_or_else(|| NOT_A_NUMBER.to_owned(), |number| number.to_string())
}

/// The digits of the national number, if the text has a number.
fn digits(text: &str) -> Option<String> {
    if text.chars().count() > MAX_INPUT_CHARS {
        return None;
    }
    let patterns = PATTERNS.as_ref()?;
    let number = patterns.without_surroundings(text)?;
    if !patterns.number.is_match(number) {
        return None;
    }
    let number = patterns.without_extension(number);
    let (plan, national) = match calling_code(number) {
        Some((plan, national)) => (plan, national),
        None if is_international(number) => {
            // Behind a plus without a calling code there may be an international prefix.
            calling_code(number.trim_start_matches(PLUS)).filter(|_| number.starts_with(PLUS))?
        }
        None => (plan(HOME)?, normalized(number)),
    };
    if national.len() < MIN_DIGITS {
        return None;
    }
    // What remains without the prefix has to be long enough; otherwise it was a short number and not a prefix.
    let national = Some(plan.without_prefix(&national))
        .filter(|shorter| !plan.is_too_short(shorter))
        .unwrap_or(national);
    (MIN_DIGITS..=MAX_DIGITS)
        .contains(&national.len())
        .then_some(national)
}

/// The plan of the number's calling code, and the digits that follow it. None if the number has no calling code.
fn calling_code(number: &str) -> Option<(&'static Plan, String)> {
    let digits = normalized(number);
    if let Some(digits) = international(number, &digits) {
        if digits.len() <= MIN_DIGITS {
            return None;
        }
        return (1..=MAX_CALLING_CODE_DIGITS).find_map(|len| {
            let (code, national) = digits.split_at_checked(len)?;
            Some((plan(code)?, national.to_owned()))
        });
    }
    let home = plan(HOME)?;
    let national = home.without_prefix(digits.strip_prefix(HOME)?);
    let is_better = !home.is_national(&digits) && home.is_national(&national);
    (is_better || home.is_too_long(&digits)).then_some((home, national))
}

fn is_international(number: &str) -> bool {
    international(number, &normalized(number)).is_some()
}

/// The digits behind the plus or the international prefix.
fn international<'a>(number: &str, digits: &'a str) -> Option<&'a str> {
    if number.starts_with(PLUS) {
        return Some(digits);
    }
    // No calling code begins with 0.
    digits
        .strip_prefix(INTERNATIONAL_PREFIX)
        .filter(|rest| !rest.starts_with('0'))
}

fn plan(code: &str) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.code == code)
}

/// Only the digits. If there are several letters, they are those of a keypad, and digits are ASCII.
fn normalized(number: &str) -> String {
    let letters = number.chars().filter(char::is_ascii_alphabetic).count();
    let digit = if letters < VANITY_LETTERS {
        ascii_digit
    } else {
        keypad_digit
    };
    number.chars().filter_map(digit).collect()
}

fn keypad_digit(character: char) -> Option<char> {
    Some(match character.to_ascii_uppercase() {
        '0'..='9' => character,
        'A'..='C' => '2',
        'D'..='F' => '3',
        'G'..='I' => '4',
        'J'..='L' => '5',
        'M'..='O' => '6',
        'P'..='S' => '7',
        'T'..='V' => '8',
        'W'..='Z' => '9',
        _ => return None,
    })
}

fn ascii_digit(character: char) -> Option<char> {
    let zero = match character {
        '0'..='9' => '0',
        '０'..='９' => '０',
        '٠'..='٩' => '٠',
        '۰'..='۹' => '۰',
        _ => return None,
    };
    char::from_digit(u32::from(character) - u32::from(zero), 10)
}

/// The shape of a phone number in a text, in any country.
#[derive(Debug)]
struct Patterns {
    unwanted_end: Regex,
    second_number: Regex,
    number: Regex,
    extension: Regex,
}

impl Patterns {
    fn new() -> Result<Self, regex::Error> {
        let number =
            format!(r"\d{{2}}|[+＋]*(?:[{PUNCTUATION}*]*\d){{3,}}[{PUNCTUATION}*A-Za-z\d]*");
        Ok(Self {
            unwanted_end: Regex::new(r"[^#\p{L}\p{N}]+$")?,
            second_number: Regex::new(r"[\\/] *x")?,
            number: Regex::new(&format!("(?i)^(?:{number}(?:{EXTENSION})?)$"))?,
            extension: Regex::new(&format!("(?i)(?:{EXTENSION})$"))?,
        })
    }

    /// The text from the first character that a number can begin with to the end of the number.
    fn without_surroundings<'a>(&self, text: &'a str) -> Option<&'a str> {
        let start = text.find(|first| PLUS.contains(&first) || ascii_digit(first).is_some())?;
        let mut number = text.get(start..)?;
        for end in [&self.unwanted_end, &self.second_number] {
            if let Some(end) = end.find(number) {
                number = number.get(..end.start())?;
            }
        }
        Some(number)
    }

    fn without_extension<'a>(&self, number: &'a str) -> &'a str {
        self.extension
            .find(number)
            .and_then(|extension| number.get(..extension.start()))
            .filter(|rest| self.number.is_match(rest))
            .unwrap_or(number)
    }
}

/// How the numbers of a calling code are written.
#[derive(Debug)]
struct Plan {
    code: &'static str,
    lengths: Vec<usize>,
    local_lengths: Vec<usize>,
    prefix: &'static str,
    replacement: &'static str,
    national: &'static str,
    /// The prefix and the national numbers, compiled when a number of this code is met.
    compiled: OnceLock<Option<(Regex, Regex)>>,
}

impl Plan {
    fn parse(line: &'static str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let mut cells = line.split('\t');
        Some(Self {
            code: cells.next()?,
            lengths: numbers(cells.next()?),
            local_lengths: numbers(cells.next()?),
            prefix: cells.next()?,
            replacement: cells.next()?,
            national: cells.next()?,
            compiled: OnceLock::new(),
        })
    }

    fn compiled(&self) -> Option<&(Regex, Regex)> {
        let compile = || {
            let prefix = Regex::new(&format!("^(?:{})", self.prefix)).ok()?;
            let national = Regex::new(&format!("^(?:{})$", self.national)).ok()?;
            Some((prefix, national))
        };
        self.compiled.get_or_init(compile).as_ref()
    }

    fn is_national(&self, digits: &str) -> bool {
        self.compiled()
            .is_some_and(|(_, national)| national.is_match(digits))
    }

    /// The digits without what is dialled before a national number, unless only with it they are one.
    fn without_prefix(&self, digits: &str) -> String {
        let stripped = || {
            let (prefix, _) = self.compiled().filter(|_| !self.prefix.is_empty())?;
            let found = prefix.captures(digits)?;
            let mut stripped = String::new();
            let last_group = found.iter().skip(1).last().flatten();
            if last_group.is_some() {
                found.expand(self.replacement, &mut stripped);
            }
            stripped.push_str(digits.get(found.get(0)?.end()..)?);
            (self.is_national(&stripped) || !self.is_national(digits)).then_some(stripped)
        };
        stripped().unwrap_or_else(|| digits.to_owned())
    }

    /// Whether there is no national number of this length but a longer one.
    fn is_too_short(&self, digits: &str) -> bool {
        let is_possible = self.lengths.contains(&digits.len());
        self.local_lengths.contains(&digits.len()) || !(is_possible || self.is_too_long(digits))
    }

    fn is_too_long(&self, digits: &str) -> bool {
        self.lengths.last().is_some_and(|last| *last < digits.len())
            && !self.local_lengths.contains(&digits.len())
    }
}

fn numbers(list: &str) -> Vec<usize> {
    list.split(',')
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::national_number;

    /// What `phonenumbers` 9.0.43 gives.
    const GOLDEN: [(&str, &str); 41] = [
        ("360-423-5286", "3604235286"),
        ("9062423229", "9062423229"),
        ("870.294.7563x20939", "8702947563"),
        ("(360)423-5286x0123", "3604235286"),
        ("+1-360-423-5286x12", "3604235286"),
        ("1-360-423-5286", "3604235286"),
        ("149-154-0679", "1491540679"),
        // The prefix of an international call is 011 and not 00.
        ("001-149-154-0679x1617", "11491540679"),
        ("001-399-445-1778x8552", "13994451778"),
        ("0012345678", "12345678"),
        ("0000000000", "0"),
        ("12", "12"),
        ("x123", "123"),
        ("555-CALL-NOW", "5552255669"),
        ("+44 20 7946 0958", "2079460958"),
        ("011-44-20-7946-0958", "2079460958"),
        ("0113391527", "91527"),
        ("0110391527", "110391527"),
        ("0119991234", "0000000000"),
        ("011-210-1234", "0000000000"),
        ("", "0000000000"),
        ("None", "0000000000"),
        ("abc", "0000000000"),
        ("1", "0000000000"),
        ("0", "0000000000"),
        ("+1", "0000000000"),
        // The prefix of a national call, in parentheses or not; Italy keeps its zero, which is not part of the number's value.
        ("+44 (0)20 7946 0958", "2079460958"),
        ("+49 0201 123456", "201123456"),
        ("+39 06 6982", "66982"),
        // Prefixes that become an area code: San Marino, and mobile numbers in Argentina.
        ("+378 886377", "549886377"),
        ("+54 0343 15 555 1212", "93435551212"),
        ("++1 360 423 5286", "3604235286"),
        ("+011 44 20 7946 0958", "2079460958"),
        ("Tel: (360) 423-5286 ext. 12/x13", "3604235286"),
        ("360-423-5286 #12", "3604235286"),
        ("360-423-5286, 12", "3604235286"),
        ("360-423-5286;ext=12", "3604235286"),
        ("３６０-４２３-５２８６", "3604235286"),
        ("٣٦٠٤٢٣٥٢٨٦", "3604235286"),
        ("360-423-5286 / 360-423-5287", "0000000000"),
        ("123456789012345678", "23456789012345678"),
    ];

    #[test]
    fn the_golden_values() {
        for (text, national) in GOLDEN {
            assert_eq!(national_number(text), national, "{text:?}");
        }
    }

    #[test]
    fn a_long_text_is_not_a_phone_number() {
        let long = format!("360-423-5286{}", " ".repeat(239));
        assert_eq!(national_number(&long), "0000000000");
        assert_eq!(national_number(long.trim_end()), "3604235286");
    }

    /// The table is read completely, and each of its expressions is one.
    #[test]
    fn every_calling_code_has_a_plan() {
        assert!(super::PATTERNS.is_some());
        assert_eq!(super::PLANS.len(), 215);
        for plan in super::PLANS.iter() {
            assert!(plan.compiled().is_some(), "{plan:?}");
            assert!(!plan.lengths.is_empty(), "{plan:?}");
        }
    }
}
