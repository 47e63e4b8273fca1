//! The parts of a SELECT as they are written: which clauses it has, what `*` leaves out, and how its columns are called.

use sqlparser::ast::{
    Distinct, ExcludeSelectItem, Expr, Ident, ObjectName, Select, SelectItem, Top, TopQuantity,
    Value, WildcardAdditionalOptions,
};

use crate::sql::failure::Failure;
use crate::sql::names::folded;

/// Refuses clauses that the compiler does not look at.
pub(crate) fn is_known(select: &Select) -> Result<(), Failure> {
    let Select {
        select_token: _,
        optimizer_hints: _,
        distinct,
        select_modifiers: None,
        top: _,
        top_before_distinct: _,
        projection: _,
        exclude: None,
        into: None,
        from: _,
        lateral_views,
        prewhere: None,
        selection: _,
        connect_by,
        group_by: _,
        cluster_by,
        distribute_by,
        sort_by,
        having: _,
        named_window,
        qualify: _,
        window_before_qualify: _,
        value_table_mode: None,
        flavor: sqlparser::ast::SelectFlavor::Standard,
    } = select
    else {
        return Err(Failure::unsupported(format!("a clause of {select}")));
    };
    let is_known = lateral_views.is_empty()
        && connect_by.is_empty()
        && cluster_by.is_empty()
        && distribute_by.is_empty()
        && sort_by.is_empty()
        && named_window.is_empty()
        && !matches!(distinct, Some(Distinct::On(_)));
    if is_known {
        Ok(())
    } else {
        Err(Failure::unsupported(format!("a clause of {select}")))
    }
}

/// The most rows that `TOP` takes. Only a whole query may have it.
pub(crate) fn top(select: &Select) -> Result<Option<u64>, Failure> {
    match &select.top {
        None => Ok(None),
        Some(Top {
            with_ties: false,
            percent: false,
            quantity: Some(TopQuantity::Constant(rows)),
        }) => Ok(Some(*rows)),
        Some(top) => Err(Failure::unsupported(format!(
            "{top}: write TOP and a number"
        ))),
    }
}

/// The columns that `* EXCLUDE` leaves out.
pub(crate) fn excluded(options: &WildcardAdditionalOptions) -> Result<Vec<String>, Failure> {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike: None,
        opt_exclude,
        opt_except: None,
        opt_replace: None,
        opt_rename: None,
        opt_alias: None,
    } = options
    else {
        return Err(Failure::unsupported(format!("*{options}")));
    };
    let names: &[ObjectName] = match opt_exclude {
        None => &[],
        Some(ExcludeSelectItem::Single(name)) => std::slice::from_ref(name),
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    let names = names.iter().map(|name| match name.0.as_slice() {
        [part] => part.as_ident().map(folded),
        _ => None,
    });
    let names: Option<Vec<String>> = names.collect();
    names.ok_or_else(|| Failure::unsupported(format!("*{options}")))
}

/// The position that a bare number in GROUP BY or ORDER BY means.
pub(crate) fn ordinal(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn item_at(items: &[SelectItem], position: usize) -> Option<Expr> {
    match items.get(position.checked_sub(1)?)? {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            Some(expr.clone())
        }
        _ => None,
    }
}

/// The name of a column that has no alias.
pub(crate) fn shown(expr: &Expr) -> String {
    let of_parts = |parts: &[Ident]| parts.last().map(folded).unwrap_or_default();
    match expr {
        Expr::Identifier(ident) => folded(ident),
        Expr::CompoundIdentifier(parts) => of_parts(parts),
        _ => expr.to_string().to_uppercase().replace('"', ""),
    }
}
