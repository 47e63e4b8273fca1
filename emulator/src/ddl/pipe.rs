//! CREATE PIPE, which sqlparser does not know, read token by token.

use std::sync::Arc;

use sqlparser::tokenizer::Token;

use super::defaults::{next_value, sequence};
use super::pipe_source::{Computed, Item, Source, source};
use super::script::Cursor;
use super::session::Session;
use super::statements::DdlError;
use crate::answers::CreateOrRefuse;
use crate::catalog::coercion::DataType;
use crate::catalog::columns::Column;
use crate::catalog::rules::Rules;
use crate::catalog::tables::{Catalog, Mapping, MatchBy, Pipe, Selected, Table};
use crate::catalog::transforms::{Program, Transform};
use crate::sql::failure::Failure;
use crate::sql::transforms;

/// Reads what follows `CREATE PIPE [IF NOT EXISTS]`. `None` is a pipe that loads files.
pub(crate) fn read(
    mut cursor: Cursor<'_>,
    session: &Session,
    catalog: &Catalog,
) -> Result<Option<Pipe>, DdlError> {
    let (parts, at) = cursor.name()?;
    let name = session.object(parts, at)?;
    // AUTO_INGEST, COMMENT and the like stand before AS; none of them says where rows go.
    while !cursor.keyword("AS") {
        if cursor.next().is_none() {
            return Err(cursor.expected("AS COPY INTO"));
        }
    }
    let definition = cursor.rest();
    cursor.expect_keyword("COPY")?;
    cursor.expect_keyword("INTO")?;
    let (parts, table_at) = cursor.name()?;
    let table_name = session.object(parts, table_at)?;
    let listed = column_list(&mut cursor)?;
    let named = listed.clone();
    let source = if cursor.keyword("FROM") {
        Some(source(&mut cursor, catalog.answers.where_clause)?)
    } else {
        None
    };
    if matches!(source, Some(Source::Stage)) {
        return Ok(None);
    }
    let options_at = cursor.at();
    let match_by = options(&mut cursor, catalog.answers.file_format)?;
    let Some(table) = catalog.table_in_sql(&table_name) else {
        return Err(DdlError::at(
            table_at,
            format!(
                "there is no table {}.{}.{}: create it before the pipe",
                table_name.database, table_name.schema, table_name.name
            ),
        ));
    };
    if let Some(column) = named.and_then(|named| excluded_sequence(table, &named)) {
        return Err(DdlError::at(
            table_at,
            format!(
                "excluded columns cannot have a sequence as their default: name column {column} in the list"
            ),
        ));
    }
    let mapping = match (source, match_by) {
        (Some(Source::Select(items)), None) => {
            let selected = assign(items, listed, table).map_err(|why| DdlError::at(at, why))?;
            Mapping::Select(selected)
        }
        (Some(Source::Computed(select)), None) => {
            let columns = columns(select.items.len(), listed, table);
            let columns = columns.map_err(|why| DdlError::at(at, why))?;
            Mapping::Transform(transform(columns, *select, session, catalog)?)
        }
        (Some(Source::Select(_) | Source::Computed(_)), Some(_)) => {
            return Err(DdlError::at(
                options_at,
                "match_by_column_name is not supported with copy transform: a pipe has either a select list or MATCH_BY_COLUMN_NAME",
            ));
        }
        (_, Some(match_by)) => Mapping::ByName(match_by),
        (None, None) => Mapping::ByName(MatchBy::CaseInsensitive),
        (_, None) if is_one_variant(table) => Mapping::WholeRow,
        (_, None) => {
            return Err(DdlError::at(
                options_at,
                format!(
                    "the pipe does not say how keys become columns of {}: add MATCH_BY_COLUMN_NAME=CASE_SENSITIVE or CASE_INSENSITIVE",
                    table.name.name
                ),
            ));
        }
    };
    Ok(Some(Pipe {
        name,
        table: table.name.clone(),
        mapping,
        definition: Some(definition),
        rules: Rules::default(),
    }))
}

/// What computes the values of columns.
fn transform(
    assigned: Vec<usize>,
    select: Computed,
    session: &Session,
    catalog: &Catalog,
) -> Result<Transform, DdlError> {
    let at = select.at;
    let (mut columns, mut items, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (column, item) in assigned.into_iter().zip(select.items) {
        if let Some(parts) = next_value(&item) {
            let sequence = sequence(parts, (session, &catalog.sequences), at)?;
            numbers.push((column, sequence));
        } else {
            columns.push(column);
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(DdlError::at(
            at,
            "a select list of nothing but NEXTVAL reads no row",
        ));
    }
    let refused = |why: Failure| DdlError::at(at, why.reason());
    let (zone, functions) = (catalog.zone(), catalog.answers.functions);
    let program = transforms::compile(&items, zone, functions).map_err(refused)?;
    let filter: Option<Arc<dyn Program>> = match &select.condition {
        Some(condition) => {
            let filter = transforms::compile_condition(condition, zone, functions);
            Some(Arc::new(filter.map_err(refused)?))
        }
        None => None,
    };
    Ok(Transform {
        columns,
        program: Arc::new(program),
        numbers,
        filter,
    })
}

/// The first column beside those of a list whose default takes numbers from CREATE SEQUENCE.
fn excluded_sequence<'a>(table: &'a Table, listed: &[String]) -> Option<&'a str> {
    let takes = |column: &&Column| column.sequence().is_some_and(|of| !of.is_identity());
    let mut excluded = table.columns.iter().filter(takes);
    let column = excluded.find(|column| !listed.contains(&column.name))?;
    Some(&column.name)
}

fn is_one_variant(table: &Table) -> bool {
    matches!(table.columns.as_slice(), [only] if only.data_type == DataType::Variant)
}

fn column_list(cursor: &mut Cursor<'_>) -> Result<Option<Vec<String>>, DdlError> {
    if !cursor.token(&Token::LParen) {
        return Ok(None);
    }
    let mut names = vec![cursor.identifier()?];
    while cursor.token(&Token::Comma) {
        names.push(cursor.identifier()?);
    }
    cursor.expect(&Token::RParen)?;
    Ok(Some(names))
}

/// What follows the source. Only one option changes how rows land.
fn options(
    cursor: &mut Cursor<'_>,
    file_format: CreateOrRefuse,
) -> Result<Option<MatchBy>, DdlError> {
    let mut match_by = None;
    while cursor.peek().is_some() {
        let at = cursor.at();
        let option = cursor.identifier()?;
        cursor.expect(&Token::Eq)?;
        let value_at = cursor.clone();
        let value = option_value(cursor)?;
        match (option.as_str(), value.as_str()) {
            ("MATCH_BY_COLUMN_NAME", "CASE_SENSITIVE") => {
                match_by = Some(MatchBy::CaseSensitive);
            }
            ("MATCH_BY_COLUMN_NAME", "CASE_INSENSITIVE") => {
                match_by = Some(MatchBy::CaseInsensitive);
            }
            ("FILE_FORMAT", _) if file_format == CreateOrRefuse::Refuse => {
                return Err(DdlError::at(
                    at,
                    "a streaming pipe has no option FILE_FORMAT: leave it out",
                ));
            }
            ("MATCH_BY_COLUMN_NAME", "NONE")
            | ("ON_ERROR", "CONTINUE")
            | ("CLUSTER_AT_INGEST_TIME", _)
            | ("FILE_FORMAT", "(TYPE=JSON)") => {}
            ("FILE_FORMAT", _) => {
                return Err(
                    value_at.expected("(TYPE = JSON), which is what a streaming pipe reads")
                );
            }
            ("MATCH_BY_COLUMN_NAME", _) => {
                return Err(value_at.expected("CASE_SENSITIVE, CASE_INSENSITIVE or NONE"));
            }
            ("ON_ERROR", _) => {
                return Err(value_at.expected("CONTINUE: streaming pipes know nothing else"));
            }
            _ => {
                return Err(DdlError::at(
                    at,
                    format!("the emulator's pipes have no option {option}: leave it out"),
                ));
            }
        }
    }
    Ok(match_by)
}

/// A word, or something in parentheses, upper-case.
fn option_value(cursor: &mut Cursor<'_>) -> Result<String, DdlError> {
    let Some(first) = cursor.next() else {
        return Err(cursor.expected("a value"));
    };
    let mut text = first.to_string();
    let mut depth = usize::from(*first == Token::LParen);
    while depth > 0 {
        let Some(next) = cursor.next() else {
            return Err(cursor.expected(")"));
        };
        match next {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::SingleQuotedString(quoted) => {
                text.push_str(quoted);
                continue;
            }
            _ => {}
        }
        text.push_str(&next.to_string());
    }
    Ok(text.to_uppercase())
}

/// Gives each item its column: the listed ones, or all of them in order.
fn assign(
    items: Vec<Item>,
    listed: Option<Vec<String>>,
    table: &Table,
) -> Result<Vec<Selected>, String> {
    let columns = columns(items.len(), listed, table)?;
    let assigned = columns.into_iter().zip(items);
    let assigned = assigned.map(|(column, item)| Selected {
        column,
        path: item.path,
        cast: item.cast,
    });
    Ok(assigned.collect())
}

/// The positions of the columns that the items of a select list go to.
fn columns(items: usize, listed: Option<Vec<String>>, table: &Table) -> Result<Vec<usize>, String> {
    let all = || table.columns.iter().map(|c| c.name.clone()).collect();
    let columns: Vec<String> = listed.unwrap_or_else(all);
    if columns.len() != items {
        return Err(format!(
            "the pipe selects {} values for {} columns of {}: name the columns after COPY INTO {}, in the order of the select list",
            items,
            columns.len(),
            table.name.name,
            table.name.name
        ));
    }
    let found = columns.into_iter().map(|name| {
        let found = table.columns.iter().position(|column| column.name == name);
        found.ok_or_else(|| format!("table {} has no column {name}", table.name.name))
    });
    found.collect()
}
