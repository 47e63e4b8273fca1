//! `INSERT INTO … VALUES (…), (…)` and `INSERT INTO … SELECT …` of values: the statement as rows of expressions.

use std::borrow::Cow;
use std::time::SystemTime;

use sqlparser::tokenizer::{Location, Token};

use super::literal::{Literal, Moment, ValueError};
use super::script::Cursor;
use super::statements::{DdlError, ErrorCode};

/// An expression in VALUES that Snowflake does not compute there.
const NOT_IN_VALUES: ErrorCode = ErrorCode("002014", "22000");

/// An INSERT.
#[derive(Debug)]
pub(crate) struct Insert {
    pub(crate) table: Vec<String>,
    /// Where the table's name stands.
    pub(crate) at: Location,
    /// The columns, if they are named.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) rows: Vec<Vec<Expression>>,
    /// How many values there are to bind.
    pub(crate) placeholders: usize,
}

/// A value as the statement has it.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Literal(Literal),
    /// The value that is bound at this place, counted from 0.
    Bound(usize),
    Now,
    ParseJson(Box<Expression>),
}

impl Expression {
    /// The value, with those that are bound in their order.
    pub(crate) fn evaluate<'a>(
        &'a self,
        bindings: &'a [Literal],
        now: SystemTime,
    ) -> Result<Cow<'a, Literal>, ValueError> {
        Ok(match self {
            Self::Literal(literal) => Cow::Borrowed(literal),
            Self::Bound(place) => Cow::Borrowed(bindings.get(*place).unwrap_or(&Literal::Null)),
            Self::Now => Cow::Owned(Literal::Moment(Moment::now(now)?)),
            Self::ParseJson(argument) => {
                let argument = argument.evaluate(bindings, now)?;
                Cow::Owned(argument.parse_json()?)
            }
        })
    }
}

/// Reads an INSERT behind its first word.
pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Insert, DdlError> {
    if cursor.keyword("OVERWRITE") || !cursor.keyword("INTO") {
        return Err(DdlError::at(
            cursor.at(),
            "the emulator has INSERT INTO alone: no OVERWRITE, ALL or FIRST",
        ));
    }
    let (table, at) = cursor.name()?;
    let columns = if cursor.peek() == Some(&Token::LParen) {
        Some(names(&mut cursor)?)
    } else {
        None
    };
    let mut reader = Reader {
        cursor,
        placeholders: 0,
        source: Vec::new(),
        is_values: true,
    };
    let rows = if reader.cursor.keyword("VALUES") {
        reader.values()?
    } else if reader.cursor.keyword("SELECT") {
        reader.select()?
    } else {
        return Err(reader.cursor.expected("VALUES or SELECT"));
    };
    if reader.cursor.peek().is_some() {
        return Err(reader.cursor.expected("the end of the statement"));
    }
    Ok(Insert {
        table,
        at,
        columns,
        rows,
        placeholders: reader.placeholders,
    })
}

fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, DdlError> {
    cursor.expect(&Token::LParen)?;
    let mut names = vec![cursor.identifier()?];
    while cursor.token(&Token::Comma) {
        names.push(cursor.identifier()?);
    }
    cursor.expect(&Token::RParen)?;
    Ok(names)
}

/// Reads the values of an INSERT.
struct Reader<'a> {
    cursor: Cursor<'a>,
    placeholders: usize,
    /// The row that `$1` and `COLUMN1` refer to.
    source: Vec<Expression>,
    /// Whether the values are of a VALUES clause, which computes less.
    is_values: bool,
}

impl<'a> Reader<'a> {
    /// `(…), (…)`
    fn values(&mut self) -> Result<Vec<Vec<Expression>>, DdlError> {
        let mut rows = Vec::new();
        loop {
            self.cursor.expect(&Token::LParen)?;
            rows.push(self.list()?);
            self.cursor.expect(&Token::RParen)?;
            if !self.cursor.token(&Token::Comma) {
                return Ok(rows);
            }
        }
    }

    /// `value, …`, and with `FROM VALUES (…), …` such a row for each of those.
    fn select(&mut self) -> Result<Vec<Vec<Expression>>, DdlError> {
        let items = self.cursor.clone();
        // The items refer to the rows behind them, so these are read first.
        self.skip_items();
        if !self.cursor.keyword("FROM") {
            self.cursor = items;
            self.is_values = false;
            return Ok(vec![self.list()?]);
        }
        if self.placeholders_before(&items) {
            return Err(DdlError::at(
                items.at(),
                "bindings belong into VALUES, and not into the list of a SELECT from it",
            ));
        }
        let is_nested = self.cursor.token(&Token::LParen);
        self.cursor.expect_keyword("VALUES").map_err(|_| {
            let text = "the emulator inserts values, and rows of FROM VALUES (…): it has no INSERT of a query over tables";
            DdlError::at(self.cursor.at(), text)
        })?;
        let sources = self.values()?;
        if is_nested {
            self.cursor.expect(&Token::RParen)?;
        }
        let end = self.cursor.clone();
        self.is_values = false;
        let mut rows = Vec::with_capacity(sources.len());
        for source in sources {
            self.source = source;
            self.cursor = items.clone();
            rows.push(self.list()?);
            if !self.cursor.keyword("FROM") {
                return Err(self.cursor.expected("a comma or FROM"));
            }
        }
        self.cursor = end;
        Ok(rows)
    }

    /// Passes everything before FROM.
    fn skip_items(&mut self) {
        while let Some(token) = self.cursor.peek() {
            let is_from = matches!(token, Token::Word(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("FROM"));
            if is_from {
                return;
            }
            self.cursor.next();
        }
    }

    /// Whether a value is to be bound between a place and the present one.
    fn placeholders_before(&self, start: &Cursor<'a>) -> bool {
        let mut cursor = start.clone();
        while cursor.at() < self.cursor.at() {
            match cursor.next() {
                Some(Token::Placeholder(name)) if name.starts_with('?') => return true,
                Some(Token::Colon) | None => return true,
                _ => {}
            }
        }
        false
    }

    fn list(&mut self) -> Result<Vec<Expression>, DdlError> {
        let mut values = vec![self.value()?];
        while self.cursor.token(&Token::Comma) {
            values.push(self.value()?);
        }
        Ok(values)
    }

    fn value(&mut self) -> Result<Expression, DdlError> {
        let at = self.cursor.at();
        let literal = match self.cursor.next() {
            Some(Token::Minus) => Literal::Number(format!("-{}", self.number()?)),
            Some(Token::Plus) => Literal::Number(self.number()?),
            Some(Token::Number(digits, _)) => Literal::Number(digits.clone()),
            Some(Token::SingleQuotedString(text)) => Literal::Text(text.clone()),
            Some(Token::DollarQuotedString(text)) if text.tag.is_none() => {
                Literal::Text(text.value.clone())
            }
            Some(Token::HexStringLiteral(digits)) => Literal::Binary(digits.clone()),
            Some(Token::Placeholder(name)) if name == "?" => {
                self.placeholders += 1;
                return Ok(Expression::Bound(self.placeholders - 1));
            }
            Some(Token::Colon) => return self.numbered(),
            Some(Token::Placeholder(name)) => {
                return self.referred(name.strip_prefix('$'), at);
            }
            Some(Token::Word(word)) if word.quote_style.is_none() => {
                let word = word.value.to_uppercase();
                return self.word(&word, at);
            }
            _ => return Err(not_a_value(at)),
        };
        Ok(Expression::Literal(literal))
    }

    /// What a word stands for.
    fn word(&mut self, word: &str, at: Location) -> Result<Expression, DdlError> {
        let literal = match word {
            "NULL" => Literal::Null,
            "DEFAULT" if self.is_values => Literal::Default,
            "TRUE" => Literal::Boolean(true),
            "FALSE" => Literal::Boolean(false),
            "CURRENT_TIMESTAMP" => {
                if self.cursor.token(&Token::LParen) {
                    self.cursor.expect(&Token::RParen)?;
                }
                return Ok(Expression::Now);
            }
            "PARSE_JSON" if self.is_values => {
                let text = "Invalid expression [PARSE_JSON(…)] in VALUES clause: write INSERT INTO … SELECT …, PARSE_JSON('…')";
                return Err(DdlError::at(at, text).with_code(NOT_IN_VALUES));
            }
            "PARSE_JSON" => {
                self.cursor.expect(&Token::LParen)?;
                // As in VALUES: the argument is a value and no further call, so that nothing nests.
                self.is_values = true;
                let argument = self.value();
                self.is_values = false;
                let argument = argument?;
                self.cursor.expect(&Token::RParen)?;
                return Ok(Expression::ParseJson(Box::new(argument)));
            }
            _ => return self.referred(word.strip_prefix("COLUMN"), at),
        };
        Ok(Expression::Literal(literal))
    }

    /// A value of the row that is selected from: `$1` or `COLUMN1`.
    fn referred(&self, number: Option<&str>, at: Location) -> Result<Expression, DdlError> {
        let number: Option<usize> = number.and_then(|number| number.parse().ok());
        let place = number.and_then(|number| number.checked_sub(1));
        let found = place.and_then(|place| self.source.get(place));
        found.cloned().ok_or_else(|| not_a_value(at))
    }

    /// `:1`
    fn numbered(&mut self) -> Result<Expression, DdlError> {
        let number = self.number()?.parse::<usize>().ok();
        let place = number.and_then(|number| number.checked_sub(1));
        let place = place.ok_or_else(|| self.cursor.expected("the number of a binding"))?;
        self.placeholders = self.placeholders.max(place + 1);
        Ok(Expression::Bound(place))
    }

    fn number(&mut self) -> Result<String, DdlError> {
        match self.cursor.peek() {
            Some(Token::Number(digits, _)) => {
                self.cursor.next();
                Ok(digits.clone())
            }
            _ => Err(self.cursor.expected("a number")),
        }
    }
}

fn not_a_value(at: Location) -> DdlError {
    DdlError::at(
        at,
        "the emulator inserts literals, bindings, CURRENT_TIMESTAMP and, with INSERT INTO … SELECT, PARSE_JSON of them: no other expressions",
    )
}
