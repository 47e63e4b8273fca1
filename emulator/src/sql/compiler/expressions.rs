//! Expressions, each in the SQL of SQLite and with its type.

use sqlparser::ast::{CaseWhen, CastKind, CeilFloorKind, Expr, Query, TrimWhereField};

use super::conversions::fitted;
use super::scopes::Takes;
use super::state::{Compiler, bounded};
use super::types::{Typed, common_of};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;

impl Compiler<'_> {
    /// Compiles an expression.
    pub(crate) fn expression(&mut self, expr: &Expr) -> Result<Typed, Failure> {
        self.step()?;
        if let Some(grouped) = self.grouped(expr)? {
            return Ok(grouped);
        }
        self.dispatch(expr).and_then(bounded)
    }

    /// The expression if the query groups by it: its columns need not be grouped by then.
    fn grouped(&mut self, expr: &Expr) -> Result<Option<Typed>, Failure> {
        let is_leaf = matches!(
            expr,
            Expr::Value(_) | Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Nested(_)
        );
        let Some(scope) = self.scopes.last_mut() else {
            return Ok(None);
        };
        if is_leaf || scope.in_aggregate || scope.grouping.as_ref().is_none_or(Vec::is_empty) {
            return Ok(None);
        }
        // As it was compiled in GROUP BY: without groups, and without aggregates.
        let groups = scope.grouping.take().unwrap_or_default();
        let allowed = scope.takes;
        scope.takes = Takes::default();
        let alone = self.dispatch(expr);
        let found = alone.ok().filter(|typed| groups.contains(&typed.sql));
        if let Some(scope) = self.scopes.last_mut() {
            scope.grouping = Some(groups);
            scope.takes = allowed;
        }
        self.step()?;
        Ok(found)
    }

    fn dispatch(&mut self, expr: &Expr) -> Result<Typed, Failure> {
        match expr {
            Expr::Identifier(ident) => self.named(std::slice::from_ref(ident)),
            Expr::CompoundIdentifier(parts) => self.named(parts),
            Expr::Value(value) => self.value(&value.value),
            Expr::Nested(inner) => self.expression(inner),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr),
            Expr::Subquery(query) => self.scalar_subquery(query),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(operand.as_deref(), conditions, else_result.as_deref()),
            Expr::Cast {
                kind,
                expr: inner,
                data_type,
                format: None,
            } => {
                let to = data_type
                    .to_string()
                    .parse::<DataType>()
                    .map_err(Failure::unsupported)?;
                let from = self.expression(inner)?;
                let is_try = match kind {
                    CastKind::Cast | CastKind::DoubleColon => false,
                    CastKind::TryCast => true,
                    CastKind::SafeCast => {
                        return Err(Failure::unsupported(format!("the cast {expr}")));
                    }
                };
                self.cast(from, to, is_try)
            }
            Expr::TypedString(typed) => {
                let to = typed
                    .data_type
                    .to_string()
                    .parse::<DataType>()
                    .map_err(Failure::unsupported)?;
                let text = self.value(&typed.value.value)?;
                self.cast(text, to, false)
            }
            Expr::JsonAccess { value, path } => self.json_path(value, path),
            Expr::Function(function) => self.call(function),
            other => match self.predicate(other)? {
                Some(found) => Ok(found),
                None => self.spelled_call(other),
            },
        }
    }

    /// Tests of a value; none for other expressions.
    fn predicate(&mut self, expr: &Expr) -> Result<Option<Typed>, Failure> {
        let found = match expr {
            Expr::IsNull(inner) => self.is(inner, "IS NULL"),
            Expr::IsNotNull(inner) => self.is(inner, "IS NOT NULL"),
            Expr::IsTrue(inner) => self.is_condition(inner, "IS 1"),
            Expr::IsNotTrue(inner) => self.is_condition(inner, "IS NOT 1"),
            Expr::IsFalse(inner) => self.is_condition(inner, "IS 0"),
            Expr::IsNotFalse(inner) => self.is_condition(inner, "IS NOT 0"),
            Expr::IsDistinctFrom(left, right) => self.comparison(left, "IS NOT", right),
            Expr::IsNotDistinctFrom(left, right) => self.comparison(left, "IS", right),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, low, high, *negated),
            Expr::InList {
                expr,
                list,
                negated,
            } => self.in_list(expr, list, *negated),
            Expr::InSubquery {
                expr,
                subquery,
                negated,
            } => self.in_subquery(expr, subquery, *negated),
            Expr::Exists { subquery, negated } => {
                let query = self.query(subquery)?;
                let not = if *negated { "NOT " } else { "" };
                Ok(Typed::boolean(format!("({not}EXISTS ({}))", query.sql)))
            }
            Expr::Like { .. } | Expr::ILike { .. } => self.like(expr),
            Expr::RLike {
                negated,
                expr,
                pattern,
                regexp: _,
            } => self.regexp(expr, pattern, *negated),
            _ => return Ok(None),
        };
        found.map(Some)
    }

    /// Functions whose arguments SQL separates by words.
    fn spelled_call(&mut self, expr: &Expr) -> Result<Typed, Failure> {
        match expr {
            Expr::Extract { field, expr, .. } => {
                self.is_of_pipe("EXTRACT")?;
                let moment = self.expression(expr)?;
                self.date_part(&field.to_string(), moment)
            }
            Expr::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut arguments = vec![self.expression(expr)?, self.expression(from)?];
                if let Some(length) = substring_for {
                    arguments.push(self.expression(length)?);
                }
                self.substring(arguments)
            }
            Expr::Trim {
                trim_where,
                trim_what: None,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    None | Some(TrimWhereField::Both) => "TRIM",
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                };
                let mut arguments = vec![self.expression(expr)?];
                for character in trim_characters.iter().flatten() {
                    arguments.push(self.expression(character)?);
                }
                self.trim(name, arguments)
            }
            Expr::Position { expr, r#in } => {
                self.is_of_pipe("POSITION")?;
                let arguments = vec![self.expression(expr)?, self.expression(r#in)?];
                self.position(arguments)
            }
            Expr::Ceil { expr, field } => self.ceil_or_floor("ceil", expr, field),
            Expr::Floor { expr, field } => self.ceil_or_floor("floor", expr, field),
            other => Err(Failure::unsupported(format!("the expression {other}"))),
        }
    }

    fn is(&mut self, inner: &Expr, test: &str) -> Result<Typed, Failure> {
        let typed = self.expression(inner)?;
        Ok(Typed::boolean(format!("({} {test})", typed.sql)))
    }

    fn is_condition(&mut self, inner: &Expr, test: &str) -> Result<Typed, Failure> {
        let condition = self.condition(inner)?;
        Ok(Typed::boolean(format!("({condition} {test})")))
    }

    fn case(
        &mut self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, Failure> {
        let mut tests = Vec::with_capacity(conditions.len());
        let mut results = Vec::with_capacity(conditions.len() + 1);
        for when in conditions {
            tests.push(match operand {
                Some(operand) => self.comparison(operand, "=", &when.condition)?.sql,
                None => self.condition(&when.condition)?,
            });
            results.push(self.expression(&when.result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.expression(otherwise)?,
            None => Typed::null(),
        });
        chosen("CASE", &tests, &results)
    }

    fn in_subquery(
        &mut self,
        expr: &Expr,
        subquery: &Query,
        negated: bool,
    ) -> Result<Typed, Failure> {
        let query = self.query(subquery)?;
        let [column] = query.columns.as_slice() else {
            return Err(Failure::unsupported(format!(
                "IN with a query of {} columns",
                query.columns.len()
            )));
        };
        let column = Typed {
            sql: super::scopes::output_name(0),
            of: column.of,
            constant: None,
        };
        let sides = vec![self.expression(expr)?, column];
        let sides = self.comparable(sides, false)?;
        let [expr, column] = sides.as_slice() else {
            return Err(Failure::unsupported("IN"));
        };
        let not = if negated { " NOT" } else { "" };
        Ok(Typed::boolean(format!(
            "({expr}{not} IN (SELECT {column} FROM ({})))",
            query.sql
        )))
    }

    /// A query as a value: NULL without a row, and an error with more than one.
    fn scalar_subquery(&mut self, query: &Query) -> Result<Typed, Failure> {
        let query = self.query(query)?;
        let [column] = query.columns.as_slice() else {
            return Err(Failure::unsupported(format!(
                "a query of {} columns as a value",
                query.columns.len()
            )));
        };
        Ok(Typed {
            sql: format!(
                "(SELECT sf_single({}) FROM ({}))",
                super::scopes::output_name(0),
                query.sql
            ),
            of: column.of,
            constant: None,
        })
    }

    fn ceil_or_floor(
        &mut self,
        name: &str,
        expr: &Expr,
        field: &CeilFloorKind,
    ) -> Result<Typed, Failure> {
        use sqlparser::ast::DateTimeField;
        let number = self.expression(expr)?;
        let places = match field {
            CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => None,
            CeilFloorKind::Scale(value) => Some(self.value(&value.value)?),
            CeilFloorKind::DateTimeField(field) => {
                return Err(Failure::unsupported(format!("{name} to {field}")));
            }
        };
        self.rounded(name, number, places.as_ref())
    }
}

/// `CASE WHEN test THEN result … ELSE last result END`.
pub(crate) fn chosen(name: &str, tests: &[String], results: &[Typed]) -> Result<Typed, Failure> {
    let of = common_of(name, results.iter())?;
    let mut sql = "(CASE".to_owned();
    for (position, result) in results.iter().enumerate() {
        let result = fitted(result, of)?;
        let branch = match tests.get(position) {
            Some(test) => [" WHEN ", test, " THEN ", &result],
            None => [" ELSE ", &result, "", ""],
        };
        sql.extend(branch);
    }
    sql.push_str(" END)");
    Ok(Typed {
        sql,
        of,
        constant: None,
    })
}
