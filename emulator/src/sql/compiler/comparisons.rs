//! Comparisons: what values of several types are compared as.

use sqlparser::ast::Expr;

use super::conversions::{aligned, date_to_ntz, fitted};
use super::literals::number_in;
use super::state::Compiler;
use super::types::{Kind, Typed, kind, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::functions::variants::COMPARED_SCALE;

/// The type that text which is not a constant takes on beside a number.
///
/// From <https://docs.snowflake.com/en/sql-reference/data-type-conversion>.
const TEXT_AS_NUMBER: DataType = number(18, 5);

impl Compiler<'_> {
    /// The SQL of expressions whose values SQLite compares with each other as Snowflake does. `is_order` says whether more than
    /// equality is asked for.
    pub(crate) fn comparable(
        &mut self,
        items: Vec<Typed>,
        is_order: bool,
    ) -> Result<Vec<String>, Failure> {
        if !is_order {
            // SQLite makes an index for a join by columns themselves, and none for one by calls.
            let kept = items.iter().map(|item| self.whole_columns.get(&item.sql));
            if let Some(kept) = kept.map(Option::<&String>::cloned).collect() {
                return Ok(kept);
            }
        }
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in items.iter().filter_map(|item| item.of.map(kind)) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let as_kind = compared_as(&kinds)?;
        if is_order && as_kind.is_some_and(Kind::is_structured) {
            return Err(Failure::unsupported(
                "a comparison of VARIANT with VARIANT by order: cast both",
            ));
        }
        // The one type of dates and times that text beside them is read as.
        let moment = items.iter().filter_map(|item| item.of).find(|of| {
            let kind = kind(*of);
            matches!(kind, Kind::Moment(_)) && Some(kind) == as_kind
        });
        let mut converted = Vec::with_capacity(items.len());
        for item in items {
            converted.push(self.compared(item, as_kind, moment)?);
        }
        let numbers: Option<Vec<_>> = converted
            .iter()
            .map(|item| {
                let (precision, scale) = item.digits().or(item.is_null().then_some((1, 0)))?;
                Some((item.sql.clone(), precision, scale))
            })
            .collect();
        Ok(match numbers.filter(|_| as_kind == Some(Kind::Number)) {
            Some(numbers) => aligned(&numbers),
            None => converted.into_iter().map(|item| item.sql).collect(),
        })
    }

    /// One side of a comparison that is made as `as_kind`.
    fn compared(
        &mut self,
        item: Typed,
        as_kind: Option<Kind>,
        moment: Option<DataType>,
    ) -> Result<Typed, Failure> {
        let (Some(of), Some(to)) = (item.of, as_kind) else {
            return Ok(item);
        };
        let sql = &item.sql;
        Ok(match (kind(of), to) {
            (Kind::Moment(Form::Tz), Kind::Moment(_)) => {
                Typed::new(format!("sf_instant({sql})"), DataType::TimestampLtz(9))
            }
            (from, to) if from.is_structured() && to.is_structured() => {
                Typed::text(format!("sf_variant_key({sql})"))
            }
            (from, to) if from == to => item,
            (Kind::Text, Kind::Number) => match item.constant_text() {
                Some(text) => {
                    let text = text.to_owned();
                    number_in(&text)?
                }
                None => self.cast(item, TEXT_AS_NUMBER, false)?,
            },
            (Kind::Text, Kind::Float) => self.cast(item, DataType::Float, false)?,
            (Kind::Text, Kind::Boolean) => self.cast(item, DataType::Boolean, false)?,
            (Kind::Text, Kind::Moment(_)) => {
                let cast = self.cast(item, moment.unwrap_or(DataType::Date), false)?;
                match cast.of {
                    Some(DataType::TimestampTz(_)) => Typed::new(
                        format!("sf_instant({})", cast.sql),
                        DataType::TimestampLtz(9),
                    ),
                    _ => cast,
                }
            }
            (Kind::Number, Kind::Float) => {
                Typed::new(fitted(&item, Some(DataType::Float))?, DataType::Float)
            }
            (Kind::Moment(Form::Date), Kind::Moment(Form::Ntz)) => {
                Typed::new(date_to_ntz(sql), DataType::TimestampNtz(9))
            }
            (Kind::Moment(Form::Date), Kind::Moment(Form::Ltz)) => Typed::new(
                format!("({} || 'Z')", date_to_ntz(sql)),
                DataType::TimestampLtz(9),
            ),
            (Kind::Moment(Form::Ntz), Kind::Moment(Form::Ltz)) => {
                Typed::new(format!("({sql} || 'Z')"), DataType::TimestampLtz(9))
            }
            (Kind::Moment(Form::Ltz), Kind::Moment(Form::Tz)) => item,
            (Kind::Variant, to @ (Kind::Text | Kind::Boolean | Kind::Number | Kind::Float)) => {
                let name = self.text(&to.to_string());
                let sql = format!("sf_variant_compared({sql},{name})");
                match to {
                    Kind::Number => Typed::new(sql, number(38, COMPARED_SCALE)),
                    Kind::Float => Typed::new(sql, DataType::Float),
                    Kind::Boolean => Typed::boolean(sql),
                    _ => Typed::text(sql),
                }
            }
            (from, to) => return Err(incomparable(from, to)),
        })
    }

    /// `left operator right`.
    pub(crate) fn comparison(
        &mut self,
        left: &Expr,
        operator: &str,
        right: &Expr,
    ) -> Result<Typed, Failure> {
        let sides = vec![self.expression(left)?, self.expression(right)?];
        let is_order = !matches!(operator, "=" | "<>" | "IS" | "IS NOT");
        let sides = self.comparable(sides, is_order)?;
        Ok(Typed::boolean(format!(
            "({})",
            sides.join(&format!(" {operator} "))
        )))
    }

    pub(crate) fn between(
        &mut self,
        expr: &Expr,
        low: &Expr,
        high: &Expr,
        negated: bool,
    ) -> Result<Typed, Failure> {
        // Each border has its own comparison, as if both were written out.
        let from = self.comparison(expr, ">=", low)?;
        let to = self.comparison(expr, "<=", high)?;
        let not = if negated { "NOT " } else { "" };
        Ok(Typed::boolean(format!(
            "({not}({} AND {}))",
            from.sql, to.sql
        )))
    }

    pub(crate) fn in_list(
        &mut self,
        expr: &Expr,
        list: &[Expr],
        negated: bool,
    ) -> Result<Typed, Failure> {
        let mut items = vec![self.expression(expr)?];
        for item in list {
            items.push(self.expression(item)?);
        }
        let items = self.comparable(items, false)?;
        let Some((expr, list)) = items.split_first() else {
            return Err(Failure::unsupported("IN without a list"));
        };
        let not = if negated { " NOT" } else { "" };
        Ok(Typed::boolean(format!(
            "({expr}{not} IN ({}))",
            list.join(", ")
        )))
    }
}

/// What values of several kinds are compared as; none if all of them are NULL.
fn compared_as(kinds: &[Kind]) -> Result<Option<Kind>, Failure> {
    let mut found: Option<Kind> = None;
    for next in kinds.iter().copied() {
        found = Some(match found {
            None => next,
            Some(known) => pair(known, next)
                .or_else(|| pair(next, known))
                .ok_or_else(|| incomparable(known, next))?,
        });
    }
    // A VARIANT beside two other types: each pair is fine, and all three are not.
    if kinds.contains(&Kind::Variant) && kinds.len() > 2 {
        return Err(Failure::unsupported(
            "a comparison of VARIANT with several types: cast it",
        ));
    }
    Ok(found)
}

/// What values of two kinds are compared as. The caller tries both orders of the kinds.
fn pair(one: Kind, other: Kind) -> Option<Kind> {
    Some(match (one, other) {
        (one, other) if one == other => one,
        (Kind::Text, Kind::Number | Kind::Float | Kind::Boolean | Kind::Moment(_))
        | (Kind::Number, Kind::Float)
        | (Kind::Moment(Form::Date), Kind::Moment(Form::Ntz | Form::Ltz))
        | (Kind::Moment(Form::Ntz | Form::Tz), Kind::Moment(Form::Ltz))
        | (Kind::Variant, Kind::Text | Kind::Number | Kind::Float | Kind::Boolean) => other,
        (Kind::Variant, Kind::Object | Kind::Array) => Kind::Variant,
        _ => return None,
    })
}

fn incomparable(one: Kind, other: Kind) -> Failure {
    Failure::unsupported(format!(
        "a comparison of {one} with {other}: cast one of them"
    ))
}
