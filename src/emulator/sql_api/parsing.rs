//! A statement in Snowflake's SQL, and the same in SQLite's: which tables it reads, and what they are called there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, Expr, Ident, Query, SelectItem, SetExpr, TableFactor, Value, ValueWithSpan, Visit,
    VisitMut, Visitor,
};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::Token;

use super::rewriting::Rewrite;
use super::statements::Failure;
use crate::emulator::catalog::object_name::ObjectName;
use crate::emulator::ddl::script::{Statement, identifier, parser_error, split};

/// No statement has more words: its tree is walked again and again, and as deep as a chain of operators is long.
const MOST_TOKENS: usize = 1_000;

/// The database and schema that a request names for what its statement does not.
#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
}

/// A SELECT, read but not yet translated.
#[derive(Debug)]
pub(crate) struct Selection {
    query: Box<Query>,
    context: Context,
    /// Names that the statement itself gives to queries.
    ctes: BTreeSet<String>,
    /// The tables it reads.
    pub(crate) tables: BTreeSet<ObjectName>,
    /// Whether it reads tables and nothing derived, so that a column's name says where it comes from.
    pub(crate) is_flat: bool,
}

/// A SELECT in SQLite's SQL.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) sql: String,
    /// How many values the request has to bind. They are numbered from 1, and the texts of the statement follow.
    pub(crate) placeholders: usize,
    /// The texts of the statement. They are bound, because the two languages quote them differently.
    pub(crate) texts: Vec<String>,
    /// Columns of the answer that are computed; the others are columns of tables.
    pub(crate) computed: BTreeSet<String>,
}

impl Selection {
    /// Reads a statement; anything but one SELECT is refused.
    pub(crate) fn read(text: &str, context: Context) -> Result<Self, Failure> {
        let syntax = |why: crate::emulator::ddl::statements::DdlError| {
            Failure::syntax(format!(
                "syntax error line {} at position {}: {}.",
                why.line,
                why.column - 1,
                why.message
            ))
        };
        let mut statements = split(text).map_err(syntax)?.into_iter();
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
                "{}: the emulator's SQL API has SELECT only; POST /_emulator/ddl carries out CREATE and DROP",
                statement.words().next().unwrap_or_default()
            )));
        };
        let mut scan = Scan {
            context: &context,
            ctes: BTreeSet::new(),
            tables: BTreeSet::new(),
            is_flat: true,
        };
        // The names of queries first, for a query may be read before the one that is named.
        let _ = Visit::visit(&query, &mut Names(&mut scan.ctes));
        if let ControlFlow::Break(why) = Visit::visit(&query, &mut scan) {
            return Err(why);
        }
        Ok(Self {
            ctes: scan.ctes,
            tables: scan.tables,
            is_flat: scan.is_flat,
            query,
            context,
        })
    }

    /// The same for SQLite, where `kept_as` says what each table is called.
    pub(crate) fn translate(
        mut self,
        kept_as: &BTreeMap<ObjectName, String>,
    ) -> Result<Translated, Failure> {
        let mut count = Count(0);
        let _ = Visit::visit(&self.query, &mut count);
        let computed = name_columns(&mut self.query.body);
        let mut rewrite = Rewrite {
            context: &self.context,
            ctes: &self.ctes,
            kept_as,
            placeholders: count.0,
            bound: 0,
            texts: Vec::new(),
        };
        if let ControlFlow::Break(why) = VisitMut::visit(&mut self.query, &mut rewrite) {
            return Err(why);
        }
        Ok(Translated {
            placeholders: rewrite.placeholders,
            texts: rewrite.texts,
            sql: self.query.to_string(),
            computed,
        })
    }
}

fn parse(
    statement: &Statement,
) -> Result<Option<Box<Query>>, crate::emulator::ddl::statements::DdlError> {
    let mut parser =
        Parser::new(&SnowflakeDialect {}).with_tokens_with_locations(statement.tokens.clone());
    let parsed = parser
        .parse_statement()
        .map_err(|why| parser_error(&why, statement))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(crate::emulator::ddl::statements::DdlError::at(
            next.span.start,
            format!("unexpected {}", next.token),
        ));
    }
    Ok(match parsed {
        ast::Statement::Query(query) => Some(query),
        _ => None,
    })
}

/// How many values are to be bound.
struct Count(usize);

impl Visitor for Count {
    type Break = ();

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
        if matches!(value.value, Value::Placeholder(_)) {
            self.0 += 1;
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

/// What a query reads, and whether it does nothing else.
struct Scan<'a> {
    context: &'a Context,
    ctes: BTreeSet<String>,
    tables: BTreeSet<ObjectName>,
    is_flat: bool,
}

impl Visitor for Scan<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Failure> {
        self.is_flat &= query.with.is_none();
        is_read_only(&query.body)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Failure> {
        match factor {
            TableFactor::Table {
                name, args: None, ..
            } => match read_name(name, self.context, &self.ctes) {
                Ok(Named::Table(table)) => {
                    self.tables.insert(table);
                    ControlFlow::Continue(())
                }
                Ok(Named::Query(_)) => ControlFlow::Continue(()),
                Err(why) => ControlFlow::Break(why),
            },
            TableFactor::Derived { .. } => {
                self.is_flat = false;
                ControlFlow::Continue(())
            }
            TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            _ => ControlFlow::Break(Failure::unsupported(format!(
                "{factor} in FROM: the emulator reads tables and queries"
            ))),
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

/// What a name in FROM stands for.
pub(crate) enum Named {
    Table(ObjectName),
    /// One of the statement's own queries.
    Query(String),
}

/// The table or query a name stands for.
pub(crate) fn read_name(
    name: &ast::ObjectName,
    context: &Context,
    ctes: &BTreeSet<String>,
) -> Result<Named, Failure> {
    let mut parts = name
        .0
        .iter()
        .map(|part| part.as_ident().map(folded))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| Failure::unsupported(format!("{name} as the name of a table")))?;
    let table = parts.pop().unwrap_or_default();
    if parts.is_empty() && ctes.contains(&table) {
        return Ok(Named::Query(table));
    }
    let schema = parts.pop().or_else(|| context.schema.clone());
    let database = parts.pop().or_else(|| context.database.clone());
    if !parts.is_empty() {
        return Err(Failure::no_object(&name.to_string()));
    }
    let Some(database) = database else {
        return Err(Failure::no_database());
    };
    // A schema of Snowflake's own; another one has to be named.
    let schema = schema.unwrap_or_else(|| "PUBLIC".to_owned());
    Ok(Named::Table(ObjectName {
        database,
        schema,
        name: table,
    }))
}

pub(crate) fn folded(ident: &Ident) -> String {
    identifier(&ident.value, ident.quote_style)
}

/// Gives the columns of the answer the names that Snowflake gives them; those of them that are computed.
fn name_columns(body: &mut SetExpr) -> BTreeSet<String> {
    let mut computed = BTreeSet::new();
    match body {
        SetExpr::Select(select) => {
            for item in &mut select.projection {
                let (expr, name) = match item {
                    SelectItem::UnnamedExpr(expr) => (expr.clone(), shown(expr)),
                    SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), folded(alias)),
                    _ => continue,
                };
                if !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
                    computed.insert(name.clone());
                }
                let alias = Ident::with_quote('"', name);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            computed = name_columns(left);
            // A column of a union is of a table only if it is in every branch.
            computed.extend(name_columns(right));
        }
        SetExpr::Query(query) => computed = name_columns(&mut query.body),
        _ => {}
    }
    computed
}

fn shown(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded).unwrap_or_default(),
        _ => expr.to_string().to_uppercase().replace('"', ""),
    }
}
