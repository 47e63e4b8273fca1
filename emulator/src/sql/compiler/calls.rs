//! Calls of scalar functions, and those of values of any type.

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};

use super::conversions::{fitted, sorting_key};
use super::expressions::chosen;
use super::number_calls::number_type;
use super::scalar_names::SCALARS;
use super::state::Compiler;
use super::types::{Kind, TEXT, Typed, common_of, kind, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::volatile;
use crate::sql::names::folded;

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
        self.is_of_pipe(&name)?;
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
        if let Some(found) = self.structured_call(&name, &typed)? {
            return Ok(found);
        }
        for family in [
            Self::general_call,
            Self::text_call,
            Self::regexp_call,
            Self::number_call,
        ] {
            if let Some(found) = family(self, &name, typed.clone())? {
                return Ok(found);
            }
        }
        Err(Failure::argument_count(&name, count))
    }

    /// Refuses a function that a pipe does not have in the select list of one.
    pub(crate) fn is_of_pipe(&self, name: &str) -> Result<(), Failure> {
        match self.settings.of_pipe {
            Some(known) if !known.contains(&name) => Err(Failure::unsupported(format!(
                "the function {name} in a pipe"
            ))),
            _ => Ok(()),
        }
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
            ("UUID_STRING", []) => Typed::text(volatile::UUID),
            ("RANDOM", []) => Typed::new(volatile::RANDOM, number(volatile::RANDOM_DIGITS, 0)),
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
}
