//! The Snowflake CLI's `connections.toml` and `config.toml`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::files::warn_if_shared;
use super::layers::{Layer, expanded};
use super::origin::Origin;
use super::read::{in_file, read_text};
use super::settings::type_name;
use super::{Variables, config};
use crate::types::error::{Error, Result};

const DEFAULT_NAME: &str = "SNOWFLAKE_DEFAULT_CONNECTION_NAME";

/// The connections of a file, and the name of the default connection.
pub(super) struct Connections {
    /// The file with the connections, if there is one.
    file: Option<PathBuf>,
    by_name: Map<String, Value>,
    default: Option<String>,
}

/// The settings of a connection from environment variables and from its file.
pub(super) struct Connection {
    pub(super) variables: Layer,
    pub(super) file: Layer,
}

impl Connections {
    /// Reads the connections in the Snowflake CLI's folder.
    pub(super) fn of_cli(variables: Variables<'_>) -> Result<Self> {
        let Some(folder) = folder(variables) else {
            return Ok(Self::none(variables));
        };
        let (own, shared) = (folder.join("connections.toml"), folder.join("config.toml"));
        let mut found = match shared.try_exists() {
            Ok(true) => Self::of_file(&shared, variables)?,
            _ => Self::none(variables),
        };
        // If this file exists, the connections in config.toml are ignored.
        if own.try_exists().unwrap_or(false) {
            let own = Self::of_file(&own, variables)?;
            found = Self {
                default: found.default.or(own.default),
                ..own
            };
        }
        Ok(found)
    }

    /// Reads the connections in this file.
    pub(super) fn of_file(path: &Path, variables: Variables<'_>) -> Result<Self> {
        let mut tables = parse(path)?;
        let default = tables.remove("default_connection_name");
        let default = match default {
            None => None,
            Some(Value::String(name)) => Some(name),
            Some(other) => {
                return Err(in_file(
                    path,
                    &config(format!(
                        "default_connection_name must be a string, found {}",
                        type_name(&other)
                    )),
                ));
            }
        };
        // The tables are [connections.NAME] in config.toml, and may be [NAME] in connections.toml.
        let by_name = match tables.remove("connections") {
            Some(Value::Object(connections)) => connections,
            _ => tables,
        };
        let from_environment = variables(DEFAULT_NAME).filter(|name| !name.trim().is_empty());
        Ok(Self {
            file: Some(path.to_owned()),
            by_name,
            default: from_environment.or(default),
        })
    }

    fn none(variables: Variables<'_>) -> Self {
        Self {
            file: None,
            by_name: Map::new(),
            default: variables(DEFAULT_NAME).filter(|name| !name.trim().is_empty()),
        }
    }

    /// Returns the connection of this name, or the default connection. `None` if no default is set and there is no connection
    /// called `default`.
    pub(super) fn pick(
        mut self,
        name: Option<&str>,
        variables: Variables<'_>,
    ) -> Result<Option<Connection>> {
        let requested = name.or(self.default.as_deref()).map(str::trim);
        let name = requested.unwrap_or("default").to_owned();
        let from_variables = Layer::from_connection_variables(&name, variables);
        let from_file = match self.by_name.remove(&name) {
            Some(Value::Object(map)) => self.layer(&name, map, variables)?,
            Some(other) => return Err(self.not_a_table(&name, &other)),
            None if from_variables.is_empty() && requested.is_some() => {
                return Err(self.unknown(&name));
            }
            None if from_variables.is_empty() => return Ok(None),
            None => Layer::default(),
        };
        Ok(Some(Connection {
            variables: from_variables,
            file: from_file,
        }))
    }

    fn layer(
        &self,
        name: &str,
        map: Map<String, Value>,
        variables: Variables<'_>,
    ) -> Result<Layer> {
        let file = self.file.clone().unwrap_or_default();
        let origin = Origin::Connection {
            name: name.to_owned(),
            file: file.clone(),
        };
        let mut layer =
            Layer::from_map(map, true, &origin).map_err(|e| config(format!("{origin}: {e}")))?;
        // Relative paths are relative to the working directory, as in the Snowflake CLI.
        layer.resolve_paths(None, variables);
        if layer.has_secrets() {
            warn_if_shared("connections", &file);
        }
        Ok(layer)
    }

    fn not_a_table(&self, name: &str, found: &Value) -> Error {
        config(format!(
            "connection {name:?} in {} must be a table, found {}",
            self.place(),
            type_name(found)
        ))
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<_> = self.by_name.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "there are no connections".to_owned()
        } else {
            format!("there are {}", known.join(", "))
        };
        config(format!(
            "there is no connection {name:?} in {} ({known}); add it, or choose another",
            self.place()
        ))
    }

    fn place(&self) -> String {
        self.file.as_ref().map_or_else(
            || "the Snowflake CLI's folder".to_owned(),
            |file| file.display().to_string(),
        )
    }
}

/// Parses a TOML file. An error gives the position and does not quote the text, which may be a secret.
fn parse(path: &Path) -> Result<Map<String, Value>> {
    let text = read_text("connections", path)?;
    let text = text.trim_start_matches('\u{feff}');
    toml::from_str(text).map_err(|why: toml::de::Error| {
        let before = why
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        in_file(
            path,
            &config(format!(
                "the connections are not valid TOML: see line {line}, column {column}"
            )),
        )
    })
}

/// The folder of the Snowflake CLI's files.
fn folder(variables: Variables<'_>) -> Option<PathBuf> {
    let set = |name: &str| variables(name).filter(|value| !value.trim().is_empty());
    let own = set("SNOWFLAKE_HOME").unwrap_or_else(|| "~/.snowflake".to_owned());
    let own = expanded(&own, variables);
    if own.is_dir() {
        return Some(own);
    }
    let platform = if cfg!(windows) {
        set("LOCALAPPDATA").map(PathBuf::from)
    } else if cfg!(target_os = "macos") {
        Some(expanded("~/Library/Application Support", variables))
    } else {
        let config = set("XDG_CONFIG_HOME").unwrap_or_else(|| "~/.config".to_owned());
        Some(expanded(&config, variables))
    };
    platform.map(|folder| folder.join("snowflake"))
}
