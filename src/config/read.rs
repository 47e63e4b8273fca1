//! Reads a profile from JSON, properties, a file or the environment.

use std::path::Path;

use serde_json::{Map, Value};

use super::files::{read_small, warn_if_shared};
use super::layers::{Layer, Layers};
use super::origin::Origin;
use super::settings::{SPCS_TOKEN_PATH, type_name};
use super::{Profile, Variables, config, process_variable, properties};
use crate::types::error::{Error, Result};

impl Profile {
    /// Reads a `profile.json`, or a properties file with the same settings if the name ends in `.properties`. Relative paths in
    /// the profile are relative to its folder, and `~/` is the home folder.
    ///
    /// No other place is read; [`Profile::loader`] also reads the environment.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the file cannot be read, and for the reasons of
    /// [`Profile::from_json`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let layer = file_layer(path, &process_variable)?;
        Self::from_layer(layer, &process_variable).map_err(|e| in_file(path, &e))
    }

    /// Reads the text of a `profile.json`. The private key is not read yet, and may be added afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the text is not a JSON object, `account`, `user` or a setting of the
    /// authorization is missing, or a setting is malformed or contradicts another.
    pub fn from_json(text: &str) -> Result<Self> {
        let layer = Layer::from_map(json_object(text)?, false, &Origin::Text)?;
        Self::from_layer(layer, &process_variable)
    }

    /// Reads the text of a properties file: lines of `key=value` by the rules of Java, with the keys of `profile.json`.
    /// The private key is not read yet, and may be added afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for the reasons of [`Profile::from_json`].
    pub fn from_properties(text: &str) -> Result<Self> {
        let layer = Layer::from_pairs(properties::pairs(text)?, &Origin::Text)?;
        Self::from_layer(layer, &process_variable)
    }

    /// Reads the environment variables in the table at [`Profile`]. The private key is not read yet, and may be added
    /// afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if account, user or a setting of the authorization is missing, or
    /// a setting is malformed or contradicts another.
    pub fn from_env() -> Result<Self> {
        Self::from_lookup(&process_variable)
    }

    /// [`Profile::from_env`] with any environment.
    pub(crate) fn from_lookup(variables: Variables<'_>) -> Result<Self> {
        Self::from_layer(Layer::from_variables(variables), variables)
    }

    fn from_layer(layer: Layer, variables: Variables<'_>) -> Result<Self> {
        Self::assemble(&Layers(vec![spcs_layer(variables), layer]))
    }
}

/// The one variable that takes precedence over the file, as in the official SDK.
pub(super) fn spcs_layer(variables: Variables<'_>) -> Layer {
    let mut layer = Layer::default();
    if let Some((text, origin)) = Layer::from_variables(variables).take(&SPCS_TOKEN_PATH) {
        layer.insert(&SPCS_TOKEN_PATH, text, origin);
    }
    layer
}

/// The settings of a JSON or properties file.
pub(super) fn file_layer(path: &Path, variables: Variables<'_>) -> Result<Layer> {
    if has_ending(path, "toml") {
        return Err(config(format!(
            "{} contains connections, not a profile; read it with Profile::loader()",
            path.display()
        )));
    }
    let text = read_text("profile", path)?;
    let origin = Origin::File(path.to_owned());
    let layer = if has_ending(path, "properties") {
        properties::pairs(&text).and_then(|pairs| Layer::from_pairs(pairs, &origin))
    } else {
        json_object(&text).and_then(|map| Layer::from_map(map, false, &origin))
    };
    let mut layer = layer.map_err(|e| in_file(path, &e))?;
    layer.resolve_paths(path.parent(), variables);
    if layer.has_secrets() {
        warn_if_shared("profile", path);
    }
    Ok(layer)
}

/// Reads a file as text.
pub(super) fn read_text(what: &str, path: &Path) -> Result<zeroize::Zeroizing<String>> {
    let bytes = read_small(what, path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        in_file(
            path,
            &config(format!("the {what} is not UTF-8; save it as UTF-8")),
        )
    })?;
    Ok(text.to_owned().into())
}

pub(super) fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension()
        .is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// Adds the file to the text of an error.
pub(super) fn in_file(path: &Path, why: &Error) -> Error {
    Error::new(why.kind(), format!("{}: {why}", path.display()))
}

fn json_object(text: &str) -> Result<Map<String, Value>> {
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| {
        config(format!(
            "the profile is not valid JSON: see line {}, column {}",
            e.line(),
            e.column()
        ))
    })?;
    match value {
        Value::Object(map) => Ok(map),
        other => Err(config(format!(
            "the profile must be a JSON object, found {}",
            type_name(&other)
        ))),
    }
}
