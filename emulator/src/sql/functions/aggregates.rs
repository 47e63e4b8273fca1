//! Aggregates that SQLite does not have, or computes otherwise: exact sums, sums of floats, arrays, and the only row of a subquery.

use rusqlite::functions::{Aggregate, Context, FunctionFlags, WindowAggregate};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, Result};

use super::arguments::{float_of, real};
use super::numbers::{self, MOST_DIGITS};
use super::raised::Raised;

/// Registers the aggregates; an array or a value may have at most `most_bytes`.
pub(crate) fn register(connection: &Connection, most_bytes: usize) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_window_function("sf_sum", 1, flags, Sum)?;
    connection.create_window_function("sf_float_sum", 1, flags, FloatSum)?;
    connection.create_aggregate_function("sf_array_agg", 1, flags, Array { most_bytes })?;
    connection.create_aggregate_function("sf_single", 1, flags, Single)?;
    connection.create_aggregate_function("sf_min_by", 2, flags, By { is_max: false })?;
    connection.create_aggregate_function("sf_max_by", 2, flags, By { is_max: true })
}

fn raised(why: Raised) -> Error {
    Error::UserFunctionError(Box::new(why))
}

/// What has been added up: numbers, and how many.
#[derive(Default)]
struct Total<T> {
    sum: T,
    count: u64,
}

/// SUM of numbers: exact, and NULL of none.
struct Sum;

impl Sum {
    fn change(context: &Context<'_>, total: &mut Total<i128>, by: i8) -> Result<()> {
        let value = context.get_raw(0);
        if value == ValueRef::Null {
            return Ok(());
        }
        let units = numbers::decode(value).map_err(raised)?;
        let changed = if by > 0 {
            total.count += 1;
            total.sum.checked_add(units)
        } else {
            total.count -= 1;
            total.sum.checked_sub(units)
        };
        total.sum = changed.ok_or_else(|| raised(Raised::out_of_range("SUM", MOST_DIGITS)))?;
        Ok(())
    }

    fn result(total: Option<&Total<i128>>) -> Result<Value> {
        match total {
            Some(total) if total.count > 0 => {
                numbers::number(total.sum, MOST_DIGITS).map_err(raised)
            }
            _ => Ok(Value::Null),
        }
    }
}

impl Aggregate<Total<i128>, Value> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Total<i128>> {
        Ok(Total::default())
    }

    fn step(&self, context: &mut Context<'_>, total: &mut Total<i128>) -> Result<()> {
        Self::change(context, total, 1)
    }

    fn finalize(&self, _: &mut Context<'_>, total: Option<Total<i128>>) -> Result<Value> {
        Self::result(total.as_ref())
    }
}

impl WindowAggregate<Total<i128>, Value> for Sum {
    fn value(&self, total: Option<&mut Total<i128>>) -> Result<Value> {
        Self::result(total.as_deref())
    }

    fn inverse(&self, context: &mut Context<'_>, total: &mut Total<i128>) -> Result<()> {
        Self::change(context, total, -1)
    }
}

/// SUM of floats. In a window that moves, the numbers that leave it are subtracted.
struct FloatSum;

impl FloatSum {
    fn change(context: &Context<'_>, total: &mut Total<f64>, by: f64) -> Result<()> {
        let value = context.get_raw(0);
        if value != ValueRef::Null {
            total.sum += by * float_of(value).map_err(raised)?;
            total.count = if by > 0.0 {
                total.count + 1
            } else {
                total.count - 1
            };
        }
        Ok(())
    }

    fn result(total: Option<&Total<f64>>) -> Value {
        match total {
            Some(total) if total.count > 0 => real(total.sum),
            _ => Value::Null,
        }
    }
}

impl Aggregate<Total<f64>, Value> for FloatSum {
    fn init(&self, _: &mut Context<'_>) -> Result<Total<f64>> {
        Ok(Total::default())
    }

    fn step(&self, context: &mut Context<'_>, total: &mut Total<f64>) -> Result<()> {
        Self::change(context, total, 1.0)
    }

    fn finalize(&self, _: &mut Context<'_>, total: Option<Total<f64>>) -> Result<Value> {
        Ok(Self::result(total.as_ref()))
    }
}

impl WindowAggregate<Total<f64>, Value> for FloatSum {
    fn value(&self, total: Option<&mut Total<f64>>) -> Result<Value> {
        Ok(Self::result(total.as_deref()))
    }

    fn inverse(&self, context: &mut Context<'_>, total: &mut Total<f64>) -> Result<()> {
        Self::change(context, total, -1.0)
    }
}

/// `ARRAY_AGG` of JSON texts: without NULLs.
struct Array {
    most_bytes: usize,
}

impl Aggregate<String, Value> for Array {
    fn init(&self, _: &mut Context<'_>) -> Result<String> {
        Ok("[".to_owned())
    }

    fn step(&self, context: &mut Context<'_>, array: &mut String) -> Result<()> {
        if let ValueRef::Text(bytes) = context.get_raw(0) {
            let text = str::from_utf8(bytes).map_err(|_| raised(Raised::internal("JSON")))?;
            if array.len() + text.len() > self.most_bytes {
                return Err(raised(super::texts::too_long()));
            }
            if array.len() > 1 {
                array.push(',');
            }
            array.push_str(text);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, array: Option<String>) -> Result<Value> {
        let mut array = array.unwrap_or_else(|| "[".to_owned());
        array.push(']');
        Ok(Value::Text(array))
    }
}

/// The value of the only row that a subquery may have.
struct Single;

impl Aggregate<Option<Value>, Value> for Single {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<Value>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, found: &mut Option<Value>) -> Result<()> {
        if found.is_some() {
            return Err(raised(Raised::several_rows()));
        }
        *found = Some(context.get(0)?);
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, found: Option<Option<Value>>) -> Result<Value> {
        Ok(found.flatten().unwrap_or(Value::Null))
    }
}

/// `MIN_BY` and `MAX_BY`: the value beside the least or the greatest key.
struct By {
    is_max: bool,
}

impl Aggregate<Option<(Value, Value)>, Value> for By {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<(Value, Value)>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, best: &mut Option<(Value, Value)>) -> Result<()> {
        let (value, key): (Value, Value) = (context.get(0)?, context.get(1)?);
        if key == Value::Null {
            return Ok(());
        }
        let is_better = best.as_ref().is_none_or(|(_, known)| {
            if self.is_max {
                is_less(known, &key)
            } else {
                is_less(&key, known)
            }
        });
        if is_better {
            *best = Some((value, key));
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, best: Option<Option<(Value, Value)>>) -> Result<Value> {
        Ok(best.flatten().map_or(Value::Null, |(value, _)| value))
    }
}

/// The order of SQLite, of values that are not NULL.
fn is_less(one: &Value, other: &Value) -> bool {
    let class = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one < other,
        (Value::Real(one), Value::Real(other)) => one < other,
        (Value::Text(one), Value::Text(other)) => one < other,
        (Value::Blob(one), Value::Blob(other)) => one < other,
        _ => class(one) < class(other),
    }
}
