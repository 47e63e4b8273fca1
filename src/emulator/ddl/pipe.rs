//! CREATE PIPE, which sqlparser does not know, read token by token.

use std::sync::Arc;

use sqlparser::ast::{Expr, SelectItem};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token};

use super::defaults::{next_value, sequence};
use super::script::Cursor;
use super::session::Session;
use super::statements::DdlError;
use crate::emulator::catalog::coercion::DataType;
use crate::emulator::catalog::columns::Column;
use crate::emulator::catalog::rules::Rules;
use crate::emulator::catalog::tables::{Catalog, Mapping, MatchBy, Pipe, Selected, Table};
use crate::emulator::catalog::transforms::Transform;
use crate::emulator::sql::transforms;
use crate::types::answers::CreateOrRefuse;

/// Where a pipe takes its rows from.
enum Source {
    Streaming,
    Select(Vec<Item>),
    /// A select list with more than paths and casts.
    Computed(Vec<Expr>, Location),
    /// Files: nothing that the emulator has.
    Stage,
}

/// An item of a select list, before it has a column.
struct Item {
    path: Vec<String>,
    cast: Option<DataType>,
}

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
        Some(source(&mut cursor)?)
    } else {
        None
    };
    if matches!(source, Some(Source::Stage)) {
        return Ok(None);
    }
    let options_at = cursor.at();
    let match_by = options(&mut cursor, catalog.answers.file_format)?;
    let Some(table) = catalog.table(&table_name) else {
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
        (Some(Source::Computed(items, list_at)), None) => {
            let columns = columns(items.len(), listed, table);
            let columns = columns.map_err(|why| DdlError::at(at, why))?;
            let assigned: Vec<(usize, Expr)> = columns.into_iter().zip(items).collect();
            Mapping::Transform(transform(assigned, list_at, session, catalog)?)
        }
        (Some(Source::Select(_) | Source::Computed(..)), Some(_)) => {
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
    assigned: Vec<(usize, Expr)>,
    list_at: Location,
    session: &Session,
    catalog: &Catalog,
) -> Result<Transform, DdlError> {
    let (mut columns, mut items, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    for (column, item) in assigned {
        if let Some(parts) = next_value(&item) {
            let sequence = sequence(parts, (session, &catalog.sequences), list_at)?;
            numbers.push((column, sequence));
        } else {
            columns.push(column);
            items.push(item);
        }
    }
    if items.is_empty() {
        return Err(DdlError::at(
            list_at,
            "a select list of nothing but NEXTVAL reads no row",
        ));
    }
    let program = transforms::compile(&items, catalog.zone(), catalog.answers.functions);
    Ok(Transform {
        columns,
        program: Arc::new(program.map_err(|why| DdlError::at(list_at, why.reason()))?),
        numbers,
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

fn source(cursor: &mut Cursor<'_>) -> Result<Source, DdlError> {
    if is_stage(cursor) {
        return Ok(Source::Stage);
    }
    if !cursor.token(&Token::LParen) {
        streaming(cursor)?;
        return Ok(Source::Streaming);
    }
    cursor.expect_keyword("SELECT")?;
    let mut items_at = cursor.clone();
    let source = match select_list(cursor) {
        Ok(items) => Source::Select(items),
        // A select from files may hold anything: it is not ours to refuse.
        Err(_) if reads_files(items_at.clone()) => return Ok(Source::Stage),
        Err(_) => {
            let list_at = items_at.at();
            let items = expressions(&mut items_at)?;
            *cursor = items_at;
            Source::Computed(items, list_at)
        }
    };
    cursor.expect_keyword("FROM")?;
    if is_stage(cursor) {
        return Ok(Source::Stage);
    }
    streaming(cursor)?;
    if !cursor.token(&Token::RParen) {
        cursor.keyword("AS");
        if cursor.identifier().is_err() || !cursor.token(&Token::RParen) {
            return Err(DdlError::at(
                cursor.at(),
                "the emulator's pipes have a select list and nothing after it: no WHERE, no JOIN",
            ));
        }
    }
    Ok(source)
}

/// The expressions of a select list, as the parser of queries reads them.
fn expressions(cursor: &mut Cursor<'_>) -> Result<Vec<Expr>, DdlError> {
    let at = cursor.at();
    let list = cursor.until("FROM");
    let mut parser = Parser::new(&SnowflakeDialect {}).with_tokens_with_locations(list);
    let items = parser
        .parse_projection()
        .map_err(|why| DdlError::at(at, format!("the select list: {why}")))?;
    if parser.peek_token().token != Token::EOF {
        return Err(DdlError::at(
            at,
            format!("the select list: unexpected {}", parser.peek_token().token),
        ));
    }
    let items = items.into_iter().map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Ok(expr),
        other => Err(DdlError::at(
            at,
            format!("{other} in the select list of a pipe"),
        )),
    });
    items.collect()
}

fn is_stage(cursor: &Cursor<'_>) -> bool {
    matches!(
        cursor.peek(),
        Some(Token::AtSign | Token::SingleQuotedString(_))
    )
}

fn reads_files(mut cursor: Cursor<'_>) -> bool {
    loop {
        if cursor.keyword("FROM") {
            return is_stage(&cursor);
        }
        if cursor.next().is_none() {
            return false;
        }
    }
}

/// `TABLE(DATA_SOURCE(TYPE => 'STREAMING'))`.
fn streaming(cursor: &mut Cursor<'_>) -> Result<(), DdlError> {
    cursor.expect_keyword("TABLE")?;
    cursor.expect(&Token::LParen)?;
    cursor.expect_keyword("DATA_SOURCE")?;
    cursor.expect(&Token::LParen)?;
    cursor.expect_keyword("TYPE")?;
    cursor.expect(&Token::RArrow)?;
    match cursor.peek() {
        Some(Token::SingleQuotedString(kind)) if kind.eq_ignore_ascii_case("STREAMING") => {
            cursor.next();
        }
        _ => return Err(cursor.expected("'STREAMING'")),
    }
    cursor.expect(&Token::RParen)?;
    cursor.expect(&Token::RParen)
}

fn select_list(cursor: &mut Cursor<'_>) -> Result<Vec<Item>, DdlError> {
    let mut items = vec![item(cursor)?];
    while cursor.token(&Token::Comma) {
        items.push(item(cursor)?);
    }
    Ok(items)
}

/// `$1`, `$1:A`, `$1:A.B::NUMBER(7,2) AS C`: what needs no computing.
fn item(cursor: &mut Cursor<'_>) -> Result<Item, DdlError> {
    if !cursor.token(&Token::Placeholder("$1".to_owned())) {
        return Err(cursor.expected("$1"));
    }
    let mut path = Vec::new();
    let mut more = cursor.token(&Token::Colon);
    while more {
        match cursor.peek() {
            // Keys of JSON keep their case, quoted or not.
            Some(Token::Word(word)) => path.push(word.value.clone()),
            _ => return Err(cursor.expected("a key")),
        }
        cursor.next();
        more = cursor.token(&Token::Period);
    }
    let cast = if cursor.token(&Token::DoubleColon) {
        Some(data_type(cursor)?)
    } else {
        None
    };
    if cursor.keyword("AS") {
        cursor.identifier()?;
    }
    match cursor.peek() {
        Some(Token::Comma) => Ok(Item { path, cast }),
        Some(Token::Word(word)) if word.value.eq_ignore_ascii_case("FROM") => {
            Ok(Item { path, cast })
        }
        _ => Err(cursor.expected("a comma or FROM")),
    }
}

fn data_type(cursor: &mut Cursor<'_>) -> Result<DataType, DdlError> {
    let at = cursor.at();
    let mut text = cursor.identifier()?;
    if text == "DOUBLE" && cursor.keyword("PRECISION") {
        text.push_str(" PRECISION");
    }
    if cursor.token(&Token::LParen) {
        text.push('(');
        while let Some(token) = cursor.next() {
            if *token == Token::RParen {
                break;
            }
            text.push_str(&token.to_string());
        }
        text.push(')');
    }
    text.parse().map_err(|why: String| DdlError::at(at, why))
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
