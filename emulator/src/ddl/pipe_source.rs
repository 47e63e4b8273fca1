//! Where a pipe takes its rows from: what follows FROM in its COPY.

use sqlparser::ast::{Expr, SelectItem};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::keywords::Keyword;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use super::script::Cursor;
use super::statements::{DdlError, ErrorCode};
use crate::answers::PipeWhere;
use crate::catalog::coercion::DataType;

/// What accounts answer to a join or a condition in a streaming pipe, which are private previews. redpanda-data/connect
/// (`streaming_pipe_ithelper_test.go`) takes either code for either.
const NO_JOIN: ErrorCode = ErrorCode("003001", "42501");
const NO_CONDITION: ErrorCode = ErrorCode("002098", "0A000");

/// Where a pipe takes its rows from.
pub(super) enum Source {
    Streaming,
    Select(Vec<Item>),
    /// A select with more than paths and casts.
    Computed(Box<Computed>),
    /// Files: nothing that the emulator has.
    Stage,
}

/// A select that the parser of queries has read.
pub(super) struct Computed {
    pub(super) items: Vec<Expr>,
    /// The condition of WHERE.
    pub(super) condition: Option<Expr>,
    pub(super) at: Location,
}

/// An item of a select list, before it has a column.
pub(super) struct Item {
    pub(super) path: Vec<String>,
    pub(super) cast: Option<DataType>,
}

/// Reads what follows FROM.
pub(super) fn source(cursor: &mut Cursor<'_>, answer: PipeWhere) -> Result<Source, DdlError> {
    if is_stage(cursor) {
        return Ok(Source::Stage);
    }
    if !cursor.token(&Token::LParen) {
        streaming(cursor)?;
        return Ok(Source::Streaming);
    }
    cursor.expect_keyword("SELECT")?;
    let list = cursor.clone();
    // A select from files may hold anything: it is not ours to refuse.
    if reads_files(list.clone()) {
        return Ok(Source::Stage);
    }
    let paths = select_list(cursor).ok();
    *cursor = list.clone();
    cursor.until("FROM");
    cursor.expect_keyword("FROM")?;
    streaming(cursor)?;
    if let Some(at) = join(cursor.clone()) {
        let text = "JOIN is not supported in a streaming pipe: leave it out";
        return Err(DdlError::at(at, text).with_code(NO_JOIN));
    }
    let condition = condition(cursor, answer)?;
    if !cursor.token(&Token::RParen) {
        return Err(DdlError::at(
            cursor.at(),
            "the emulator's pipes select from one source and have nothing after it: no JOIN, no ORDER BY",
        ));
    }
    match paths {
        Some(items) if condition.is_none() => Ok(Source::Select(items)),
        _ => Ok(Source::Computed(Box::new(Computed {
            items: expressions(list.clone())?,
            condition,
            at: list.at(),
        }))),
    }
}

/// Where another source is joined, behind the first one.
fn join(mut cursor: Cursor<'_>) -> Option<Location> {
    let rest = cursor.until_closed();
    let is_join = |token: &&TokenWithSpan| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::JOIN);
    rest.iter().find(is_join).map(|token| token.span.start)
}

/// The condition of WHERE, which stands after the alias of the source.
fn condition(cursor: &mut Cursor<'_>, answer: PipeWhere) -> Result<Option<Expr>, DdlError> {
    let mut at = cursor.at();
    let mut has_where = cursor.keyword("WHERE");
    if !has_where && cursor.peek() != Some(&Token::RParen) {
        cursor.keyword("AS");
        cursor.identifier()?;
        at = cursor.at();
        has_where = cursor.keyword("WHERE");
    }
    if !has_where {
        return Ok(None);
    }
    if answer == PipeWhere::Refuse {
        let text = "WHERE is not supported in a streaming pipe: leave it out";
        return Err(DdlError::at(at, text).with_code(NO_CONDITION));
    }
    let mut parser = parser(cursor.until_closed());
    let condition = parser.parse_expr();
    let condition = condition.map_err(|why| DdlError::at(at, format!("WHERE: {why}")))?;
    is_at_end(&parser, at, "WHERE")?;
    Ok(Some(condition))
}

fn parser(tokens: Vec<TokenWithSpan>) -> Parser<'static> {
    Parser::new(&SnowflakeDialect {}).with_tokens_with_locations(tokens)
}

fn is_at_end(parser: &Parser<'_>, at: Location, what: &str) -> Result<(), DdlError> {
    match parser.peek_token().token {
        Token::EOF => Ok(()),
        token => Err(DdlError::at(at, format!("{what}: unexpected {token}"))),
    }
}

/// The expressions of a select list, as the parser of queries reads them.
fn expressions(mut cursor: Cursor<'_>) -> Result<Vec<Expr>, DdlError> {
    let at = cursor.at();
    let mut parser = parser(cursor.until("FROM"));
    let items = parser
        .parse_projection()
        .map_err(|why| DdlError::at(at, format!("the select list: {why}")))?;
    is_at_end(&parser, at, "the select list")?;
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
    cursor.until("FROM");
    cursor.keyword("FROM") && is_stage(&cursor)
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
