//! The content of rows: letters that hardly compress, different for each row.

use std::sync::LazyLock;

/// Every third row of a source with this length has it, which takes a row beyond the 64 KiB that always fit into a request of 128
/// KiB. The others are short.
pub const LONGEST_CONTENT: usize = 1 << 16;
const SHORT_CONTENT: usize = 50;

/// All contents are slices of this text.
static LETTERS: LazyLock<String> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| rng.alphanumeric())
        .take(LONGEST_CONTENT)
        .collect()
});

/// The content of a source's row in one append, of this many bytes; shorter for most rows if that is the longest.
pub fn content(source: usize, row: u64, attempt: u64, bytes: usize) -> &'static str {
    let letters: &'static str = &LETTERS;
    let bytes = match bytes {
        LONGEST_CONTENT if !row.is_multiple_of(3) => SHORT_CONTENT,
        bytes => bytes.min(LONGEST_CONTENT),
    };
    let place = (row * 7919 + attempt * 104_729 + source as u64 * 1_299_709)
        % (letters.len() - bytes + 1) as u64;
    let from = usize::try_from(place).unwrap();
    &letters[from..from + bytes]
}
