//! Types of expressions: what two of them have in common, and what arithmetic makes of them.

use std::fmt;

use crate::catalog::coercion::{DEFAULT_BINARY, DEFAULT_VARCHAR, DataType};
use crate::sql::failure::Failure;
use crate::sql::functions::moments::Form;
use crate::sql::functions::numbers::{MOST_DIGITS, MOST_INTEGER_DIGITS};

/// The type of an expression; `None` is that of a bare NULL, which fits any other.
pub(crate) type Type = Option<DataType>;

/// An expression in SQLite's SQL, its value in the form of its type.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) sql: String,
    pub(crate) of: Type,
    pub(crate) constant: Option<Constant>,
}

/// What a literal or a binding is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Constant {
    Text(String),
    Whole(i64),
    /// A constant whose value the compiler has no use for.
    Other,
}

impl Typed {
    pub(crate) fn new(sql: impl Into<String>, of: DataType) -> Self {
        Self {
            sql: sql.into(),
            of: Some(of),
            constant: None,
        }
    }

    pub(crate) fn null() -> Self {
        Self {
            sql: "NULL".to_owned(),
            of: None,
            constant: Some(Constant::Other),
        }
    }

    pub(crate) fn boolean(sql: impl Into<String>) -> Self {
        Self::new(sql, DataType::Boolean)
    }

    pub(crate) fn text(sql: impl Into<String>) -> Self {
        Self::new(sql, TEXT)
    }

    pub(crate) fn constant_text(&self) -> Option<&str> {
        match &self.constant {
            Some(Constant::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn constant_whole(&self) -> Option<i64> {
        match &self.constant {
            Some(Constant::Whole(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.of.is_none()
    }

    /// Precision and scale of a number.
    pub(crate) fn digits(&self) -> Option<(u8, u8)> {
        match self.of {
            Some(DataType::Number { precision, scale }) => Some((precision, scale)),
            _ => None,
        }
    }
}

/// VARCHAR of the default length.
pub(crate) const TEXT: DataType = DataType::Varchar(DEFAULT_VARCHAR);
/// BINARY of the default length.
pub(crate) const BYTES: DataType = DataType::Binary(DEFAULT_BINARY);
/// What COUNT gives.
pub(crate) const COUNT: DataType = number(18, 0);

pub(crate) const fn number(precision: u8, scale: u8) -> DataType {
    DataType::Number { precision, scale }
}

/// Whether numbers of so many digits are INTEGERs in SQLite.
pub(crate) fn is_narrow(precision: u8) -> bool {
    precision <= MOST_INTEGER_DIGITS
}

/// The kinds of types that have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Float,
    Boolean,
    Binary,
    Moment(Form),
    Variant,
    Object,
    Array,
}

impl Kind {
    pub(crate) fn is_structured(self) -> bool {
        matches!(self, Self::Variant | Self::Object | Self::Array)
    }
}

/// As messages name it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "VARCHAR",
            Self::Number => "NUMBER",
            Self::Float => "FLOAT",
            Self::Boolean => "BOOLEAN",
            Self::Binary => "BINARY",
            Self::Moment(Form::Date) => "DATE",
            Self::Moment(Form::Time) => "TIME",
            Self::Moment(Form::Ntz) => "TIMESTAMP_NTZ",
            Self::Moment(Form::Ltz) => "TIMESTAMP_LTZ",
            Self::Moment(Form::Tz) => "TIMESTAMP_TZ",
            Self::Variant => "VARIANT",
            Self::Object => "OBJECT",
            Self::Array => "ARRAY",
        })
    }
}

pub(crate) fn kind(of: DataType) -> Kind {
    match of {
        DataType::Varchar(_) => Kind::Text,
        DataType::Number { .. } => Kind::Number,
        DataType::Float => Kind::Float,
        DataType::Boolean => Kind::Boolean,
        DataType::Binary(_) => Kind::Binary,
        DataType::Date => Kind::Moment(Form::Date),
        DataType::Time(_) => Kind::Moment(Form::Time),
        DataType::TimestampNtz(_) => Kind::Moment(Form::Ntz),
        DataType::TimestampLtz(_) => Kind::Moment(Form::Ltz),
        DataType::TimestampTz(_) => Kind::Moment(Form::Tz),
        DataType::Variant => Kind::Variant,
        DataType::Object => Kind::Object,
        DataType::Array => Kind::Array,
    }
}

/// The fraction digits of a time or timestamp.
pub(crate) fn fraction_digits(of: DataType) -> u8 {
    match of {
        DataType::Time(digits)
        | DataType::TimestampNtz(digits)
        | DataType::TimestampLtz(digits)
        | DataType::TimestampTz(digits) => digits,
        _ => 9,
    }
}

/// The type that holds the values of both, for CASE, COALESCE, UNION and the like; none where Snowflake's rule is not known, or
/// depends on the values.
pub(crate) fn common(one: Type, other: Type) -> Option<Type> {
    let (Some(one), Some(other)) = (one, other) else {
        return Some(one.or(other));
    };
    Some(Some(match (one, other) {
        _ if one == other => one,
        (DataType::Varchar(one), DataType::Varchar(other)) => DataType::Varchar(one.max(other)),
        (DataType::Binary(one), DataType::Binary(other)) => DataType::Binary(one.max(other)),
        (
            DataType::Number {
                precision: p1,
                scale: s1,
            },
            DataType::Number {
                precision: p2,
                scale: s2,
            },
        ) => {
            let scale = s1.max(s2);
            let leading = (p1 - s1.min(p1)).max(p2 - s2.min(p2));
            number((leading + scale).min(MOST_DIGITS), scale)
        }
        (DataType::Number { .. }, DataType::Float) | (DataType::Float, DataType::Number { .. }) => {
            DataType::Float
        }
        (DataType::Time(one), DataType::Time(other)) => DataType::Time(one.max(other)),
        (DataType::TimestampNtz(one), DataType::TimestampNtz(other)) => {
            DataType::TimestampNtz(one.max(other))
        }
        (DataType::TimestampLtz(one), DataType::TimestampLtz(other)) => {
            DataType::TimestampLtz(one.max(other))
        }
        (DataType::TimestampTz(one), DataType::TimestampTz(other)) => {
            DataType::TimestampTz(one.max(other))
        }
        (DataType::Date, DataType::TimestampNtz(digits))
        | (DataType::TimestampNtz(digits), DataType::Date) => DataType::TimestampNtz(digits),
        _ => return None,
    }))
}

/// The same of several; `what` names the expression in a refusal.
pub(crate) fn common_of<'a>(
    what: &str,
    mut types: impl Iterator<Item = &'a Typed>,
) -> Result<Type, Failure> {
    types.try_fold(None, |known, next| {
        common(known, next.of).ok_or_else(|| {
            Failure::unsupported(format!(
                "{what} of the types {} and {}: cast one of them",
                known.map_or_else(|| "NULL".to_owned(), |of| of.to_string()),
                next.of
                    .map_or_else(|| "NULL".to_owned(), |of| of.to_string())
            ))
        })
    })
}

/// Precision and scale of a result, as [Arithmetic operators] has them: from precision and scale of both sides.
///
/// [Arithmetic operators]: https://docs.snowflake.com/en/sql-reference/operators-arithmetic
pub(crate) mod arithmetic {
    use super::{DataType, MOST_DIGITS, number};

    type Digits = (u8, u8);

    fn limited(leading: u8, scale: u8) -> DataType {
        number(
            leading.saturating_add(scale).clamp(1, MOST_DIGITS),
            scale.min(37),
        )
    }

    pub(crate) fn sum((p1, s1): Digits, (p2, s2): Digits) -> DataType {
        limited((p1 - s1).max(p2 - s2) + 1, s1.max(s2))
    }

    pub(crate) fn product((p1, s1): Digits, (p2, s2): Digits) -> DataType {
        let scale = (s1 + s2).min(s1.max(s2).max(12));
        limited(p1 - s1 + p2 - s2, scale)
    }

    pub(crate) fn quotient((p1, s1): Digits, (_, s2): Digits) -> DataType {
        let scale = s1.max((s1 + 6).min(12));
        limited(p1 - s1 + s2, scale)
    }

    pub(crate) fn remainder((p1, s1): Digits, (p2, s2): Digits) -> DataType {
        limited((p1 - s1).max(p2 - s2), s1.max(s2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_has_snowflakes_scales() {
        assert_eq!(arithmetic::quotient((1, 0), (1, 0)), number(7, 6));
        assert_eq!(arithmetic::quotient((38, 0), (38, 0)), number(38, 6));
        assert_eq!(arithmetic::quotient((10, 8), (3, 2)), number(16, 12));
        assert_eq!(arithmetic::product((10, 2), (10, 2)), number(20, 4));
        assert_eq!(arithmetic::product((20, 10), (20, 10)), number(32, 12));
        assert_eq!(arithmetic::sum((38, 0), (10, 2)), number(38, 2));
        assert_eq!(arithmetic::sum((3, 0), (3, 2)), number(6, 2));
    }

    #[test]
    fn types_that_have_nothing_in_common_are_told_apart() {
        assert_eq!(common(None, Some(TEXT)), Some(Some(TEXT)));
        assert_eq!(
            common(Some(number(5, 2)), Some(number(10, 0))),
            Some(Some(number(12, 2)))
        );
        assert_eq!(common(Some(TEXT), Some(number(5, 2))), None);
        assert_eq!(common(Some(DataType::Variant), Some(TEXT)), None);
    }
}
