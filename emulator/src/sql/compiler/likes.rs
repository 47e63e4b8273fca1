//! `LIKE` and `ILIKE`, of one pattern or of several.

use sqlparser::ast::{Expr, FunctionArguments};

use super::calls::{arguments_of, name_of};
use super::state::Compiler;
use super::types::{Kind, Typed, kind};
use crate::sql::failure::Failure;

/// The patterns of a LIKE, and how many of them match.
struct Patterns<'a> {
    all: Vec<&'a Expr>,
    /// What stands between the comparisons, if there are several.
    between: Option<&'static str>,
}

impl Compiler<'_> {
    /// `text [NOT] LIKE [ANY | ALL] pattern [ESCAPE escape]`
    pub(crate) fn like(&mut self, like: &Expr) -> Result<Typed, Failure> {
        let (Expr::Like {
            negated,
            any,
            expr,
            pattern,
            escape_char,
        }
        | Expr::ILike {
            negated,
            any,
            expr,
            pattern,
            escape_char,
        }) = like
        else {
            return Err(Failure::unsupported(format!("the comparison {like}")));
        };
        let ignores_case = matches!(like, Expr::ILike { .. });
        let patterns = patterns(pattern, *any, ignores_case)?;
        if patterns.between.is_some() && *negated {
            return Err(Failure::unsupported(format!(
                "{like}: write NOT before the text that is compared"
            )));
        }
        let typed = self.expression(expr)?;
        let text = self.text_argument("LIKE", typed)?;
        let escape = match escape_char {
            Some(escape) => {
                let typed = self.expression(escape)?;
                format!(",{}", self.text_argument("ESCAPE", typed)?)
            }
            None => String::new(),
        };
        let not = if *negated { "NOT " } else { "" };
        let function = if ignores_case { "sf_ilike" } else { "sf_like" };
        let mut comparisons = Vec::with_capacity(patterns.all.len());
        for pattern in patterns.all {
            if patterns.between.is_some() && !matches!(pattern, Expr::Value(_)) {
                return Err(Failure::unsupported(format!(
                    "{like}: the patterns of several are constants"
                )));
            }
            let typed = self.expression(pattern)?;
            if patterns.between.is_some() && typed.of.map(kind) != Some(Kind::Text) {
                return Err(Failure::unsupported(format!(
                    "{like}: the patterns of several are texts"
                )));
            }
            let pattern = self.pattern_argument("LIKE", typed)?;
            comparisons.push(format!("({not}{function}({text},{pattern}{escape}))"));
        }
        let comparisons = comparisons.join(patterns.between.unwrap_or_default());
        Ok(Typed::boolean(format!("({comparisons})")))
    }

    /// The SQL of a pattern. That of a pipe is a constant, because comparing with what a row says could take minutes.
    pub(crate) fn pattern_argument(
        &mut self,
        name: &str,
        pattern: Typed,
    ) -> Result<String, Failure> {
        if self.settings.of_pipe.is_some() && pattern.constant.is_none() {
            return Err(Failure::unsupported(format!(
                "{name} in a pipe with a pattern that is not a constant"
            )));
        }
        self.text_argument(name, pattern)
    }
}

fn patterns(pattern: &Expr, is_any: bool, ignores_case: bool) -> Result<Patterns<'_>, Failure> {
    let several = |all, between| Patterns {
        all,
        between: Some(between),
    };
    Ok(match pattern {
        Expr::Tuple(list) if is_any => several(list.iter().collect(), " OR "),
        Expr::Nested(only) if is_any => several(vec![only.as_ref()], " OR "),
        other if is_any => {
            return Err(Failure::unsupported(format!("LIKE ANY {other}")));
        }
        // The parser takes the word for the name of a function.
        Expr::Function(function)
            if name_of(function)? == "ALL"
                && matches!(function.args, FunctionArguments::List(_)) =>
        {
            if ignores_case {
                return Err(Failure::unsupported("ILIKE ALL"));
            }
            several(arguments_of(function)?, " AND ")
        }
        one => Patterns {
            all: vec![one],
            between: None,
        },
    })
}
