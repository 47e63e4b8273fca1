//! The file with the certificate of the emulator's authority.

use std::error::Error;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// The first line of the file, which is not part of the certificate. Only a file with this line is replaced.
const MARK: &str = "Written by snowpipe-emulator: trust it in tests only.";

/// The certificate file. A temporary file is removed on drop.
#[derive(Debug)]
pub(crate) struct Authority {
    path: PathBuf,
    is_temporary: bool,
}

impl Authority {
    /// Writes the certificate to `path`, or to a temporary file.
    pub(crate) fn write(pem: &str, path: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let is_temporary = path.is_none();
        let path = path.unwrap_or_else(|| {
            let name = format!("snowpipe-emulator-{:016x}.ca.pem", fastrand::u64(..));
            std::env::temp_dir().join(name)
        });
        let named = |why: io::Error| format!("the certificate {}: {why}", path.display());
        let text = format!("{MARK}\n{pem}");
        let mut file = fs::OpenOptions::new();
        if is_replaceable(&path)? {
            file.write(true).truncate(true);
        } else {
            // Not even through a link.
            file.write(true).create_new(true);
        }
        file.open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(named)?;
        let path = path.canonicalize().map_err(named)?;
        tracing::info!(file = %path.display(), "wrote the authority's certificate");
        Ok(Self { path, is_temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if self.is_temporary {
            // Ignored: the file may be gone already.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether there is a file that an earlier run wrote; an error if there is another one.
fn is_replaceable(path: &Path) -> Result<bool, Box<dyn Error>> {
    let start = fs::File::open(path).and_then(|file| {
        let mut start = Vec::new();
        file.take(MARK.len() as u64).read_to_end(&mut start)?;
        Ok(start)
    });
    match start {
        Ok(start) if start == MARK.as_bytes() => Ok(true),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => Err(format!(
            "{} exists and was not written by the emulator, so it is not overwritten; choose another file with --tls-ca",
            path.display()
        )
        .into()),
    }
}
