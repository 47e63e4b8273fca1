//! Calls of functions of numbers.

use super::conversions::fitted;
use super::expressions::chosen;
use super::operators::number_operation;
use super::state::Compiler;
use super::types::{COUNT, Typed, arithmetic, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;

/// The functions whose arguments are numbers.
const FUNCTIONS: &[&str] = &[
    "ABS",
    "CEIL",
    "DIV0",
    "DIV0NULL",
    "FLOOR",
    "MOD",
    "NULLIFZERO",
    "ROUND",
    "SIGN",
    "SQRT",
    "TRUNC",
    "TRUNCATE",
    "ZEROIFNULL",
];

impl Compiler<'_> {
    /// Functions of numbers.
    pub(crate) fn number_call(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Option<Typed>, Failure> {
        if !FUNCTIONS.contains(&name) {
            return Ok(None);
        }
        let mut numbers = Vec::with_capacity(arguments.len());
        for argument in arguments {
            numbers.push(self.numeric(argument)?);
        }
        Ok(Some(match (name, numbers.as_slice()) {
            ("ROUND" | "CEIL" | "FLOOR" | "TRUNC" | "TRUNCATE", [value]) => {
                self.rounded(name, value.clone(), None)?
            }
            ("ROUND" | "CEIL" | "FLOOR" | "TRUNC" | "TRUNCATE", [value, places]) => {
                self.rounded(name, value.clone(), Some(places))?
            }
            ("ABS", [value]) => match value.digits() {
                Some((precision, _)) => Typed {
                    sql: format!("sf_abs({},{precision})", value.sql),
                    of: value.of,
                    constant: None,
                },
                None => Typed::new(format!("sf_float_abs({})", value.sql), DataType::Float),
            },
            ("SIGN", [value]) if value.digits().is_some() => {
                Typed::new(format!("sf_sign({})", value.sql), number(1, 0))
            }
            ("SQRT", [value]) => {
                let value = fitted(value, Some(DataType::Float))?;
                Typed::new(format!("sf_sqrt({value})"), DataType::Float)
            }
            ("MOD", [left, right]) => match (left.digits(), right.digits()) {
                (Some(one), Some(other)) => {
                    number_operation("modulo", left, right, arithmetic::remainder(one, other))
                }
                _ => return Err(Failure::unsupported("MOD of FLOAT")),
            },
            ("DIV0" | "DIV0NULL", [left, right]) => {
                let (Some(one), Some(other)) = (left.digits(), right.digits()) else {
                    return Err(Failure::unsupported(format!("{name} of FLOAT")));
                };
                let quotient =
                    number_operation("divide", left, right, arithmetic::quotient(one, other));
                let zero = self.cast(
                    Typed::new("0", number(1, 0)),
                    quotient.of.unwrap_or(COUNT),
                    false,
                )?;
                let is_set = self.cast(right.clone(), DataType::Boolean, false)?.sql;
                let test = match name {
                    "DIV0NULL" => format!("({is_set}) IS NOT 1"),
                    _ => format!("({is_set}) = 0"),
                };
                // A dividend that is NULL comes first, also in DIV0NULL.
                let tests = [format!("{} IS NULL", left.sql), test];
                chosen(name, &tests, &[Typed::null(), zero, quotient])?
            }
            ("ZEROIFNULL", [value]) => {
                let test = format!("{} IS NOT NULL", value.sql);
                let zero = Typed::new("0", number(1, 0));
                chosen(name, &[test], &[value.clone(), zero])?
            }
            ("NULLIFZERO", [value]) => {
                let is_set = self.cast(value.clone(), DataType::Boolean, false)?.sql;
                let results = [value.clone(), Typed::null()];
                chosen(name, &[format!("({is_set}) = 1")], &results)?
            }
            _ => return Ok(None),
        }))
    }

    /// ROUND, CEIL, FLOOR and TRUNC: the places are a constant, for the type depends on them.
    pub(crate) fn rounded(
        &mut self,
        name: &str,
        value: Typed,
        places: Option<&Typed>,
    ) -> Result<Typed, Failure> {
        let value = self.numeric(value)?;
        let places = match places {
            None => 0,
            Some(places) => places.constant_whole().ok_or_else(|| {
                Failure::unsupported(format!("{name} to places that are not a constant"))
            })?,
        };
        let function = match name.to_uppercase().as_str() {
            "ROUND" => "round",
            "CEIL" => "ceil",
            "FLOOR" => "floor",
            _ => "trunc",
        };
        let Some((precision, scale)) = value.digits() else {
            let sql = format!("sf_float_{function}({},{places})", value.sql);
            return Ok(Typed::new(sql, DataType::Float));
        };
        let to = u8::try_from(places.max(0)).unwrap_or(scale).min(scale);
        // Rounding may add a digit: 9.99 becomes 10.0.
        let digits = (precision - scale + to + 1).min(38);
        let sql = format!(
            "sf_{function}({},{scale},{places},{digits},{to})",
            value.sql
        );
        Ok(Typed::new(sql, number(digits, to)))
    }
}

/// The type that `TO_NUMBER` gives: NUMBER(38,0) without further arguments.
pub(crate) fn number_type(name: &str, digits: &[Typed]) -> Result<DataType, Failure> {
    let given: Option<Vec<u8>> = digits
        .iter()
        .map(|digits| u8::try_from(digits.constant_whole()?).ok())
        .collect();
    match given.as_deref() {
        Some([]) => Ok(number(38, 0)),
        Some([precision @ 1..=38]) => Ok(number(*precision, 0)),
        Some([precision @ 1..=38, scale]) if scale <= precision && *scale < 38 => {
            Ok(number(*precision, *scale))
        }
        _ => Err(Failure::unsupported(format!(
            "{name} with arguments other than a precision and a scale"
        ))),
    }
}
