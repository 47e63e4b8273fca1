//! Casts: from each type to each other, as [Data type conversion] lists them, or refused.
//!
//! [Data type conversion]: https://docs.snowflake.com/en/sql-reference/data-type-conversion

use super::conversions::date_to_ntz;
use super::literals::number_sql;
use super::state::Compiler;
use super::types::{Kind, TEXT, Typed, fraction_digits, is_narrow, kind};
use crate::catalog::coercion::{DEFAULT_VARCHAR, DataType};
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::functions::numbers::power_of_ten;

impl Compiler<'_> {
    /// `from::to`; with `is_try` it is `TRY_CAST`, which takes text alone.
    pub(crate) fn cast(
        &mut self,
        from: Typed,
        to: DataType,
        is_try: bool,
    ) -> Result<Typed, Failure> {
        let Some(of) = from.of else {
            return Ok(Typed {
                of: Some(to),
                constant: None,
                ..from
            });
        };
        if is_try && kind(of) != Kind::Text {
            return Err(Failure::unsupported(format!(
                "TRY_CAST from {}: Snowflake takes text",
                kind(of)
            )));
        }
        let refused = || Failure::unsupported(format!("a cast from {} to {}", kind(of), kind(to)));
        let sql = match kind(to) {
            Kind::Number => to_number(&from, of, to, is_try),
            Kind::Text => Some(to_text(&from, of, to)),
            Kind::Float => to_float(&from, of, is_try),
            Kind::Boolean => to_boolean(&from, of, is_try),
            Kind::Moment(form) => to_moment(&from, of, to, form, is_try),
            Kind::Binary => match kind(of) {
                Kind::Binary => Some(from.sql.clone()),
                Kind::Text => Some(format!("{}text_binary({})", tried(is_try), from.sql)),
                _ => None,
            },
            Kind::Variant => Some(self.variant_of(&from)?),
            Kind::Object => match kind(of) {
                Kind::Object => Some(from.sql.clone()),
                Kind::Variant => Some(format!("sf_variant_object({})", from.sql)),
                _ => None,
            },
            Kind::Array => match kind(of) {
                Kind::Array => Some(from.sql.clone()),
                Kind::Variant | Kind::Object => Some(format!("sf_to_array({})", from.sql)),
                _ => None,
            },
        };
        Ok(Typed::new(sql.ok_or_else(refused)?, to))
    }

    /// A value as VARIANT.
    pub(crate) fn variant_of(&mut self, from: &Typed) -> Result<String, Failure> {
        let sql = &from.sql;
        Ok(match from.of.map(kind) {
            None => sql.clone(),
            Some(kind) if kind.is_structured() => sql.clone(),
            Some(Kind::Text) => format!("sf_quote({sql})"),
            Some(Kind::Number | Kind::Boolean) => self.cast(from.clone(), TEXT, false)?.sql,
            Some(Kind::Float) => {
                return Err(Failure::unsupported(
                    "FLOAT as VARIANT: cast it to NUMBER first",
                ));
            }
            Some(other) => {
                return Err(Failure::unsupported(format!(
                    "{other} as VARIANT: cast it to VARCHAR first"
                )));
            }
        })
    }
}

/// What begins the name of a function that reads text.
fn tried(is_try: bool) -> &'static str {
    if is_try { "sf_try_" } else { "sf_" }
}

fn to_float(from: &Typed, of: DataType, is_try: bool) -> Option<String> {
    let sql = &from.sql;
    Some(match of {
        DataType::Float => sql.clone(),
        DataType::Number { scale, .. } => format!("sf_number_float({sql},{scale})"),
        DataType::Varchar(_) => format!("{}text_float({sql})", tried(is_try)),
        DataType::Boolean => format!("({sql} + 0.0)"),
        DataType::Variant => format!("sf_variant_float({sql})"),
        _ => return None,
    })
}

fn to_boolean(from: &Typed, of: DataType, is_try: bool) -> Option<String> {
    let sql = &from.sql;
    Some(match of {
        DataType::Boolean => sql.clone(),
        DataType::Number { precision, .. } => {
            format!("({sql} <> {})", number_sql(0, precision))
        }
        DataType::Float => format!("sf_float_boolean({sql})"),
        DataType::Varchar(_) => format!("{}text_boolean({sql})", tried(is_try)),
        DataType::Variant => format!("sf_variant_boolean({sql})"),
        _ => return None,
    })
}

/// A date or time. The session's time zone is UTC.
fn to_moment(from: &Typed, of: DataType, to: DataType, form: Form, is_try: bool) -> Option<String> {
    let sql = &from.sql;
    let number = form.number();
    let moved = match (kind(of), form) {
        (Kind::Moment(from), _) if from == form => {
            if fraction_digits(to) >= fraction_digits(of) {
                return Some(sql.clone());
            }
            sql.clone()
        }
        (Kind::Text, _) if is_try => format!("sf_try_moment({sql},{number})"),
        (Kind::Text, _) => format!("sf_moment({sql},{number})"),
        (Kind::Variant, _) => format!("sf_variant_moment({sql},{number})"),
        (Kind::Moment(Form::Ntz | Form::Ltz | Form::Tz), Form::Date) => {
            return Some(format!("substr({sql},1,10)"));
        }
        (Kind::Moment(Form::Ntz | Form::Ltz | Form::Tz), Form::Time) => {
            format!("substr({sql},12,18)")
        }
        (Kind::Moment(Form::Date), Form::Ntz) => date_to_ntz(sql),
        (Kind::Moment(Form::Date), Form::Ltz) => format!("({} || 'Z')", date_to_ntz(sql)),
        (Kind::Moment(Form::Ltz | Form::Tz), Form::Ntz) => format!("substr({sql},1,29)"),
        (Kind::Moment(Form::Ntz), Form::Ltz) => format!("({sql} || 'Z')"),
        (Kind::Moment(Form::Tz), Form::Ltz) => format!("sf_instant({sql})"),
        _ => return None,
    };
    let digits = fraction_digits(to);
    Some(if digits < 9 && form != Form::Date {
        format!("sf_cut({moved},{digits})")
    } else {
        moved
    })
}

fn to_number(from: &Typed, of: DataType, to: DataType, is_try: bool) -> Option<String> {
    let DataType::Number { precision, scale } = to else {
        return None;
    };
    let sql = &from.sql;
    Some(match of {
        DataType::Number {
            precision: p1,
            scale: s1,
        } => {
            if s1 == scale && p1 <= precision && is_narrow(p1) == is_narrow(precision) {
                sql.clone()
            } else {
                format!("sf_rescale({sql},{s1},{precision},{scale})")
            }
        }
        DataType::Varchar(_) => {
            format!("{}text_number({sql},{precision},{scale})", tried(is_try))
        }
        DataType::Float => format!("sf_float_number({sql},{precision},{scale})"),
        DataType::Boolean => {
            let one = power_of_ten(scale).filter(|_| scale < precision)?;
            let (one, zero) = (number_sql(one, precision), number_sql(0, precision));
            format!("(CASE {sql} WHEN 1 THEN {one} WHEN 0 THEN {zero} END)")
        }
        DataType::Variant => format!("sf_variant_number({sql},{precision},{scale})"),
        _ => return None,
    })
}

/// VARCHAR; a text that is too long for it is refused when it is met.
fn to_text(from: &Typed, of: DataType, to: DataType) -> String {
    let sql = &from.sql;
    let text = match of {
        DataType::Varchar(_) | DataType::Date => sql.clone(),
        DataType::Number { scale, .. } => format!("sf_number_text({sql},{scale})"),
        DataType::Float => format!("sf_float_text({sql})"),
        DataType::Boolean => format!("(CASE {sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"),
        DataType::Binary(_) => format!("hex({sql})"),
        // The default formats: TIME_OUTPUT_FORMAT has no fraction, TIMESTAMP_NTZ_OUTPUT_FORMAT three digits.
        DataType::Time(_) => format!("substr({sql},1,8)"),
        DataType::TimestampNtz(_) => format!("substr({sql},1,23)"),
        DataType::Variant | DataType::Object | DataType::Array => {
            format!("sf_variant_text({sql})")
        }
        // TIMESTAMP_OUTPUT_FORMAT: `YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM`. The session's time zone is UTC.
        DataType::TimestampLtz(_) => format!("(substr({sql},1,23) || ' +0000')"),
        DataType::TimestampTz(_) => {
            format!("(substr({sql},1,23) || substr({sql},30,4) || substr({sql},35,2))")
        }
    };
    // `hex` of NULL is a text without letters.
    let text = match of {
        DataType::Binary(_) => format!("(CASE WHEN {sql} IS NOT NULL THEN {text} END)"),
        _ => text,
    };
    match (of, to) {
        (DataType::Varchar(from), DataType::Varchar(most)) if from <= most => text,
        (_, DataType::Varchar(most)) if most < DEFAULT_VARCHAR => {
            format!("sf_at_most({text},{most})")
        }
        _ => text,
    }
}
