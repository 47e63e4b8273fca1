//! The file with the certificate of the emulator's authority.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
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
        replaceable(&path)?;
        let text = format!("{MARK}\n{pem}");
        let mut file = fs::OpenOptions::new();
        if is_temporary {
            // Never overwrite another file, not even through a link.
            file.write(true).create_new(true);
        } else {
            file.write(true).create(true).truncate(true);
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

fn replaceable(path: &Path) -> Result<(), Box<dyn Error>> {
    match fs::read(path) {
        Ok(text) if text.starts_with(MARK.as_bytes()) => Ok(()),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(format!(
            "{} exists and was not written by the emulator, so it is not overwritten; choose another file with --tls-ca",
            path.display()
        )
        .into()),
    }
}
