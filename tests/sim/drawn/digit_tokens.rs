//! Offsets that are numbers as texts, in the order of their bytes: `"0"`, `"1"`, `"10"`, `"100"`, `"101"`.

use std::sync::LazyLock;

use snowpipe_streaming::ingest::Offset;

static SORTED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut texts: Vec<_> = (0..1_000).map(|n: u32| n.to_string()).collect();
    texts.sort();
    texts
});

/// The text of a row.
pub fn text(row: u64) -> &'static str {
    &SORTED[usize::try_from(row).unwrap()]
}

/// The row of a text.
pub fn row(text: &str) -> Option<u64> {
    let place = SORTED.binary_search_by(|other| other.as_str().cmp(text));
    place.ok().map(|place| place as u64)
}

/// The offset of a row of a source.
pub trait SourceOffset: Offset + std::fmt::Debug {
    fn of(row: u64) -> Self;
    fn row(&self) -> u64;
}

impl SourceOffset for u64 {
    fn of(row: u64) -> Self {
        row
    }

    fn row(&self) -> u64 {
        *self
    }
}

impl SourceOffset for String {
    fn of(row: u64) -> Self {
        text(row).to_owned()
    }

    fn row(&self) -> u64 {
        row(self).unwrap()
    }
}
