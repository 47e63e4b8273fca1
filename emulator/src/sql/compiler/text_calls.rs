//! Calls of functions of texts.

use super::operators::whole_argument;
use super::state::Compiler;
use super::types::{BYTES, COUNT, Kind, Typed, kind};
use crate::catalog::coercion::DataType;
use crate::sql::failure::Failure;

impl Compiler<'_> {
    /// Functions of texts.
    pub(crate) fn text_call(
        &mut self,
        name: &str,
        arguments: Vec<Typed>,
    ) -> Result<Option<Typed>, Failure> {
        let call = |name: &str, arguments: &[String]| format!("{name}({})", arguments.join(","));
        Ok(Some(match (name, arguments.as_slice()) {
            ("CONCAT", [_, ..]) => self.concatenated(name, arguments)?,
            ("CONCAT_WS", [separator, first, rest @ ..]) => {
                let mut parts = vec![first.clone()];
                for part in rest {
                    parts.extend([separator.clone(), part.clone()]);
                }
                // Of one part the separator is not seen, and still must not be NULL.
                let all = self.concatenated(name, parts)?;
                let separator = self.text_argument(name, separator.clone())?;
                Typed::text(format!(
                    "(CASE WHEN {separator} IS NOT NULL THEN {} END)",
                    all.sql
                ))
            }
            ("LENGTH" | "LEN", [_]) => {
                let texts = self.texts_of(name, arguments)?;
                Typed::new(call("sf_length", &texts), COUNT)
            }
            ("UPPER" | "LOWER" | "REVERSE", [_]) => {
                let texts = self.texts_of(name, arguments)?;
                Typed::text(call(&format!("sf_{}", name.to_lowercase()), &texts))
            }
            ("TRIM" | "LTRIM" | "RTRIM", [_] | [_, _]) => self.trim(name, arguments)?,
            ("SUBSTR" | "SUBSTRING", [_, _] | [_, _, _]) => self.substring(arguments)?,
            ("LEFT" | "RIGHT" | "REPEAT", [text, count]) => {
                let text = self.text_argument(name, text.clone())?;
                let count = whole_argument(name, count.clone())?;
                Typed::text(match name {
                    "LEFT" => format!("sf_substring({text},1,{count})"),
                    "RIGHT" => format!("sf_right({text},{count})"),
                    _ => format!("sf_repeat({text},{count})"),
                })
            }
            ("LPAD" | "RPAD", [text, count] | [text, count, _]) => {
                let with = match arguments.get(2) {
                    Some(with) => self.text_argument(name, with.clone())?,
                    None => "' '".to_owned(),
                };
                let text = self.text_argument(name, text.clone())?;
                let count = whole_argument(name, count.clone())?;
                let function = format!("sf_{}", name.to_lowercase());
                Typed::text(call(&function, &[text, count, with]))
            }
            ("REPLACE", [_, _] | [_, _, _]) => {
                let mut texts = self.texts_of(name, arguments)?;
                if texts.len() == 2 {
                    texts.push("''".to_owned());
                }
                Typed::text(call("replace", &texts))
            }
            ("SPLIT_PART", [text, delimiter, part]) => {
                let mut texts = self.texts_of(name, vec![text.clone(), delimiter.clone()])?;
                texts.push(whole_argument(name, part.clone())?);
                Typed::text(call("sf_split_part", &texts))
            }
            ("CONTAINS", [text, part]) => {
                let found = self.position(vec![part.clone(), text.clone()])?;
                Typed::boolean(format!("({} > 0)", found.sql))
            }
            ("STARTSWITH" | "ENDSWITH", [_, _]) => {
                let texts = self.texts_of(name, arguments)?;
                let function = match name {
                    "STARTSWITH" => "sf_starts_with",
                    _ => "sf_ends_with",
                };
                Typed::boolean(call(function, &texts))
            }
            ("POSITION" | "CHARINDEX", [_, _] | [_, _, _]) => self.position(arguments)?,
            ("SPLIT", [_, _]) => {
                let texts = self.texts_of(name, arguments)?;
                Typed::new(call("sf_split", &texts), DataType::Array)
            }
            _ => return self.encoding_call(name, &arguments),
        }))
    }

    /// Functions that encode texts and bytes, or make checksums of them.
    fn encoding_call(&mut self, name: &str, arguments: &[Typed]) -> Result<Option<Typed>, Failure> {
        Ok(Some(match (name, arguments) {
            ("MD5" | "MD5_HEX" | "SHA1" | "SHA1_HEX", [message]) => {
                let message = self.text_argument(name, message.clone())?;
                let function = if name.starts_with("MD5") {
                    "sf_md5"
                } else {
                    "sf_sha1"
                };
                Typed::text(format!("{function}({message})"))
            }
            ("SHA2" | "SHA2_HEX", [message, rest @ ..]) if rest.len() <= 1 => {
                let message = self.text_argument(name, message.clone())?;
                let bits = match rest {
                    [bits] => whole_argument(name, bits.clone())?,
                    _ => "256".to_owned(),
                };
                Typed::text(format!("sf_sha2({message},{bits})"))
            }
            ("HEX_ENCODE", [input, rest @ ..]) if rest.len() <= 1 => {
                let input = match input.of.map(kind) {
                    Some(Kind::Binary) => input.sql.clone(),
                    _ => self.text_argument(name, input.clone())?,
                };
                let case = match rest {
                    [case] => whole_argument(name, case.clone())?,
                    _ => "1".to_owned(),
                };
                Typed::text(format!("sf_hex_encode({input},{case})"))
            }
            ("HEX_DECODE_STRING" | "TRY_HEX_DECODE_STRING", [input]) => {
                let input = self.text_argument(name, input.clone())?;
                let tried = if name.starts_with("TRY_") { "try_" } else { "" };
                Typed::text(format!("sf_{tried}hex_decode({input})"))
            }
            ("TO_BINARY" | "TRY_TO_BINARY", [input, rest @ ..]) if rest.len() <= 1 => {
                let is_try = name.starts_with("TRY_");
                match (rest, input.of.map(kind)) {
                    ([], _) => self.cast(input.clone(), BYTES, is_try)?,
                    ([format], None | Some(Kind::Text)) => {
                        let format = self.text_argument(name, format.clone())?;
                        let tried = if is_try { "try_" } else { "" };
                        Typed::new(
                            format!("sf_{tried}to_binary({},{format})", input.sql),
                            BYTES,
                        )
                    }
                    (_, Some(kind)) => {
                        return Err(Failure::argument_types(name, &kind.to_string()));
                    }
                    _ => return Ok(None),
                }
            }
            ("ASCII" | "UNICODE", [text]) => {
                let text = self.text_argument(name, text.clone())?;
                Typed::new(format!("sf_{}({text})", name.to_lowercase()), COUNT)
            }
            ("CHR" | "CHAR", [code]) => {
                let code = whole_argument(name, code.clone())?;
                Typed::text(format!("sf_chr({code})"))
            }
            _ => return Ok(None),
        }))
    }

    fn texts_of(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Vec<String>, Failure> {
        let mut texts = Vec::with_capacity(arguments.len());
        for argument in arguments {
            texts.push(self.text_argument(name, argument)?);
        }
        Ok(texts)
    }

    pub(crate) fn substring(&mut self, arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let mut written = Vec::with_capacity(arguments.len());
        for (position, argument) in arguments.into_iter().enumerate() {
            written.push(if position == 0 {
                self.text_argument("SUBSTR", argument)?
            } else {
                whole_argument("SUBSTR", argument)?
            });
        }
        Ok(Typed::text(format!("sf_substring({})", written.join(","))))
    }

    pub(crate) fn trim(&mut self, name: &str, arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let texts = self.texts_of(name, arguments)?;
        Ok(Typed::text(format!(
            "{}({})",
            name.to_lowercase(),
            texts.join(",")
        )))
    }

    /// `POSITION(part, text[, start])`.
    pub(crate) fn position(&mut self, mut arguments: Vec<Typed>) -> Result<Typed, Failure> {
        let start = match arguments.len() {
            3 => arguments.pop(),
            _ => None,
        };
        let start = match start {
            Some(start) => whole_argument("POSITION", start)?,
            None => "1".to_owned(),
        };
        let texts = self.texts_of("POSITION", arguments)?;
        let sql = format!("sf_position({},{start})", texts.join(","));
        Ok(Typed::new(sql, COUNT))
    }
}
