//! The content of rows: letters that hardly compress, different for each row.

use std::sync::LazyLock;

/// All contents are slices of this text.
static LETTERS: LazyLock<String> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(1 << 16)
        .collect()
});

/// The content of a source's row in one append, of this many bytes.
pub fn content(source: usize, row: u64, attempt: u64, bytes: usize) -> &'static str {
    let letters: &'static str = &LETTERS;
    let bytes = bytes.min(letters.len());
    let place = (row * 7919 + attempt * 104_729 + source as u64 * 1_299_709)
        % (letters.len() - bytes + 1) as u64;
    let from = usize::try_from(place).unwrap();
    &letters[from..from + bytes]
}
