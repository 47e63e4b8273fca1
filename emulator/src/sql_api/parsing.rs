//! Reads a statement in Snowflake's SQL: it is one SELECT, and which tables may it read?

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Query, SetExpr, TableFactor, Value, ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::views::ErrorTables;
use crate::catalog::object_name::ObjectName;
use crate::ddl::script::{Statement, parser_error, split_raw};
use crate::sql::failure::Failure;
use crate::sql::names::{Context, folded, read_name};

/// No statement has more words: its tree is walked again and again, and as deep as a chain of operators is long.
const MOST_TOKENS: usize = 1_000;

/// A SELECT, read but not yet translated.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) query: Box<Query>,
    pub(crate) context: Context,
    /// Names that the statement itself gives to queries.
    ctes: BTreeSet<String>,
    /// The tables it reads.
    pub(crate) tables: BTreeSet<ObjectName>,
    /// How many values it has placeholders for.
    pub(crate) placeholders: usize,
}

impl Selection {
    /// Reads a statement; anything but one SELECT is refused.
    pub(crate) fn read(text: &str, context: Context) -> Result<Self, Failure> {
        let syntax = |why: crate::ddl::statements::DdlError| {
            Failure::syntax(format!(
                "syntax error line {} at position {}: {}.",
                why.line,
                why.column - 1,
                why.message
            ))
        };
        let mut statements = split_raw(text).map_err(syntax)?.into_iter();
        let statement = match (statements.next(), statements.len()) {
            (None, _) => return Err(Failure::syntax("the statement is empty.")),
            (Some(statement), 0) => statement,
            (Some(_), more) => return Err(Failure::several(more + 1)),
        };
        let is_odd = |token: &Token| matches!(token, Token::Word(word) if word.value.contains('"'));
        if statement.tokens.iter().any(|token| is_odd(&token.token)) {
            return Err(Failure::unsupported("a double quote in a name"));
        }
        if statement.tokens.len() > MOST_TOKENS {
            return Err(Failure::unsupported(format!(
                "statements of more than {MOST_TOKENS} words"
            )));
        }
        let query = parse(&statement).map_err(syntax)?;
        let Some(query) = query else {
            return Err(Failure::unsupported(format!(
                "{}: the emulator's SQL API does not carry it out",
                statement.words().next().unwrap_or_default()
            )));
        };
        let mut query = query;
        if let ControlFlow::Break(why) = VisitMut::visit(&mut query, &mut ErrorTables) {
            return Err(why);
        }
        let mut ctes = BTreeSet::new();
        let _ = Visit::visit(&query, &mut Names(&mut ctes));
        let mut scan = Scan {
            context: &context,
            ctes: &ctes,
            tables: BTreeSet::new(),
        };
        if let ControlFlow::Break(why) = Visit::visit(&query, &mut scan) {
            return Err(why);
        }
        let tables = scan.tables;
        let mut numbers = Numbers(0);
        let _ = VisitMut::visit(&mut query, &mut numbers);
        Ok(Self {
            query,
            context,
            ctes,
            tables,
            placeholders: numbers.0,
        })
    }

    /// Whether a table that there is not may be a query that WITH names.
    pub(crate) fn is_perhaps_a_query(&self, name: &ObjectName) -> bool {
        self.ctes.contains(&name.name)
    }
}

fn parse(statement: &Statement) -> Result<Option<Box<Query>>, crate::ddl::statements::DdlError> {
    let mut parser =
        Parser::new(&SnowflakeDialect {}).with_tokens_with_locations(statement.tokens.clone());
    let parsed = parser
        .parse_statement()
        .map_err(|why| parser_error(&why, statement))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(crate::ddl::statements::DdlError::at(
            next.span.start,
            format!("unexpected {}", next.token),
        ));
    }
    Ok(match parsed {
        ast::Statement::Query(query) => Some(query),
        _ => None,
    })
}

/// Numbers the placeholders `?` in the order of the statement, for the compiler may meet one several times.
struct Numbers(usize);

impl VisitorMut for Numbers {
    type Break = ();

    fn post_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(sign) = &mut value.value {
            if sign == "?" {
                self.0 += 1;
                *sign = format!(":{}", self.0);
            } else if let Some(number) = sign.strip_prefix(':').and_then(|n| n.parse().ok()) {
                self.0 = self.0.max(number);
            }
        }
        ControlFlow::Continue(())
    }
}

/// The names that WITH gives.
struct Names<'a>(&'a mut BTreeSet<String>);

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.0.insert(folded(&cte.alias.name));
        }
        ControlFlow::Continue(())
    }
}

/// The tables that a query may read. A name that WITH gives to a query may still mean a table at another place.
struct Scan<'a> {
    context: &'a Context,
    ctes: &'a BTreeSet<String>,
    tables: BTreeSet<ObjectName>,
}

impl Visitor for Scan<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Failure> {
        is_read_only(&query.body)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Failure> {
        if let TableFactor::Table {
            name, args: None, ..
        } = factor
        {
            match read_name(name, self.context) {
                Ok(table) => {
                    self.tables.insert(table);
                }
                // Without a database the name means a query or nothing.
                Err(_) if self.is_query(name) => {}
                Err(why) => return ControlFlow::Break(why),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Scan<'_> {
    fn is_query(&self, name: &ast::ObjectName) -> bool {
        match name.0.as_slice() {
            [part] => part
                .as_ident()
                .is_some_and(|name| self.ctes.contains(&folded(name))),
            _ => false,
        }
    }
}

fn is_read_only(body: &SetExpr) -> ControlFlow<Failure> {
    match body {
        SetExpr::Select(select) if select.into.is_none() => ControlFlow::Continue(()),
        SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            is_read_only(left)?;
            is_read_only(right)
        }
        _ => ControlFlow::Break(Failure::unsupported("a query that writes")),
    }
}
