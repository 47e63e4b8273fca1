//! The file that holds the certificate of the emulator's authority.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The first line of the file: only such a file is replaced. What stands before the certificate is no part of it.
const MARK: &str = "Written by snowpipe-emulator: trust it in tests only.";

/// The certificate in its file. A temporary file goes with this.
#[derive(Debug)]
pub(crate) struct Authority {
    path: PathBuf,
    is_temporary: bool,
}

impl Authority {
    /// Writes the certificate to `path`, or else to a temporary file.
    pub(crate) fn write(pem: &str, path: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let is_temporary = path.is_none();
        let path = path.unwrap_or_else(|| {
            let name = format!("snowpipe-emulator-{:016x}.ca.pem", fastrand::u64(..));
            std::env::temp_dir().join(name)
        });
        let named = |why: io::Error| format!("the certificate {}: {why}", path.display());
        replaceable(&path)?;
        let text = format!("{MARK}\n{pem}");
        let mut file = fs::OpenOptions::new();
        if is_temporary {
            // Nobody else's file, wherever a link may lead.
            file.write(true).create_new(true);
        } else {
            file.write(true).create(true).truncate(true);
        }
        file.open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(named)?;
        let path = path.canonicalize().map_err(named)?;
        tracing::info!(file = %path.display(), "the authority's certificate is written");
        Ok(Self { path, is_temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if self.is_temporary {
            // If it is gone already, so much the better.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn replaceable(path: &Path) -> Result<(), Box<dyn Error>> {
    match fs::read(path) {
        Ok(text) if text.starts_with(MARK.as_bytes()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(format!(
            "{} exists and was not written by the emulator: it is not overwritten; name another file with --tls-ca",
            path.display()
        )
        .into()),
    }
}
