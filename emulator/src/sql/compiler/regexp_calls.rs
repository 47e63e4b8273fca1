//! Regular expressions: the functions, and the operators `REGEXP` and `RLIKE`.

use sqlparser::ast::Expr;

use super::operators::whole_argument;
use super::state::Compiler;
use super::types::{COUNT, Typed};
use crate::sql::failure::Failure;

/// What an argument of such a function is, and what stands in its place where it is left out.
enum Argument {
    Text(&'static str),
    Whole(i64),
}

const PARAMETERS: Argument = Argument::Text("'c'");
const POSITION: Argument = Argument::Whole(1);

impl Compiler<'_> {
    pub(crate) fn regexp_call(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Option<Typed>, Failure> {
        const OCCURRENCE: Argument = Argument::Whole(1);
        const ALL: Argument = Argument::Whole(0);
        let (function, optional): (_, &[Argument]) = match name {
            "REGEXP_LIKE" | "RLIKE" => ("sf_regexp_like", &[PARAMETERS]),
            "REGEXP_COUNT" => ("sf_regexp_count", &[POSITION, PARAMETERS]),
            "REGEXP_REPLACE" => (
                "sf_regexp_replace",
                &[Argument::Text("''"), POSITION, ALL, PARAMETERS],
            ),
            "REGEXP_SUBSTR" => ("sf_regexp_substr", &[POSITION, OCCURRENCE, PARAMETERS]),
            "REGEXP_INSTR" => (
                "sf_regexp_instr",
                &[POSITION, OCCURRENCE, Argument::Whole(0), PARAMETERS],
            ),
            _ => return Ok(None),
        };
        let takes_group = matches!(name, "REGEXP_SUBSTR" | "REGEXP_INSTR");
        let most = 2 + optional.len() + usize::from(takes_group);
        if arguments.len() < 2 || arguments.len() > most {
            return Err(Failure::argument_count(name, arguments.len()));
        }
        let mut given = arguments.into_iter();
        let mut written = Vec::with_capacity(most);
        if let (Some(text), Some(pattern)) = (given.next(), given.next()) {
            written.push(self.text_argument(name, text)?);
            written.push(self.pattern_argument(name, pattern)?);
        }
        for argument in optional {
            written.push(match (argument, given.next()) {
                (Argument::Text(_), Some(text)) => self.text_argument(name, text)?,
                (Argument::Whole(_), Some(number)) => whole_argument(name, number)?,
                (Argument::Text(default), None) => (*default).to_owned(),
                (Argument::Whole(default), None) => default.to_string(),
            });
        }
        if let Some(group) = given.next() {
            written.push(whole_argument(name, group)?);
        }
        let sql = format!("{function}({})", written.join(","));
        Ok(Some(match name {
            "REGEXP_LIKE" | "RLIKE" => Typed::boolean(sql),
            "REGEXP_COUNT" | "REGEXP_INSTR" => Typed::new(sql, COUNT),
            _ => Typed::text(sql),
        }))
    }

    /// `text REGEXP pattern`
    pub(crate) fn regexp(
        &mut self,
        expr: &Expr,
        pattern: &Expr,
        negated: bool,
    ) -> Result<Typed, Failure> {
        if self.settings.of_pipe.is_some() {
            return Err(Failure::unsupported("the operator REGEXP in a pipe"));
        }
        let sides = vec![self.expression(expr)?, self.expression(pattern)?];
        let found = self.regexp_call("RLIKE", sides)?;
        let found = found.ok_or_else(|| Failure::unsupported("REGEXP"))?;
        let not = if negated { "NOT " } else { "" };
        Ok(Typed::boolean(format!("({not}{})", found.sql)))
    }
}
