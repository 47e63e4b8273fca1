//! Operators: arithmetic, concatenation and logic.

use sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::conversions::fitted;
use super::literals::number_in;
use super::state::Compiler;
use super::types::{Kind, TEXT, Typed, arithmetic, kind, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::{Form, Part};

impl Compiler<'_> {
    pub(crate) fn binary(
        &mut self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
    ) -> Result<Typed, Failure> {
        if let Expr::Interval(interval) = right {
            match operator {
                BinaryOperator::Plus => return self.with_interval(left, interval, ""),
                BinaryOperator::Minus => return self.with_interval(left, interval, "-"),
                _ => {}
            }
        }
        match operator {
            BinaryOperator::Eq => self.comparison(left, "=", right),
            BinaryOperator::NotEq => self.comparison(left, "<>", right),
            BinaryOperator::Lt => self.comparison(left, "<", right),
            BinaryOperator::LtEq => self.comparison(left, "<=", right),
            BinaryOperator::Gt => self.comparison(left, ">", right),
            BinaryOperator::GtEq => self.comparison(left, ">=", right),
            BinaryOperator::And | BinaryOperator::Or => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                Ok(Typed::boolean(format!("({left} {operator} {right})")))
            }
            BinaryOperator::StringConcat => {
                let sides = [self.expression(left)?, self.expression(right)?];
                self.concatenated("||", sides.into())
            }
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                self.arithmetic(left, operator, right)
            }
            other => Err(Failure::unsupported(format!("the operator {other}"))),
        }
    }

    /// An expression that is true, false or NULL.
    pub(crate) fn condition(&mut self, expr: &Expr) -> Result<String, Failure> {
        let typed = self.expression(expr)?;
        match typed.of.map(kind) {
            None | Some(Kind::Boolean) => Ok(typed.sql),
            Some(Kind::Variant) => Ok(self.cast(typed, DataType::Boolean, false)?.sql),
            Some(kind) => Err(Failure::unsupported(format!(
                "the condition {expr} of type {kind}: compare it with a value"
            ))),
        }
    }

    /// Texts one after the other; NULL if one of them is.
    pub(crate) fn concatenated(&mut self, name: &str, parts: Vec<Typed>) -> Result<Typed, Failure> {
        let mut texts = Vec::with_capacity(parts.len());
        for part in parts {
            texts.push(self.text_argument(name, part)?);
        }
        Ok(Typed::text(format!("({})", texts.join(" || "))))
    }

    pub(crate) fn unary(&mut self, operator: UnaryOperator, expr: &Expr) -> Result<Typed, Failure> {
        match operator {
            UnaryOperator::Not => {
                let condition = self.condition(expr)?;
                Ok(Typed::boolean(format!("(NOT {condition})")))
            }
            UnaryOperator::Plus | UnaryOperator::Minus => {
                let typed = self.expression(expr)?;
                let typed = self.numeric(typed)?;
                if operator == UnaryOperator::Plus {
                    return Ok(typed);
                }
                let constant = match &typed.constant {
                    Some(super::types::Constant::Whole(number)) => {
                        number.checked_neg().map(super::types::Constant::Whole)
                    }
                    other => other.clone(),
                };
                let sql = match typed.of {
                    Some(DataType::Number { precision, .. }) => {
                        format!("sf_negate({},{precision})", typed.sql)
                    }
                    _ => format!("sf_float_negate({})", typed.sql),
                };
                Ok(Typed {
                    sql,
                    of: typed.of,
                    constant,
                })
            }
            other => Err(Failure::unsupported(format!("the operator {other}"))),
        }
    }

    /// A number, or what is one in arithmetic: text and VARIANT.
    pub(crate) fn numeric(&mut self, typed: Typed) -> Result<Typed, Failure> {
        match typed.of.map(kind) {
            Some(Kind::Number | Kind::Float) => Ok(typed),
            None => Ok(Typed {
                of: Some(number(1, 0)),
                ..typed
            }),
            Some(Kind::Text) => match typed.constant_text() {
                Some(text) => {
                    let text = text.to_owned();
                    number_in(&text)
                }
                None => self.cast(typed, number(18, 5), false),
            },
            Some(kind) => Err(Failure::unsupported(format!(
                "arithmetic with {kind}: cast it to NUMBER"
            ))),
        }
    }

    fn arithmetic(
        &mut self,
        left: Typed,
        operator: &BinaryOperator,
        right: Typed,
    ) -> Result<Typed, Failure> {
        if let Some(moved) = with_dates(&left, operator, &right)? {
            return Ok(moved);
        }
        let (left, right) = (self.numeric(left)?, self.numeric(right)?);
        let name = match operator {
            BinaryOperator::Plus => "add",
            BinaryOperator::Minus => "subtract",
            BinaryOperator::Multiply => "multiply",
            BinaryOperator::Divide => "divide",
            _ => "modulo",
        };
        let (Some(one), Some(other)) = (left.digits(), right.digits()) else {
            let sides = [
                fitted(&left, Some(DataType::Float))?,
                fitted(&right, Some(DataType::Float))?,
            ];
            let sql = format!("sf_float_{name}({})", sides.join(","));
            return Ok(Typed::new(sql, DataType::Float));
        };
        let of = match operator {
            BinaryOperator::Plus | BinaryOperator::Minus => arithmetic::sum(one, other),
            BinaryOperator::Multiply => arithmetic::product(one, other),
            BinaryOperator::Divide => arithmetic::quotient(one, other),
            _ => arithmetic::remainder(one, other),
        };
        Ok(number_operation(name, &left, &right, of))
    }

    /// The SQL of an argument that is a text; numbers and VARIANT are cast.
    pub(crate) fn text_argument(&mut self, name: &str, typed: Typed) -> Result<String, Failure> {
        match typed.of.map(kind) {
            None | Some(Kind::Text) => Ok(typed.sql),
            Some(Kind::Number | Kind::Variant) => Ok(self.cast(typed, TEXT, false)?.sql),
            Some(Kind::Moment(_)) if name == "||" => Ok(self.cast(typed, TEXT, false)?.sql),
            Some(kind) => Err(Failure::argument_types(name, &kind.to_string())),
        }
    }
}

/// A function of two numbers whose result has the type `of`.
pub(crate) fn number_operation(name: &str, left: &Typed, right: &Typed, of: DataType) -> Typed {
    let (_, s1) = left.digits().unwrap_or((1, 0));
    let (_, s2) = right.digits().unwrap_or((1, 0));
    let DataType::Number { precision, scale } = of else {
        return Typed::null();
    };
    let sql = format!(
        "sf_{name}({},{},{s1},{s2},{precision},{scale})",
        left.sql, right.sql
    );
    Typed::new(sql, of)
}

/// The SQL of an argument that is a whole number of at most 18 digits.
pub(crate) fn whole_argument(name: &str, typed: Typed) -> Result<String, Failure> {
    match typed.of {
        None => Ok(typed.sql),
        Some(DataType::Number {
            precision,
            scale: 0,
        }) if precision <= 18 => Ok(typed.sql),
        Some(DataType::Number { scale: 0, .. }) => Ok(format!("sf_rescale({},0,18,0)", typed.sql)),
        Some(of) => Err(Failure::argument_types(name, &of.to_string())),
    }
}

/// A date and a count of days, or two dates; none for other types.
fn with_dates(
    left: &Typed,
    operator: &BinaryOperator,
    right: &Typed,
) -> Result<Option<Typed>, Failure> {
    let is_date = |typed: &Typed| typed.of == Some(DataType::Date);
    let is_days = |typed: &Typed| typed.digits().is_some_and(|(_, scale)| scale == 0);
    let day = Part::Day.number();
    let days = match (operator, is_date(left), is_date(right)) {
        (BinaryOperator::Minus, true, true) => {
            let sql = format!("sf_date_diff({day},{},{})", right.sql, left.sql);
            return Ok(Some(Typed::new(sql, number(9, 0))));
        }
        (BinaryOperator::Plus, true, false) if is_days(right) => (left, right, 1),
        (BinaryOperator::Plus, false, true) if is_days(left) => (right, left, 1),
        (BinaryOperator::Minus, true, false) if is_days(right) => (left, right, -1),
        _ => return Ok(None),
    };
    let (date, count, sign) = days;
    let count = whole_argument("+", count.clone())?;
    let form = Form::Date.number();
    let sql = format!("sf_date_add({},{day},{count} * {sign},{form})", date.sql);
    Ok(Some(Typed::new(sql, DataType::Date)))
}
