//! Names as SQL writes them: parts between dots, quoted or not.

/// The parts of a name, in upper case unless quoted. Two quotes inside of quotes stand for one ("Identifier requirements" in
/// Snowflake's SQL reference). Characters that an unquoted identifier of SQL may not have, such as the `-` of a default pipe,
/// are accepted.
pub(crate) fn parts(text: &str) -> Result<Vec<String>, String> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (part, after) = unquoted(quoted)
                .ok_or_else(|| format!("{text:?} has a quote that is not closed"))?;
            parts.push(part);
            after
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            parts.push(part.to_uppercase());
            after
        };
        if parts.last().is_some_and(|part| part.trim().is_empty()) {
            return Err(format!("{text:?} has an empty part"));
        }
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(parts),
            None => {
                return Err(format!(
                    "{text:?} has text after a closing quote; separate the parts with a dot"
                ));
            }
        }
    }
}

/// Splits at the closing quote. Two quotes stand for one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(next) => {
                part.push('"');
                rest = next;
            }
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn names_follow_the_rules_of_sql() {
        assert_eq!(parts("db.public.rides").unwrap(), ["DB", "PUBLIC", "RIDES"]);
        assert_eq!(parts("rides-streaming").unwrap(), ["RIDES-STREAMING"]);
        assert_eq!(
            parts(r#"Db."my.schema"."say ""hi""""#).unwrap(),
            ["DB", "my.schema", "say \"hi\""]
        );
    }

    #[test]
    fn invalid_names_are_refused() {
        for text in ["", ".", "a.", ".a", "a..b", r#""a"#, r#""a"b"#, r#""""#] {
            assert!(parts(text).is_err(), "{text:?}");
        }
    }
}
