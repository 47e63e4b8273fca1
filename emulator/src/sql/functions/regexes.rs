//! The functions of regular expressions.
//!
//! Whether Snowflake takes the longest match or that of the first alternative is not documented: a text in which they differ is
//! refused, and so are groups whose parts depend on it, and an empty match right behind another one.

use std::cell::RefCell;
use std::rc::Rc;

use regex_automata::dfa::onepass;
use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, Span};
use rusqlite::Connection;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};

use super::arguments::{boolean, integer, text, whole};
use super::deadline::Deadline;
use super::raised::{Raised, shortened};
use super::regex_patterns::Pattern;
use super::scalars::{MOST_BYTES, PREFIX, raised};
use super::texts::too_long;

/// How many bytes an expression may have, compiled.
const MOST_COMPILED: usize = 256 * 1024;
/// How many bytes an expression may use while it searches.
const MOST_CACHE: usize = 256 * 1024;
/// The states of an expression times the bytes of a text: what a single search may take in the worst case.
const MOST_WORK: usize = 1 << 27;
/// How many expressions a thread keeps.
const MOST_KEPT: usize = 16;
/// How many groups `REGEXP_REPLACE` may have.
const MOST_REPLACED_GROUPS: usize = 9;

/// A function, and how many arguments it has.
type Function = (&'static str, i32, fn(&Call<'_, '_>) -> Result<Value, Stop>);

const FUNCTIONS: &[Function] = &[
    ("sf_regexp_like", 3, like),
    ("sf_regexp_count", 4, count),
    ("sf_regexp_replace", 6, replace),
    ("sf_regexp_substr", 5, substring),
    ("sf_regexp_substr", 6, substring),
    ("sf_regexp_instr", 6, position),
    ("sf_regexp_instr", 7, position),
];

/// Makes the functions known to a connection.
pub(crate) fn register(connection: &Connection, deadline: Deadline) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    for (name, arguments, function) in FUNCTIONS {
        connection.create_scalar_function(*name, *arguments, flags, move |context| {
            if (0..context.len()).any(|at| context.get_raw(at) == ValueRef::Null) {
                return Ok(Value::Null);
            }
            function(&Call { context, deadline }).map_err(|why| match why {
                Stop::Raised(why) => raised(why),
                Stop::TooLate => deadline.stopped(&name.trim_start_matches(PREFIX).to_uppercase()),
            })
        })?;
    }
    Ok(())
}

/// Why a call has no result.
enum Stop {
    Raised(Raised),
    TooLate,
}

impl From<Raised> for Stop {
    fn from(raised: Raised) -> Self {
        Self::Raised(raised)
    }
}

fn unsupported(what: impl std::fmt::Display) -> Stop {
    Stop::Raised(Raised::unsupported(what))
}

/// A call whose first two arguments are a text and a pattern.
struct Call<'a, 'b> {
    context: &'a Context<'b>,
    deadline: Deadline,
}

impl<'a> Call<'a, '_> {
    fn text(&self, at: usize) -> Result<&'a str, Raised> {
        text(self.context, at)
    }

    fn whole(&self, at: usize) -> Result<i64, Raised> {
        whole(self.context, at)
    }

    /// An argument that counts from `least` on.
    fn count(&self, at: usize, least: usize, what: &str) -> Result<usize, Stop> {
        let given = self.whole(at)?;
        let count = usize::try_from(given).ok().filter(|count| *count >= least);
        count.ok_or_else(|| unsupported(format!("{what} {given}")))
    }

    /// The expression, and how it is used.
    fn regex(&self, parameters_at: usize) -> Result<(Rc<Compiled>, Parameters), Stop> {
        let parameters = Parameters::read(self.text(parameters_at)?)?;
        let regex = compiled(self.text(1)?, parameters.flags)?;
        let text = self.text(0)?;
        regex.pattern.check(text)?;
        if regex.states.saturating_mul(text.len() + 1) > MOST_WORK {
            return Err(unsupported(format!(
                "a regular expression of {} states on a text of {} bytes",
                regex.states,
                text.len()
            )));
        }
        Ok((regex, parameters))
    }

    /// Where the character at a position begins.
    fn start(&self, position_at: usize, regex: &Compiled) -> Result<usize, Stop> {
        let position = self.count(position_at, 1, "a regular expression from position")?;
        if let Some(start) = regex.pattern.start.filter(|_| position > 1) {
            return Err(unsupported(format!(
                "{start} in a search that begins behind the first character"
            )));
        }
        let text = self.text(0)?;
        let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        starts.nth(position - 1).ok_or_else(|| {
            unsupported(format!(
                "a search from position {position} of a shorter text"
            ))
        })
    }

    fn matches<'r>(&self, regex: &'r Compiled, within: &'a str) -> Matches<'r, 'a> {
        Matches {
            regex,
            within,
            at: 0,
            filled_to: None,
            deadline: self.deadline,
        }
    }

    /// The occurrence of a group in a text from a position on. The arguments from the third on are position and occurrence; the
    /// group is the one behind the parameters, if it is given.
    fn found(&self, parameters_at: usize) -> Result<Option<(usize, Span)>, Stop> {
        let (regex, parameters) = self.regex(parameters_at)?;
        let start = self.start(2, &regex)?;
        let occurrence = self.count(3, 1, "an occurrence of")?;
        let within = self.text(0)?.get(start..).unwrap_or_default();
        let groups = regex.pattern.groups;
        let group = if self.context.len() > parameters_at + 1 {
            let group = self.count(parameters_at + 1, 1, "the group")?;
            if group > groups {
                return Err(unsupported(format!("group {group} of {groups}")));
            }
            group
        } else {
            usize::from(parameters.extracts && groups > 0)
        };
        let mut matches = self.matches(&regex, within);
        for _ in 1..occurrence {
            if matches.next()?.is_none() {
                return Ok(None);
            }
        }
        let Some(found) = matches.next()? else {
            return Ok(None);
        };
        let span = match group {
            0 => found,
            _ => regex.group(within, found, group)?,
        };
        Ok(Some((start, span)))
    }
}

/// The argument `parameters`.
#[derive(Debug, Clone, Copy, Default)]
struct Parameters {
    flags: Flags,
    /// Whether the first group is asked for.
    extracts: bool,
}

/// How an expression is compiled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flags {
    ignores_case: bool,
    has_lines: bool,
    is_dot_any: bool,
}

impl Parameters {
    fn read(letters: &str) -> Result<Self, Raised> {
        let mut parameters = Self::default();
        let flags = &mut parameters.flags;
        for letter in letters.chars() {
            match letter {
                'c' => flags.ignores_case = false,
                'i' => flags.ignores_case = true,
                'm' => flags.has_lines = true,
                's' => flags.is_dot_any = true,
                'e' => parameters.extracts = true,
                other => {
                    return Err(Raised::unsupported(format!(
                        "the parameter {other:?} of a regular expression: there are c, i, m, s and e"
                    )));
                }
            }
        }
        Ok(parameters)
    }
}

/// An expression, compiled.
struct Compiled {
    pattern: Pattern,
    is_empty: bool,
    /// Takes the first alternative.
    first: Regex,
    /// Takes the longest match; none where that is the one of the first alternative in every text.
    longest: Option<Regex>,
    states: usize,
}

impl Compiled {
    fn new(pattern: &str, flags: Flags) -> Result<Self, Raised> {
        let read = Pattern::read(pattern)?;
        let too_large =
            |why: String| Raised::unsupported(format!("the regular expression '{pattern}': {why}"));
        let syntax = syntax::Config::new()
            .case_insensitive(flags.ignores_case)
            .multi_line(flags.has_lines)
            .dot_matches_new_line(flags.is_dot_any)
            // For \B alone, which could match within a character; an empty match there is left out.
            .utf8(false);
        let nfa = NFA::compiler()
            .syntax(syntax)
            .configure(
                NFA::config()
                    .nfa_size_limit(Some(MOST_COMPILED))
                    .which_captures(WhichCaptures::Implicit),
            )
            .build(&read.translated)
            .map_err(|why| too_large(why.to_string()))?;
        let build = |kind| {
            let config = Config::new()
                .match_kind(kind)
                .nfa_size_limit(Some(MOST_COMPILED))
                .onepass_size_limit(Some(MOST_COMPILED))
                .hybrid_cache_capacity(MOST_CACHE);
            Regex::builder()
                .syntax(syntax)
                .configure(config)
                .build(&read.translated)
                .map_err(|why| too_large(why.to_string()))
        };
        let states = nfa.states().len();
        // Without alternatives, and where a text can go on in one way only, quantifiers take all that they can.
        let is_one_way = !read.has_alternatives
            && onepass::Builder::new()
                .configure(onepass::Config::new().size_limit(Some(MOST_COMPILED)))
                .build_from_nfa(nfa)
                .is_ok();
        Ok(Self {
            first: build(MatchKind::LeftmostFirst)?,
            longest: (!is_one_way).then(|| build(MatchKind::All)).transpose()?,
            states,
            is_empty: pattern.is_empty(),
            pattern: read,
        })
    }

    /// The end of the longest match that begins at `start`.
    fn longest_from(&self, within: &str, start: usize) -> Option<usize> {
        let input = Input::new(within).range(start..).anchored(Anchored::Yes);
        let longest = self.longest.as_ref().unwrap_or(&self.first);
        longest.search(&input).map(|found| found.end())
    }

    /// What a group has of a match.
    fn group(&self, within: &str, found: Span, group: usize) -> Result<Span, Stop> {
        if let Some(what) = self.pattern.open_groups {
            return Err(unsupported(format!(
                "a group of a regular expression with {what}"
            )));
        }
        let mut groups = self.first.create_captures();
        let input = Input::new(within).span(found).anchored(Anchored::Yes);
        self.first.search_captures(&input, &mut groups);
        groups
            .get_group(group)
            .ok_or_else(|| unsupported(format!("group {group} of a match that it has no part of")))
    }
}

thread_local! {
    /// The expressions that this thread has compiled, the last used first.
    static KEPT: RefCell<Vec<(String, Flags, Rc<Compiled>)>> = const { RefCell::new(Vec::new()) };
}

fn compiled(pattern: &str, flags: Flags) -> Result<Rc<Compiled>, Raised> {
    KEPT.with_borrow_mut(|kept| {
        let known = kept
            .iter()
            .position(|(known, as_flags, _)| known == pattern && *as_flags == flags);
        if let Some(used) = known.and_then(|position| kept.get_mut(..=position)) {
            used.rotate_right(1);
        } else {
            let made = Rc::new(Compiled::new(pattern, flags)?);
            kept.truncate(MOST_KEPT - 1);
            kept.insert(0, (pattern.to_owned(), flags, made));
        }
        let first = kept.first().map(|(_, _, regex)| Rc::clone(regex));
        first.ok_or_else(|| Raised::internal("no regular expression"))
    })
}

/// The matches of an expression, from left to right.
struct Matches<'r, 'a> {
    regex: &'r Compiled,
    within: &'a str,
    at: usize,
    /// The end of the last match, if it was not empty.
    filled_to: Option<usize>,
    deadline: Deadline,
}

impl Matches<'_, '_> {
    fn next(&mut self) -> Result<Option<Span>, Stop> {
        if self.at > self.within.len() || self.regex.is_empty {
            return Ok(None);
        }
        if self.deadline.is_over() {
            return Err(Stop::TooLate);
        }
        let input = Input::new(self.within).range(self.at..);
        let Some(found) = self.regex.first.search(&input) else {
            return Ok(None);
        };
        if self.regex.longest.is_some() {
            let longest = self.regex.longest_from(self.within, found.start());
            if longest != Some(found.end()) {
                let part = |end| self.within.get(found.start()..end).unwrap_or_default();
                return Err(unsupported(format!(
                    "a match of a regular expression that could be '{}' or '{}'",
                    shortened(part(found.end())),
                    shortened(part(longest.unwrap_or(found.end())))
                )));
            }
        }
        if found.is_empty() {
            if self.filled_to == Some(found.start()) {
                return Err(unsupported(
                    "an empty match of a regular expression right behind another match",
                ));
            }
            let rest = self.within.get(found.end()..).unwrap_or_default();
            self.at = found.end() + rest.chars().next().map_or(1, char::len_utf8);
            self.filled_to = None;
        } else {
            self.at = found.end();
            self.filled_to = Some(found.end());
        }
        Ok(Some(found.span()))
    }
}

/// `REGEXP_LIKE(text, pattern, parameters)`: whether all of the text matches.
fn like(call: &Call<'_, '_>) -> Result<Value, Stop> {
    let (regex, parameters) = call.regex(2)?;
    let text = call.text(0)?;
    if parameters.flags.has_lines && text.contains('\n') {
        return Err(unsupported(
            "REGEXP_LIKE of a text of several lines in multi-line mode",
        ));
    }
    Ok(boolean(regex.longest_from(text, 0) == Some(text.len())))
}

/// `REGEXP_COUNT(text, pattern, position, parameters)`
fn count(call: &Call<'_, '_>) -> Result<Value, Stop> {
    let (regex, _) = call.regex(3)?;
    let start = call.start(2, &regex)?;
    let mut matches = call.matches(&regex, call.text(0)?.get(start..).unwrap_or_default());
    let mut count = 0;
    while matches.next()?.is_some() {
        count += 1;
    }
    Ok(integer(count)?)
}

/// `REGEXP_SUBSTR(text, pattern, position, occurrence, parameters[, group])`
fn substring(call: &Call<'_, '_>) -> Result<Value, Stop> {
    let Some((start, span)) = call.found(4)? else {
        return Ok(Value::Null);
    };
    let found = call.text(0)?.get(start + span.start..start + span.end);
    Ok(Value::Text(found.unwrap_or_default().to_owned()))
}

/// `REGEXP_INSTR(text, pattern, position, occurrence, option, parameters[, group])`
fn position(call: &Call<'_, '_>) -> Result<Value, Stop> {
    let is_behind = match call.whole(4)? {
        0 => false,
        1 => true,
        other => return Err(unsupported(format!("the option {other} of REGEXP_INSTR"))),
    };
    let Some((start, span)) = call.found(5)? else {
        return Ok(Value::Integer(0));
    };
    let at = start + if is_behind { span.end } else { span.start };
    let before = call.text(0)?.get(..at).unwrap_or_default();
    Ok(integer(before.chars().count() + 1)?)
}

/// `REGEXP_REPLACE(text, pattern, replacement, position, occurrence, parameters)`
fn replace(call: &Call<'_, '_>) -> Result<Value, Stop> {
    let (regex, _) = call.regex(5)?;
    let groups = regex.pattern.groups;
    if groups > MOST_REPLACED_GROUPS {
        return Err(unsupported(format!("REGEXP_REPLACE with {groups} groups")));
    }
    let pieces = pieces(call.text(2)?, groups)?;
    let start = call.start(3, &regex)?;
    let occurrence = call.count(4, 0, "an occurrence of")?;
    let (before, within) = call.text(0)?.split_at_checked(start).unwrap_or_default();
    let mut replaced = before.to_owned();
    let (mut copied, mut number) = (0, 0);
    let mut matches = call.matches(&regex, within);
    while let Some(found) = matches.next()? {
        number += 1;
        if occurrence != 0 && number != occurrence {
            continue;
        }
        replaced.push_str(within.get(copied..found.start).unwrap_or_default());
        for piece in &pieces {
            match piece {
                Piece::Text(text) => replaced.push_str(text),
                Piece::Group(group) => {
                    let span = match group {
                        0 => found,
                        _ => regex.group(within, found, *group)?,
                    };
                    replaced.push_str(within.get(span.range()).unwrap_or_default());
                }
            }
            // After each piece: of a long match there may be many.
            if replaced.len() > MOST_BYTES {
                return Err(too_long().into());
            }
        }
        copied = found.end;
        if occurrence != 0 {
            break;
        }
    }
    replaced.push_str(within.get(copied..).unwrap_or_default());
    Ok(Value::Text(replaced))
}

/// A part of a replacement.
enum Piece {
    Text(String),
    /// `\1`, and `\0` for the whole match.
    Group(usize),
}

fn pieces(replacement: &str, groups: usize) -> Result<Vec<Piece>, Raised> {
    let mut parts = replacement.split('\\');
    let mut pieces = vec![Piece::Text(parts.next().unwrap_or_default().to_owned())];
    for part in parts {
        let digit = part.chars().next().and_then(|digit| digit.to_digit(10));
        let group = digit.and_then(|digit| usize::try_from(digit).ok());
        let group = group.filter(|group| *group <= groups).ok_or_else(|| {
            Raised::unsupported(format!(
                "the replacement '{replacement}': behind a backslash stands the number of a group"
            ))
        })?;
        pieces.push(Piece::Group(group));
        pieces.push(Piece::Text(part.get(1..).unwrap_or_default().to_owned()));
    }
    Ok(pieces)
}
