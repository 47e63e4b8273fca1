//! Reads the files on the command line: whole, and within a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The longest file that is read: a wrong path may be a device without end.
const LIMIT: u64 = 64 << 20;

/// Reads a whole file of text.
pub(crate) fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    File::open(path)?
        .take(LIMIT + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        let why = format!("it is larger than {} MiB; check the path", LIMIT >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(text)
}
