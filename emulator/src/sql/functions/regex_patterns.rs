//! Patterns of Snowflake's regular expressions, written in the syntax of the crate `regex-automata`.
//!
//! They are POSIX extended expressions with Perl's classes, as [String functions (regular expressions)] describes them. What that
//! page leaves open is refused: lazy and stacked quantifiers, empty alternatives, and escapes that it does not list.
//!
//! [String functions (regular expressions)]: https://docs.snowflake.com/en/sql-reference/functions-regexp

use std::iter::Peekable;
use std::str::Chars;

use super::raised::Raised;

/// The classes of POSIX. Whether they have characters beyond those of ASCII is not documented.
const CLASSES: &[&str] = &[
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
];
/// How often a part of a pattern may be repeated by number.
const MOST_REPEATS: u32 = 1_000;

/// A pattern, translated.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    pub(super) translated: String,
    /// How many groups it captures.
    pub(super) groups: usize,
    /// What it has of `^` and `\B`, which depend on where a text begins.
    pub(super) start: Option<&'static str>,
    /// Whether it has a `|`.
    pub(super) has_alternatives: bool,
    /// What it has that leaves open what its groups capture.
    pub(super) open_groups: Option<&'static str>,
    /// Whether it has `\s` or `\S`.
    has_space: bool,
    /// Whether it has a class of POSIX.
    has_posix_class: bool,
}

impl Pattern {
    pub(super) fn read(pattern: &str) -> Result<Self, Raised> {
        let mut translator = Translator {
            whole: pattern,
            rest: pattern.chars().peekable(),
            done: Self::default(),
            open: Vec::new(),
            last: Last::Nothing,
        };
        while let Some(sign) = translator.rest.next() {
            translator.sign(sign)?;
        }
        translator.ended()
    }

    /// Refuses a text with a character of which it is not documented whether a class of the pattern has it.
    pub(super) fn check(&self, text: &str) -> Result<(), Raised> {
        let is_odd_space = |c: char| c == '\u{b}' || (!c.is_ascii() && c.is_whitespace());
        let is_doubtful = |c: char| {
            (self.has_space && is_odd_space(c)) || (self.has_posix_class && !c.is_ascii())
        };
        match text.chars().find(|c| is_doubtful(*c)) {
            Some(odd) => Err(Raised::unsupported(format!(
                "the character {odd:?} in a text that a class of a regular expression is compared with"
            ))),
            None => Ok(()),
        }
    }
}

/// What a quantifier would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing stands before, in this alternative.
    Nothing,
    /// `^`, `$`, `\b` or `\B`.
    Anchor,
    Atom,
    /// A group with groups in it.
    Groups,
    Quantifier,
}

/// What a backslash and a letter mean.
enum Escaped {
    Literal(char),
    /// The ranges of a class, and whether it has all other characters.
    Class(&'static str, bool),
    Boundary(&'static str),
}

struct Translator<'a> {
    whole: &'a str,
    rest: Peekable<Chars<'a>>,
    done: Pattern,
    /// The numbers of the groups that are open.
    open: Vec<usize>,
    last: Last,
}

impl Translator<'_> {
    fn refused(&self, what: &str) -> Raised {
        Raised::unsupported(format!("{what} in the regular expression '{}'", self.whole))
    }

    fn invalid(&self, what: &str) -> Raised {
        let message = format!("Invalid regular expression: '{}', {what}", self.whole);
        Raised::new("100048", "2201B", message)
    }

    fn write(&mut self, text: &str, last: Last) {
        self.done.translated.push_str(text);
        self.last = last;
    }

    fn ended(self) -> Result<Pattern, Raised> {
        if !self.open.is_empty() {
            return Err(self.invalid("missing )"));
        }
        if self.last == Last::Nothing && !self.whole.is_empty() {
            return Err(self.refused("an empty alternative"));
        }
        Ok(self.done)
    }

    fn sign(&mut self, sign: char) -> Result<(), Raised> {
        match sign {
            '\\' => match self.escaped()? {
                Escaped::Literal(letter) => self.literal(letter),
                Escaped::Class(ranges, is_negated) => {
                    let not = if is_negated { "^" } else { "" };
                    self.write(&format!("[{not}{ranges}]"), Last::Atom);
                }
                Escaped::Boundary(boundary) => self.write(boundary, Last::Anchor),
            },
            '[' => self.bracket()?,
            '(' => self.group()?,
            ')' if self.open.is_empty() => return Err(self.invalid("unexpected )")),
            ')' | '|' if self.last == Last::Nothing => {
                return Err(self.refused("an empty alternative"));
            }
            ')' => {
                let is_last = self.open.pop() == Some(self.done.groups);
                self.write(")", if is_last { Last::Atom } else { Last::Groups });
            }
            '|' => {
                self.done.has_alternatives = true;
                self.done.open_groups = Some("|");
                self.write("|", Last::Nothing);
            }
            '*' | '+' | '?' => self.quantifier(&sign.to_string())?,
            '{' => {
                let times = self.times()?;
                self.quantifier(&times)?;
            }
            '.' => self.write(".", Last::Atom),
            '^' => {
                self.done.start = Some("^");
                self.write("^", Last::Anchor);
            }
            '$' => self.write("$", Last::Anchor),
            literal => self.literal(literal),
        }
        Ok(())
    }

    fn literal(&mut self, letter: char) {
        let written = escaped(letter);
        self.write(&written, Last::Atom);
    }

    fn group(&mut self) -> Result<(), Raised> {
        self.done.groups += 1;
        match self.rest.peek() {
            Some('?') => return Err(self.refused("(?")),
            Some(')') => {
                self.rest.next();
                self.write("()", Last::Atom);
            }
            _ => {
                self.open.push(self.done.groups);
                self.write("(", Last::Nothing);
            }
        }
        Ok(())
    }

    fn quantifier(&mut self, written: &str) -> Result<(), Raised> {
        match self.last {
            Last::Atom | Last::Groups => {
                if self.last == Last::Groups {
                    self.done.open_groups = Some("a repeated group in a group");
                }
                self.write(written, Last::Quantifier);
                Ok(())
            }
            Last::Nothing => {
                let what = format!("no argument for repetition operator: {written}");
                Err(self.invalid(&what))
            }
            Last::Anchor => Err(self.refused("an anchor with a quantifier")),
            Last::Quantifier => {
                Err(self.refused("a quantifier behind a quantifier, which would be lazy in Perl,"))
            }
        }
    }

    /// What follows `{`: how many times.
    fn times(&mut self) -> Result<String, Raised> {
        let mut written = String::new();
        loop {
            match self.rest.next() {
                Some('}') => break,
                Some(sign) if sign.is_ascii_digit() || sign == ',' => written.push(sign),
                _ => return Err(self.refused("a { that begins no {n}, {n,} or {n,m}")),
            }
        }
        let (least, most) = written.split_once(',').unwrap_or((&written, &written));
        let read = |digits: &str| digits.parse().ok().filter(|times| *times <= MOST_REPEATS);
        let least = read(least);
        let most = if most.is_empty() {
            Some(MOST_REPEATS)
        } else {
            read(most)
        };
        match least.zip(most) {
            Some((least, most)) if least <= most => Ok(format!("{{{written}}}")),
            _ => Err(self.invalid(&format!("bad repetition operator: {{{written}}}"))),
        }
    }

    fn escaped(&mut self) -> Result<Escaped, Raised> {
        let Some(letter) = self.rest.next() else {
            return Err(self.invalid("trailing \\"));
        };
        if matches!(letter, 's' | 'S') {
            self.done.has_space = true;
        }
        if letter == 'B' {
            self.done.start = Some("\\B");
        }
        let is_negated = letter.is_ascii_uppercase();
        Ok(match letter {
            'd' | 'D' => Escaped::Class("0-9", is_negated),
            'w' | 'W' => Escaped::Class("0-9A-Za-z_", is_negated),
            's' | 'S' => Escaped::Class(r"\t\n\f\r ", is_negated),
            'n' => Escaped::Literal('\n'),
            'b' => Escaped::Boundary(r"(?-u:\b)"),
            'B' => Escaped::Boundary(r"(?-u:\B)"),
            literal if literal.is_ascii_punctuation() => Escaped::Literal(literal),
            other => return Err(self.refused(&format!("the escape sequence \\{other}"))),
        })
    }

    /// What follows `[`.
    fn bracket(&mut self) -> Result<(), Raised> {
        let mut written = "[".to_owned();
        if self.rest.next_if_eq(&'^').is_some() {
            written.push('^');
        }
        let mut is_first = true;
        loop {
            let Some(sign) = self.rest.next() else {
                return Err(self.invalid("missing ]"));
            };
            match sign {
                ']' if !is_first => break,
                '[' if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                    written.push_str(&self.named_class()?);
                }
                '\\' => match self.escaped()? {
                    Escaped::Literal(letter) => self.range(letter, &mut written)?,
                    Escaped::Class(ranges, true) => written.extend(["[^", ranges, "]"]),
                    Escaped::Class(ranges, false) => written.push_str(ranges),
                    Escaped::Boundary(_) => return Err(self.refused("a boundary in brackets")),
                },
                letter => self.range(letter, &mut written)?,
            }
            is_first = false;
        }
        written.push(']');
        self.write(&written, Last::Atom);
        Ok(())
    }

    /// What follows `[` in brackets: `:alpha:]`.
    fn named_class(&mut self) -> Result<String, Raised> {
        let mut name = String::new();
        loop {
            match self.rest.next() {
                Some(']') => break,
                Some(sign) if name.len() < 10 => name.push(sign),
                _ => return Err(self.invalid("missing ]")),
            }
        }
        let inner = name
            .strip_prefix(':')
            .and_then(|name| name.strip_suffix(':'));
        if !inner.is_some_and(|inner| CLASSES.contains(&inner)) {
            return Err(self.refused(&format!("[{name}]")));
        }
        self.done.has_posix_class = true;
        Ok(format!("[{name}]"))
    }

    /// A character in brackets, or the range that begins with it.
    fn range(&mut self, from: char, written: &mut String) -> Result<(), Raised> {
        let mut after = self.rest.clone();
        let is_range = after.next() == Some('-') && after.next().is_some_and(|to| to != ']');
        written.push_str(&escaped(from));
        if !is_range {
            return Ok(());
        }
        self.rest.next();
        let to = match self.rest.next() {
            Some('\\') => match self.escaped()? {
                Escaped::Literal(letter) => letter,
                _ => return Err(self.invalid("bad character class range")),
            },
            Some('[') | None => return Err(self.refused("a range that ends with [")),
            Some(letter) => letter,
        };
        if to < from {
            return Err(self.invalid(&format!("invalid character class range: {from}-{to}")));
        }
        written.push('-');
        written.push_str(&escaped(to));
        Ok(())
    }
}

/// A character that means itself.
fn escaped(letter: char) -> String {
    match letter {
        '<' | '>' => letter.to_string(),
        _ if letter.is_ascii_punctuation() => format!("\\{letter}"),
        _ => letter.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_translated() {
        for (pattern, wanted) in [
            (r"\d+\.\w", r"[0-9]+\.[0-9A-Za-z_]"),
            (r"[[:alpha:]_]{2,}", r"[[:alpha:]\_]{2,}"),
            (
                r"([\w:/]+\s[+\-]\D)",
                r"([0-9A-Za-z_\:\/]+[\t\n\f\r ][\+\-][^0-9])",
            ),
            ("[]a-f-]", r"[\]a-f\-]"),
            (r"[^\S]", r"[^[^\t\n\f\r ]]"),
            ("()|a<b", "()|a<b"),
            (r"^\bx\B$", r"^(?-u:\b)x(?-u:\B)$"),
            ("", ""),
        ] {
            assert_eq!(
                Pattern::read(pattern).unwrap().translated,
                wanted,
                "{pattern}"
            );
        }
        assert_eq!(Pattern::read("(a)(b(c))").unwrap().groups, 3);
    }

    #[test]
    fn what_is_not_documented_is_refused() {
        for pattern in [
            "a*?",
            "a+?",
            "a**",
            "(?i)a",
            "a|",
            "|a",
            "(a|)",
            "^*",
            "a{x}",
            "{2}",
            r"\p{L}",
            r"\1",
            r"\t",
            "[[.a.]]",
            "[[:word:]]",
            r"[\b]",
            "[[=a=]]",
        ] {
            let why = Pattern::read(pattern).unwrap_err();
            assert!(why.is_unsupported() || pattern == "{2}", "{pattern}: {why}");
        }
        for pattern in [
            "(a",
            "a)",
            "*a",
            "a{2,1}",
            "a{1001}",
            "[a",
            r"a\",
            "[z-a]",
            "[[:alpha:",
        ] {
            assert_eq!(
                Pattern::read(pattern).unwrap_err().code,
                "100048",
                "{pattern}"
            );
        }
        let space = Pattern::read(r"\s").unwrap();
        assert!(space.check("a \u{e9}").is_ok());
        assert!(space.check("\u{a0}").unwrap_err().is_unsupported());
        assert!(
            Pattern::read("[[:alpha:]]")
                .unwrap()
                .check("\u{e9}")
                .is_err()
        );
        assert!(
            Pattern::read("[[:punct:]]")
                .unwrap()
                .check("\u{e9}")
                .is_err()
        );
    }
}
