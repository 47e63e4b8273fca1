//! Queries: WITH, set operations, ORDER BY and LIMIT.

use sqlparser::ast::{
    Cte, Expr, Ident, LimitClause, OrderByKind, Query, Select, SetExpr, SetOperator, SetQuantifier,
    With,
};

use super::aggregates::order_term;
use super::clauses::{self, ordinal};
use super::conversions::fitted;
use super::scopes::{Output, output_name};
use super::selects::{Compiled, Order};
use super::state::{Compiler, NamedQuery};
use super::types::{Kind, Type, Typed, common, kind, number};
use crate::catalog::coercion::{DEFAULT_VARCHAR, DataType};
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::names::{folded, quoted};

/// What the names begin with that a statement gives to queries: no table of SQLite's has such a name.
pub(crate) const QUERY: &str = "with ";

impl Compiler<'_> {
    /// Compiles a query, which may stand in parentheses.
    pub(crate) fn query(&mut self, query: &Query) -> Result<Compiled, Failure> {
        self.step()?;
        self.depth += 1;
        let compiled = self.whole_query(query);
        self.depth -= 1;
        compiled
    }

    fn whole_query(&mut self, query: &Query) -> Result<Compiled, Failure> {
        if self.settings.of_pipe.is_some() {
            return Err(Failure::unsupported("a query in a pipe's select list"));
        }
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } = query
        else {
            return Err(Failure::unsupported(format!("a clause of {query}")));
        };
        if !locks.is_empty() || !pipe_operators.is_empty() {
            return Err(Failure::unsupported(format!("a clause of {query}")));
        }
        let order = match order_by {
            None => Order::Terms(&[]),
            Some(order) if order.interpolate.is_none() => order_of(&order.kind),
            Some(_) => return Err(Failure::unsupported("INTERPOLATE")),
        };
        let known = self.named.len();
        let prefix = match with {
            Some(with) => self.with(with)?,
            None => String::new(),
        };
        let mut top = None;
        let mut compiled = match body.as_ref() {
            SetExpr::Select(select) => {
                top = clauses::top(select)?;
                self.select(select, order, None)?
            }
            other => {
                let found = self.set_expression(other)?;
                sorted(found, order)?
            }
        };
        self.named.truncate(known);
        let mut limit = self.limit(limit_clause.as_ref())?;
        if let Some(rows) = top {
            if !limit.is_empty() || fetch.is_some() {
                return Err(Failure::unsupported("TOP beside LIMIT or FETCH"));
            }
            limit = format!(" LIMIT {rows}");
        }
        let fetched = match fetch {
            None => String::new(),
            Some(fetch) if !fetch.with_ties && !fetch.percent && limit.is_empty() => {
                let rows = match &fetch.quantity {
                    Some(quantity) => self.row_count(quantity)?,
                    None => 1,
                };
                format!(" LIMIT {rows}")
            }
            Some(fetch) => return Err(Failure::unsupported(fetch.to_string())),
        };
        compiled.sql = format!("{prefix}{}{limit}{fetched}", compiled.sql);
        Ok(compiled)
    }

    fn limit(&mut self, clause: Option<&LimitClause>) -> Result<String, Failure> {
        let (limit, offset) = match clause {
            None => return Ok(String::new()),
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }) if limit_by.is_empty() => (limit.as_ref(), offset.as_ref()),
            Some(clause) => return Err(Failure::unsupported(clause.to_string())),
        };
        let limit = match limit {
            Some(limit) => self.row_count(limit)?,
            None => -1,
        };
        let offset = match offset {
            Some(offset) => self.row_count(&offset.value)?,
            None => 0,
        };
        Ok(format!(" LIMIT {limit} OFFSET {offset}"))
    }

    /// A constant count of rows.
    fn row_count(&mut self, expr: &Expr) -> Result<i64, Failure> {
        let typed = self.expression(expr)?;
        typed
            .constant_whole()
            .filter(|count| *count >= 0)
            .ok_or_else(|| {
                Failure::unsupported(format!("{expr} as a number of rows: write a constant"))
            })
    }

    /// The queries that WITH names. Those behind see those before.
    fn with(&mut self, with: &With) -> Result<String, Failure> {
        let mut written = Vec::with_capacity(with.cte_tables.len());
        for cte in &with.cte_tables {
            if cte.from.is_some() {
                return Err(Failure::unsupported(format!("WITH {cte}")));
            }
            let name = folded(&cte.alias.name);
            let sql_name = self.fresh(&format!("{QUERY}{name} "));
            let (compiled, columns) = if with.recursive {
                self.recursive(cte, &name, &sql_name)?
            } else {
                // A query in WITH does not see the columns around it.
                let scopes = std::mem::take(&mut self.scopes);
                let compiled = self.query(&cte.query);
                self.scopes = scopes;
                let compiled = compiled?;
                let columns = renamed(cte, &compiled.columns)?;
                (compiled, columns)
            };
            let names: Vec<String> = (0..columns.len()).map(output_name).collect();
            written.push(format!(
                "{}({}) AS ({})",
                quoted(&sql_name),
                names.join(", "),
                compiled.sql
            ));
            self.named.push(NamedQuery {
                name,
                sql_name,
                columns,
            });
        }
        let recursive = if with.recursive { "RECURSIVE " } else { "" };
        Ok(format!("WITH {recursive}{} ", written.join(", ")))
    }

    /// A query that may read itself behind UNION ALL. The columns of its first part say what the others are.
    fn recursive(
        &mut self,
        cte: &Cte,
        name: &str,
        sql_name: &str,
    ) -> Result<(Compiled, Vec<Output>), Failure> {
        let SetExpr::SetOperation {
            left,
            op: SetOperator::Union,
            set_quantifier: SetQuantifier::All,
            right,
        } = cte.query.body.as_ref()
        else {
            let compiled = self.query(&cte.query)?;
            let columns = renamed(cte, &compiled.columns)?;
            return Ok((compiled, columns));
        };
        let SetExpr::Select(step) = right.as_ref() else {
            return Err(Failure::unsupported(format!("WITH RECURSIVE {cte}")));
        };
        if cte.query.order_by.is_some()
            || cte.query.limit_clause.is_some()
            || cte.query.with.is_some()
        {
            return Err(Failure::unsupported(format!("WITH RECURSIVE {cte}")));
        }
        let start = self.set_expression(left)?;
        let mut columns = renamed(cte, &start.columns)?;
        for column in &mut columns {
            column.of = column.of.map(widest);
        }
        let targets: Vec<Type> = columns.iter().map(|column| column.of).collect();
        let start = converted(&start, &targets)?;
        self.named.push(NamedQuery {
            name: name.to_owned(),
            sql_name: sql_name.to_owned(),
            columns: columns.clone(),
        });
        let step = self.operand(step, Some(&targets));
        self.named.pop();
        let compiled = Compiled {
            sql: format!("{start} UNION ALL {}", step?.sql),
            columns: columns.clone(),
        };
        Ok((compiled, columns))
    }

    /// A set operation, VALUES or a query in parentheses.
    fn set_expression(&mut self, body: &SetExpr) -> Result<Compiled, Failure> {
        self.step()?;
        match body {
            SetExpr::Select(select) => self.operand(select, None),
            SetExpr::Query(query) => {
                let found = self.query(query)?;
                Ok(Compiled {
                    sql: format!("SELECT * FROM ({})", found.sql),
                    columns: found.columns,
                })
            }
            SetExpr::Values(values) => {
                let rows: Vec<&Vec<Expr>> = values.rows.iter().map(|row| &row.content).collect();
                self.values(&rows)
            }
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                self.depth += 1;
                let compiled = self.set_operation(left, *op, *set_quantifier, right);
                self.depth -= 1;
                compiled
            }
            _ => Err(Failure::unsupported(format!(
                "{body}: the emulator's SQL API reads only"
            ))),
        }
    }

    /// A SELECT that is an operand of a set operation.
    fn operand(&mut self, select: &Select, targets: Option<&[Type]>) -> Result<Compiled, Failure> {
        if select.top.is_some() {
            return Err(Failure::unsupported("TOP in an operand of a set operation"));
        }
        self.select(select, Order::Terms(&[]), targets)
    }

    fn set_operation(
        &mut self,
        left: &SetExpr,
        operator: SetOperator,
        quantifier: SetQuantifier,
        right: &SetExpr,
    ) -> Result<Compiled, Failure> {
        let is_all = match quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            _ => return Err(Failure::unsupported(format!("{operator} {quantifier}"))),
        };
        let operator = match operator {
            SetOperator::Union if is_all => "UNION ALL",
            SetOperator::Union => "UNION",
            SetOperator::Except | SetOperator::Minus if !is_all => "EXCEPT",
            SetOperator::Intersect if !is_all => "INTERSECT",
            _ => return Err(Failure::unsupported(format!("{operator} ALL"))),
        };
        let (left, right) = (self.set_expression(left)?, self.set_expression(right)?);
        if left.columns.len() != right.columns.len() {
            return Err(Failure::column_counts(
                left.columns.len(),
                right.columns.len(),
            ));
        }
        let mut columns = Vec::with_capacity(left.columns.len());
        for (one, other) in left.columns.iter().zip(&right.columns) {
            let of = common(one.of, other.of).ok_or_else(|| {
                Failure::unsupported(format!(
                    "{operator} of columns {} of different types: cast one of them",
                    one.name
                ))
            })?;
            let kind = of.map(kind);
            if !is_all
                && (kind == Some(Kind::Moment(Form::Tz)) || kind.is_some_and(Kind::is_structured))
            {
                return Err(Failure::unsupported(format!(
                    "{operator} of the column {}, whose equal values may be written in several ways: cast it",
                    one.name
                )));
            }
            columns.push(Output {
                name: one.name.clone(),
                of,
            });
        }
        let targets: Vec<Type> = columns.iter().map(|column| column.of).collect();
        let (left, right) = (converted(&left, &targets)?, converted(&right, &targets)?);
        Ok(Compiled {
            sql: format!("{left} {operator} {right}"),
            columns,
        })
    }
}

/// What a query is sorted by. The parser takes `ALL` for the name of a column.
fn order_of(kind: &OrderByKind) -> Order<'_> {
    match kind {
        OrderByKind::All(options) => Order::All(options),
        OrderByKind::Expressions(terms) => match terms.as_slice() {
            [only] if only.with_fill.is_none() && is_all(&only.expr) => Order::All(&only.options),
            terms => Order::Terms(terms),
        },
    }
}

fn is_all(expr: &Expr) -> bool {
    let is_word = |ident: &Ident| ident.quote_style.is_none() && folded(ident) == "ALL";
    matches!(expr, Expr::Identifier(ident) if is_word(ident))
}

/// The columns of a query under the names that WITH gives them.
fn renamed(cte: &Cte, columns: &[Output]) -> Result<Vec<Output>, Failure> {
    let names = &cte.alias.columns;
    if !names.is_empty() && names.len() != columns.len() {
        return Err(Failure::column_counts(names.len(), columns.len()));
    }
    let mut columns = columns.to_vec();
    for (column, name) in columns.iter_mut().zip(names) {
        column.name = folded(&name.name);
    }
    Ok(columns)
}

/// The type that a column of a recursive query takes on, which may grow with each step.
fn widest(of: DataType) -> DataType {
    match of {
        DataType::Number { scale, .. } => number(38, scale),
        DataType::Varchar(_) => DataType::Varchar(DEFAULT_VARCHAR),
        other => other,
    }
}

/// A query whose columns have these types.
pub(crate) fn converted(query: &Compiled, targets: &[Type]) -> Result<String, Failure> {
    let mut list = Vec::with_capacity(targets.len());
    for (position, (column, target)) in query.columns.iter().zip(targets).enumerate() {
        let name = output_name(position);
        let typed = Typed {
            sql: name.clone(),
            of: column.of,
            constant: None,
        };
        list.push(format!("{} AS {name}", fitted(&typed, *target)?));
    }
    Ok(format!("SELECT {} FROM ({})", list.join(", "), query.sql))
}

/// The answer of a set operation, sorted by its columns.
fn sorted(query: Compiled, order: Order<'_>) -> Result<Compiled, Failure> {
    let Order::Terms(order) = order else {
        return Err(Failure::unsupported("ORDER BY ALL behind a set operation"));
    };
    if order.is_empty() {
        return Ok(query);
    }
    let mut terms = Vec::with_capacity(order.len());
    for term in order {
        let position = match (&term.expr, ordinal(&term.expr)) {
            (_, Some(position)) => position.checked_sub(1),
            (Expr::Identifier(ident), None) => {
                let name = folded(ident);
                query.columns.iter().position(|column| column.name == name)
            }
            _ => None,
        };
        let column = position.and_then(|position| Some((position, query.columns.get(position)?)));
        let Some((position, column)) = column else {
            return Err(Failure::unsupported(format!(
                "ORDER BY {} behind a set operation: name one of its columns",
                term.expr
            )));
        };
        let typed = Typed {
            sql: output_name(position),
            of: column.of,
            constant: None,
        };
        let (key, direction) = order_term(&typed, term)?;
        terms.push(format!("{key} {direction}"));
    }
    let sql = format!(
        "SELECT * FROM ({}) ORDER BY {}",
        query.sql,
        terms.join(", ")
    );
    Ok(Compiled {
        sql,
        columns: query.columns,
    })
}
