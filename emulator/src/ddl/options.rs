//! Options of tables that decide what becomes of rows: `ERROR_LOGGING` and `ENABLE_SCHEMA_EVOLUTION`.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::script::{Cursor, Statement};
use super::session::Session;
use super::statements::{Change, DdlError, ErrorCode, Run};
use crate::catalog::object_name::ObjectName;

const ERROR_LOGGING: &str = "ERROR_LOGGING";
const SCHEMA_EVOLUTION: &str = "ENABLE_SCHEMA_EVOLUTION";

/// Whether a CREATE TABLE says `ERROR_LOGGING = TRUE`.
pub(super) fn has_error_logging(statement: &Statement) -> Result<bool, DdlError> {
    let mut cursor = statement.cursor();
    while cursor.peek().is_some() {
        if cursor.keyword(ERROR_LOGGING) && cursor.token(&Token::Eq) {
            return truth(&mut cursor);
        }
        cursor.next();
    }
    Ok(false)
}

/// The tokens without `ERROR_LOGGING = …`, which sqlparser does not know.
pub(super) fn without_error_logging(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let is_option = |token: &TokenWithSpan| matches!(&token.token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(ERROR_LOGGING));
    let mut kept: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        if is_option(token) && rest.next_if(|next| next.token == Token::Eq).is_some() {
            rest.next();
        } else {
            kept.push(token.clone());
        }
    }
    kept
}

/// Whether what follows ALTER TABLE sets one of these options.
pub(super) fn are_set(mut cursor: Cursor<'_>) -> bool {
    cursor.if_exists();
    if cursor.name().is_err() || !(cursor.keyword("SET") || cursor.keyword("UNSET")) {
        return false;
    }
    while cursor.peek().is_some() {
        if cursor.keyword(ERROR_LOGGING) || cursor.keyword(SCHEMA_EVOLUTION) {
            return true;
        }
        cursor.next();
    }
    false
}

/// Reads `ERROR_TABLE(table)`: the table, if this stands here.
pub(super) fn error_table(
    cursor: &mut Cursor<'_>,
    session: &Session,
) -> Result<Option<ObjectName>, DdlError> {
    let mut ahead = cursor.clone();
    if !ahead.keyword("ERROR_TABLE") || !ahead.token(&Token::LParen) {
        return Ok(None);
    }
    let (parts, at) = ahead.name()?;
    ahead.expect(&Token::RParen)?;
    *cursor = ahead;
    session.object(parts, at).map(Some)
}

impl Run<'_> {
    /// `ALTER TABLE … SET option = value [, …]`, or UNSET with the names of options. `cursor` is behind TABLE.
    pub(super) fn set_options(&mut self, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        let keep = cursor.if_exists();
        let (parts, at) = cursor.name()?;
        let name = self.session.object(parts, at)?;
        let is_set = cursor.keyword("SET");
        if !is_set {
            cursor.expect_keyword("UNSET")?;
        }
        let Some(table) = self.catalog.table_to_alter(&name) else {
            if keep {
                return Ok(());
            }
            let text = format!("there is no table {} to alter: create it before", name.name);
            return Err(DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT));
        };
        while cursor.peek().is_some() {
            let option_at = cursor.at();
            let option = cursor.identifier()?;
            let is_on = if is_set {
                cursor.expect(&Token::Eq)?;
                truth(&mut cursor)?
            } else {
                false
            };
            match option.as_str() {
                ERROR_LOGGING => {
                    // Snowflake drops the error table where logging ends, and what was rejected before it began is in none.
                    if table.has_error_logging != is_on {
                        self.changes
                            .push(Change::TruncateErrors(table.name.clone()));
                    }
                    table.has_error_logging = is_on;
                }
                SCHEMA_EVOLUTION => table.is_evolving = is_on,
                _ => {
                    return Err(DdlError::at(
                        option_at,
                        format!("write {option} in a separate statement"),
                    ));
                }
            }
            cursor.token(&Token::Comma);
        }
        self.changes.push(Change::AlterTable(table.name.clone()));
        Ok(())
    }

    /// `TRUNCATE ERROR_TABLE(table)`
    pub(super) fn truncate_errors(
        &mut self,
        name: &ObjectName,
        statement: &Statement,
        keep: bool,
    ) -> Result<(), DdlError> {
        let table = self.catalog.table_in_sql(name);
        let logging = table.is_some_and(|table| table.has_error_logging);
        match self.kept_table(name).filter(|_| logging) {
            Some(table) => self.changes.push(Change::TruncateErrors(table)),
            None if keep => {}
            None => {
                let text = format!("table {} has no error table to truncate", name.name);
                return Err(DdlError::at(statement.at, text).with_code(ErrorCode::NO_OBJECT));
            }
        }
        Ok(())
    }
}

fn truth(cursor: &mut Cursor<'_>) -> Result<bool, DdlError> {
    if cursor.keyword("TRUE") {
        Ok(true)
    } else if cursor.keyword("FALSE") {
        Ok(false)
    } else {
        Err(cursor.expected("TRUE or FALSE"))
    }
}
