//! The one spelling of a JSON value, in which it is displayed and cast: keys in order, no white space, strings without needless
//! escapes, and numbers without zeros at the end.
//!
//! The order of keys is that of the examples of <https://docs.snowflake.com/en/sql-reference/functions/parse_json>.

use super::raised::Raised;

/// How deep a value may be.
pub(super) const MOST_DEPTH: usize = 100;
/// How many digits a number may have that is no double.
const MOST_DIGITS: usize = 38;

/// How a number is spelled.
pub(super) type Spell = fn(&str) -> Result<String, Raised>;

/// A string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The content of a string.
pub(super) fn content(json: &str) -> Result<String, Raised> {
    serde_json::from_str(json).map_err(|_| {
        Raised::unsupported("a string of a VARIANT with an escape that is half of a character")
    })
}

/// Whether Snowflake keeps a number as a double: one with an exponent, or with more digits than a NUMBER can have.
pub(super) fn is_double(digits: &str) -> bool {
    let is_digit = |letter: &char| letter.is_ascii_digit();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches(['-', '0']);
    let count = whole.chars().filter(is_digit).count() + fraction.trim_end_matches('0').len();
    digits.contains(['e', 'E']) || count > MOST_DIGITS
}

/// A number as text. What a double is as text is not documented.
pub(super) fn number(digits: &str) -> Result<String, Raised> {
    if is_double(digits) {
        return Err(Raised::unsupported(format!(
            "the VARIANT number {digits} as text: cast it to NUMBER or FLOAT"
        )));
    }
    Ok(match digits.split_once('.') {
        Some((whole, fraction)) => match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        },
        None => digits.to_owned(),
    })
}

/// A number as an answer shows it: a double with an exponent.
///
/// From the examples of <https://docs.snowflake.com/en/sql-reference/functions/typeof>.
pub(super) fn displayed_number(digits: &str) -> String {
    if let Ok(number) = number(digits) {
        return number;
    }
    let value: f64 = digits.parse().unwrap_or_default();
    let text = format!("{value:.15e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let sign = if exponent.starts_with('-') { '-' } else { '+' };
            format!("{mantissa}e{sign}{:0>2}", exponent.trim_start_matches('-'))
        }
        None => text,
    }
}

/// A value as an answer shows it.
pub(crate) fn displayed(json: &str) -> Result<String, Raised> {
    spelled(json, |digits| Ok(displayed_number(digits)))
}

/// An object or array that is open.
#[derive(Default)]
struct Open {
    /// What is written of an array, or of the value of an object's last key.
    text: String,
    /// The keys of an object and their values; none for an array.
    fields: Option<Vec<(String, String)>>,
    /// The key whose value is being written.
    key: Option<String>,
}

impl Open {
    fn object() -> Self {
        Self {
            fields: Some(Vec::new()),
            ..Self::default()
        }
    }

    fn end_field(&mut self) {
        if let (Some(fields), Some(key)) = (&mut self.fields, self.key.take()) {
            fields.push((key, std::mem::take(&mut self.text)));
        }
    }

    fn ended(mut self) -> String {
        self.end_field();
        let Some(mut fields) = self.fields else {
            return format!("[{}]", self.text);
        };
        fields.sort_by(|(one, _), (other, _)| one.cmp(other));
        let fields: Vec<String> = fields
            .into_iter()
            .map(|(key, value)| format!("{}:{value}", quoted(&key)))
            .collect();
        format!("{{{}}}", fields.join(","))
    }
}

/// A JSON value in its one spelling. No recursion, because the depth is the client's choice.
pub(super) fn spelled(json: &str, spell: Spell) -> Result<String, Raised> {
    let mut outer: Vec<Open> = Vec::new();
    let mut open = Open::default();
    let mut rest = json.trim_start();
    while let Some(sign) = rest.chars().next() {
        let length = match sign {
            '"' => length_of_string(rest),
            '{' | '}' | '[' | ']' | ',' | ':' => 1,
            _ => rest
                .find(|c: char| "{}[],:\"".contains(c) || c.is_ascii_whitespace())
                .unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        rest = behind.trim_start();
        match sign {
            '{' | '[' => {
                if outer.len() == MOST_DEPTH {
                    return Err(Raised::unsupported(format!(
                        "a VARIANT of more than {MOST_DEPTH} levels as text"
                    )));
                }
                let inner = if sign == '{' {
                    Open::object()
                } else {
                    Open::default()
                };
                outer.push(std::mem::replace(&mut open, inner));
            }
            '}' | ']' => {
                let ended = open.ended();
                open = outer.pop().unwrap_or_default();
                open.text.push_str(&ended);
            }
            ',' if open.fields.is_some() => open.end_field(),
            ',' => open.text.push(','),
            ':' => {}
            '"' if open.fields.is_some() && open.key.is_none() => open.key = Some(content(token)?),
            '"' => open.text.push_str(&quoted(&content(token)?)),
            '-' | '0'..='9' => open.text.push_str(&spell(token)?),
            _ => open.text.push_str(token),
        }
    }
    Ok(open.text)
}

/// The length of the string that a text begins with, its quotes included.
fn length_of_string(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.char_indices().skip(1).find(|(_, character)| {
        let is_end = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        is_end
    });
    end.map_or(json.len(), |(place, _)| place + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_spelling() {
        for (json, wanted) in [
            (" null ", "null"),
            ("[ ]", "[]"),
            ("{ }", "{}"),
            ("[1.50, -0.10 ,3.00, 10]", "[1.5,-0.1,3,10]"),
            (
                r#"{"n":"\u00e9\/\n{\"", "a": true}"#,
                r#"{"a":true,"n":"é/\n{\""}"#,
            ),
            (
                r#"{"b":{"d":[{"f":1, "e":2}], "c":{}}, "a":"x,:\\"}"#,
                r#"{"a":"x,:\\","b":{"c":{},"d":[{"e":2,"f":1}]}}"#,
            ),
            (r#"{"\u0062":1,"a":2}"#, r#"{"a":2,"b":1}"#),
        ] {
            assert_eq!(spelled(json, number).unwrap(), wanted, "{json}");
            assert_eq!(displayed(json).unwrap(), wanted, "{json}");
        }
    }

    #[test]
    fn doubles_are_displayed_and_not_cast() {
        let long = "1".repeat(39);
        for (json, wanted) in [
            ("[1.912e2]", "[1.912000000000000e+02]"),
            ("{\"a\":-1E-7}", "{\"a\":-1.000000000000000e-07}"),
            (&*long, "1.111111111111111e+38"),
        ] {
            assert_eq!(displayed(json).unwrap(), wanted);
            assert!(
                spelled(json, number).unwrap_err().is_unsupported(),
                "{json}"
            );
        }
        let whole = "9".repeat(38);
        assert_eq!(displayed(&whole).unwrap(), whole);
    }

    #[test]
    fn what_has_no_spelling_is_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(displayed(&deep(MOST_DEPTH)).is_ok());
        for json in [
            deep(MOST_DEPTH + 1),
            deep(1_000_000),
            r#"["\ud800"]"#.to_owned(),
        ] {
            assert!(displayed(&json).unwrap_err().is_unsupported());
        }
    }
}
