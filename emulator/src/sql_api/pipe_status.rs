//! `SYSTEM$PIPE_STATUS('pipe')`: what the emulator knows of a pipe, written into a query before it is compiled.

use std::ops::ControlFlow;

use serde_json::json;
use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, SelectItem, SetExpr,
    Value, VisitMut, VisitorMut,
};

use super::parsing::Selection;
use crate::catalog::object_name::ObjectName;
use crate::channels::state::State;
use crate::ddl::script::split;
use crate::sql::failure::Failure;
use crate::sql::names::Context;

const NAME: &str = "SYSTEM$PIPE_STATUS";

/// Writes the status of pipes in place of the calls for it.
pub(super) fn fill(selection: &mut Selection, state: &State) -> Result<(), Failure> {
    if let SetExpr::Select(select) = selection.query.body.as_mut() {
        for item in &mut select.projection {
            // A column without an alias is called as the call is.
            if let SelectItem::UnnamedExpr(Expr::Function(function)) = item
                && is_call(function)
            {
                *item = SelectItem::ExprWithAlias {
                    alias: Ident::with_quote('"', function.to_string()),
                    expr: Expr::Function(function.clone()),
                };
            }
        }
    }
    let mut calls = Calls {
        context: &selection.context,
        state,
    };
    match VisitMut::visit(&mut selection.query, &mut calls) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(why) => Err(why),
    }
}

fn is_call(function: &Function) -> bool {
    function.name.to_string().eq_ignore_ascii_case(NAME)
}

struct Calls<'a> {
    context: &'a Context,
    state: &'a State,
}

impl VisitorMut for Calls<'_> {
    type Break = Failure;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Failure> {
        let Expr::Function(function) = expr else {
            return ControlFlow::Continue(());
        };
        if !is_call(function) {
            return ControlFlow::Continue(());
        }
        match self.status(function) {
            Ok(status) => {
                *expr = Expr::value(Value::SingleQuotedString(status));
                ControlFlow::Continue(())
            }
            Err(why) => ControlFlow::Break(why),
        }
    }
}

impl Calls<'_> {
    fn status(&self, function: &Function) -> Result<String, Failure> {
        let unsupported = || Failure::unsupported(format!("{NAME} of anything but a text"));
        let FunctionArguments::List(list) = &function.args else {
            return Err(unsupported());
        };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))] =
            list.args.as_slice()
        else {
            return Err(unsupported());
        };
        let Value::SingleQuotedString(name) = &value.value else {
            return Err(unsupported());
        };
        let pipe = self
            .pipe(name)
            .and_then(|name| self.state.catalog.pipe_in_sql(&name));
        let pipe = pipe.ok_or_else(|| Failure::no_object(name))?;
        let is_there = self.state.catalog.table(&pipe.table).is_some();
        let running = if is_there {
            "RUNNING"
        } else {
            "STOPPED_MISSING_TABLE"
        };
        Ok(json!({ "executionState": running }).to_string())
    }

    /// The pipe that a text names, in quotes where the name has them.
    fn pipe(&self, text: &str) -> Option<ObjectName> {
        let statements = split(text).ok()?;
        let [statement] = statements.as_slice() else {
            return None;
        };
        let mut cursor = statement.cursor();
        let (mut parts, _) = cursor.name().ok()?;
        let name = parts.pop()?;
        let schema = parts.pop().or_else(|| self.context.schema.clone());
        let database = parts.pop().or_else(|| self.context.database.clone())?;
        let schema = schema.unwrap_or_else(|| "PUBLIC".to_owned());
        let is_whole = parts.is_empty() && cursor.peek().is_none();
        is_whole.then(|| ObjectName::new(database, schema, name))
    }
}
