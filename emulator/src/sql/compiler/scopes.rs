//! Names of columns: what a query reads from, and which column a name means.

use sqlparser::ast::{Expr, Ident};

use super::state::Compiler;
use super::types::{Type, Typed, is_narrow};
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::sql::failure::Failure;
use crate::sql::functions::volatile;
use crate::sql::names::folded;
use crate::sql::names::quoted;

/// A column of a query's answer.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) of: Type,
}

/// A column that an expression may name.
#[derive(Debug, Clone)]
pub(crate) struct Visible {
    pub(crate) name: String,
    pub(crate) of: Type,
    pub(crate) sql: String,
}

/// A table or query in FROM.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// The names it goes by, its own last: database, schema and table, or an alias.
    pub(crate) name: Vec<String>,
    pub(crate) columns: Vec<Visible>,
    /// Whether these are all of its columns.
    pub(crate) is_whole: bool,
}

/// What may stand at a place of a query.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Takes {
    pub(crate) aggregates: bool,
    pub(crate) windows: bool,
}

/// What a query's expressions may name, and what they may do.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) relations: Vec<Relation>,
    /// Columns that USING has merged: they have no table's name.
    pub(crate) merged: Vec<Visible>,
    /// The expressions that the select list gives names to.
    pub(crate) aliases: Vec<(String, Expr)>,
    /// The aliases that are being looked up, for an alias does not mean itself.
    pub(crate) looking_up: Vec<String>,
    /// The SQL of what the query groups by; none in a query that does not group.
    pub(crate) grouping: Option<Vec<String>>,
    pub(crate) takes: Takes,
    pub(crate) in_aggregate: bool,
    /// Whether an aggregate has been met.
    pub(crate) has_aggregates: bool,
}

/// A column of a table, as it is kept.
pub(crate) fn kept_column(relation: &str, column: &Column) -> String {
    format!("{}.{}", quoted(relation), quoted(&column.name))
}

/// A column of a table, as an expression in the form of its type.
pub(crate) fn column_sql(relation: &str, column: &Column) -> String {
    let raw = kept_column(relation, column);
    match column.data_type {
        DataType::Number { precision, scale } if scale > 0 || !is_narrow(precision) => {
            format!("sf_column({raw},{precision},{scale})")
        }
        DataType::Time(digits)
        | DataType::TimestampNtz(digits)
        | DataType::TimestampLtz(digits)
        | DataType::TimestampTz(digits)
            if digits < 9 =>
        {
            format!("sf_fill({raw})")
        }
        _ => raw,
    }
}

/// The name of a query's column in SQLite.
pub(crate) fn output_name(position: usize) -> String {
    format!("c{position}")
}

/// The columns of a query that goes by a name in SQLite.
pub(crate) fn columns_of(relation: &str, outputs: &[Output]) -> Vec<Visible> {
    let visible = outputs
        .iter()
        .enumerate()
        .map(|(position, output)| Visible {
            name: output.name.clone(),
            of: output.of,
            sql: format!("{}.{}", quoted(relation), output_name(position)),
        });
    visible.collect()
}

impl Scope {
    /// The columns of this name, under these names of a table.
    fn find(&self, table: &[String], name: &str) -> Result<Option<&Visible>, Failure> {
        if table.is_empty()
            && let Some(merged) = self.merged.iter().find(|column| column.name == name)
        {
            return Ok(Some(merged));
        }
        let mut found = self
            .relations
            .iter()
            .filter(|relation| relation.name.ends_with(table))
            .flat_map(|relation| &relation.columns)
            .filter(|column| column.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Failure::ambiguous_column(name));
        }
        Ok(first)
    }

    fn alias(&self, name: &str) -> Option<Expr> {
        if self.looking_up.iter().any(|known| known == name) {
            return None;
        }
        let mut aliases = self.aliases.iter();
        let found = aliases.find(|(alias, _)| alias == name);
        found.map(|(_, expr)| expr.clone())
    }
}

impl Compiler<'_> {
    /// The column, or the alias of the select list, that a name means.
    pub(crate) fn named(&mut self, parts: &[Ident]) -> Result<Typed, Failure> {
        let names: Vec<String> = parts.iter().map(folded).collect();
        let Some((name, table)) = names.split_last() else {
            return Err(Failure::no_column(""));
        };
        let shown = names.join(".");
        for level in (0..self.scopes.len()).rev() {
            let Some(scope) = self.scopes.get(level) else {
                continue;
            };
            if let Some(column) = scope.find(table, name)? {
                let typed = Typed {
                    sql: column.sql.clone(),
                    of: column.of,
                    constant: None,
                };
                if let Some(groups) = &scope.grouping
                    && !scope.in_aggregate
                    && !groups.contains(&typed.sql)
                {
                    return Err(Failure::not_grouped(&shown));
                }
                return Ok(typed);
            }
            if table.is_empty()
                && level + 1 == self.scopes.len()
                && let Some(expr) = scope.alias(name)
            {
                return self.of_alias(name, &expr);
            }
        }
        let mut relations = self.scopes.iter().flat_map(|scope| &scope.relations);
        match relations.find(|relation| !relation.is_whole) {
            Some(partial) => Err(Failure::unsupported(format!(
                "the column {shown}, which {} may have in an account",
                partial.name.join(".")
            ))),
            None => Err(Failure::no_column(&shown)),
        }
    }

    /// An expression that the select list has given a name.
    fn of_alias(&mut self, name: &str, expr: &Expr) -> Result<Typed, Failure> {
        if let Some(scope) = self.scopes.last_mut() {
            scope.looking_up.push(name.to_owned());
        }
        let found = self.expression(expr);
        if let Some(scope) = self.scopes.last_mut() {
            scope.looking_up.pop();
        }
        let found = found?;
        // It would be computed again, and be another value.
        if volatile::calls(&found.sql) > 0 {
            return Err(Failure::unsupported(format!(
                "the alias {name}, whose value differs from call to call, in another expression"
            )));
        }
        Ok(found)
    }
}
