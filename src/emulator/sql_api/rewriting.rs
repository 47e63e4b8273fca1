//! Puts SQLite's names and forms into a statement in Snowflake's SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, Ident, JsonPath, JsonPathElem, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableFactor, Value, ValueWithSpan, VisitorMut,
};

use super::parsing::{Context, Named, folded, read_name};
use super::statements::Failure;
use crate::emulator::catalog::coercion::DataType;
use crate::emulator::catalog::object_name::ObjectName;

/// What the names that a statement gives to queries begin with in SQLite's SQL: out of its place, such a name is none of a
/// table of SQLite's.
pub(crate) const QUERY: &str = "with ";

/// Puts SQLite's names and forms in.
pub(crate) struct Rewrite<'a> {
    pub(crate) context: &'a Context,
    pub(crate) ctes: &'a BTreeSet<String>,
    pub(crate) kept_as: &'a BTreeMap<ObjectName, String>,
    pub(crate) placeholders: usize,
    pub(crate) bound: usize,
    pub(crate) texts: Vec<String>,
}

impl Rewrite<'_> {
    /// The placeholder of a text; the same text has the same, so that expressions that are the same stay so.
    fn text(&mut self, text: String) -> Value {
        let known = self.texts.iter().position(|known| *known == text);
        let position = known.unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        Value::Placeholder(format!("?{}", self.placeholders + position + 1))
    }

    /// `:a.b[0]` as SQLite writes it: `$."a"."b"[0]`.
    fn json_path(&self, path: &JsonPath) -> Result<String, Failure> {
        let mut written = "$".to_owned();
        for element in &path.path {
            let key = match element {
                JsonPathElem::Dot { key, .. } => {
                    push_key(&mut written, key);
                    continue;
                }
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => key,
            };
            if let Expr::Value(value) = key {
                match &value.value {
                    Value::Number(number, _) => {
                        written.push('[');
                        written.push_str(number);
                        written.push(']');
                        continue;
                    }
                    // A text, which has a placeholder by now.
                    Value::Placeholder(sign) => {
                        let number: Option<usize> = sign.get(1..).and_then(|n| n.parse().ok());
                        let position = number.and_then(|n| n.checked_sub(self.placeholders + 1));
                        if let Some(key) = position.and_then(|at| self.texts.get(at)) {
                            push_key(&mut written, key);
                            continue;
                        }
                    }
                    _ => {}
                }
            }
            return Err(Failure::unsupported(format!(
                "a path whose key is {key}: write a text or a number"
            )));
        }
        Ok(written)
    }

    fn json_extract(&mut self, value: Expr, path: String) -> Expr {
        let path = Expr::Value(self.text(path).into());
        let unnamed = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
        Expr::Function(Function {
            name: ast::ObjectName::from(vec![Ident::new("json_extract")]),
            uses_odbc_syntax: false,
            parameters: FunctionArguments::None,
            args: FunctionArguments::List(FunctionArgumentList {
                duplicate_treatment: None,
                args: vec![unnamed(value), unnamed(path)],
                clauses: Vec::new(),
            }),
            within_group: Vec::new(),
            filter: None,
            null_treatment: None,
            over: None,
        })
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = Failure;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Failure> {
        for cte in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            quote_alias(&mut cte.alias);
            cte.alias.name.value.insert_str(0, QUERY);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Failure> {
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => quote(alias),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => keep_last(&mut name.0),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Failure> {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                let table = match read_name(name, self.context, self.ctes) {
                    Ok(table) => table,
                    Err(why) => return ControlFlow::Break(why),
                };
                let (kept_as, own_name) = match table {
                    Named::Query(name) => (format!("{QUERY}{name}"), name),
                    Named::Table(table) => {
                        let Some(kept_as) = self.kept_as.get(&table) else {
                            return ControlFlow::Break(Failure::no_object(&name.to_string()));
                        };
                        (kept_as.clone(), table.name)
                    }
                };
                name.0 = vec![quoted_part(&kept_as)];
                match alias {
                    Some(alias) => quote_alias(alias),
                    None => {
                        *alias = Some(TableAlias {
                            explicit: true,
                            name: Ident::with_quote('"', own_name),
                            columns: Vec::new(),
                            at: None,
                        });
                    }
                }
            }
            TableFactor::Derived {
                alias: Some(alias), ..
            } => quote_alias(alias),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<Failure> {
        match &mut value.value {
            Value::Number(..) | Value::Boolean(_) | Value::Null => {}
            Value::Placeholder(sign) if sign == "?" => {
                self.bound += 1;
                *sign = format!("?{}", self.bound);
            }
            Value::SingleQuotedString(text) => {
                let text = std::mem::take(text);
                value.value = self.text(text);
            }
            Value::DollarQuotedString(text) => {
                let text = std::mem::take(&mut text.value);
                value.value = self.text(text);
            }
            odd => return ControlFlow::Break(Failure::unsupported(format!("the literal {odd}"))),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        match expr {
            Expr::Identifier(ident) => quote(ident),
            Expr::CompoundIdentifier(parts) => {
                // SQLite knows a table by its alias and not by its schema.
                let qualified = parts.len().saturating_sub(2);
                parts.drain(..qualified);
                parts.iter_mut().for_each(quote);
            }
            Expr::JsonAccess { value, path } => match self.json_path(path) {
                Ok(path) => *expr = self.json_extract(value.as_ref().clone(), path),
                Err(why) => return ControlFlow::Break(why),
            },
            Expr::Cast {
                kind: kind @ (CastKind::Cast | CastKind::DoubleColon),
                expr: inner,
                data_type,
                ..
            } => {
                let kept = match data_type.to_string().parse::<DataType>() {
                    Ok(to) => cast_type(to),
                    Err(why) => return ControlFlow::Break(Failure::unsupported(why)),
                };
                match kept {
                    Some(kept) => {
                        *kind = CastKind::Cast;
                        *data_type = kept;
                    }
                    None => *expr = inner.as_ref().clone(),
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What SQLite casts to in place of a type; none where its value is the same.
fn cast_type(to: DataType) -> Option<ast::DataType> {
    Some(match to {
        DataType::Number { scale: 0, .. } | DataType::Boolean => ast::DataType::Integer(None),
        DataType::Number { .. } => ast::DataType::Numeric(ast::ExactNumberInfo::None),
        DataType::Float => ast::DataType::Real,
        DataType::Binary(_) => ast::DataType::Blob(None),
        DataType::Variant | DataType::Object | DataType::Array => return None,
        _ => ast::DataType::Text,
    })
}

fn push_key(path: &mut String, key: &str) {
    path.push_str(".\"");
    path.push_str(key);
    path.push('"');
}

fn quote_alias(alias: &mut TableAlias) {
    quote(&mut alias.name);
    for column in &mut alias.columns {
        quote(&mut column.name);
    }
}

fn quoted_part(name: &str) -> ObjectNamePart {
    ObjectNamePart::Identifier(Ident::with_quote('"', name))
}

/// A qualified name without its database and schema.
fn keep_last(parts: &mut Vec<ObjectNamePart>) {
    if let Some(ObjectNamePart::Identifier(mut last)) = parts.pop() {
        quote(&mut last);
        *parts = vec![ObjectNamePart::Identifier(last)];
    }
}

fn quote(ident: &mut Ident) {
    ident.value = folded(ident);
    ident.quote_style = Some('"');
}
