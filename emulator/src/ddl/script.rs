//! A DDL script as statements, and a statement as tokens that are read one after the other.

use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::ParserError;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::statements::{DdlError, ErrorCode};
use crate::sql::compiler::literals::{escaped, unescaped};
use crate::sql::names::{identifier, quoted};

/// One statement, without white space, comments and its semicolon.
#[derive(Debug)]
pub(crate) struct Statement {
    /// At least one token.
    pub(crate) tokens: Vec<TokenWithSpan>,
    /// Where it starts.
    pub(crate) at: Location,
}

/// Cuts a script at its semicolons.
pub(crate) fn split(text: &str) -> Result<Vec<Statement>, DdlError> {
    let mut statements = split_raw(text)?;
    for token in statements.iter_mut().flat_map(|known| &mut known.tokens) {
        if let Token::SingleQuotedString(raw) = &mut token.token {
            *raw = unescaped(raw).map_err(|why| {
                DdlError::at(token.span.start, why.message).with_code(ErrorCode::SYNTAX)
            })?;
        }
    }
    Ok(statements)
}

/// The same with the escapes of texts as they were written.
pub(crate) fn split_raw(text: &str) -> Result<Vec<Statement>, DdlError> {
    let tokens = Tokenizer::new(&SnowflakeDialect {}, text)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|why| DdlError::at(why.location, why.message).with_code(ErrorCode::SYNTAX))?;
    let mut statements = Vec::new();
    let mut current: Vec<TokenWithSpan> = Vec::new();
    let end = TokenWithSpan::wrap(Token::SemiColon);
    for mut token in tokens.into_iter().chain([end]) {
        if let Token::Word(word) = &mut token.token
            && word.quote_style == Some('"')
        {
            word.value = word.value.replace("\"\"", "\"");
        }
        match token.token {
            Token::Whitespace(_) | Token::EOF => {}
            Token::SemiColon => {
                if let Some(first) = current.first() {
                    statements.push(Statement {
                        at: first.span.start,
                        tokens: std::mem::take(&mut current),
                    });
                }
            }
            _ => current.push(token),
        }
    }
    Ok(statements)
}

/// A parser's error with the place it names, or else the end of the statement.
pub(crate) fn parser_error(why: &ParserError, statement: &Statement) -> DdlError {
    let text = match why {
        ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let place = text.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let location = Location::new(line.parse().ok()?, column.parse().ok()?);
        Some((message, location))
    });
    let (message, location) = place.unwrap_or((text, statement.end()));
    DdlError::at(location, message).with_code(ErrorCode::SYNTAX)
}

impl Statement {
    pub(crate) fn cursor(&self) -> Cursor<'_> {
        Cursor {
            tokens: &self.tokens,
            end: self.end(),
        }
    }

    /// The unquoted words, upper-case.
    pub(crate) fn words(&self) -> impl Iterator<Item = String> {
        self.tokens.iter().filter_map(|token| match &token.token {
            Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_uppercase()),
            _ => None,
        })
    }

    /// Its tokens, so that two statements that differ only in white space and comments are the same.
    pub(crate) fn normalized(&self) -> Vec<String> {
        self.tokens.iter().map(|t| t.token.to_string()).collect()
    }

    /// Its first few words, to name it by. What follows them may be a secret.
    pub(crate) fn head(&self) -> String {
        const MOST: usize = 10;
        let words = self.tokens.iter().take(MOST).map_while(|t| match &t.token {
            Token::Word(_) | Token::Period => Some(t.token.to_string()),
            _ => None,
        });
        let head = words.collect::<Vec<_>>().join(" ").replace(" . ", ".");
        match self.tokens.first() {
            Some(first) if head.is_empty() => first.token.to_string(),
            _ => head,
        }
    }

    fn end(&self) -> Location {
        self.tokens.last().map_or(self.at, |token| token.span.end)
    }
}

/// A place in a statement.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    tokens: &'a [TokenWithSpan],
    end: Location,
}

impl<'a> Cursor<'a> {
    /// Where the next token is.
    pub(crate) fn at(&self) -> Location {
        self.tokens.first().map_or(self.end, |t| t.span.start)
    }

    /// The tokens up to an unquoted word outside of parentheses that is no key of a path, with the escapes of texts as SQL has them.
    /// They are passed.
    pub(crate) fn until(&mut self, keyword: &str) -> Vec<TokenWithSpan> {
        let mut depth = 0_usize;
        let mut is_key = false;
        self.pass(|token| {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::Word(word) if depth == 0 && !is_key && word.quote_style.is_none() => {
                    return word.value.eq_ignore_ascii_case(keyword);
                }
                _ => {}
            }
            is_key = matches!(token, Token::Colon | Token::Period);
            false
        })
    }

    /// Passes the tokens up to an end, which are returned with the escapes of texts as SQL has them.
    fn pass(&mut self, mut is_end: impl FnMut(&Token) -> bool) -> Vec<TokenWithSpan> {
        let mut passed = Vec::new();
        while let Some((token, rest)) = self.tokens.split_first() {
            if is_end(&token.token) {
                break;
            }
            let mut token = token.clone();
            if let Token::SingleQuotedString(text) = &mut token.token {
                *text = escaped(text);
            }
            passed.push(token);
            self.tokens = rest;
        }
        passed
    }

    /// The tokens up to the closing parenthesis of what the cursor is in, with the escapes of texts as SQL has them. They are passed.
    pub(crate) fn until_closed(&mut self) -> Vec<TokenWithSpan> {
        let mut depth = 0_usize;
        self.pass(|token| {
            match token {
                Token::RParen if depth == 0 => return true,
                Token::LParen => depth += 1,
                Token::RParen => depth -= 1,
                _ => {}
            }
            false
        })
    }

    /// What follows, with a space for each stretch of white space and comments.
    pub(crate) fn rest(&self) -> String {
        let mut text = String::new();
        let mut end = self.at();
        for token in self.tokens {
            if token.span.start != end {
                text.push(' ');
            }
            end = token.span.end;
            let shown = match &token.token {
                Token::SingleQuotedString(value) => format!("'{}'", value.replace('\'', "''")),
                Token::Word(word) if word.quote_style.is_some() => quoted(&word.value),
                other => other.to_string(),
            };
            text.push_str(&shown);
        }
        text
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.first().map(|t| &t.token)
    }

    pub(crate) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(&first.token)
    }

    /// Whether the next token is this unquoted word; if so, it is passed.
    pub(crate) fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word))
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(keyword));
        if found {
            self.next();
        }
        found
    }

    /// Whether the next token is this one; if so, it is passed.
    pub(crate) fn token(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        if found {
            self.next();
        }
        found
    }

    pub(crate) fn expect_keyword(&mut self, keyword: &str) -> Result<(), DdlError> {
        if self.keyword(keyword) {
            Ok(())
        } else {
            Err(self.expected(keyword))
        }
    }

    pub(crate) fn expect(&mut self, token: &Token) -> Result<(), DdlError> {
        if self.token(token) {
            Ok(())
        } else {
            Err(self.expected(&token.to_string()))
        }
    }

    pub(crate) fn if_not_exists(&mut self) -> bool {
        self.keyword("IF") && self.keyword("NOT") && self.keyword("EXISTS")
    }

    pub(crate) fn if_exists(&mut self) -> bool {
        self.keyword("IF") && self.keyword("EXISTS")
    }

    /// One identifier, as Snowflake stores it.
    pub(crate) fn identifier(&mut self) -> Result<String, DdlError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.next();
                Ok(identifier(&word.value, word.quote_style))
            }
            _ => Err(self.expected("a name")),
        }
    }

    /// A name of one or more parts, and where it stands.
    pub(crate) fn name(&mut self) -> Result<(Vec<String>, Location), DdlError> {
        let at = self.at();
        let mut parts = vec![self.identifier()?];
        while self.token(&Token::Period) {
            parts.push(self.identifier()?);
        }
        if parts == ["IDENTIFIER"] && self.peek() == Some(&Token::LParen) {
            return Err(DdlError::at(
                at,
                "write the name out instead of IDENTIFIER(…)",
            ));
        }
        Ok((parts, at))
    }

    /// An error that says what should stand here.
    pub(crate) fn expected(&self, what: &str) -> DdlError {
        let found = match self.peek() {
            Some(token) => token.to_string(),
            None => "the end of the statement".to_owned(),
        };
        let text = format!("expected {what}, found {found}");
        DdlError::at(self.at(), text).with_code(ErrorCode::SYNTAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_escapes_of_snowflake() {
        for (written, wanted) in [
            (r"'plain'", "plain"),
            (r"'it''s'", "it's"),
            (r#"'it\'s \\ \"x\"'"#, "it's \\ \"x\""),
            (r"'\b\f\n\r\t\0'", "\u{8}\u{c}\n\r\t\0"),
            (r"'\u26c4 \x41 \101 \1018'", "\u{26c4} A A A8"),
            (r"'100\% \a \Z'", "100% a Z"),
            ("''", ""),
        ] {
            let statements = split(written).unwrap();
            let token = &statements[0].tokens[0].token;
            assert_eq!(*token, Token::SingleQuotedString(wanted.to_owned()));
        }
        for wrong in [r"'\u26c'", r"'\xg0'", r"'\ud800'"] {
            assert_eq!(split(wrong).unwrap_err().code, ErrorCode::SYNTAX, "{wrong}");
        }
        let quoted = &split("\"a\"\"b\"").unwrap()[0];
        assert_eq!(quoted.cursor().identifier().unwrap(), "a\"b");
    }
}
