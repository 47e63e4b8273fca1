//! FROM: tables, queries and joins.

use sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins,
};

use super::conversions::fitted;
use super::scopes::{Output, Relation, Visible, column_sql, columns_of, kept_column, output_name};
use super::state::Compiler;
use super::table_functions::table_function;
use super::types::Typed;
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::names::{folded, quoted, read_name};

impl Compiler<'_> {
    /// The SQL behind FROM; what it brings into scope is put there.
    pub(crate) fn from(&mut self, from: &[TableWithJoins]) -> Result<String, Failure> {
        // The joins behind a comma are written behind all that stands before it, which keeps the meaning of inner and left joins.
        let mut behind_comma = from.iter().skip(1).flat_map(|table| &table.joins);
        if behind_comma.any(keeps_right_side) {
            return Err(Failure::unsupported(
                "RIGHT JOIN or FULL JOIN behind a comma: write CROSS JOIN and parentheses",
            ));
        }
        let mut written = Vec::with_capacity(from.len());
        for table in from {
            let mut sql = self.factor(&table.relation)?;
            for join in &table.joins {
                sql.push_str(&self.join(join)?);
            }
            written.push(sql);
        }
        Ok(written.join(" CROSS JOIN "))
    }

    fn join(&mut self, join: &Join) -> Result<String, Failure> {
        let unsupported = || Failure::unsupported(format!("the join {join}"));
        let (operator, constraint) = match &join.join_operator {
            JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
                ("JOIN", constraint)
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
                ("LEFT JOIN", constraint)
            }
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
                ("RIGHT JOIN", constraint)
            }
            JoinOperator::FullOuter(constraint) => ("FULL JOIN", constraint),
            JoinOperator::CrossJoin(constraint) => ("CROSS JOIN", constraint),
            _ => return Err(unsupported()),
        };
        if join.global {
            return Err(unsupported());
        }
        let is_function = table_function(&join.relation).is_some();
        let before = self.scope().map_or(0, |scope| scope.relations.len());
        let right = self.factor(&join.relation)?;
        let condition = match constraint {
            JoinConstraint::On(condition) => format!(" ON {}", self.condition(condition)?),
            JoinConstraint::Using(columns) if matches!(operator, "JOIN" | "LEFT JOIN") => {
                self.using(columns, before)?
            }
            JoinConstraint::Natural if matches!(operator, "JOIN" | "LEFT JOIN") => {
                let names = self.shared(before)?;
                self.merge(&names, before)?
            }
            JoinConstraint::None if matches!(operator, "CROSS JOIN" | "JOIN") => String::new(),
            _ => return Err(unsupported()),
        };
        // As in an account: a lateral function takes no condition.
        let is_plain = matches!(operator, "CROSS JOIN" | "JOIN") && condition.is_empty();
        if is_function && !is_plain {
            return Err(unsupported());
        }
        Ok(format!(" {operator} {right}{condition}"))
    }

    /// The columns on the left of an inner or left join are those that USING gives.
    fn using(&mut self, columns: &[ObjectName], before: usize) -> Result<String, Failure> {
        let names = columns.iter().map(|column| {
            let name = match column.0.as_slice() {
                [part] => part.as_ident().map(folded),
                _ => None,
            };
            name.ok_or_else(|| Failure::no_column(&column.to_string()))
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        self.merge(&names, before)
    }

    /// The names of the columns that both sides of a NATURAL JOIN have.
    fn shared(&mut self, before: usize) -> Result<Vec<String>, Failure> {
        let relations = self
            .scopes
            .last_mut()
            .map(|scope| scope.relations.as_mut_slice());
        let (left, right) = relations
            .and_then(|relations| relations.split_at_mut_checked(before))
            .unwrap_or_default();
        let [left] = left else {
            return Err(Failure::unsupported("NATURAL JOIN of more than two tables"));
        };
        let partial = |relation: &&Relation| !relation.is_whole;
        if let Some(partial) = right.iter().chain([&*left]).find(partial) {
            let name = partial.name.join(".");
            return Err(Failure::unsupported(format!("NATURAL JOIN with {name}")));
        }
        let right: Vec<&Visible> = right
            .iter()
            .flat_map(|relation| &relation.columns)
            .collect();
        let is_shared = |column: &&Visible| right.iter().any(|other| other.name == column.name);
        let names = left.columns.iter().filter(is_shared);
        let names: Vec<String> = names.map(|column| column.name.clone()).collect();
        if names.is_empty() {
            return Err(Failure::unsupported(
                "NATURAL JOIN of tables without a common column",
            ));
        }
        // Where other columns of * would stand is not documented.
        left.is_whole &= left
            .columns
            .iter()
            .take(names.len())
            .all(|column| is_shared(&column));
        Ok(names)
    }

    fn merge(&mut self, names: &[String], before: usize) -> Result<String, Failure> {
        let mut conditions = Vec::with_capacity(names.len());
        for name in names {
            let find = |relations: &[Relation]| {
                let mut all = relations.iter().flat_map(|relation| &relation.columns);
                all.find(|column| column.name == *name).cloned()
            };
            let sides = self.scope().map(|scope| {
                let (left, right) = scope.relations.split_at(before.min(scope.relations.len()));
                let merged = scope.merged.iter().find(|column| column.name == *name);
                (merged.cloned().or_else(|| find(left)), find(right))
            });
            let Some((Some(left), Some(right))) = sides else {
                return Err(Failure::no_column(name));
            };
            let typed = |column: &Visible| Typed {
                sql: column.sql.clone(),
                of: column.of,
                constant: None,
            };
            let pair = self.comparable(vec![typed(&left), typed(&right)], false)?;
            conditions.push(pair.join(" = "));
            if let Some(scope) = self.scopes.last_mut()
                && scope.merged.iter().all(|column| column.name != *name)
            {
                scope.merged.push(left);
            }
        }
        Ok(format!(" ON {}", conditions.join(" AND ")))
    }

    /// A table, a query or a table function.
    fn factor(&mut self, factor: &TableFactor) -> Result<String, Failure> {
        let unsupported = || Failure::unsupported(format!("{factor} in FROM"));
        if let Some(call) = table_function(factor) {
            return self.table_call(&call);
        }
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.table(name, alias.as_ref())
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                // A query in FROM does not see its neighbours.
                let scopes = std::mem::take(&mut self.scopes);
                let query = self.query(subquery);
                self.scopes = scopes;
                let query = query?;
                let sql_name = self.fresh("q");
                self.bring(&sql_name, alias.as_ref(), None, &query.columns)?;
                Ok(format!("({}) AS {sql_name}", query.sql))
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => {
                let inner = self.from(std::slice::from_ref(table_with_joins))?;
                Ok(format!("({inner})"))
            }
            _ => Err(unsupported()),
        }
    }

    /// A table, or a query that WITH has named.
    fn table(&mut self, name: &ObjectName, alias: Option<&TableAlias>) -> Result<String, Failure> {
        if let [part] = name.0.as_slice()
            && let Some(ident) = part.as_ident()
        {
            let wanted = folded(ident);
            let known = self.named.iter().rev().find(|query| query.name == wanted);
            if let Some(query) = known.cloned() {
                let sql_name = self.fresh("w");
                self.bring(&sql_name, alias, Some(vec![wanted]), &query.columns)?;
                return Ok(format!("{} AS {sql_name}", quoted(&query.sql_name)));
            }
        }
        let table = read_name(name, self.settings.context)?;
        let known = self.settings.tables.get(&table).cloned().ok_or_else(|| {
            Failure::no_object(&format!(
                "{}.{}.{}",
                table.database, table.schema, table.name
            ))
        })?;
        let sql_name = self.fresh("t");
        let mut columns = Vec::with_capacity(known.columns.len());
        for column in &known.columns {
            let sql = column_sql(&sql_name, column);
            if matches!(column.data_type, DataType::Number { scale: 0, .. }) {
                let kept = kept_column(&sql_name, column);
                self.whole_columns.insert(sql.clone(), kept);
            }
            columns.push(Visible {
                name: column.name.clone(),
                of: Some(column.data_type),
                sql,
            });
        }
        let own_name = vec![table.database, table.schema, table.name];
        if !known.is_whole && alias.is_some_and(|alias| !alias.columns.is_empty()) {
            return Err(Failure::unsupported(format!(
                "{name} with an alias for its columns"
            )));
        }
        self.bring_columns(alias, Some(own_name), columns)?;
        if let Some(brought) = self
            .scopes
            .last_mut()
            .and_then(|scope| scope.relations.last_mut())
        {
            brought.is_whole = known.is_whole;
        }
        Ok(format!("{} AS {sql_name}", quoted(&known.kept_as)))
    }

    fn bring(
        &mut self,
        sql_name: &str,
        alias: Option<&TableAlias>,
        own_name: Option<Vec<String>>,
        outputs: &[Output],
    ) -> Result<(), Failure> {
        let columns = columns_of(sql_name, outputs);
        self.bring_columns(alias, own_name, columns)
    }

    /// Puts a table or query into scope, under its alias or its own name.
    fn bring_columns(
        &mut self,
        alias: Option<&TableAlias>,
        own_name: Option<Vec<String>>,
        mut columns: Vec<Visible>,
    ) -> Result<(), Failure> {
        if let Some(alias) = alias {
            if alias.at.is_some()
                || alias
                    .columns
                    .iter()
                    .any(|column| column.data_type.is_some())
            {
                return Err(Failure::unsupported(format!("the alias {alias}")));
            }
            if !alias.columns.is_empty() && alias.columns.len() != columns.len() {
                return Err(Failure::unsupported(format!(
                    "the alias {alias}, which has other columns than its query"
                )));
            }
            for (column, alias) in columns.iter_mut().zip(&alias.columns) {
                column.name = folded(&alias.name);
            }
        }
        let name = match alias {
            Some(alias) => vec![folded(&alias.name)],
            None => own_name.unwrap_or_default(),
        };
        if let Some(scope) = self.scopes.last_mut() {
            scope.relations.push(Relation {
                name,
                columns,
                is_whole: true,
            });
        }
        Ok(())
    }

    /// The SQL of VALUES, and its columns.
    pub(crate) fn values(
        &mut self,
        rows: &[&Vec<Expr>],
    ) -> Result<super::selects::Compiled, Failure> {
        let mut typed: Vec<Vec<Typed>> = Vec::with_capacity(rows.len());
        for row in rows {
            let mut cells = Vec::with_capacity(row.len());
            for expr in *row {
                cells.push(self.expression(expr)?);
            }
            typed.push(cells);
        }
        let width = typed.first().map_or(0, Vec::len);
        if width == 0 || typed.iter().any(|row| row.len() != width) {
            return Err(Failure::unsupported("VALUES of rows of several lengths"));
        }
        let mut columns = Vec::with_capacity(width);
        for position in 0..width {
            let cells = typed.iter().filter_map(|row| row.get(position));
            columns.push(Output {
                name: format!("COLUMN{}", position + 1),
                of: super::types::common_of("VALUES", cells)?,
            });
        }
        let mut selects = Vec::with_capacity(typed.len());
        for row in &typed {
            let mut cells = Vec::with_capacity(width);
            for (position, (cell, column)) in row.iter().zip(&columns).enumerate() {
                let cell = fitted(cell, column.of)?;
                cells.push(format!("{cell} AS {}", output_name(position)));
            }
            selects.push(format!("SELECT {}", cells.join(", ")));
        }
        Ok(super::selects::Compiled {
            sql: selects.join(" UNION ALL "),
            columns,
        })
    }
}

/// Whether rows of the right side are kept that match nothing.
fn keeps_right_side(join: &Join) -> bool {
    matches!(
        join.join_operator,
        JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
    )
}
