//! Reads files whose content this process has not written: whole, and within a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

/// The limit for certificates.
#[cfg(feature = "rustls")]
pub(crate) const LARGE: u64 = 64 << 20;

/// Reads a whole file of at most `limit` bytes: a wrong path may be a device without end.
pub(crate) fn read_limited(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let why = format!("it is larger than {} MiB; check the path", limit >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Refuses a path that is not a regular file or a link to one: a FIFO may never be written to.
pub(crate) fn check_regular(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_file() {
        return Ok(());
    }
    let why = "it is not a regular file";
    Err(io::Error::new(io::ErrorKind::InvalidInput, why))
}

#[cfg(all(test, unix))]
mod tests {
    use std::path::Path;

    use super::{check_regular, read_limited};

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 1000]).unwrap();
        assert_eq!(read_limited(file.path(), 1000).unwrap().len(), 1000);
        for (path, limit) in [(file.path(), 999), (Path::new("/dev/zero"), 1 << 20)] {
            let why = read_limited(path, limit).unwrap_err();
            assert!(why.to_string().contains("larger than"), "{why}");
        }
    }

    #[test]
    fn devices_and_directories_are_not_regular_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        check_regular(file.path()).unwrap();
        for path in ["/dev/null", "/"] {
            assert!(check_regular(Path::new(path)).is_err());
        }
    }
}
