//! Aggregates and window functions.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    OrderByExpr, OrderByOptions, OrderBySort, WindowFrame, WindowFrameBound, WindowFrameUnits,
    WindowSpec, WindowType,
};

use super::calls::arguments_of;
use super::conversions::{fitted, grouping_key, sorting_key};
use super::operators::{number_operation, whole_argument};
use super::scopes::Takes;
use super::state::Compiler;
use super::types::{COUNT, Kind, Typed, arithmetic, kind, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;

/// The aggregates that the emulator has. Those up to AVG are window functions as well.
pub(crate) const AGGREGATES: &[&str] = &[
    "COUNT",
    "COUNT_IF",
    "MIN",
    "MAX",
    "SUM",
    "AVG",
    "ANY_VALUE",
    "ARRAY_AGG",
    "LISTAGG",
    "MAX_BY",
    "MIN_BY",
];
const WINDOWED: usize = 6;

/// The functions that only windows have.
pub(crate) const WINDOW_FUNCTIONS: &[&str] = &[
    "DENSE_RANK",
    "FIRST_VALUE",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "NTILE",
    "RANK",
    "ROW_NUMBER",
];

/// An aggregate's call: its name, its SQL arguments and what it is of.
struct Aggregated {
    sql: String,
    of: Option<DataType>,
}

impl Compiler<'_> {
    /// An aggregate or a window function; none for other functions.
    pub(crate) fn aggregate_or_window(
        &mut self,
        name: &str,
        function: &Function,
    ) -> Result<Option<Typed>, Failure> {
        let position = AGGREGATES.iter().position(|known| *known == name);
        let is_window = WINDOW_FUNCTIONS.contains(&name);
        match (position, &function.over) {
            (Some(position), Some(_)) if position >= WINDOWED => {
                Err(Failure::unsupported(format!("{name} as a window function")))
            }
            (None, Some(_)) if !is_window => Err(Failure::no_function(name)),
            (_, Some(over)) => self.window(name, function, over).map(Some),
            (Some(_), None) => self.aggregate(name, function).map(Some),
            (None, None) if is_window => Err(Failure::unsupported(format!("{name} without OVER"))),
            (None, None) => Ok(None),
        }
    }

    fn aggregate(&mut self, name: &str, function: &Function) -> Result<Typed, Failure> {
        let scope = self.scopes.last_mut();
        let is_allowed = scope.as_ref().is_some_and(|scope| scope.takes.aggregates);
        let (true, Some(scope)) = (is_allowed, scope) else {
            return Err(Failure::unsupported(format!(
                "the aggregate {function} at this place"
            )));
        };
        scope.has_aggregates = true;
        scope.in_aggregate = true;
        let allowed = scope.takes;
        scope.takes = Takes::default();
        let found = self.aggregated(name, function, "");
        if let Some(scope) = self.scopes.last_mut() {
            scope.in_aggregate = false;
            scope.takes = allowed;
        }
        found.map(|found| Typed {
            sql: found.sql,
            of: found.of,
            constant: None,
        })
    }

    /// The call of an aggregate, followed by `over`.
    fn aggregated(
        &mut self,
        name: &str,
        function: &Function,
        over: &str,
    ) -> Result<Aggregated, Failure> {
        let unsupported = || Failure::unsupported(format!("the call {function}"));
        let FunctionArguments::List(list) = &function.args else {
            return Err(unsupported());
        };
        let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        let is_ordered = !function.within_group.is_empty();
        let takes_order = matches!(name, "LISTAGG" | "ARRAY_AGG");
        if !list.clauses.is_empty()
            || !matches!(function.parameters, FunctionArguments::None)
            || function.uses_odbc_syntax
            || function.filter.is_some()
            || function.null_treatment.is_some()
            || (is_ordered && !takes_order)
            || (is_distinct
                && (!over.is_empty() || matches!(name, "COUNT_IF" | "MIN_BY" | "MAX_BY")))
        {
            return Err(unsupported());
        }
        let distinct = if is_distinct { "DISTINCT " } else { "" };
        if name == "COUNT"
            && matches!(
                list.args.as_slice(),
                [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)]
            )
        {
            if is_distinct {
                return Err(unsupported());
            }
            return Ok(Aggregated {
                sql: format!("count(*){over}"),
                of: Some(COUNT),
            });
        }
        let mut arguments = Vec::new();
        for argument in arguments_of(function)? {
            arguments.push(self.expression(argument)?);
        }
        let order = self.order_within(&function.within_group)?;
        let found = match name {
            "SUM" | "AVG" => self.totalled(name, &arguments, distinct, over)?,
            "COUNT" | "COUNT_IF" | "MIN" | "MAX" | "ANY_VALUE" => {
                simple(name, &arguments, distinct, over)?
            }
            _ if is_distinct => None,
            _ => self.collected(name, &arguments, &order)?,
        };
        found.ok_or_else(unsupported)
    }

    /// SUM and AVG.
    fn totalled(
        &mut self,
        name: &str,
        arguments: &[Typed],
        distinct: &str,
        over: &str,
    ) -> Result<Option<Aggregated>, Failure> {
        let [value] = arguments else {
            return Ok(None);
        };
        let value = self.numeric(value.clone())?;
        let is_moving =
            over.contains(" BETWEEN ") && !over.contains(" BETWEEN UNBOUNDED PRECEDING");
        if is_moving && value.digits().is_none() {
            // What leaves a frame is subtracted, which NaN and infinity do not allow, and which adds errors of rounding.
            return Err(Failure::unsupported(format!(
                "{name} of FLOAT over a frame that moves: cast it to NUMBER"
            )));
        }
        let total = sum(&value, distinct, over);
        if name == "SUM" {
            return Ok(Some(total));
        }
        let total = Typed {
            sql: total.sql,
            of: total.of,
            constant: None,
        };
        let count = format!("count({distinct}{}){over}", value.sql);
        let average = match total.digits() {
            // Its scale is that of a quotient.
            Some(digits) => {
                let of = arithmetic::quotient(digits, (18, 0));
                number_operation("divide", &total, &Typed::new(count, COUNT), of)
            }
            None => Typed::new(
                format!("sf_float_divide({},{count} + 0.0)", total.sql),
                DataType::Float,
            ),
        };
        Ok(Some(Aggregated {
            sql: average.sql,
            of: average.of,
        }))
    }

    /// Aggregates that collect values or choose among them.
    fn collected(
        &mut self,
        name: &str,
        arguments: &[Typed],
        order: &str,
    ) -> Result<Option<Aggregated>, Failure> {
        Ok(Some(match (name, arguments) {
            ("LISTAGG", [value, rest @ ..]) if rest.len() <= 1 => {
                let text = self.text_argument(name, value.clone())?;
                let separator = match rest {
                    [separator] => self.text_argument(name, separator.clone())?,
                    _ => "''".to_owned(),
                };
                let call = format!("group_concat({text},{separator}{order})");
                Aggregated {
                    sql: format!("coalesce({call},'')"),
                    of: Some(super::types::TEXT),
                }
            }
            ("ARRAY_AGG", [value]) => {
                let json = self.variant_of(value)?;
                Aggregated {
                    sql: format!("sf_array_agg({json}{order})"),
                    of: Some(DataType::Array),
                }
            }
            ("MIN_BY" | "MAX_BY", [value, by]) => {
                let by = sorting_key(by, name)?;
                Aggregated {
                    sql: format!("sf_{}({},{by})", name.to_lowercase(), value.sql),
                    of: value.of,
                }
            }
            _ => return Ok(None),
        }))
    }

    fn order_within(&mut self, order: &[OrderByExpr]) -> Result<String, Failure> {
        if order.is_empty() {
            return Ok(String::new());
        }
        let mut terms = Vec::with_capacity(order.len());
        for term in order {
            let typed = self.expression(&term.expr)?;
            let (key, direction) = order_term(&typed, term)?;
            terms.push(format!("{key} {direction}"));
        }
        Ok(format!(" ORDER BY {}", terms.join(", ")))
    }

    fn window(
        &mut self,
        name: &str,
        function: &Function,
        over: &WindowType,
    ) -> Result<Typed, Failure> {
        let spec = match over {
            WindowType::WindowSpec(spec) if spec.window_name.is_none() => spec,
            _ => return Err(Failure::unsupported(format!("the window {over}"))),
        };
        let scope = self.scopes.last_mut();
        let is_allowed = scope.as_ref().is_some_and(|scope| scope.takes.windows);
        let (true, Some(scope)) = (is_allowed, scope) else {
            return Err(Failure::unsupported(format!(
                "the window function {function} at this place"
            )));
        };
        scope.takes.windows = false;
        let found = self.windowed(name, function, spec);
        if let Some(scope) = self.scopes.last_mut() {
            scope.takes.windows = true;
        }
        found
    }

    fn windowed(
        &mut self,
        name: &str,
        function: &Function,
        spec: &WindowSpec,
    ) -> Result<Typed, Failure> {
        let takes_whole = matches!(name, "FIRST_VALUE" | "LAST_VALUE");
        let mut parts = Vec::new();
        if !spec.partition_by.is_empty() {
            let mut keys = Vec::new();
            for expr in &spec.partition_by {
                let typed = self.expression(expr)?;
                keys.push(grouping_key(&typed));
            }
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        let is_ordered = !spec.order_by.is_empty();
        let is_ranking = matches!(
            name,
            "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "NTILE" | "LAG" | "LEAD"
        );
        if is_ordered {
            parts.push(self.order_within(&spec.order_by)?.trim_start().to_owned());
        } else if is_ranking || takes_whole {
            return Err(Failure::unsupported(format!(
                "{name} without ORDER BY in OVER"
            )));
        }
        match &spec.window_frame {
            Some(_) if is_ranking => {
                return Err(Failure::unsupported(format!("{name} with a frame")));
            }
            Some(frame) => parts.push(frame_sql(frame)?),
            // Snowflake's frame of these is the whole partition.
            None if takes_whole => {
                parts.push("ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_owned());
            }
            None => {}
        }
        let over = format!(" OVER ({})", parts.join(" "));
        if AGGREGATES.contains(&name) {
            let found = self.aggregated(name, function, &over)?;
            return Ok(Typed {
                sql: found.sql,
                of: found.of,
                constant: None,
            });
        }
        let mut plain = function.clone();
        plain.over = None;
        super::calls::is_plain(&plain)?;
        let mut arguments = Vec::new();
        for argument in arguments_of(function)? {
            arguments.push(self.expression(argument)?);
        }
        let lower = name.to_lowercase();
        Ok(match (name, arguments.as_slice()) {
            ("ROW_NUMBER" | "RANK" | "DENSE_RANK", []) => {
                Typed::new(format!("{lower}(){over}"), COUNT)
            }
            ("NTILE", [count]) => {
                let count = whole_argument(name, count.clone())?;
                Typed::new(format!("ntile({count}){over}"), COUNT)
            }
            ("FIRST_VALUE" | "LAST_VALUE", [value]) => Typed {
                sql: format!("{lower}({}){over}", value.sql),
                of: value.of,
                constant: None,
            },
            ("LAG" | "LEAD", [value, rest @ ..]) if rest.len() <= 2 => {
                let by = match rest.first() {
                    None => 1,
                    Some(by) => by.constant_whole().filter(|by| *by >= 0).ok_or_else(|| {
                        Failure::unsupported(format!("{name} by a number that is not a constant"))
                    })?,
                };
                let (of, default) = match rest.get(1) {
                    None => (value.of, "NULL".to_owned()),
                    Some(default) => {
                        let pair = [value.clone(), default.clone()];
                        let of = super::types::common_of(name, pair.iter())?;
                        (of, fitted(default, of)?)
                    }
                };
                let value = fitted(value, of)?;
                Typed {
                    sql: format!("{lower}({value},{by},{default}){over}"),
                    of,
                    constant: None,
                }
            }
            _ => return Err(Failure::argument_count(name, arguments.len())),
        })
    }
}

/// Aggregates that count values or choose among them by SQLite's own order.
fn simple(
    name: &str,
    arguments: &[Typed],
    distinct: &str,
    over: &str,
) -> Result<Option<Aggregated>, Failure> {
    let counted = |sql: String| Aggregated {
        sql,
        of: Some(COUNT),
    };
    Ok(Some(match (name, arguments) {
        ("COUNT", [value]) => {
            let key = if distinct.is_empty() {
                value.sql.clone()
            } else {
                grouping_key(value)
            };
            counted(format!("count({distinct}{key}){over}"))
        }
        ("COUNT_IF", [test]) if test.of.map(kind) == Some(Kind::Boolean) => {
            counted(format!("count(CASE WHEN {} THEN 1 END){over}", test.sql))
        }
        ("MIN" | "MAX", [value]) => {
            if let Some(of) = value.of
                && matches!(kind(of), Kind::Boolean | Kind::Moment(Form::Tz))
            {
                return Err(Failure::argument_types(name, &of.to_string()));
            }
            sorting_key(value, name)?;
            Aggregated {
                sql: format!("{}({}){over}", name.to_lowercase(), value.sql),
                of: value.of,
            }
        }
        ("ANY_VALUE", [value]) => Aggregated {
            sql: format!("max({})", value.sql),
            of: value.of,
        },
        _ => return Ok(None),
    }))
}

/// SUM: exact and of 38 digits, or of floats.
fn sum(value: &Typed, distinct: &str, over: &str) -> Aggregated {
    match value.digits() {
        Some((_, scale)) => Aggregated {
            sql: format!("sf_sum({distinct}{}){over}", value.sql),
            of: Some(number(38, scale)),
        },
        None => Aggregated {
            sql: format!("sf_float_sum({distinct}{}){over}", value.sql),
            of: Some(DataType::Float),
        },
    }
}

fn frame_sql(frame: &WindowFrame) -> Result<String, Failure> {
    let odd = || Failure::unsupported("a frame of groups or of a range with bounds");
    let bound = |bound: &WindowFrameBound| {
        let rows = |expr: &Expr| match expr {
            Expr::Value(value) => match &value.value {
                sqlparser::ast::Value::Number(rows, _) => rows.parse::<u32>().ok(),
                _ => None,
            },
            _ => None,
        };
        Some(match bound {
            WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
            WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
            WindowFrameBound::Preceding(Some(expr)) => format!("{} PRECEDING", rows(expr)?),
            WindowFrameBound::Following(Some(expr)) => format!("{} FOLLOWING", rows(expr)?),
        })
    };
    let is_unbounded = |bound: &WindowFrameBound| {
        matches!(
            bound,
            WindowFrameBound::CurrentRow
                | WindowFrameBound::Preceding(None)
                | WindowFrameBound::Following(None)
        )
    };
    let end = frame
        .end_bound
        .as_ref()
        .unwrap_or(&WindowFrameBound::CurrentRow);
    let units = match frame.units {
        WindowFrameUnits::Rows => "ROWS",
        WindowFrameUnits::Range if is_unbounded(&frame.start_bound) && is_unbounded(end) => "RANGE",
        _ => return Err(odd()),
    };
    let (start, end) = (bound(&frame.start_bound), bound(end));
    let (start, end) = (start.ok_or_else(odd)?, end.ok_or_else(odd)?);
    Ok(format!("{units} BETWEEN {start} AND {end}"))
}

/// A term of ORDER BY.
pub(crate) fn order_term(typed: &Typed, term: &OrderByExpr) -> Result<(String, String), Failure> {
    if term.with_fill.is_some() {
        return Err(Failure::unsupported(format!("ORDER BY {term}")));
    }
    order_key(typed, &term.options)
}

/// What a value is sorted by, and in which direction. NULL counts as greater than all values: last when they ascend.
pub(crate) fn order_key(
    typed: &Typed,
    options: &OrderByOptions,
) -> Result<(String, String), Failure> {
    let is_descending = match &options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => {
            return Err(Failure::unsupported(format!("ORDER BY{options}")));
        }
    };
    let key = sorting_key(typed, "ORDER BY")?;
    let nulls_first = options.nulls_first.unwrap_or(is_descending);
    let direction = format!(
        "{} NULLS {}",
        if is_descending { "DESC" } else { "ASC" },
        if nulls_first { "FIRST" } else { "LAST" }
    );
    Ok((key, direction))
}
