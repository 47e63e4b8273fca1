//! Functions in FROM: FLATTEN and GENERATOR.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectName, TableAlias, TableFactor,
    Value,
};

use super::queries::QUERY;
use super::scopes::{Relation, Visible};
use super::semistructured::structured;
use super::state::Compiler;
use super::types::{TEXT, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::names::{folded, quoted};

/// How many rows GENERATOR makes at most.
const MOST_ROWS: i64 = 1_000_000;

/// A call of a function in FROM.
pub(crate) struct TableCall<'a> {
    name: String,
    arguments: Vec<FunctionArg>,
    alias: Option<&'a TableAlias>,
}

/// The call of a table function, if a part of FROM is one that the emulator has.
pub(crate) fn table_function(factor: &TableFactor) -> Option<TableCall<'_>> {
    let known = |name: &ObjectName| {
        let [part] = name.0.as_slice() else {
            return None;
        };
        let name = part.as_ident().map(folded)?;
        matches!(name.as_str(), "FLATTEN" | "GENERATOR").then_some(name)
    };
    let (name, arguments, alias) = match factor {
        TableFactor::Function {
            name,
            args,
            with_ordinality: false,
            alias,
            ..
        } => (name, args.clone(), alias),
        TableFactor::Table {
            name,
            args: Some(args),
            alias,
            ..
        } => (name, args.args.clone(), alias),
        TableFactor::TableFunction {
            expr: Expr::Function(function),
            alias,
        } => match &function.args {
            FunctionArguments::List(list) => (&function.name, list.args.clone(), alias),
            _ => return None,
        },
        _ => return None,
    };
    Some(TableCall {
        name: known(name)?,
        arguments,
        alias: alias.as_ref(),
    })
}

/// The arguments of FLATTEN.
#[derive(Default)]
struct Flatten<'a> {
    input: Option<&'a Expr>,
    path: Option<&'a Expr>,
    is_outer: bool,
    is_recursive: bool,
    /// Whether objects are flattened, and whether arrays are.
    mode: Mode,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Both,
    Objects,
    Arrays,
}

impl Compiler<'_> {
    pub(crate) fn table_call(&mut self, call: &TableCall<'_>) -> Result<String, Failure> {
        if let Some(alias) = call.alias.filter(|alias| !alias.columns.is_empty()) {
            return Err(Failure::unsupported(format!(
                "{} with the alias {alias} for its columns",
                call.name
            )));
        }
        let named = call.arguments.iter().enumerate();
        let named = named.map(|(position, argument)| match argument {
            FunctionArg::Named {
                name,
                arg: FunctionArgExpr::Expr(expr),
                ..
            } => Ok((folded(name), expr)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) if position == 0 => {
                Ok(("INPUT".to_owned(), expr))
            }
            other => Err(Failure::unsupported(format!(
                "{} with {other} in this place: write the name of the argument",
                call.name
            ))),
        });
        let named = named.collect::<Result<Vec<_>, _>>()?;
        if call.name == "GENERATOR" {
            return self.generator(&named, call);
        }
        let given = self.flatten_arguments(&named)?;
        self.flatten(&given, call)
    }

    /// Puts the columns of a function into scope. They may not be all of its columns.
    fn bring_function(&mut self, call: &TableCall<'_>, columns: Vec<Visible>) {
        let name = call
            .alias
            .map_or_else(|| call.name.clone(), |alias| folded(&alias.name));
        if let Some(scope) = self.scopes.last_mut() {
            scope.relations.push(Relation {
                name: vec![name],
                columns,
                is_whole: false,
            });
        }
    }

    /// `GENERATOR(ROWCOUNT => 10)`: rows without columns.
    fn generator(
        &mut self,
        arguments: &[(String, &Expr)],
        call: &TableCall<'_>,
    ) -> Result<String, Failure> {
        let odd = || {
            Failure::unsupported(format!(
                "GENERATOR: the emulator takes ROWCOUNT alone, a constant of at most {MOST_ROWS}"
            ))
        };
        let [(name, rows)] = arguments else {
            return Err(odd());
        };
        let rows = self.expression(rows)?.constant_whole();
        let rows = rows.filter(|rows| name == "ROWCOUNT" && (0..=MOST_ROWS).contains(rows));
        let rows = rows.ok_or_else(odd)?;
        let numbers = quoted(&self.fresh(&format!("{QUERY}generator ")));
        let sql_name = self.fresh("g");
        self.bring_function(call, Vec::new());
        Ok(format!(
            "(WITH RECURSIVE {numbers}(c0) AS (SELECT 1 UNION ALL SELECT c0 + 1 FROM {numbers} LIMIT {rows}) SELECT c0 FROM {numbers}) AS {sql_name}"
        ))
    }

    fn flatten_arguments<'a>(
        &mut self,
        arguments: &[(String, &'a Expr)],
    ) -> Result<Flatten<'a>, Failure> {
        let mut given = Flatten::default();
        for (position, (name, expr)) in arguments.iter().enumerate() {
            let odd = || Failure::unsupported(format!("FLATTEN with {name} => {expr}"));
            let mut before = arguments.iter().take(position);
            if before.any(|(other, _)| other == name) {
                return Err(Failure::unsupported(format!("FLATTEN with {name} twice")));
            }
            let boolean = || match expr {
                Expr::Value(value) => match value.value {
                    Value::Boolean(is) => Ok(is),
                    _ => Err(odd()),
                },
                _ => Err(odd()),
            };
            match name.as_str() {
                "INPUT" => given.input = Some(expr),
                "PATH" => given.path = Some(expr),
                "OUTER" => given.is_outer = boolean()?,
                "RECURSIVE" => given.is_recursive = boolean()?,
                "MODE" => {
                    let mode = self.expression(expr)?;
                    given.mode = match mode.constant_text().map(str::to_uppercase).as_deref() {
                        Some("BOTH") => Mode::Both,
                        Some("OBJECT") => Mode::Objects,
                        Some("ARRAY") => Mode::Arrays,
                        _ => return Err(odd()),
                    };
                }
                _ => return Err(odd()),
            }
        }
        if given.is_outer && (given.is_recursive || given.mode != Mode::Both) {
            return Err(Failure::unsupported(
                "FLATTEN with OUTER beside RECURSIVE or MODE",
            ));
        }
        Ok(given)
    }

    /// The elements of an array or the fields of an object, a row each.
    fn flatten(&mut self, given: &Flatten<'_>, call: &TableCall<'_>) -> Result<String, Failure> {
        let Some(input) = given.input else {
            return Err(Failure::unsupported("FLATTEN without INPUT"));
        };
        let mut value = self.expression(input)?;
        structured("FLATTEN", &value)?;
        let mut path = String::new();
        if let Some(expr) = given.path {
            let typed = self.expression(expr)?;
            let text = typed.constant_text().map(str::to_owned);
            path = text.ok_or_else(|| {
                Failure::unsupported("FLATTEN with a PATH that is not a constant")
            })?;
            if !path.is_empty() {
                value = self.constant_path(value, &path)?;
            }
        }
        let path = self.text(&path);
        let sql_name = self.fresh("f");
        let extracted = |position: u8| format!("json_extract({sql_name}.value,'$[{position}]')");
        let column = |name: &str, sql: String, of| Visible {
            name: name.to_owned(),
            of: Some(of),
            sql,
        };
        let mut columns = vec![
            column("KEY", extracted(0), TEXT),
            column("PATH", format!("sf_flat_path({})", extracted(1)), TEXT),
            column("INDEX", extracted(2), number(9, 0)),
            column("VALUE", extracted(3), DataType::Variant),
        ];
        // Of a recursive one it would be another for each row; of an empty one it is not documented.
        if !given.is_recursive && !given.is_outer {
            columns.push(column("THIS", value.sql.clone(), DataType::Variant));
        }
        self.bring_function(call, columns);
        let (is_outer, is_recursive) = (u8::from(given.is_outer), u8::from(given.is_recursive));
        let (objects, arrays) = match given.mode {
            Mode::Both => (1, 1),
            Mode::Objects => (1, 0),
            Mode::Arrays => (0, 1),
        };
        let value = value.sql;
        Ok(format!(
            "json_each(sf_flatten({value},{path},{is_outer},{is_recursive},{objects},{arrays})) AS {sql_name}"
        ))
    }
}
