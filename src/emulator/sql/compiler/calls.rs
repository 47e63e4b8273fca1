//! Calls of scalar functions: on values of any type, on numbers and on texts.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};

use super::conversions::{fitted, sorting_key};
use super::expressions::chosen;
use super::number_calls::number_type;
use super::operators::whole_argument;
use super::state::Compiler;
use super::types::{COUNT, Kind, TEXT, Typed, common_of, kind};
use crate::emulator::catalog::coercion::DataType;
use crate::emulator::sql::failure::Failure;
use crate::emulator::sql::names::folded;

/// The scalar functions that the emulator has. The guide lists them.
pub(crate) const SCALARS: &[&str] = &[
    "ABS",
    "ARRAY_CONSTRUCT",
    "ARRAY_SIZE",
    "CEIL",
    "CHARINDEX",
    "COALESCE",
    "CONCAT",
    "CONCAT_WS",
    "CONTAINS",
    "CURRENT_DATABASE",
    "CURRENT_DATE",
    "CURRENT_SCHEMA",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DATEADD",
    "DATEDIFF",
    "DATE_PART",
    "DATE_TRUNC",
    "DAY",
    "DAYNAME",
    "DAYOFMONTH",
    "DAYOFWEEK",
    "DAYOFWEEKISO",
    "DAYOFYEAR",
    "DIV0",
    "DIV0NULL",
    "ENDSWITH",
    "EQUAL_NULL",
    "EXTRACT",
    "FLOOR",
    "GET",
    "GET_PATH",
    "GREATEST",
    "HOUR",
    "IFF",
    "IFNULL",
    "IS_NULL_VALUE",
    "LAST_DAY",
    "LEAST",
    "LEFT",
    "LEN",
    "LENGTH",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MINUTE",
    "MOD",
    "MONTH",
    "MONTHNAME",
    "NULLIF",
    "NULLIFZERO",
    "NVL",
    "NVL2",
    "OBJECT_CONSTRUCT",
    "PARSE_JSON",
    "POSITION",
    "QUARTER",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "RIGHT",
    "ROUND",
    "RPAD",
    "RTRIM",
    "SECOND",
    "SIGN",
    "SPLIT_PART",
    "SQRT",
    "STARTSWITH",
    "SUBSTR",
    "SUBSTRING",
    "SYSDATE",
    "TIMESTAMPADD",
    "TIMESTAMPDIFF",
    "TO_BOOLEAN",
    "TO_CHAR",
    "TO_DATE",
    "TO_DECIMAL",
    "TO_DOUBLE",
    "TO_JSON",
    "TO_NUMBER",
    "TO_NUMERIC",
    "TO_TIME",
    "TO_TIMESTAMP",
    "TO_TIMESTAMP_LTZ",
    "TO_TIMESTAMP_NTZ",
    "TO_TIMESTAMP_TZ",
    "TO_VARCHAR",
    "TO_VARIANT",
    "TRIM",
    "TRUNC",
    "TRUNCATE",
    "TRY_PARSE_JSON",
    "TRY_TO_BOOLEAN",
    "TRY_TO_DATE",
    "TRY_TO_DECIMAL",
    "TRY_TO_DOUBLE",
    "TRY_TO_NUMBER",
    "TRY_TO_NUMERIC",
    "TRY_TO_TIME",
    "TRY_TO_TIMESTAMP",
    "TRY_TO_TIMESTAMP_NTZ",
    "TYPEOF",
    "UPPER",
    "WEEK",
    "WEEKISO",
    "WEEKOFYEAR",
    "YEAR",
    "ZEROIFNULL",
];

/// The name of a function, in upper case.
pub(crate) fn name_of(function: &Function) -> Result<String, Failure> {
    match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => Ok(folded(name)),
        _ => Err(Failure::unsupported(format!(
            "the function {}",
            function.name
        ))),
    }
}

/// The arguments of a function that takes expressions.
pub(crate) fn arguments_of(function: &Function) -> Result<Vec<&Expr>, Failure> {
    let odd = |what: &dyn std::fmt::Display| Failure::unsupported(format!("{what} in {function}"));
    let list = match &function.args {
        FunctionArguments::None => return Ok(Vec::new()),
        FunctionArguments::List(list) => list,
        FunctionArguments::Subquery(query) => return Err(odd(query)),
    };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
        other => Err(odd(other)),
    });
    arguments.collect()
}

/// Refuses what stands in or behind the parentheses of a call beside its arguments.
pub(crate) fn is_plain(function: &Function) -> Result<(), Failure> {
    let is_plain_list = match &function.args {
        FunctionArguments::List(list) => {
            list.duplicate_treatment.is_none() && list.clauses.is_empty()
        }
        _ => true,
    };
    let is_plain = is_plain_list
        && matches!(function.parameters, FunctionArguments::None)
        && !function.uses_odbc_syntax
        && function.within_group.is_empty()
        && function.filter.is_none()
        && function.null_treatment.is_none()
        && function.over.is_none();
    if is_plain {
        Ok(())
    } else {
        Err(Failure::unsupported(format!("the call {function}")))
    }
}

impl Compiler<'_> {
    /// Compiles a call.
    pub(crate) fn call(&mut self, function: &Function) -> Result<Typed, Failure> {
        let name = name_of(function)?;
        if let Some(typed) = self.aggregate_or_window(&name, function)? {
            return Ok(typed);
        }
        if !SCALARS.contains(&name.as_str()) {
            return Err(Failure::no_function(&name));
        }
        if self
            .settings
            .of_pipe
            .is_some_and(|known| !known.contains(&name.as_str()))
        {
            return Err(Failure::unsupported(format!(
                "the function {name} in a pipe"
            )));
        }
        is_plain(function)?;
        let arguments = arguments_of(function)?;
        if let Some(typed) = self.date_call(&name, &arguments)? {
            return Ok(typed);
        }
        let mut typed = Vec::with_capacity(arguments.len());
        for argument in arguments {
            typed.push(self.expression(argument)?);
        }
        let count = typed.len();
        let found = match self.structured_call(&name, &typed)? {
            Some(found) => Some(found),
            None => match self.general_call(&name, typed.clone())? {
                Some(found) => Some(found),
                None => match self.text_call(&name, typed.clone())? {
                    Some(found) => Some(found),
                    None => self.number_call(&name, typed)?,
                },
            },
        };
        found.ok_or_else(|| Failure::argument_count(&name, count))
    }

    /// Functions of values of any type.
    fn general_call(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Option<Typed>, Failure> {
        let context = self.settings.context;
        Ok(Some(match (name, arguments.as_slice()) {
            ("CURRENT_DATABASE", []) => self.optional_text(context.database.clone()),
            ("CURRENT_SCHEMA", []) => self.optional_text(context.schema.clone()),
            ("COALESCE" | "NVL" | "IFNULL", [before @ .., _])
                if !before.is_empty() && (name == "COALESCE" || before.len() == 1) =>
            {
                let tests = before.iter();
                let tests: Vec<String> = tests
                    .map(|argument| format!("{} IS NOT NULL", argument.sql))
                    .collect();
                chosen(name, &tests, &arguments)?
            }
            ("NVL2", [test, set, unset]) => {
                let test = format!("{} IS NOT NULL", test.sql);
                chosen(name, &[test], &[set.clone(), unset.clone()])?
            }
            ("IFF", [test, yes, no]) => {
                let test = match test.of.map(kind) {
                    None | Some(Kind::Boolean) => test.sql.clone(),
                    _ => self.cast(test.clone(), DataType::Boolean, false)?.sql,
                };
                chosen(name, &[test], &[yes.clone(), no.clone()])?
            }
            ("NULLIF", [value, other]) => {
                let sides = self.comparable(vec![value.clone(), other.clone()], false)?;
                Typed {
                    sql: format!(
                        "(CASE WHEN {} THEN NULL ELSE {} END)",
                        sides.join(" = "),
                        value.sql
                    ),
                    of: value.of,
                    constant: None,
                }
            }
            ("EQUAL_NULL", [_, _]) => {
                let sides = self.comparable(arguments, false)?;
                Typed::boolean(format!("({})", sides.join(" IS ")))
            }
            ("GREATEST" | "LEAST", [_, _, ..]) => {
                let of = common_of(name, arguments.iter())?;
                let mut sides = Vec::with_capacity(arguments.len());
                for argument in &arguments {
                    sorting_key(argument, name)?;
                    sides.push(fitted(argument, of)?);
                }
                if of.is_some_and(|of| matches!(of, DataType::TimestampTz(_))) {
                    return Err(Failure::unsupported(format!("{name} of TIMESTAMP_TZ")));
                }
                let function = if name == "LEAST" { "min" } else { "max" };
                Typed {
                    sql: format!("{function}({})", sides.join(",")),
                    of,
                    constant: None,
                }
            }
            ("TO_BOOLEAN", [value]) => self.cast(value.clone(), DataType::Boolean, false)?,
            ("TRY_TO_BOOLEAN", [value]) => self.cast(value.clone(), DataType::Boolean, true)?,
            ("TO_DOUBLE", [value]) => self.cast(value.clone(), DataType::Float, false)?,
            ("TRY_TO_DOUBLE", [value]) => self.cast(value.clone(), DataType::Float, true)?,
            ("TO_VARCHAR" | "TO_CHAR", [value]) => self.cast(value.clone(), TEXT, false)?,
            ("TO_NUMBER" | "TO_DECIMAL" | "TO_NUMERIC", [value, digits @ ..]) => {
                let to = number_type(name, digits)?;
                self.cast(value.clone(), to, false)?
            }
            ("TRY_TO_NUMBER" | "TRY_TO_DECIMAL" | "TRY_TO_NUMERIC", [value, digits @ ..]) => {
                let to = number_type(name, digits)?;
                self.cast(value.clone(), to, true)?
            }
            _ => return Ok(None),
        }))
    }

    fn optional_text(&mut self, text: Option<String>) -> Typed {
        match text {
            Some(text) => Typed::text(self.text(&text)),
            None => Typed {
                of: Some(TEXT),
                ..Typed::null()
            },
        }
    }

    /// Functions of texts.
    fn text_call(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Option<Typed>, Failure> {
        let call = |name: &str, arguments: &[String]| format!("{name}({})", arguments.join(","));
        Ok(Some(match (name, arguments.as_slice()) {
            ("CONCAT", [_, ..]) => self.concatenated(name, arguments)?,
            ("CONCAT_WS", [separator, first, rest @ ..]) => {
                let mut parts = vec![first.clone()];
                for part in rest {
                    parts.extend([separator.clone(), part.clone()]);
                }
                // Of one part the separator is not seen, and still must not be NULL.
                let all = self.concatenated(name, parts)?;
                let separator = self.text_argument(name, separator.clone())?;
                Typed::text(format!(
                    "(CASE WHEN {separator} IS NOT NULL THEN {} END)",
                    all.sql
                ))
            }
            ("LENGTH" | "LEN", [_]) => {
                let texts = self.texts_of(name, arguments)?;
                Typed::new(call("sf_length", &texts), COUNT)
            }
            ("UPPER" | "LOWER" | "REVERSE", [_]) => {
                let texts = self.texts_of(name, arguments)?;
                Typed::text(call(&format!("sf_{}", name.to_lowercase()), &texts))
            }
            ("TRIM" | "LTRIM" | "RTRIM", [_] | [_, _]) => self.trim(name, arguments)?,
            ("SUBSTR" | "SUBSTRING", [_, _] | [_, _, _]) => self.substring(arguments)?,
            ("LEFT" | "RIGHT" | "REPEAT", [text, count]) => {
                let text = self.text_argument(name, text.clone())?;
                let count = whole_argument(name, count.clone())?;
                Typed::text(match name {
                    "LEFT" => format!("sf_substring({text},1,{count})"),
                    "RIGHT" => format!("sf_right({text},{count})"),
                    _ => format!("sf_repeat({text},{count})"),
                })
            }
            ("LPAD" | "RPAD", [text, count] | [text, count, _]) => {
                let with = match arguments.get(2) {
                    Some(with) => self.text_argument(name, with.clone())?,
                    None => "' '".to_owned(),
                };
                let text = self.text_argument(name, text.clone())?;
                let count = whole_argument(name, count.clone())?;
                let function = format!("sf_{}", name.to_lowercase());
                Typed::text(call(&function, &[text, count, with]))
            }
            ("REPLACE", [_, _] | [_, _, _]) => {
                let mut texts = self.texts_of(name, arguments)?;
                if texts.len() == 2 {
                    texts.push("''".to_owned());
                }
                Typed::text(call("replace", &texts))
            }
            ("SPLIT_PART", [text, delimiter, part]) => {
                let mut texts = self.texts_of(name, vec![text.clone(), delimiter.clone()])?;
                texts.push(whole_argument(name, part.clone())?);
                Typed::text(call("sf_split_part", &texts))
            }
            ("CONTAINS", [text, part]) => {
                let found = self.position(vec![part.clone(), text.clone()])?;
                Typed::boolean(format!("({} > 0)", found.sql))
            }
            ("STARTSWITH" | "ENDSWITH", [_, _]) => {
                let texts = self.texts_of(name, arguments)?;
                let function = match name {
                    "STARTSWITH" => "sf_starts_with",
                    _ => "sf_ends_with",
                };
                Typed::boolean(call(function, &texts))
            }
            ("POSITION" | "CHARINDEX", [_, _] | [_, _, _]) => self.position(arguments)?,
            _ => return Ok(None),
        }))
    }

    fn texts_of(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(self.text_argument(name, argument)?);
        }
        Ok(texts)
    }

    pub(crate) fn substring(&mut self, arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let mut written = Vec::with_capacity(arguments.len());
        for (position, argument) in arguments.into_iter().enumerate() {
            written.push(if position == 0 {
                self.text_argument("SUBSTR", argument)?
            } else {
                whole_argument("SUBSTR", argument)?
            });
        }
        Ok(Typed::text(format!("sf_substring({})", written.join(","))))
    }

    pub(crate) fn trim(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let texts = self.texts_of(name, arguments)?;
        Ok(Typed::text(format!(
            "{}({})",
            name.to_lowercase(),
            texts.join(",")
        )))
    }

    /// `POSITION(part, text[, start])`.
    pub(crate) fn position(&mut self, mut arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let start = match arguments.len() {
            3 => arguments.pop(),
            _ => None,
        };
        let start = match start {
            Some(start) => whole_argument("POSITION", start)?,
            None => "1".to_owned(),
        };
        let texts = self.texts_of("POSITION", arguments)?;
        let sql = format!("sf_position({},{start})", texts.join(","));
        Ok(Typed::new(sql, COUNT))
    }
}
