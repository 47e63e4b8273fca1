//! Rows of a given length as JSON.

use serde::Serialize;

/// A lift ride with a note of the length that makes the row as long as requested.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) struct Row {
    txid: String,
    rfid: String,
    resort: &'static str,
    lift: &'static str,
    ride_time: String,
    activation_day_count: u32,
    note: String,
}

const LIFTS: [&str; 5] = [
    "Elkhorn",
    "Centennial",
    "Larkspur",
    "Strawberry Park",
    "Cinch",
];
const WORDS: [&str; 8] = [
    "powder", "groomed", "windy", "queue", "icy", "sunny", "closed", "bumps",
];

/// Unique rows of exactly `len` bytes of JSON each, without the newline.
pub(crate) fn rows(count: u64, len: usize) -> Vec<Row> {
    (0..count).map(|i| row(i, len)).collect()
}

fn row(i: u64, len: usize) -> Row {
    // Any odd constant spreads consecutive numbers over all bits, so that ids compress no better than real ones.
    let scattered = i.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let pick = |words: &[&'static str], at: u64| -> &'static str {
        let index = usize::try_from(at % words.len() as u64).unwrap_or(0);
        words.get(index).copied().unwrap_or_default()
    };
    let mut row = Row {
        txid: format!("{scattered:016x}-{:016x}", scattered.rotate_left(23) ^ i),
        rfid: format!("{:#x}", scattered.swap_bytes()),
        resort: "Beaver Creek",
        lift: pick(&LIFTS, scattered >> 7),
        ride_time: format!(
            "2026-01-17T{:02}:{:02}:{:02}",
            8 + i % 8,
            i / 8 % 60,
            i / 480 % 60
        ),
        activation_day_count: 1,
        note: String::new(),
    };
    let empty = serde_json::to_vec(&row)
        .expect("the row is valid JSON")
        .len();
    let mut word = scattered;
    while row.note.len() < len.saturating_sub(empty) {
        row.note.push_str(pick(&WORDS, word >> 32));
        row.note.push(' ');
        word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
    row.note.truncate(len.saturating_sub(empty));
    row
}
