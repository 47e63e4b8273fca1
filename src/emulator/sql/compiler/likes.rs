//! `LIKE` and `ILIKE`, of one pattern or of several.

use sqlparser::ast::{Expr, FunctionArguments};

use super::calls::{arguments_of, name_of};
use super::state::Compiler;
use super::types::{Kind, Typed, kind};
use crate::emulator::sql::failure::Failure;

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
        let text = self.compared_text(expr, ignores_case)?;
        let escape = match escape_char {
            Some(escape) => {
                let typed = self.expression(escape)?;
                format!(" ESCAPE {}", self.text_argument("ESCAPE", typed)?)
            }
            None => String::new(),
        };
        let not = if *negated { " NOT" } else { "" };
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
            let pattern = self.text_argument("LIKE", typed)?;
            let pattern = cased(&pattern, ignores_case);
            comparisons.push(format!("({text}{not} LIKE {pattern}{escape})"));
        }
        let comparisons = comparisons.join(patterns.between.unwrap_or_default());
        Ok(Typed::boolean(format!("({comparisons})")))
    }

    fn compared_text(&mut self, expr: &Expr, ignores_case: bool) -> Result<String, Failure> {
        let typed = self.expression(expr)?;
        let text = self.text_argument("LIKE", typed)?;
        Ok(cased(&text, ignores_case))
    }
}

fn cased(sql: &str, ignores_case: bool) -> String {
    if ignores_case {
        format!("sf_lower({sql})")
    } else {
        sql.to_owned()
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
