//! Reads a profile.json with the keys that this example accepts: those of the crate, and `private_key_path` for
//! `private_key_file`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use snowpipe_streaming::Profile;

const KEY: &str = "private_key";
const KEY_FILE: &str = "private_key_file";
const KEY_PATH: &str = "private_key_path";

/// Reads a profile. The path of a key file is relative to the profile's folder.
///
/// # Errors
/// If it cannot be read, or required keys are missing, all of which are listed.
pub(crate) fn load(path: &Path) -> Result<Profile> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("the profile {} cannot be read", path.display()))?;
    parse(&text, path.parent().unwrap_or(Path::new("")))
        .with_context(|| format!("the profile {}", path.display()))
}

/// Reads the text of a profile in `folder`.
///
/// # Errors
/// If it is not a JSON object, or required keys are missing, all of which are listed.
pub(crate) fn parse(text: &str, folder: &Path) -> Result<Profile> {
    // The message of serde may quote the private key.
    let Ok(mut keys) = serde_json::from_str::<Map<String, Value>>(text) else {
        bail!("it is not a JSON object");
    };
    let is_blank = |value: &Value| value.is_null() || value == "";
    keys.retain(|_, value| !is_blank(value));
    let has = |key| keys.contains_key(key);
    let has_key = [KEY, KEY_FILE, KEY_PATH].into_iter().any(has);
    let mut missing: Vec<_> = ["account", "user"]
        .into_iter()
        .filter(|key| !has(key))
        .collect();
    if !has_key {
        missing.push("private_key or private_key_path");
    }
    if !missing.is_empty() {
        bail!(
            "required keys are missing: {}; add them",
            missing.join(", ")
        );
    }
    if let Some(path) = keys.remove(KEY_PATH) {
        keys.insert(KEY_FILE.to_owned(), path);
    }
    if let Some(Value::String(file)) = keys.get_mut(KEY_FILE) {
        *file = folder.join(&*file).to_string_lossy().into_owned();
    }
    Ok(Profile::from_json(&Value::Object(keys).to_string())?)
}
