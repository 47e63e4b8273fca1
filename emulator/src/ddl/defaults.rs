//! DEFAULT, AUTOINCREMENT and IDENTITY of columns, and CREATE SEQUENCE.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use sqlparser::ast::{
    DataType as DataTypeName, Expr, Function, FunctionArguments, IdentityPropertyFormatKind,
    IdentityPropertyKind, IdentityPropertyOrder, UnaryOperator, Value,
};
use sqlparser::tokenizer::{Location, Token};

use super::script::{Cursor, Statement};
use super::session::Session;
use super::statements::{DdlError, ErrorCode, Existing, Run, already_exists};
use crate::catalog::account_zone::AccountZone;
use crate::catalog::cell::Cell;
use crate::catalog::coercion::{DataType, Input};
use crate::catalog::columns::{Column, ColumnDefault, Computed};
use crate::catalog::object_name::ObjectName;
use crate::catalog::rules::Rules;
use crate::catalog::sequences::Sequence;
use crate::catalog::tables::{Pipe, Table, folded};
use crate::sql::names::identifier;
use crate::sql::transforms;

/// What the defaults of a table's columns may name.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) table: &'a ObjectName,
    pub(super) session: &'a Session,
    pub(super) sequences: &'a BTreeMap<ObjectName, Sequence>,
    pub(super) zone: AccountZone,
}

/// The full name of an object, under which the next number of a sequence is kept.
fn full_name(name: &ObjectName) -> String {
    let name = folded(name);
    format!("{}.{}.{}", name.database, name.schema, name.name)
}

/// The value behind DEFAULT.
pub(super) fn default(
    value: &Expr,
    column: &Column,
    scope: Scope<'_>,
    at: Location,
) -> Result<ColumnDefault, DdlError> {
    let input = match value {
        Expr::Nested(expr) => return default(expr, column, scope, at),
        // Every one of these functions is a timestamp, and the column's type cuts it down.
        Expr::Cast {
            expr, data_type, ..
        } if is_timestamp(data_type)
            && matches!(expr.as_ref(), Expr::Function(it) if is_now(it)) =>
        {
            return Ok(ColumnDefault::CurrentTimestamp);
        }
        Expr::Function(function) if is_now(function) => return Ok(ColumnDefault::CurrentTimestamp),
        Expr::Function(function) if is_uuid(function) => return Ok(ColumnDefault::Uuid),
        Expr::Identifier(ident) if NOW.contains(&ident.value.to_uppercase().as_str()) => {
            return Ok(ColumnDefault::CurrentTimestamp);
        }
        Expr::CompoundIdentifier(_) => match next_value(value) {
            Some(parts) => {
                let sequence = sequence(parts, (scope.session, scope.sequences), at)?;
                return Ok(ColumnDefault::Sequence(sequence));
            }
            None => return computed(value, column, scope, at),
        },
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => match expr.as_ref() {
            Expr::Value(value) => match &value.value {
                Value::Number(text, _) => Input::Number(format!("-{text}").into()),
                _ => return computed(expr, column, scope, at),
            },
            _ => return computed(value, column, scope, at),
        },
        Expr::Value(found) => match &found.value {
            Value::Null => return Ok(ColumnDefault::Constant(Cell::Null)),
            Value::Boolean(value) => Input::Boolean(*value),
            Value::Number(text, _) => Input::Number(text.into()),
            Value::SingleQuotedString(text) => Input::Text(text.into()),
            _ => return computed(value, column, scope, at),
        },
        _ => return computed(value, column, scope, at),
    };
    let rules = Rules {
        zone: scope.zone,
        ..Rules::of_casts()
    };
    let cell = column.data_type.land(&input, rules);
    cell.map(ColumnDefault::Constant).map_err(|why| {
        DdlError::at(
            at,
            format!("column {}: DEFAULT {}", column.name, why.message),
        )
    })
}

/// An expression: computed at once if its value is always the same, and else for each row.
fn computed(
    value: &Expr,
    column: &Column,
    scope: Scope<'_>,
    at: Location,
) -> Result<ColumnDefault, DdlError> {
    let (program, is_constant) = transforms::compile_default(value, scope.zone).map_err(|why| {
        DdlError::at(
            at,
            format!(
                "column {}: the emulator has no DEFAULT {value}: {}",
                column.name,
                why.reason()
            ),
        )
    })?;
    let computed = Computed(Arc::new(program));
    if !is_constant {
        return Ok(ColumnDefault::Computed(computed));
    }
    let cell = computed.cell(column, UNIX_EPOCH);
    cell.map(ColumnDefault::Constant).map_err(|why| {
        let text = format!("column {}: DEFAULT {value}: {}", column.name, why.message);
        DdlError::at(at, text)
    })
}

/// The parts of the name of a sequence before `.NEXTVAL`.
pub(super) fn next_value(value: &Expr) -> Option<Vec<String>> {
    let Expr::CompoundIdentifier(parts) = value else {
        return None;
    };
    let parts = parts.iter();
    let mut parts: Vec<String> = parts
        .map(|part| identifier(&part.value, part.quote_style))
        .collect();
    let last = parts.pop()?;
    (last == "NEXTVAL" && !parts.is_empty()).then_some(parts)
}

/// The sequence of a name.
pub(super) fn sequence(
    parts: Vec<String>,
    (session, known): (&Session, &BTreeMap<ObjectName, Sequence>),
    at: Location,
) -> Result<Sequence, DdlError> {
    let name = session.object(parts, at)?;
    let found = known.get(&folded(&name)).cloned();
    found.ok_or_else(|| {
        let text = format!("there is no sequence {}: create it before", name.name);
        DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT)
    })
}

/// The sequence of an AUTOINCREMENT or IDENTITY column.
pub(super) fn identity(
    kind: &IdentityPropertyKind,
    column: &Column,
    scope: Scope<'_>,
    at: Location,
) -> Result<ColumnDefault, DdlError> {
    let refused = |why: &str| DdlError::at(at, format!("column {}: {why}", column.name));
    if !matches!(column.data_type, DataType::Number { scale: 0, .. }) {
        return Err(refused("only a NUMBER without a fraction counts by itself"));
    }
    let (IdentityPropertyKind::Autoincrement(property) | IdentityPropertyKind::Identity(property)) =
        kind;
    let (start, step) = match &property.parameters {
        None => (1, 1),
        Some(
            IdentityPropertyFormatKind::FunctionCall(given)
            | IdentityPropertyFormatKind::StartAndIncrement(given),
        ) => {
            let pair = number(&given.seed).zip(number(&given.increment));
            pair.ok_or_else(|| refused("start and increment are whole numbers"))?
        }
    };
    if step == 0 {
        return Err(refused("an increment is not 0"));
    }
    let name = format!("{}.{}", full_name(scope.table), column.name);
    let is_ordered = property.order == Some(IdentityPropertyOrder::Order);
    let sequence = Sequence::new(&name, start, step).of_column();
    Ok(ColumnDefault::Sequence(sequence.ordered(is_ordered)))
}

fn number(value: &Expr) -> Option<i64> {
    value.to_string().replace(' ', "").parse().ok()
}

/// Functions and words that stand for the time at which a row is committed.
const NOW: &[&str] = &[
    "CURRENT_TIMESTAMP",
    "LOCALTIMESTAMP",
    "SYSTIMESTAMP",
    "GETDATE",
    "SYSDATE",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
];

fn is_timestamp(of: &DataTypeName) -> bool {
    let name = of.to_string().to_uppercase();
    name.starts_with("TIMESTAMP") || name.starts_with("DATETIME")
}

fn is_now(function: &Function) -> bool {
    // The argument of CURRENT_TIMESTAMP(3) only cuts digits, which the column's type does as well.
    let plain = matches!(
        function.args,
        FunctionArguments::None | FunctionArguments::List(_)
    );
    plain && NOW.contains(&function.name.to_string().to_uppercase().as_str())
}

/// `UUID_STRING()`; with arguments it is a hash of them.
fn is_uuid(function: &Function) -> bool {
    let plain = matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty());
    plain
        && function
            .name
            .to_string()
            .eq_ignore_ascii_case("UUID_STRING")
}

impl Run<'_> {
    /// `CREATE SEQUENCE name [WITH] [START [WITH] [=] n] [INCREMENT [BY] [=] n] [ORDER | NOORDER]`. `cursor` is behind SEQUENCE.
    pub(super) fn create_sequence(
        &mut self,
        statement: &Statement,
        mut cursor: Cursor<'_>,
        existing: Existing,
    ) -> Result<(), DdlError> {
        let (parts, at) = cursor.name()?;
        let name = self.session.object(parts, at)?;
        if self.catalog.sequences.contains_key(&folded(&name)) {
            if existing.keep {
                return Ok(());
            }
            if !existing.replace {
                return Err(already_exists(statement.at, "sequence", &name));
            }
        }
        let (mut start, mut step, mut is_ordered) = (1, 1, false);
        while cursor.peek().is_some() {
            if cursor.keyword("START") {
                start = numeral(&mut cursor)?;
            } else if cursor.keyword("INCREMENT") {
                step = numeral(&mut cursor)?;
            } else if cursor.keyword("ORDER") {
                is_ordered = true;
            } else if cursor.keyword("COMMENT") {
                cursor.token(&Token::Eq);
                cursor.next();
            } else if !cursor.keyword("WITH") && !cursor.keyword("NOORDER") {
                return Err(cursor.expected("START, INCREMENT, ORDER or NOORDER"));
            }
        }
        if step == 0 {
            return Err(DdlError::at(at, "an increment is not 0"));
        }
        let sequence = Sequence::new(&full_name(&name), start, step).ordered(is_ordered);
        self.catalog.sequences.insert(folded(&name), sequence);
        Ok(())
    }

    /// `DROP SEQUENCE [IF EXISTS] name`. `cursor` is behind SEQUENCE.
    pub(super) fn drop_sequence(&mut self, mut cursor: Cursor<'_>) -> Result<(), DdlError> {
        let keep = cursor.if_exists();
        let (parts, at) = cursor.name()?;
        let name = self.session.object(parts, at)?;
        let known = full_name(&name);
        let takes = |table: &&Table| table.sequences().any(|taken| taken.name() == known);
        if let Some(table) = self.catalog.tables().find(takes) {
            let (table, name) = (&table.name.name, name.name);
            let text = format!("table {table} takes numbers from sequence {name}: drop it before");
            return Err(DdlError::at(at, text));
        }
        let takes = |pipe: &&Pipe| pipe.sequences().any(|taken| taken.name() == known);
        if let Some(pipe) = self.catalog.pipes().find(takes) {
            let (pipe, name) = (&pipe.name.name, name.name);
            let text = format!("pipe {pipe} takes numbers from sequence {name}: drop it before");
            return Err(DdlError::at(at, text));
        }
        if self.catalog.sequences.remove(&folded(&name)).is_none() && !keep {
            let text = format!("there is no sequence {} to drop", name.name);
            return Err(DdlError::at(at, text).with_code(ErrorCode::NO_OBJECT));
        }
        Ok(())
    }
}

/// A whole number behind START or INCREMENT.
fn numeral(cursor: &mut Cursor<'_>) -> Result<i64, DdlError> {
    let _ = cursor.keyword("WITH") || cursor.keyword("BY");
    cursor.token(&Token::Eq);
    let is_negative = cursor.token(&Token::Minus);
    let number = match cursor.peek() {
        Some(Token::Number(digits, _)) => digits.parse::<i64>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| cursor.expected("a whole number"))?;
    cursor.next();
    Ok(if is_negative { -number } else { number })
}
