//! Functions of dates and times.

use sqlparser::ast::Expr;

use super::operators::whole_argument;
use super::state::{Compiler, Slot};
use super::types::{Kind, Typed, fraction_digits, kind, number};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;
use crate::sql::functions::moments::{Form, Part};
use crate::sql::functions::scalars::{FIELDS, NANOSECONDS};

impl Compiler<'_> {
    /// Calls of functions of dates and times; none for other functions.
    pub(crate) fn date_call(
        &mut self,
        name: &str,
        arguments: &[&Expr],
    ) -> Result<Option<Typed>, Failure> {
        Ok(Some(match (name, arguments) {
            ("CURRENT_TIMESTAMP", []) => Typed::new(self.now(Form::Ltz), DataType::TimestampLtz(9)),
            ("SYSDATE", []) => Typed::new(self.now(Form::Ntz), DataType::TimestampNtz(9)),
            ("CURRENT_DATE", []) => Typed::new(self.now(Form::Date), DataType::Date),
            ("DATE_TRUNC", [part, moment]) => {
                let part = self.part(name, part)?;
                let moment = self.expression(moment)?;
                self.truncated(part, moment)?
            }
            ("DATEADD" | "TIMESTAMPADD", [part, count, moment]) => {
                let part = self.part(name, part)?;
                let (count, moment) = (self.expression(count)?, self.expression(moment)?);
                self.moved(part, count, moment)?
            }
            ("DATEDIFF" | "TIMESTAMPDIFF", [part, from, to]) => {
                let part = self.part(name, part)?;
                let (from, to) = (self.expression(from)?, self.expression(to)?);
                let (from, to) = (self.clock(name, from, part)?, self.clock(name, to, part)?);
                let sql = format!("sf_date_diff({},{from},{to})", part.number());
                Typed::new(sql, number(18, 0))
            }
            ("DATE_PART" | "EXTRACT", [field, moment]) => {
                let field = match field {
                    Expr::Identifier(ident) => ident.value.clone(),
                    other => {
                        let typed = self.expression(other)?;
                        let text = typed.constant_text().map(str::to_owned);
                        text.ok_or_else(|| Failure::unsupported(format!("{name} of {other}")))?
                    }
                };
                let moment = self.expression(moment)?;
                self.date_part(&field, moment)?
            }
            (field, [moment]) if FIELDS.iter().any(|names| names.contains(&field)) => {
                let moment = self.expression(moment)?;
                self.date_part(field, moment)?
            }
            ("LAST_DAY", [moment]) => {
                let sql = self.wall_of(name, moment)?;
                Typed::new(format!("sf_last_day({sql})"), DataType::Date)
            }
            ("MONTHNAME", [moment]) => {
                let sql = self.wall_of(name, moment)?;
                Typed::text(format!("sf_month_name({sql})"))
            }
            ("DAYNAME", [moment]) => {
                let sql = self.wall_of(name, moment)?;
                Typed::text(format!("sf_day_name({sql})"))
            }
            _ => return self.moment_call(name, arguments),
        }))
    }

    /// Conversions from and to dates and times; none for other functions.
    fn moment_call(&mut self, name: &str, arguments: &[&Expr]) -> Result<Option<Typed>, Failure> {
        let is_try = name.starts_with("TRY_");
        Ok(Some(match (name.trim_start_matches("TRY_"), arguments) {
            ("TO_CHAR" | "TO_VARCHAR", [value, format]) => {
                let value = self.expression(value)?;
                let format = self.expression(format)?;
                let format = self.text_argument(name, format)?;
                let function = match value.of.map(kind) {
                    None | Some(Kind::Moment(_)) => "sf_format",
                    Some(Kind::Binary) => "sf_binary_text",
                    Some(kind) => return Err(Failure::argument_types(name, &kind.to_string())),
                };
                Typed::text(format!("{function}({},{format})", value.sql))
            }
            ("TO_DATE" | "DATE", [value]) => {
                let value = self.expression(value)?;
                self.cast(value, DataType::Date, is_try)?
            }
            ("TO_DATE" | "DATE", [value, format]) => {
                self.by_format((name, is_try), value, format, (DataType::Date, Form::Date))?
            }
            ("TO_TIME", [value, format]) => {
                let of = (DataType::Time(9), Form::Time);
                self.by_format((name, is_try), value, format, of)?
            }
            ("TO_TIME" | "TIME", [value]) => {
                let value = self.expression(value)?;
                self.cast(value, DataType::Time(9), is_try)?
            }
            ("CONVERT_TIMEZONE", [source, target, moment]) => {
                let moment = self.expression(moment)?;
                let moment = match moment.of {
                    None | Some(DataType::TimestampNtz(_)) => moment,
                    Some(of) if kind(of) == Kind::Text => {
                        self.cast(moment, DataType::TimestampNtz(9), false)?
                    }
                    Some(of) => return Err(Failure::argument_types(name, &of.to_string())),
                };
                let (source, target) = (self.expression(source)?, self.expression(target)?);
                let source = self.text_argument(name, source)?;
                let target = self.text_argument(name, target)?;
                let sql = format!("sf_convert_zone({},{source},{target})", moment.sql);
                Typed::new(sql, moment.of.unwrap_or(DataType::TimestampNtz(9)))
            }
            ("CONVERT_TIMEZONE", [target, moment]) => {
                let moment = self.expression(moment)?;
                let moment = match moment.of.map(kind) {
                    Some(Kind::Text) => self.cast(moment, DataType::TimestampTz(9), false)?,
                    _ => moment,
                };
                // The session's time zone is UTC.
                let instant = self.cast(moment, DataType::TimestampLtz(9), false)?;
                let target = self.expression(target)?;
                let target = self.text_argument(name, target)?;
                let sql = format!("sf_to_zone({},{target})", instant.sql);
                Typed::new(sql, DataType::TimestampTz(9))
            }
            ("TO_TIMESTAMP" | "TO_TIMESTAMP_NTZ", [value]) => {
                self.timestamp_of(value, DataType::TimestampNtz(9), is_try)?
            }
            ("TO_TIMESTAMP_LTZ", [value]) => {
                self.timestamp_of(value, DataType::TimestampLtz(9), is_try)?
            }
            ("TO_TIMESTAMP_TZ", [value]) => {
                let value = self.expression(value)?;
                self.cast(value, DataType::TimestampTz(9), is_try)?
            }
            ("TO_TIMESTAMP" | "TO_TIMESTAMP_NTZ", [value, second]) => {
                let of = (DataType::TimestampNtz(9), Form::Ntz);
                self.timestamp_by((name, is_try), value, second, of)?
            }
            ("TO_TIMESTAMP_LTZ", [value, second]) => {
                let of = (DataType::TimestampLtz(9), Form::Ltz);
                self.timestamp_by((name, is_try), value, second, of)?
            }
            ("TO_TIMESTAMP_TZ", [value, format]) => {
                let of = (DataType::TimestampTz(9), Form::Tz);
                self.by_format((name, is_try), value, format, of)?
            }
            _ => return Ok(None),
        }))
    }

    /// A timestamp of a number and its scale, or of a text and its format.
    fn timestamp_by(
        &mut self,
        (name, is_try): (&str, bool),
        value: &Expr,
        second: &Expr,
        of: (DataType, Form),
    ) -> Result<Typed, Failure> {
        let number = self.expression(value)?;
        if number.digits().is_none() || is_try {
            return self.by_format((name, is_try), value, second, of);
        }
        let digits = self.expression(second)?.constant_whole();
        let digits = digits.filter(|digits| matches!(digits, 0 | 3 | 6 | 9));
        match (number.digits(), digits) {
            (Some((_, 0)), Some(digits)) => Ok(epoch(&number.sql, digits, of.0)),
            _ => Err(Failure::unsupported(format!(
                "{name} of a number with a fraction, or whose scale is not 0, 3, 6 or 9"
            ))),
        }
    }

    /// A date or time that is read from a text by a format.
    fn by_format(
        &mut self,
        (name, is_try): (&str, bool),
        value: &Expr,
        format: &Expr,
        (of, form): (DataType, Form),
    ) -> Result<Typed, Failure> {
        let in_copy = self.settings.of_pipe.is_some();
        if is_try && in_copy && matches!(form, Form::Date | Form::Time) {
            return Err(Failure::unsupported(format!(
                "TRY_{name} with a format, which COPY INTO does not take,"
            )));
        }
        let (value, format) = (self.expression(value)?, self.expression(format)?);
        for argument in [&value, &format] {
            if let Some(other) = argument.of.map(kind).filter(|kind| *kind != Kind::Text) {
                return Err(Failure::argument_types(name, &other.to_string()));
            }
        }
        let tried = if is_try { "try_" } else { "" };
        let (value, format, number) = (value.sql, format.sql, form.number());
        let sql = format!("sf_{tried}moment_by({value},{format},{number})");
        Ok(Typed::new(sql, of))
    }

    /// The placeholder of the current time.
    fn now(&mut self, form: Form) -> String {
        let now = form.of_wall(self.settings.now);
        self.slot(Slot::Now(form), &now)
    }

    fn timestamp_of(&mut self, value: &Expr, to: DataType, is_try: bool) -> Result<Typed, Failure> {
        let value = self.expression(value)?;
        match value.digits() {
            // Seconds since 1970.
            Some((_, 0)) if !is_try => Ok(epoch(&value.sql, 0, to)),
            _ => self.cast(value, to, is_try),
        }
    }

    /// The part that an argument names, as an identifier or as a text.
    fn part(&mut self, name: &str, argument: &Expr) -> Result<Part, Failure> {
        let part = match argument {
            Expr::Identifier(ident) => ident.value.clone(),
            Expr::Value(value) => {
                let typed = self.value(&value.value)?;
                typed.constant_text().unwrap_or_default().to_owned()
            }
            other => other.to_string(),
        };
        Part::named(&part)
            .ok_or_else(|| Failure::unsupported(format!("{part} as a date or time part of {name}")))
    }

    /// The SQL of a date or timestamp whose wall clock a function reads. Text is a timestamp, as Snowflake reads it.
    fn wall_of(&mut self, name: &str, moment: &Expr) -> Result<String, Failure> {
        let moment = self.expression(moment)?;
        self.clock(name, moment, Part::Day)
    }

    fn clock(&mut self, name: &str, moment: Typed, part: Part) -> Result<String, Failure> {
        let moment = match moment.of.map(kind) {
            Some(Kind::Text) => self.cast(moment, DataType::TimestampNtz(9), false)?,
            _ => moment,
        };
        match moment.of.map(kind) {
            None | Some(Kind::Moment(Form::Date | Form::Ntz | Form::Ltz)) => Ok(moment.sql),
            // The parts of a wall clock are those of its zone; the difference between two is one of instants.
            Some(Kind::Moment(Form::Tz)) if part == Part::Day && !name.contains("DIFF") => {
                Ok(moment.sql)
            }
            Some(kind) => Err(Failure::argument_types(name, &kind.to_string())),
        }
    }

    fn truncated(&mut self, part: Part, moment: Typed) -> Result<Typed, Failure> {
        let moment = match moment.of.map(kind) {
            Some(Kind::Text) => self.cast(moment, DataType::TimestampNtz(9), false)?,
            _ => moment,
        };
        let (form, of) = match moment.of {
            None => return Ok(moment),
            Some(of @ DataType::Date) if part <= Part::Day => (Form::Date, of),
            Some(of @ DataType::TimestampNtz(_)) => (Form::Ntz, of),
            Some(of @ DataType::TimestampLtz(_)) => (Form::Ltz, of),
            Some(of) => {
                return Err(Failure::unsupported(format!(
                    "DATE_TRUNC to {part:?} of {of}"
                )));
            }
        };
        let sql = format!(
            "sf_truncate({},{},{})",
            moment.sql,
            part.number(),
            form.number()
        );
        Ok(Typed::new(sql, of))
    }

    pub(crate) fn moved(
        &mut self,
        part: Part,
        count: Typed,
        moment: Typed,
    ) -> Result<Typed, Failure> {
        let count = whole_argument("DATEADD", count)?;
        let moment = match moment.of.map(kind) {
            Some(Kind::Text) => self.cast(moment, DataType::TimestampNtz(9), false)?,
            _ => moment,
        };
        let (form, of) = match moment.of {
            None => return Ok(moment),
            Some(of @ DataType::Date) if part <= Part::Day => (Form::Date, of),
            Some(DataType::Date) => (Form::Ntz, DataType::TimestampNtz(9)),
            Some(DataType::TimestampNtz(digits)) => (
                Form::Ntz,
                DataType::TimestampNtz(digits.max(digits_of(part))),
            ),
            Some(DataType::TimestampLtz(digits)) => (
                Form::Ltz,
                DataType::TimestampLtz(digits.max(digits_of(part))),
            ),
            Some(DataType::TimestampTz(digits)) => {
                (Form::Tz, DataType::TimestampTz(digits.max(digits_of(part))))
            }
            Some(DataType::Time(digits)) if part > Part::Day => {
                (Form::Time, DataType::Time(digits.max(digits_of(part))))
            }
            Some(of) => return Err(Failure::unsupported(format!("{part:?}s and {of}"))),
        };
        let sql = format!(
            "sf_date_add({},{},{count},{})",
            moment.sql,
            part.number(),
            form.number()
        );
        Ok(Typed::new(sql, of))
    }

    /// A field of a date or time, as a number.
    pub(crate) fn date_part(&mut self, field: &str, moment: Typed) -> Result<Typed, Failure> {
        let upper = field.to_ascii_uppercase();
        let unknown = || Failure::unsupported(format!("{field} as a date or time part"));
        let named = |name: &str| FIELDS.iter().position(|names| names.contains(&name));
        let alias = Part::named(&upper).map(|part| format!("{part:?}").to_uppercase());
        let number_of_field = named(&upper).or_else(|| named(alias.as_deref()?));
        let field = number_of_field.ok_or_else(unknown)?;
        let moment = match moment.of.map(kind) {
            Some(Kind::Text) => self.cast(moment, DataType::TimestampNtz(9), false)?,
            _ => moment,
        };
        let is_epoch = (12..=14).contains(&field);
        let is_clock = matches!(field, 3..=5 | 11);
        let is_known = match moment.of.map(kind) {
            None | Some(Kind::Moment(Form::Ntz | Form::Ltz)) => true,
            Some(Kind::Moment(Form::Date)) => !is_clock,
            Some(Kind::Moment(Form::Time)) => is_clock,
            Some(Kind::Moment(Form::Tz)) => !is_epoch,
            Some(_) => false,
        };
        if !is_known {
            let of = moment.of.map(|of| of.to_string()).unwrap_or_default();
            return Err(Failure::argument_types(&upper, &of));
        }
        let is_wide = i64::try_from(field).is_ok_and(|field| field == NANOSECONDS);
        let of = number(if is_wide { 38 } else { 18 }, 0);
        Ok(Typed::new(format!("sf_part({},{field})", moment.sql), of))
    }
}

/// The fraction digits that a timestamp needs after a part is added.
fn digits_of(part: Part) -> u8 {
    match part {
        Part::Millisecond => 3,
        Part::Microsecond => 6,
        Part::Nanosecond => fraction_digits(DataType::Date),
        _ => 0,
    }
}

/// A timestamp of a number of units since 1970, of which a second has `10^digits`.
fn epoch(sql: &str, digits: i64, to: DataType) -> Typed {
    let form = match to {
        DataType::TimestampLtz(_) => Form::Ltz,
        _ => Form::Ntz,
    };
    Typed::new(format!("sf_epoch({sql},{digits},{})", form.number()), to)
}
