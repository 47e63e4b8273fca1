//! The profile that the emulator writes for clients, and reads again after a restart.

use std::error::Error;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use snowpipe_streaming::auth::Secret;

use crate::files::read_text;
use crate::{named, read_key};

/// Marks a profile as written by the emulator. Only such a profile is read again.
const WRITTEN_BY: &str = "snowpipe-emulator";

/// Reads the profile that an earlier run wrote, if there is one.
pub(crate) fn read(path: &Path) -> Result<Option<Value>, Box<dyn Error>> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(named("the profile", path, &why)),
    };
    let profile: Value = serde_json::from_str(&text).unwrap_or_default();
    if profile.get("written_by").and_then(Value::as_str) != Some(WRITTEN_BY) {
        return Err(format!(
            "{} exists and was not written by the emulator, so it is not overwritten; choose another file",
            path.display()
        )
        .into());
    }
    Ok(Some(profile))
}

/// The private key in a profile, or in the file that it names.
pub(crate) fn key(profile: &Value, path: &Path) -> Result<Secret, Box<dyn Error>> {
    let text = |key: &str| profile.get(key).and_then(Value::as_str);
    match (text("private_key"), text("private_key_file")) {
        (Some(key), _) => Ok(Secret::from(key)),
        (None, Some(file)) => read_key(Path::new(file)),
        (None, None) => Err(format!(
            "the profile {} has no key: remove it, and the emulator writes a new one",
            path.display()
        )
        .into()),
    }
}

/// Refuses a profile that was written for another URL.
pub(crate) fn check(path: &Path, profile: &Value, url: &str) -> Result<(), Box<dyn Error>> {
    let written = profile
        .get("url")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if written != url {
        let split = |url: &str| {
            url.split_once("://")
                .map(|(scheme, at)| (scheme.to_owned(), at.to_owned()))
        };
        let remedy = match (split(written), split(url)) {
            (Some((before, at)), Some((now, _))) if before == now => format!("with --listen {at}"),
            (Some((before, at)), _) if before == "https" => format!("with --tls --listen {at}"),
            (Some((_, at)), _) => format!("without --tls and with --listen {at}"),
            (None, _) => "with that URL".to_owned(),
        };
        return Err(format!(
            "the profile {} is for {written}, but the emulator listens on {url}: start it {remedy}, or choose another file",
            path.display(),
        )
        .into());
    }
    tracing::info!(profile = %path.display(), "using the profile of an earlier run");
    Ok(())
}

/// Writes a new profile atomically, because an incomplete one would prevent every later start. An existing file, which another
/// emulator may have just written, is not replaced.
pub(crate) fn write(path: &Path, mut profile: Value) -> Result<(), Box<dyn Error>> {
    if let Some(fields) = profile.as_object_mut() {
        fields.insert("written_by".to_owned(), json!(WRITTEN_BY));
    }
    let text = Secret::from(format!("{profile:#}\n"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    // The name is random, because processes in two containers may have the same id.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    let aside = PathBuf::from(aside);
    let written = options
        .open(&aside)
        .and_then(|mut file| file.write_all(text.expose().as_bytes()))
        .and_then(|()| rename_if_free(&aside, path));
    // Ignored: after a rename the file is gone.
    let _ = fs::remove_file(&aside);
    match written {
        Ok(()) => {
            tracing::info!(profile = %path.display(), "wrote a profile for clients");
            Ok(())
        }
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Err(format!(
            "the profile {} was written by another process in the meantime, so it is not overwritten; choose another file",
            path.display()
        )
        .into()),
        Err(why) => Err(named("the profile", path, &why)),
    }
}

/// Renames a file to `path` atomically, unless that file exists.
fn rename_if_free(aside: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(aside, path) {
        // Without hard links, an empty file claims the name first.
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => {
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(path)?;
            fs::rename(aside, path)
        }
        linked => linked,
    }
}
