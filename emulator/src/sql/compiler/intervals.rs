//! Interval constants, which are added to dates and times: `+ INTERVAL '1 year, 3 days'`.

use sqlparser::ast::{Expr, Interval, Value};

use super::literals::unescaped;
use super::state::Compiler;
use super::types::{Kind, Typed, kind, number};
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Part;

/// How many digits a number of parts may have.
const MOST_DIGITS: usize = 18;

impl Compiler<'_> {
    /// A date or time to which the parts of an interval are added, or from which they are subtracted, in their order.
    pub(crate) fn with_interval(
        &mut self,
        moment: &Expr,
        interval: &Interval,
        sign: &str,
    ) -> Result<Typed, Failure> {
        let mut moved = self.expression(moment)?;
        if let Some(other) = moved.of.map(kind)
            && !matches!(other, Kind::Moment(_))
        {
            return Err(Failure::unsupported(format!("{other} and {interval}")));
        }
        for (count, part) in parts(interval)? {
            let count = Typed::new(format!("({sign}{count})"), number(18, 0));
            moved = self.moved(part, count, moved)?;
        }
        Ok(moved)
    }
}

/// The numbers and parts of an interval constant.
fn parts(interval: &Interval) -> Result<Vec<(String, Part)>, Failure> {
    let odd = || {
        Failure::unsupported(format!(
            "{interval}: the emulator has constants such as INTERVAL '1 year, 3 days'"
        ))
    };
    let Interval {
        value,
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    } = interval
    else {
        return Err(odd());
    };
    let Expr::Value(value) = value.as_ref() else {
        return Err(odd());
    };
    let Value::SingleQuotedString(raw) = &value.value else {
        return Err(odd());
    };
    let text = unescaped(raw)?;
    let parts = text.split(',').map(|part| {
        let mut words = part.split_whitespace();
        let count = words.next().filter(|count| {
            count.len() <= MOST_DIGITS && count.bytes().all(|byte| byte.is_ascii_digit())
        });
        let part = match words.next() {
            None => Some(Part::Second),
            Some(word) if word.eq_ignore_ascii_case("weeks") => Some(Part::Week),
            Some(word) => Part::named(word),
        };
        let is_whole = words.next().is_none();
        let pair = count.zip(part).filter(|_| is_whole);
        pair.map(|(count, part)| (count.to_owned(), part))
            .ok_or_else(odd)
    });
    parts.collect()
}
