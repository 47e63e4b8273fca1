//! The objects of the micro-batch path: CSV with a header, as RFC 4180 quotes it, with lines that end in LF.
//!
//! A null is an empty field and an empty text is a quoted one, as Snowflake reads them with
//! `FIELD_OPTIONALLY_ENCLOSED_BY = '"'`, `ESCAPE_UNENCLOSED_FIELD = NONE` and `EMPTY_FIELD_AS_NULL = TRUE`. Libraries for CSV do not tell these two apart.

use crate::sensor::Measurement;

const HEADER: &str = "sensorId,currentTemperature,status";
const COLUMNS: usize = 3;

/// Writes measurements as an object.
pub fn write<'a>(measurements: impl IntoIterator<Item = &'a Measurement>) -> Vec<u8> {
    let mut text = format!("{HEADER}\n");
    for measurement in measurements {
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        text += &number(measurement.sensor_id).unwrap_or_default();
        text.push(',');
        text += &number(measurement.current_temperature).unwrap_or_default();
        text.push(',');
        if let Some(status) = &measurement.status {
            if status.is_empty() || status.contains([',', '"', '\n', '\r']) {
                text.push('"');
                text += &status.replace('"', "\"\"");
                text.push('"');
            } else {
                text += status;
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Reads an object, whose first line is its header.
///
/// # Errors
/// The number of the record, counted from 1, and what is wrong with it.
pub fn read(object: &[u8]) -> Result<Vec<Measurement>, String> {
    let text = std::str::from_utf8(object).map_err(|error| format!("not UTF-8: {error}"))?;
    let mut records = split(text)?.into_iter();
    let header = records.next().unwrap_or_default();
    if !header
        .iter()
        .map(Option::as_deref)
        .eq(HEADER.split(',').map(Some))
    {
        return Err(format!("its first line is not {HEADER}"));
    }
    let mut measurements = Vec::new();
    for (index, record) in records.enumerate() {
        let wrong = |what: &str| format!("its record {}: {what}", index + 1);
        let count = record.len();
        let [sensor, temperature, status]: [Option<String>; COLUMNS] = record
            .try_into()
            .map_err(|_| wrong(&format!("{count} fields instead of {COLUMNS}")))?;
        let number = |field: Option<String>| match field {
            None => Ok(None),
            Some(text) => match text.parse::<i64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(&format!("{text:?} is not a whole number"))),
            },
        };
        measurements.push(Measurement {
            sensor_id: number(sensor)?,
            current_temperature: number(temperature)?,
            status,
        });
    }
    Ok(measurements)
}

/// Splits a text into records of fields. `None` is an empty field without quotes.
fn split(text: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let mut records = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut fields = Vec::new();
        loop {
            let (field, after) =
                field(rest).map_err(|what| format!("its record {}: {what}", records.len()))?;
            fields.push(field);
            if let Some(next) = after.strip_prefix(',') {
                rest = next;
            } else {
                rest = after.strip_prefix('\n').unwrap_or(after);
                break;
            }
        }
        records.push(fields);
    }
    Ok(records)
}

/// The first field of a text, and what comes after it: a comma, a line feed or nothing.
fn field(text: &str) -> Result<(Option<String>, &str), &'static str> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let (field, after) = text.split_at(end);
        if field.contains('"') {
            return Err("a quotation mark within a field that does not begin with one");
        }
        let field = field.strip_suffix('\r').unwrap_or(field);
        return Ok(((!field.is_empty()).then(|| field.to_owned()), after));
    };
    let mut field = String::new();
    loop {
        let (part, after) = rest.split_once('"').ok_or("a quotation mark is missing")?;
        field += part;
        if let Some(escaped) = after.strip_prefix('"') {
            field.push('"');
            rest = escaped;
        } else {
            let after = after.strip_prefix('\r').unwrap_or(after);
            return if after.is_empty() || after.starts_with([',', '\n']) {
                Ok((Some(field), after))
            } else {
                Err("text after a quoted field")
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(
        sensor: Option<i64>,
        temperature: Option<i64>,
        status: Option<&str>,
    ) -> Measurement {
        Measurement {
            sensor_id: sensor,
            current_temperature: temperature,
            status: status.map(str::to_owned),
        }
    }

    #[test]
    fn an_object_has_the_header_and_the_columns_of_the_table() {
        let text = write(&[
            measurement(Some(6), Some(64), Some("OK")),
            measurement(None, Some(-3), None),
            measurement(Some(0), None, Some("")),
            measurement(Some(1), Some(2), Some("a \"b\", c")),
        ]);
        let expected =
            "sensorId,currentTemperature,status\n6,64,OK\n,-3,\n0,,\"\"\n1,2,\"a \"\"b\"\", c\"\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_was_written_is_read() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..500 {
            let measurements: Vec<_> = (0..rng.usize(0..5))
                .map(|_| {
                    let status: String = (0..rng.usize(0..6))
                        .map(|_| {
                            *rng.choice(&['a', '"', ',', '\n', '\r', ' ', 'é', '\''])
                                .unwrap()
                        })
                        .collect();
                    let number = |rng: &mut fastrand::Rng| rng.bool().then(|| rng.i64(-5..5));
                    let (sensor, temperature) = (number(&mut rng), number(&mut rng));
                    measurement(sensor, temperature, rng.bool().then_some(status.as_str()))
                })
                .collect();
            assert_eq!(read(&write(&measurements)), Ok(measurements));
        }
    }

    #[test]
    fn objects_of_other_programs_are_read_or_refused() {
        let header = "sensorId,currentTemperature,status";
        let ok = measurement(Some(1), Some(2), Some("OK"));
        for text in ["1,2,OK", "1,2,OK\n", "1,2,OK\r\n", "\"1\",\"2\",\"OK\"\r\n"] {
            assert_eq!(
                read(format!("{header}\n{text}").as_bytes()),
                Ok(vec![ok.clone()]),
                "{text}"
            );
        }
        for text in [
            "1,2",
            "1,2,OK,3",
            "x,2,OK",
            "1,2,\"OK",
            "1,2,O\"K",
            "1,2,\"O\"K",
            "1,2,OK\n\n",
        ] {
            let read = read(format!("{header}\n{text}").as_bytes());
            assert!(read.is_err_and(|why| why.contains("record")), "{text}");
        }
        assert!(read(b"1,2,OK\n").is_err());
        assert!(read(b"").is_err());
        assert!(read(b"\xff").is_err());
    }
}
