//! The scalar functions by the names that the compiler writes. They get values in the forms of their types, and numbers that say
//! which types these are.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};

use super::arguments::{
    Outcome, boolean, digits, float, integer, or_null, real, text, units, whole,
};
use super::deadline::Deadline;
use super::moments::{self, Form, Part};
use super::numbers::{self, Operand, Operation, Rounding};
use super::raised::Raised;
use super::{
    arrays, encodings, flattening, floats, format_reading, formats, patterns, regexes, spelling,
    texts, variants, volatile, zones,
};

/// What begins the name of a function of the emulator's.
pub(crate) const PREFIX: &str = "sf_";

/// The most bytes that a text may have.
pub(super) const MOST_BYTES: usize = 8 * 1024 * 1024;

/// A function, and how many arguments it has.
pub(super) type Scalar = (&'static str, i32, fn(&Context<'_>) -> Outcome);

/// Functions that are NULL where an argument is.
const STRICT: &[Scalar] = &[
    // Numbers: `p` and `s` are precision and scale of the result.
    ("sf_column", 3, |c| {
        numbers::read_column(c.get_raw(0), digits(c, 1)?, digits(c, 2)?)
    }),
    ("sf_widen", 2, |c| {
        Ok(numbers::widen(units(c, 0)?, digits(c, 1)?))
    }),
    ("sf_rescale", 4, |c| {
        let (precision, scale) = (digits(c, 2)?, digits(c, 3)?);
        let moved = numbers::rescale(units(c, 0)?, digits(c, 1)?, scale);
        number_or(moved, precision)
    }),
    ("sf_add", 6, |c| arithmetic(c, Operation::Add)),
    ("sf_subtract", 6, |c| arithmetic(c, Operation::Subtract)),
    ("sf_multiply", 6, |c| arithmetic(c, Operation::Multiply)),
    ("sf_divide", 6, |c| arithmetic(c, Operation::Divide)),
    ("sf_modulo", 6, |c| arithmetic(c, Operation::Modulo)),
    ("sf_negate", 2, |c| {
        numbers::number(-units(c, 0)?, digits(c, 1)?)
    }),
    ("sf_abs", 2, |c| {
        numbers::number(units(c, 0)?.abs(), digits(c, 1)?)
    }),
    ("sf_sign", 1, |c| {
        let sign = units(c, 0)?.signum();
        numbers::number(sign, 1)
    }),
    ("sf_round", 5, |c| rounded(c, Rounding::HalfAway)),
    ("sf_trunc", 5, |c| rounded(c, Rounding::Truncate)),
    ("sf_ceil", 5, |c| rounded(c, Rounding::Up)),
    ("sf_floor", 5, |c| rounded(c, Rounding::Down)),
    ("sf_number_text", 2, |c| {
        Ok(Value::Text(numbers::show(units(c, 0)?, digits(c, 1)?)))
    }),
    ("sf_number_float", 2, |c| {
        Ok(real(numbers::to_float(units(c, 0)?, digits(c, 1)?)))
    }),
    ("sf_text_number", 3, |c| {
        let precision = digits(c, 1)?;
        numbers::number(
            numbers::parse(text(c, 0)?, precision, digits(c, 2)?)?,
            precision,
        )
    }),
    // Floats.
    ("sf_float_number", 3, |c| {
        floats::to_number(float(c, 0)?, digits(c, 1)?, digits(c, 2)?)
    }),
    ("sf_float_text", 1, |c| {
        floats::to_text(float(c, 0)?).map(Value::Text)
    }),
    ("sf_text_float", 1, |c| floats::parse(text(c, 0)?).map(real)),
    ("sf_float_boolean", 1, |c| Ok(boolean(float(c, 0)? != 0.0))),
    ("sf_float_add", 2, |c| of_floats(c, Operation::Add)),
    ("sf_float_subtract", 2, |c| {
        of_floats(c, Operation::Subtract)
    }),
    ("sf_float_multiply", 2, |c| {
        of_floats(c, Operation::Multiply)
    }),
    ("sf_float_divide", 2, |c| of_floats(c, Operation::Divide)),
    ("sf_float_modulo", 2, |c| of_floats(c, Operation::Modulo)),
    ("sf_float_negate", 1, |c| Ok(real(-float(c, 0)?))),
    ("sf_float_abs", 1, |c| Ok(real(float(c, 0)?.abs()))),
    ("sf_float_round", 2, |c| {
        rounded_float(c, Rounding::HalfAway)
    }),
    ("sf_float_trunc", 2, |c| {
        rounded_float(c, Rounding::Truncate)
    }),
    ("sf_float_ceil", 2, |c| rounded_float(c, Rounding::Up)),
    ("sf_float_floor", 2, |c| rounded_float(c, Rounding::Down)),
    ("sf_sqrt", 1, |c| {
        let number = float(c, 0)?;
        if number < 0.0 {
            let message = format!("Invalid floating point operation: sqrt({number})");
            return Err(Raised::new("100041", "22023", message));
        }
        Ok(real(number.sqrt()))
    }),
    // Texts.
    ("sf_text_boolean", 1, |c| {
        texts::boolean(text(c, 0)?).map(boolean)
    }),
    ("sf_length", 1, |c| integer(text(c, 0)?.chars().count())),
    ("sf_at_most", 2, |c| {
        let (found, most) = (text(c, 0)?, whole(c, 1)?);
        let count = found.chars().count();
        if i64::try_from(count).is_ok_and(|count| count <= most) {
            return Ok(Value::Text(found.to_owned()));
        }
        Err(Raised::unsupported(format!(
            "a cast of a text of {count} characters to VARCHAR({most}): shorten it with LEFT"
        )))
    }),
    ("sf_upper", 1, |c| {
        texts::change_case(text(c, 0)?, true).map(Value::Text)
    }),
    ("sf_lower", 1, |c| {
        texts::change_case(text(c, 0)?, false).map(Value::Text)
    }),
    ("sf_substring", 2, |c| {
        texts::substring(text(c, 0)?, whole(c, 1)?, None).map(Value::Text)
    }),
    ("sf_substring", 3, |c| {
        texts::substring(text(c, 0)?, whole(c, 1)?, Some(whole(c, 2)?)).map(Value::Text)
    }),
    ("sf_right", 2, |c| {
        Ok(Value::Text(texts::right(text(c, 0)?, whole(c, 1)?)))
    }),
    ("sf_split_part", 3, |c| {
        let part = texts::split_part(text(c, 0)?, text(c, 1)?, whole(c, 2)?);
        Ok(Value::Text(part))
    }),
    ("sf_position", 3, |c| {
        integer(texts::position(text(c, 0)?, text(c, 1)?, whole(c, 2)?)?)
    }),
    ("sf_starts_with", 2, |c| {
        Ok(boolean(text(c, 0)?.starts_with(text(c, 1)?)))
    }),
    ("sf_ends_with", 2, |c| {
        Ok(boolean(text(c, 0)?.ends_with(text(c, 1)?)))
    }),
    ("sf_lpad", 3, |c| {
        texts::pad(text(c, 0)?, whole(c, 1)?, text(c, 2)?, true, MOST_BYTES).map(Value::Text)
    }),
    ("sf_rpad", 3, |c| {
        texts::pad(text(c, 0)?, whole(c, 1)?, text(c, 2)?, false, MOST_BYTES).map(Value::Text)
    }),
    ("sf_repeat", 2, |c| {
        texts::repeat(text(c, 0)?, whole(c, 1)?, MOST_BYTES).map(Value::Text)
    }),
    ("sf_reverse", 1, |c| {
        Ok(Value::Text(text(c, 0)?.chars().rev().collect()))
    }),
    // Dates and times: a form is the number of the type of a moment.
    ("sf_moment", 2, |c| {
        Form::numbered(whole(c, 1)?)?
            .parse(text(c, 0)?)
            .map(Value::Text)
    }),
    ("sf_fill", 1, |c| {
        Ok(Value::Text(moments::fill(text(c, 0)?)))
    }),
    ("sf_cut", 2, |c| {
        Ok(Value::Text(moments::cut(text(c, 0)?, digits(c, 1)?)))
    }),
    ("sf_instant", 1, |c| {
        moments::instant(text(c, 0)?).map(Value::Text)
    }),
    ("sf_truncate", 3, |c| {
        let wall = moments::truncate(Part::numbered(whole(c, 1)?)?, moments::wall(text(c, 0)?)?)?;
        moments::show(wall, Form::numbered(whole(c, 2)?)?).map(Value::Text)
    }),
    ("sf_date_add", 4, |c| {
        let (part, form) = (Part::numbered(whole(c, 1)?)?, Form::numbered(whole(c, 3)?)?);
        moments::moved(text(c, 0)?, part, whole(c, 2)?, form).map(Value::Text)
    }),
    ("sf_date_diff", 3, |c| {
        let (from, to) = (moments::wall(text(c, 1)?)?, moments::wall(text(c, 2)?)?);
        let borders = moments::difference(Part::numbered(whole(c, 0)?)?, from, to)?;
        numbers::number(borders, numbers::MOST_INTEGER_DIGITS)
    }),
    ("sf_epoch", 3, |c| {
        let seconds = units(c, 0)?.checked_mul(1_000_000_000);
        let scale = numbers::power_of_ten(digits(c, 1)?);
        let since = seconds.zip(scale).map(|(seconds, scale)| seconds / scale);
        let since = since.ok_or_else(|| Raised::out_of_range("an epoch", 38))?;
        let wall = moments::from_nanoseconds(since)?;
        moments::show(wall, Form::numbered(whole(c, 2)?)?).map(Value::Text)
    }),
    ("sf_part", 2, |c| date_part(text(c, 0)?, whole(c, 1)?)),
    ("sf_last_day", 1, |c| {
        let last = moments::wall(text(c, 0)?)?.date().last_of_month();
        moments::show(last.into(), Form::Date).map(Value::Text)
    }),
    ("sf_month_name", 1, |c| {
        Ok(Value::Text(formats::month_name(moments::wall(text(
            c, 0,
        )?)?)))
    }),
    ("sf_day_name", 1, |c| {
        Ok(Value::Text(formats::day_name(moments::wall(text(c, 0)?)?)))
    }),
    ("sf_format", 2, |c| {
        formats::write(moments::written(text(c, 0)?)?, text(c, 1)?).map(Value::Text)
    }),
    ("sf_moment_by", 3, |c| {
        let form = Form::numbered(whole(c, 2)?)?;
        format_reading::read(text(c, 0)?, text(c, 1)?, form).map(Value::Text)
    }),
    // VARIANT.
    ("sf_field", 2, |c| variants::field(text(c, 0)?, text(c, 1)?)),
    ("sf_element", 2, |c| {
        variants::element(text(c, 0)?, whole(c, 1)?)
    }),
    ("sf_variant_text", 1, |c| variants::to_text(text(c, 0)?)),
    ("sf_variant_number", 3, |c| {
        variants::to_number(text(c, 0)?, digits(c, 1)?, digits(c, 2)?)
    }),
    ("sf_variant_float", 1, |c| variants::to_float(text(c, 0)?)),
    ("sf_variant_boolean", 1, |c| {
        variants::to_boolean(text(c, 0)?)
    }),
    ("sf_variant_moment", 2, |c| {
        let form = Form::numbered(whole(c, 1)?)?;
        match variants::to_moment_text(text(c, 0)?, &format!("{form:?}").to_uppercase())? {
            Some(found) => form.parse(&found).map(Value::Text),
            None => Ok(Value::Null),
        }
    }),
    ("sf_variant_object", 1, |c| variants::to_object(text(c, 0)?)),
    ("sf_variant_compared", 2, |c| {
        variants::compared(text(c, 0)?, text(c, 1)?)
    }),
    ("sf_variant_key", 1, |c| variants::key(text(c, 0)?)),
    ("sf_variant_is_null", 1, |c| {
        Ok(boolean(
            variants::Json::read(text(c, 0)?)? == variants::Json::Null,
        ))
    }),
    ("sf_normal", 1, |c| {
        let normal = variants::Json::read(text(c, 0)?)?.normal();
        normal.map(Value::Text)
    }),
    ("sf_type_of", 1, |c| {
        variants::type_of(text(c, 0)?).map(|name| Value::Text(name.to_owned()))
    }),
    ("sf_array_size", 1, |c| variants::array_size(text(c, 0)?)),
    ("sf_parse_json", 1, |c| variants::parse(text(c, 0)?)),
    ("sf_quote", 1, |c| {
        Ok(Value::Text(spelling::quoted(text(c, 0)?)))
    }),
];

/// Functions of the list above in their forms for `TRY_CAST` and `TRY_TO_…`: NULL for a text that is not recognized.
const TRIED: &[(&str, &str)] = &[
    ("sf_try_text_number", "sf_text_number"),
    ("sf_try_text_float", "sf_text_float"),
    ("sf_try_text_boolean", "sf_text_boolean"),
    ("sf_try_moment", "sf_moment"),
    ("sf_try_moment_by", "sf_moment_by"),
    ("sf_try_parse_json", "sf_parse_json"),
];

/// Makes the functions known to a connection.
pub(crate) fn register(connection: &Connection, deadline: Deadline) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let strict = || {
        [
            STRICT,
            arrays::STRICT,
            encodings::STRICT,
            flattening::STRICT,
            zones::STRICT,
        ]
        .into_iter()
        .flatten()
    };
    for (name, arguments, function) in strict() {
        connection.create_scalar_function(*name, *arguments, flags, move |context| {
            strictly(context, *function).map_err(raised)
        })?;
    }
    for (name, tried) in TRIED.iter().chain(encodings::TRIED) {
        for (_, arguments, function) in strict().filter(|(known, ..)| known == tried) {
            connection.create_scalar_function(*name, *arguments, flags, move |context| {
                or_null(strictly(context, *function)).map_err(raised)
            })?;
        }
    }
    for (name, arguments, function) in arrays::LENIENT.iter().chain(flattening::LENIENT) {
        connection.create_scalar_function(*name, *arguments, flags, move |context| {
            function(context).map_err(raised)
        })?;
    }
    super::aggregates::register(connection, MOST_BYTES)?;
    regexes::register(connection, deadline)?;
    volatile::register(connection)?;
    patterns::register(connection, deadline, MOST_BYTES)
}

fn strictly(context: &Context<'_>, function: fn(&Context<'_>) -> Outcome) -> Outcome {
    if (0..context.len()).any(|at| context.get_raw(at) == ValueRef::Null) {
        return Ok(Value::Null);
    }
    function(context)
}

pub(super) fn raised(why: Raised) -> Error {
    Error::UserFunctionError(Box::new(why))
}

fn number_or(units: Option<i128>, precision: u8) -> Outcome {
    let units = units.ok_or_else(|| Raised::out_of_range("with more digits", precision))?;
    numbers::number(units, precision)
}

/// `f(left, right, left scale, right scale, precision, scale)`.
fn arithmetic(context: &Context<'_>, operation: Operation) -> Outcome {
    let operand = |at: usize| -> Result<Operand, Raised> {
        Ok(Operand {
            units: units(context, at)?,
            scale: digits(context, at + 2)?,
        })
    };
    let scale = digits(context, 5)?;
    let computed = numbers::compute(operation, operand(0)?, operand(1)?, scale)?;
    number_or(computed, digits(context, 4)?)
}

/// `f(number, its scale, places, precision, scale)`.
fn rounded(context: &Context<'_>, rounding: Rounding) -> Outcome {
    let (scale, places) = (digits(context, 1)?, whole(context, 2)?);
    let to = digits(context, 4)?;
    let rounded = numbers::round(units(context, 0)?, scale, places, rounding, to);
    number_or(rounded, digits(context, 3)?)
}

fn of_floats(context: &Context<'_>, operation: Operation) -> Outcome {
    floats::compute(operation, float(context, 0)?, float(context, 1)?).map(real)
}

fn rounded_float(context: &Context<'_>, rounding: Rounding) -> Outcome {
    let rounded = floats::round(float(context, 0)?, whole(context, 1)?, rounding);
    Ok(real(rounded))
}

/// The fields of a date or timestamp, in the order in which the compiler numbers them.
pub(crate) const FIELDS: &[&[&str]] = &[
    &["YEAR"],
    &["MONTH"],
    &["DAY", "DAYOFMONTH"],
    &["HOUR"],
    &["MINUTE"],
    &["SECOND"],
    &["QUARTER"],
    &["DAYOFWEEK", "DOW", "WEEKDAY"],
    &["DAYOFWEEKISO", "DAYOFWEEK_ISO", "ISODOW"],
    &["DAYOFYEAR", "DOY"],
    &["WEEK", "WEEKOFYEAR", "WEEKISO", "WEEK_ISO"],
    &["NANOSECOND"],
    &["EPOCH_SECOND", "EPOCH"],
    &["EPOCH_MILLISECOND"],
    &["EPOCH_NANOSECOND"],
    &["YEAROFWEEK", "YEAROFWEEKISO"],
];

/// The only field whose values may have more than 18 digits.
pub(crate) const NANOSECONDS: i64 = 14;

fn date_part(moment: &str, field: i64) -> Outcome {
    let at = if moment.as_bytes().get(2) == Some(&b':') {
        moments::time(moment)?.to_datetime(jiff::civil::Date::constant(1970, 1, 1))
    } else {
        moments::wall(moment)?
    };
    let iso = at.date().iso_week_date();
    let since = moments::nanoseconds(at);
    let found: i128 = match field {
        0 => at.year().into(),
        1 => at.month().into(),
        2 => at.day().into(),
        3 => at.hour().into(),
        4 => at.minute().into(),
        5 => at.second().into(),
        6 => ((at.month() - 1) / 3 + 1).into(),
        7 => at.weekday().to_sunday_zero_offset().into(),
        8 => at.weekday().to_monday_one_offset().into(),
        9 => at.day_of_year().into(),
        10 => iso.week().into(),
        11 => at.subsec_nanosecond().into(),
        12 => since.div_euclid(1_000_000_000),
        13 => since.div_euclid(1_000_000),
        NANOSECONDS => since,
        15 => iso.year().into(),
        _ => return Err(Raised::internal("a field of no moment")),
    };
    let precision = match field {
        NANOSECONDS => numbers::MOST_DIGITS,
        _ => numbers::MOST_INTEGER_DIGITS,
    };
    numbers::number(found, precision)
}
