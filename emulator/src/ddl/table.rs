//! CREATE TABLE, read by sqlparser and cut down to what a table needs: columns, types, NOT NULL and defaults.

use std::collections::BTreeSet;

use sqlparser::ast::{
    self, AlterColumnOperation, AlterTableOperation, ColumnOption, Expr, TableConstraint,
};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token};

use super::defaults::{Scope, default, identity};
use super::options::without_error_logging;
use super::script::{Statement, parser_error};
use super::statements::DdlError;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::{Column, ColumnDefault};
use crate::catalog::tables::Table;
use crate::sql::names::identifier;

/// No column's definition has more tokens. sqlparser bounds how deep parentheses nest but not how long a chain of operators
/// or casts is, and the tree of such a chain is as deep as the chain is long: dropping it overflows the stack.
const MOST_TOKENS: usize = 500;

/// Reads a statement to its end.
pub(crate) fn parse(statement: &Statement) -> Result<ast::Statement, DdlError> {
    check_length(statement)?;
    let tokens = without_error_logging(&statement.tokens);
    let mut parser = Parser::new(&SnowflakeDialect {}).with_tokens_with_locations(tokens);
    let parsed = parser
        .parse_statement()
        .map_err(|why| parser_error(&why, statement))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(DdlError::at(
            next.span.start,
            format!("{} is not expected here", next.token),
        ));
    }
    Ok(parsed)
}

fn check_length(statement: &Statement) -> Result<(), DdlError> {
    // A comma ends a column, and with it every chain but one of queries.
    let of_queries = |word: String| {
        matches!(
            word.as_str(),
            "UNION" | "EXCEPT" | "INTERSECT" | "MINUS" | "SELECT"
        )
    };
    let columns = !statement.words().any(of_queries);
    let (mut depth, mut length) = (0_usize, 0_usize);
    for token in &statement.tokens {
        length += 1;
        match &token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 1 && columns => length = 0,
            _ => {}
        }
        if length > MOST_TOKENS {
            return Err(DdlError::at(
                token.span.start,
                format!(
                    "this is more than {MOST_TOKENS} words for one column: spell the columns out, with constants as defaults"
                ),
            ));
        }
    }
    Ok(())
}

/// The parts of a name, as Snowflake stores them.
pub(crate) fn name_parts(name: &ast::ObjectName, at: Location) -> Result<Vec<String>, DdlError> {
    let parts = name.0.iter().map(|part| {
        part.as_ident()
            .map(|ident| identifier(&ident.value, ident.quote_style))
            .ok_or_else(|| DdlError::at(at, format!("write the name {part} out")))
    });
    parts.collect()
}

/// The columns of a table.
pub(super) fn columns(
    table: &ast::CreateTable,
    scope: Scope<'_>,
    at: Location,
) -> Result<Vec<Column>, DdlError> {
    let mut columns = table
        .columns
        .iter()
        .map(|definition| column(definition, scope))
        .collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Err(DdlError::at(at, "the table has no columns"));
    }
    refuse_options(table, at)?;
    for constraint in &table.constraints {
        let key = match constraint {
            TableConstraint::PrimaryKey(key) => key,
            // Snowflake does not enforce these either.
            TableConstraint::Unique(_) | TableConstraint::ForeignKey(_) => continue,
            other => {
                return Err(DdlError::at(
                    at,
                    format!("the emulator does not enforce {other}: leave it out"),
                ));
            }
        };
        for part in &key.columns {
            if let Expr::Identifier(ident) = &part.column.expr {
                let name = identifier(&ident.value, ident.quote_style);
                for column in columns.iter_mut().filter(|column| column.name == name) {
                    column.nullable = false;
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    match columns.iter().find(|column| !seen.insert(&column.name)) {
        Some(twice) => Err(DdlError::at(
            at,
            format!("the table has two columns named {}", twice.name),
        )),
        None => Ok(columns),
    }
}

/// Refuses the options of a table that decide what lands or what is read.
fn refuse_options(table: &ast::CreateTable, at: Location) -> Result<(), DdlError> {
    let options = [
        (
            table.default_ddl_collation.is_some(),
            "DEFAULT_DDL_COLLATION",
        ),
        (table.with_row_access_policy.is_some(), "ROW ACCESS POLICY"),
        (
            table.with_aggregation_policy.is_some(),
            "AGGREGATION POLICY",
        ),
    ];
    let found = options.into_iter().find(|(is_there, _)| *is_there);
    found.map_or(Ok(()), |(_, option)| {
        Err(DdlError::at(
            at,
            format!("the emulator has no tables with {option}: leave it out"),
        ))
    })
}

/// Carries out one operation of an ALTER TABLE.
pub(super) fn alter(
    table: &mut Table,
    operation: &AlterTableOperation,
    scope: Scope<'_>,
    at: Location,
) -> Result<(), DdlError> {
    let refused = |why: &str| {
        Err(DdlError::at(
            at,
            format!("table {}: {why}", table.name.name),
        ))
    };
    match operation {
        AlterTableOperation::AddColumn {
            if_not_exists,
            column_def,
            ..
        } => {
            let added = column(column_def, scope)?;
            if table.columns.iter().any(|known| known.name == added.name) {
                return if *if_not_exists {
                    Ok(())
                } else {
                    refused(&format!("it has a column {} already", added.name))
                };
            }
            if !matches!(added.default, Some(ColumnDefault::Constant(_)) | None) {
                return refused("a column is added with a constant default, or with none");
            }
            if !added.nullable && added.default.is_none() {
                return refused(
                    "a column is added without NOT NULL, or with a DEFAULT: the rows that are there have no value",
                );
            }
            table.columns.push(added);
            Ok(())
        }
        AlterTableOperation::AlterColumn {
            column_name,
            op: AlterColumnOperation::DropNotNull,
        } => {
            let name = identifier(&column_name.value, column_name.quote_style);
            match table.columns.iter_mut().find(|known| known.name == name) {
                Some(column) => {
                    column.nullable = true;
                    Ok(())
                }
                None => refused(&format!("it has no column {name}")),
            }
        }
        other => refused(&format!(
            "the emulator has no ALTER TABLE with {other}: it has ADD COLUMN and ALTER COLUMN … DROP NOT NULL"
        )),
    }
}

fn column(definition: &ast::ColumnDef, scope: Scope<'_>) -> Result<Column, DdlError> {
    let at = definition.name.span.start;
    let name = identifier(&definition.name.value, definition.name.quote_style);
    let data_type: DataType = definition
        .data_type
        .to_string()
        .parse()
        .map_err(|why: String| DdlError::at(at, format!("column {name}: {why}")))?;
    let mut column = Column {
        name,
        data_type,
        nullable: true,
        default: None,
    };
    for option in &definition.options {
        match &option.option {
            ColumnOption::NotNull | ColumnOption::PrimaryKey(_) => column.nullable = false,
            ColumnOption::Default(value) => {
                column.default = Some(default(value, &column, scope, at)?);
            }
            ColumnOption::Identity(kind) => {
                column.default = Some(identity(kind, &column, scope, at)?);
            }
            // Snowflake does not enforce UNIQUE and FOREIGN KEY either, and the others say nothing about values.
            ColumnOption::Null
            | ColumnOption::Unique(_)
            | ColumnOption::ForeignKey(_)
            | ColumnOption::Comment(_)
            | ColumnOption::Tags(_) => {}
            other => {
                return Err(DdlError::at(
                    at,
                    format!(
                        "column {}: the emulator has no {other}: leave it out, or send the value",
                        column.name
                    ),
                ));
            }
        }
    }
    Ok(column)
}
