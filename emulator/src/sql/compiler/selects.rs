//! SELECT: what it reads, groups, answers and sorts.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, OrderByExpr, OrderByOptions, Select, SelectItem,
    SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};

use super::aggregates::{order_key, order_term};
use super::clauses::{excluded, is_known, item_at, ordinal, shown};
use super::conversions::{fitted, grouping_key};
use super::scopes::{Output, Scope, Takes, Visible, output_name};
use super::state::Compiler;
use super::types::{Kind, Type, Typed, kind};
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::functions::volatile::calls;
use crate::sql::names::folded;

/// A query in SQLite's SQL; its columns are called `c0`, `c1` and so on there.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) sql: String,
    pub(crate) columns: Vec<Output>,
}

/// What a query is sorted by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order<'a> {
    Terms(&'a [OrderByExpr]),
    /// Every column of its answer, from left to right.
    All(&'a OrderByOptions),
}

/// An expression of the select list.
struct Item {
    name: String,
    typed: Typed,
}

/// The clauses that may hold aggregates.
struct Body {
    items: Vec<Item>,
    having: Option<String>,
    qualify: Option<String>,
    order: Vec<OrderTerm>,
}

/// A term of ORDER BY: its key, and direction and place of NULLs.
pub(crate) struct OrderTerm {
    pub(crate) key: String,
    pub(crate) direction: String,
    /// The expression, as the select list may have it.
    sql: String,
}

impl Compiler<'_> {
    /// Compiles a SELECT that is sorted by `order`. Its columns take on the types `targets`, if there are any.
    pub(crate) fn select(
        &mut self,
        select: &Select,
        order: Order<'_>,
        targets: Option<&[Type]>,
    ) -> Result<Compiled, Failure> {
        self.step()?;
        is_known(select)?;
        self.scopes.push(Scope::default());
        let compiled = self.in_scope(select, order, targets);
        self.scopes.pop();
        compiled
    }

    fn in_scope(
        &mut self,
        select: &Select,
        order: Order<'_>,
        targets: Option<&[Type]>,
    ) -> Result<Compiled, Failure> {
        let from = self.from(&select.from)?;
        if let Some(scope) = self.scopes.last_mut() {
            let aliases = select.projection.iter().filter_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } => Some((folded(alias), expr.clone())),
                _ => None,
            });
            scope.aliases = aliases.collect();
        }
        let filter = match &select.selection {
            Some(condition) => Some(self.condition(condition)?),
            None => None,
        };
        let (is_grouped, groups, keys) = self.groups(select)?;
        let mut grouping = (is_grouped || select.having.is_some()).then_some(groups);
        let mut body = self.body(select, order, grouping.clone())?;
        let has_aggregates = self.scope().is_some_and(|scope| scope.has_aggregates);
        if has_aggregates && matches!(order, Order::All(_)) {
            return Err(Failure::unsupported("ORDER BY ALL with an aggregate"));
        }
        if has_aggregates && grouping.is_none() {
            grouping = Some(Vec::new());
            body = self.body(select, order, grouping)?;
        }
        if let Some(targets) = targets {
            if targets.len() != body.items.len() {
                return Err(Failure::unsupported(
                    "a union of queries with different columns",
                ));
            }
            for (item, target) in body.items.iter_mut().zip(targets) {
                item.typed.sql = fitted(&item.typed, *target)?;
                item.typed.of = *target;
            }
        }
        let is_distinct = matches!(select.distinct, Some(Distinct::Distinct));
        if is_distinct {
            distinct(&mut body)?;
        }
        let clause = |name: &str, content: Option<&str>| {
            content.map_or_else(String::new, |content| format!(" {name} {content}"))
        };
        // Grouping by constants alone still has no group without a row.
        let keys = if keys.is_empty() {
            "NULL".to_owned()
        } else {
            keys.join(", ")
        };
        let rest = [
            clause("FROM", Some(from.as_str()).filter(|from| !from.is_empty())),
            clause("WHERE", filter.as_deref()),
            clause("GROUP BY", is_grouped.then_some(&keys)),
            clause("HAVING", body.having.as_deref()),
        ];
        let rest = rest.concat();
        self.is_stable(&body, &rest, is_distinct)?;
        Ok(assembled(body, &rest, is_distinct))
    }

    /// Refuses a value that differs from call to call where it could be computed more than once for a row, or be seen by another
    /// clause.
    fn is_stable(&self, body: &Body, rest: &str, is_distinct: bool) -> Result<(), Failure> {
        let in_items = body.items.iter().map(|item| calls(&item.typed.sql));
        let (most, all) = in_items.fold((0, 0), |(most, all), n| (n.max(most), all + n));
        let conditions = body.having.iter().chain(&body.qualify).map(String::as_str);
        let keys = body.order.iter().map(|term| term.key.as_str());
        let elsewhere = calls(rest) + conditions.chain(keys).map(calls).sum::<usize>();
        let is_nested = self.depth > 1 || is_distinct || body.qualify.is_some();
        if most > 1 || elsewhere > 0 || (all > 0 && is_nested) {
            return Err(Failure::unsupported(
                "UUID_STRING or RANDOM at other places than once in a column of the outermost select list",
            ));
        }
        Ok(())
    }

    /// Whether the query groups, by which expressions, and what SQLite groups by.
    fn groups(&mut self, select: &Select) -> Result<(bool, Vec<String>, Vec<String>), Failure> {
        let (mut groups, mut keys) = (Vec::new(), Vec::new());
        let listed: Vec<Expr> = match &select.group_by {
            GroupByExpr::Expressions(listed, modifiers) if modifiers.is_empty() => listed.clone(),
            GroupByExpr::All(modifiers) if modifiers.is_empty() => {
                self.without_aggregates(&select.projection)?
            }
            other => return Err(Failure::unsupported(format!("GROUP BY {other}"))),
        };
        // GROUP BY ALL of nothing but aggregates has one group, also without rows.
        let is_grouped = !listed.is_empty();
        for expr in &listed {
            let typed = match ordinal(expr) {
                Some(position) => {
                    let item = item_at(&select.projection, position);
                    let item = item.ok_or_else(|| {
                        Failure::unsupported(format!(
                            "GROUP BY {position}: there is no such column"
                        ))
                    })?;
                    self.expression(&item)?
                }
                None => self.expression(expr)?,
            };
            if typed.constant.is_none() {
                keys.push(grouping_key(&typed));
            }
            groups.push(typed.sql);
        }
        Ok((is_grouped, groups, keys))
    }

    /// The expressions of the select list that hold no aggregate, for GROUP BY ALL.
    fn without_aggregates(&mut self, items: &[SelectItem]) -> Result<Vec<Expr>, Failure> {
        let mut found = Vec::new();
        for item in items {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
            else {
                return Err(Failure::unsupported(format!("GROUP BY ALL with {item}")));
            };
            if let Some(scope) = self.scopes.last_mut() {
                scope.takes.aggregates = true;
                scope.has_aggregates = false;
            }
            let compiled = self.expression(expr);
            let has_aggregates = self.scopes.last_mut().is_some_and(|scope| {
                scope.takes.aggregates = false;
                std::mem::take(&mut scope.has_aggregates)
            });
            compiled?;
            if !has_aggregates {
                found.push(expr.clone());
            }
        }
        Ok(found)
    }

    /// The clauses behind GROUP BY, in a query that groups by `grouping`.
    fn body(
        &mut self,
        select: &Select,
        order: Order<'_>,
        grouping: Option<Vec<String>>,
    ) -> Result<Body, Failure> {
        self.allow(|scope| {
            scope.grouping = grouping;
            scope.takes = Takes {
                aggregates: true,
                windows: true,
            };
        });
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            self.item(item, &mut items)?;
        }
        if items.is_empty() {
            return Err(Failure::unsupported("a SELECT of no columns"));
        }
        self.allow(|scope| scope.takes.windows = false);
        let having = match &select.having {
            Some(having) => Some(self.condition(having)?),
            None => None,
        };
        self.allow(|scope| scope.takes.windows = true);
        let qualify = match &select.qualify {
            Some(qualify) => Some(self.condition(qualify)?),
            None => None,
        };
        let mut terms = Vec::new();
        match order {
            Order::Terms(order) => {
                for term in order {
                    terms.extend(self.sorted_by(term, &items)?);
                }
            }
            Order::All(options) => {
                for item in items.iter().filter(|item| item.typed.constant.is_none()) {
                    let (key, direction) = order_key(&item.typed, options)?;
                    let sql = item.typed.sql.clone();
                    terms.push(OrderTerm {
                        key,
                        direction,
                        sql,
                    });
                }
            }
        }
        self.allow(|scope| {
            scope.grouping = None;
            scope.takes = Takes::default();
        });
        Ok(Body {
            items,
            having,
            qualify,
            order: terms,
        })
    }

    fn allow(&mut self, change: impl FnOnce(&mut Scope)) {
        if let Some(scope) = self.scopes.last_mut() {
            change(scope);
        }
    }

    fn item(&mut self, item: &SelectItem, items: &mut Vec<Item>) -> Result<(), Failure> {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let typed = self.expression(expr)?;
                items.push(Item {
                    name: shown(expr),
                    typed,
                });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                // An alias that hides a column does not hide it from its own expression.
                let name = folded(alias);
                self.allow(|scope| scope.looking_up.push(name.clone()));
                let typed = self.expression(expr);
                self.allow(|scope| {
                    scope.looking_up.pop();
                });
                items.push(Item {
                    name,
                    typed: typed?,
                });
            }
            SelectItem::Wildcard(options) => self.wildcard(&[], options, items)?,
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) => {
                let parts = name.0.iter().map(|part| part.as_ident().map(folded));
                let parts: Option<Vec<String>> = parts.collect();
                let parts = parts.ok_or_else(|| Failure::no_object(&name.to_string()))?;
                self.wildcard(&parts, options, items)?;
            }
            other => return Err(Failure::unsupported(format!("{other} in the select list"))),
        }
        Ok(())
    }

    /// `*` and `table.*`.
    fn wildcard(
        &mut self,
        table: &[String],
        options: &WildcardAdditionalOptions,
        items: &mut Vec<Item>,
    ) -> Result<(), Failure> {
        let left_out = excluded(options)?;
        let Some(scope) = self.scope() else {
            return Ok(());
        };
        let relations: Vec<_> = scope
            .relations
            .iter()
            .filter(|relation| table.is_empty() || relation.name.ends_with(table))
            .collect();
        if relations.is_empty() {
            return Err(Failure::no_object(&table.join(".")));
        }
        if let Some(part) = relations.iter().find(|relation| !relation.is_whole) {
            let name = part.name.join(".");
            return Err(Failure::unsupported(format!(
                "* of {name}: name its columns"
            )));
        }
        let merged: &[Visible] = if table.is_empty() { &scope.merged } else { &[] };
        let is_merged = |column: &Visible| merged.iter().any(|known| known.name == column.name);
        let all = relations.iter().flat_map(|relation| &relation.columns);
        let all = merged.iter().chain(all.filter(|column| !is_merged(column)));
        let is_grouped = |column: &Visible| match &scope.grouping {
            Some(groups) => groups.contains(&column.sql),
            None => true,
        };
        for column in all.filter(|column| !left_out.contains(&column.name)) {
            if !is_grouped(column) {
                return Err(Failure::not_grouped(&column.name));
            }
            items.push(Item {
                name: column.name.clone(),
                typed: Typed {
                    sql: column.sql.clone(),
                    of: column.of,
                    constant: None,
                },
            });
        }
        Ok(())
    }

    /// A term of ORDER BY: a position or an alias of the select list, or an expression. None for a constant, which sorts nothing.
    fn sorted_by(
        &mut self,
        term: &OrderByExpr,
        items: &[Item],
    ) -> Result<Option<OrderTerm>, Failure> {
        let typed = if let Some(position) = ordinal(&term.expr) {
            let item = position.checked_sub(1).and_then(|at| items.get(at));
            let item = item.ok_or_else(|| {
                Failure::unsupported(format!("ORDER BY {position}: there is no such column"))
            })?;
            item.typed.clone()
        } else {
            let by_name = match &term.expr {
                Expr::Identifier(ident) => {
                    let name = folded(ident);
                    let mut found = items.iter().filter(|item| item.name == name);
                    let first = found.next();
                    let is_other =
                        |item: &Item| first.is_some_and(|known| known.typed.sql != item.typed.sql);
                    if found.any(is_other) {
                        return Err(Failure::ambiguous_column(&name));
                    }
                    first
                }
                _ => None,
            };
            match by_name {
                Some(item) => item.typed.clone(),
                None => self.expression(&term.expr)?,
            }
        };
        if typed.constant.is_some() {
            return Ok(None);
        }
        let (key, direction) = order_term(&typed, term)?;
        Ok(Some(OrderTerm {
            key,
            direction,
            sql: typed.sql,
        }))
    }
}

/// Puts a query together from its select list and what is behind it.
fn assembled(body: Body, rest: &str, is_distinct: bool) -> Compiled {
    let distinct = if is_distinct { "DISTINCT " } else { "" };
    let mut list: Vec<String> = body
        .items
        .iter()
        .enumerate()
        .map(|(position, item)| format!("{} AS {}", item.typed.sql, output_name(position)))
        .collect();
    let names: Vec<String> = (0..list.len()).map(output_name).collect();
    let mut order = Vec::with_capacity(body.order.len());
    let is_nested = body.qualify.is_some();
    for (position, term) in body.order.into_iter().enumerate() {
        if is_nested && !is_distinct {
            list.push(format!("{} AS o{position}", term.key));
            order.push(format!("o{position} {}", term.direction));
        } else {
            order.push(format!("{} {}", term.key, term.direction));
        }
    }
    let query = match body.qualify {
        Some(qualify) => format!(
            "SELECT {distinct}{} FROM (SELECT {}, {qualify} AS q0{rest}) WHERE q0",
            names.join(", "),
            list.join(", ")
        ),
        None => format!("SELECT {distinct}{}{rest}", list.join(", ")),
    };
    let sql = if order.is_empty() {
        query
    } else {
        format!("{query} ORDER BY {}", order.join(", "))
    };
    let columns = body.items.into_iter().map(|item| Output {
        name: item.name,
        of: item.typed.of,
    });
    Compiled {
        sql,
        columns: columns.collect(),
    }
}

/// Equal values of the answer have one form; what it is sorted by is among its columns.
fn distinct(body: &mut Body) -> Result<(), Failure> {
    for term in &mut body.order {
        let position = body
            .items
            .iter()
            .position(|item| item.typed.sql == term.sql)
            .ok_or_else(|| {
                Failure::unsupported("SELECT DISTINCT that is sorted by what it does not answer")
            })?;
        term.key = output_name(position);
    }
    for item in &mut body.items {
        match item.typed.of.map(kind) {
            Some(Kind::Moment(Form::Tz)) => {
                return Err(Failure::unsupported("DISTINCT of TIMESTAMP_TZ: cast it"));
            }
            _ => item.typed.sql = grouping_key(&item.typed),
        }
    }
    Ok(())
}
