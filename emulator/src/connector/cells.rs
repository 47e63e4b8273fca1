//! Columns and cells as connectors expect them, where the SQL API has another form.

use serde_json::Value;

/// Rewrites the columns of an answer of the SQL API, and its cells.
pub(crate) fn adapt(columns: &mut [Value], rows: &mut [Vec<Option<String>>]) {
    for (position, column) in columns.iter_mut().enumerate() {
        let length = column["length"].as_u64();
        let scale = column["scale"].as_u64();
        match column["type"].as_str().unwrap_or_default() {
            // A character has at most four bytes.
            "text" => {
                let bytes = length.map(|length| length.saturating_mul(4).min(16_777_216));
                column["byteLength"] = bytes.into();
            }
            "binary" => column["byteLength"] = length.into(),
            "boolean" => change(rows, position, digit),
            "time" | "timestamp_ntz" | "timestamp_ltz" | "timestamp_tz" => {
                let scale = scale.and_then(|scale| usize::try_from(scale).ok());
                let scale = scale.unwrap_or(9);
                change(rows, position, |cell| with_scale(cell, scale));
            }
            _ => {}
        }
    }
}

fn change(rows: &mut [Vec<Option<String>>], position: usize, to: impl Fn(&str) -> String) {
    for row in rows {
        if let Some(Some(cell)) = row.get_mut(position) {
            *cell = to(cell);
        }
    }
}

/// A BOOLEAN is 1 or 0, and not a word.
fn digit(cell: &str) -> String {
    let digit = if cell == "true" { "1" } else { "0" };
    digit.to_owned()
}

/// Seconds have as many decimals as the type of their column says.
fn with_scale(cell: &str, scale: usize) -> String {
    let (seconds, offset) = match cell.split_once(' ') {
        Some((seconds, offset)) => (seconds, Some(offset)),
        None => (cell, None),
    };
    let (whole, decimals) = seconds.split_once('.').unwrap_or((seconds, ""));
    let point = if scale == 0 { "" } else { "." };
    let kept: String = decimals
        .chars()
        .chain("0".repeat(scale).chars())
        .take(scale)
        .collect();
    let seconds = format!("{whole}{point}{kept}");
    match offset {
        Some(offset) => format!("{seconds} {offset}"),
        None => seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::with_scale;

    #[test]
    fn seconds_have_the_decimals_of_their_type() {
        for (cell, scale, wanted) in [
            ("1.500000000", 9, "1.500000000"),
            ("1.500000000", 3, "1.500"),
            ("-1.000000000", 0, "-1"),
            ("-0.322000000 1770", 3, "-0.322 1770"),
            ("1.5", 3, "1.500"),
            ("1", 2, "1.00"),
        ] {
            assert_eq!(with_scale(cell, scale), wanted);
        }
    }
}
