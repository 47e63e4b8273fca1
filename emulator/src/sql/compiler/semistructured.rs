//! Paths into VARIANT, and functions of VARIANT, OBJECT and ARRAY.

use sqlparser::ast::{Expr, JsonPath, JsonPathElem};

use super::operators::whole_argument;
use super::state::Compiler;
use super::types::{COUNT, Kind, TEXT, Typed, kind};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;

/// The tests of what a VARIANT holds.
const PREDICATES: &[&str] = &[
    "IS_ARRAY",
    "IS_BINARY",
    "IS_BOOLEAN",
    "IS_CHAR",
    "IS_DATE",
    "IS_DATE_VALUE",
    "IS_DECIMAL",
    "IS_DOUBLE",
    "IS_INTEGER",
    "IS_OBJECT",
    "IS_REAL",
    "IS_TIME",
    "IS_TIMESTAMP_LTZ",
    "IS_TIMESTAMP_NTZ",
    "IS_TIMESTAMP_TZ",
    "IS_VARCHAR",
];
/// The casts that give NULL for a value of another type.
const STRICT_CASTS: &[(&str, DataType)] = &[
    ("AS_ARRAY", DataType::Array),
    ("AS_BOOLEAN", DataType::Boolean),
    ("AS_CHAR", TEXT),
    ("AS_DOUBLE", DataType::Float),
    ("AS_OBJECT", DataType::Object),
    ("AS_REAL", DataType::Float),
    ("AS_VARCHAR", TEXT),
];

impl Compiler<'_> {
    /// `value:key.key[0]`.
    pub(crate) fn json_path(&mut self, value: &Expr, path: &JsonPath) -> Result<Typed, Failure> {
        let mut found = self.expression(value)?;
        for step in &path.path {
            found = match step {
                JsonPathElem::Dot { key, .. } => {
                    let key = self.text(key);
                    field(found, &key)?
                }
                JsonPathElem::Bracket { key } | JsonPathElem::ColonBracket { key } => {
                    let key = self.expression(key)?;
                    element(found, key)?
                }
            };
        }
        Ok(found)
    }

    /// Functions of semi-structured values; none for other functions.
    pub(crate) fn structured_call(
        &mut self,
        name: &str,
        arguments: &[Typed],
    ) -> Result<Option<Typed>, Failure> {
        Ok(Some(match (name, arguments) {
            ("PARSE_JSON" | "TRY_PARSE_JSON", [text]) => {
                let text = self.text_argument(name, text.clone())?;
                let sql = format!("sf_{}({text})", name.to_lowercase());
                Typed::new(sql, DataType::Variant)
            }
            ("TO_JSON", [value]) => {
                let value = structured(name, value)?;
                Typed::text(format!("sf_normal({value})"))
            }
            ("TO_VARIANT", [value]) => {
                let sql = self.variant_of(value)?;
                Typed::new(sql, DataType::Variant)
            }
            ("TYPEOF", [value]) => {
                let value = structured(name, value)?;
                Typed::text(format!("sf_type_of({value})"))
            }
            ("IS_NULL_VALUE", [value]) => {
                let value = structured(name, value)?;
                Typed::boolean(format!("sf_variant_is_null({value})"))
            }
            ("ARRAY_SIZE", [value]) => {
                let value = structured(name, value)?;
                Typed::new(format!("sf_array_size({value})"), COUNT)
            }
            ("GET", [value, key]) => element(value.clone(), key.clone())?,
            ("GET_PATH", [value, path]) => {
                let Some(path) = path.constant_text().map(str::to_owned) else {
                    return Err(Failure::unsupported(
                        "GET_PATH with a path that is not a constant",
                    ));
                };
                self.constant_path(value.clone(), &path)?
            }
            ("ARRAY_CONSTRUCT", elements) => {
                let mut written = Vec::with_capacity(elements.len());
                for element in elements {
                    written.push(self.variant_of(element)?);
                }
                let sql = format!("sf_array({})", written.join(","));
                Typed::new(sql, DataType::Array)
            }
            ("OBJECT_CONSTRUCT", fields) if fields.len().is_multiple_of(2) => {
                let mut written = Vec::with_capacity(fields.len());
                for (position, field) in fields.iter().enumerate() {
                    written.push(if position.is_multiple_of(2) {
                        self.text_argument(name, field.clone())?
                    } else {
                        self.variant_of(field)?
                    });
                }
                let sql = format!("sf_object({})", written.join(","));
                Typed::new(sql, DataType::Object)
            }
            _ => return self.array_call(name, arguments),
        }))
    }

    /// Functions of arrays and of what a VARIANT holds.
    fn array_call(&mut self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, Failure> {
        if let [value] = arguments {
            if PREDICATES.contains(&name) {
                let value = structured(name, value)?;
                let of = self.text(name.trim_start_matches("IS_"));
                return Ok(Some(Typed::boolean(format!("sf_is({value},{of})"))));
            }
            if let Some((_, to)) = STRICT_CASTS.iter().find(|(known, _)| *known == name) {
                let value = structured(name, value)?;
                let of = self.text(name.trim_start_matches("AS_"));
                let held = Typed::new(format!("sf_as({value},{of})"), DataType::Variant);
                return self.cast(held, *to, false).map(Some);
            }
        }
        let array = |sql: String| Typed::new(sql, DataType::Array);
        Ok(Some(match (name, arguments) {
            ("TO_ARRAY", [value]) => {
                let json = self.variant_of(value)?;
                array(format!("sf_to_array({json})"))
            }
            ("TO_OBJECT", [value]) => {
                structured(name, value)?;
                self.cast(value.clone(), DataType::Object, false)?
            }
            ("ARRAY_CAT", [one, other]) => {
                let (one, other) = (structured(name, one)?, structured(name, other)?);
                array(format!("sf_array_cat({one},{other})"))
            }
            ("ARRAY_COMPACT", [value]) => {
                array(format!("sf_array_compact({})", structured(name, value)?))
            }
            ("ARRAY_CONSTRUCT_COMPACT", elements) => {
                let mut written = Vec::with_capacity(elements.len());
                for element in elements {
                    written.push(self.variant_of(element)?);
                }
                array(format!("sf_array_dense({})", written.join(",")))
            }
            ("ARRAY_APPEND" | "ARRAY_PREPEND", [value, element]) => {
                let element = self.variant_of(element)?;
                let value = structured(name, value)?;
                array(format!("sf_{}({value},{element})", name.to_lowercase()))
            }
            ("ARRAY_SLICE", [value, from, to]) => {
                let value = structured(name, value)?;
                let from = whole_argument(name, from.clone())?;
                let to = whole_argument(name, to.clone())?;
                array(format!("sf_array_slice({value},{from},{to})"))
            }
            ("ARRAY_TO_STRING", [value, separator]) => {
                let value = structured(name, value)?;
                let separator = self.text_argument(name, separator.clone())?;
                Typed::text(format!("sf_array_text({value},{separator})"))
            }
            ("ARRAY_CONTAINS" | "ARRAY_POSITION", [element, value]) => {
                if let Some(of @ (Kind::Text | Kind::Moment(_))) = element.of.map(kind) {
                    let of = format!("{of}, which Snowflake wants cast to VARIANT");
                    return Err(Failure::argument_types(name, &of));
                }
                let element = self.variant_of(element)?;
                let value = structured(name, value)?;
                let sql = format!("sf_{}({element},{value})", name.to_lowercase());
                match name {
                    "ARRAY_CONTAINS" => Typed::boolean(sql),
                    _ => Typed::new(sql, COUNT),
                }
            }
            ("OBJECT_KEYS", [value]) => {
                array(format!("sf_object_keys({})", structured(name, value)?))
            }
            _ => return Ok(None),
        }))
    }

    /// A path of names and positions: `a.b[0].c`.
    pub(crate) fn constant_path(&mut self, value: Typed, path: &str) -> Result<Typed, Failure> {
        let odd = || {
            Failure::unsupported(format!(
                "the path '{path}': write keys and positions as a.b[0]"
            ))
        };
        let mut found = value;
        for part in path.split('.') {
            let (key, positions) = part.split_once('[').unwrap_or((part, ""));
            let is_plain = |c: char| c.is_alphanumeric() || c == '_';
            if !key.chars().all(is_plain) || (key.is_empty() && positions.is_empty()) {
                return Err(odd());
            }
            if !key.is_empty() {
                let key = self.text(key);
                found = field(found, &key)?;
            }
            if positions.is_empty() {
                continue;
            }
            let positions = positions.strip_suffix(']').ok_or_else(odd)?;
            for position in positions.split("][") {
                let position: u32 = position.parse().map_err(|_| odd())?;
                let sql = format!("sf_element({},{position})", found.sql);
                found = Typed::new(sql, DataType::Variant);
            }
        }
        Ok(found)
    }
}

fn field(of: Typed, key: &str) -> Result<Typed, Failure> {
    match of.of.map(kind) {
        Some(Kind::Variant | Kind::Object) => {
            let sql = format!("sf_field({},{key})", of.sql);
            Ok(Typed::new(sql, DataType::Variant))
        }
        Some(kind) => Err(Failure::argument_types("GET", &kind.to_string())),
        None => Ok(of),
    }
}

/// The SQL of an argument that is VARIANT, OBJECT or ARRAY.
pub(crate) fn structured(name: &str, typed: &Typed) -> Result<String, Failure> {
    match typed.of.map(kind) {
        None => Ok(typed.sql.clone()),
        Some(kind) if kind.is_structured() => Ok(typed.sql.clone()),
        Some(kind) => Err(Failure::argument_types(name, &kind.to_string())),
    }
}

/// The value under a key or at a position.
fn element(of: Typed, key: Typed) -> Result<Typed, Failure> {
    match key.of.map(kind) {
        Some(Kind::Text) => field(of, &key.sql),
        Some(Kind::Number) if of.of.map(kind).is_some_and(Kind::is_structured) => {
            let position = whole_argument("GET", key)?;
            let sql = format!("sf_element({},{position})", of.sql);
            Ok(Typed::new(sql, DataType::Variant))
        }
        other => Err(Failure::argument_types(
            "GET",
            &other.map_or_else(|| "NULL".to_owned(), |kind| kind.to_string()),
        )),
    }
}
