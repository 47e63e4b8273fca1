//! Loads a profile from all the places that may have a part of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "connections")]
use super::connections::Connections;
use super::layers::{Layer, Layers};
use super::origin::Origin;
use super::read::{file_layer, has_ending, spcs_layer};
use super::settings::{ACCOUNT, HOST, PORT, SCHEME, URL};
use super::{Profile, Variables, config, process_variable};
use crate::types::error::Result;

/// Loads a [`Profile`] from a file or a connection of the Snowflake CLI, and the environment.
///
/// A setting is taken from the first of these places that has it:
///
/// | | Place | Remark |
/// |---|---|---|
/// | 1 | the program: the `with_…` methods of [`Profile`], then [`set`](Self::set) | like the `properties` of the official SDK |
/// | 2 | `SNOWFLAKE_SPCS_TOKEN_PATH`, and `SNOWFLAKE_CONNECTIONS_<NAME>_<KEY>` for a setting of connection `<NAME>` | as in the official SDK and the Snowflake CLI |
/// | 3 | the file: `profile.json`, properties, or a connection in `connections.toml` or `config.toml` | |
/// | 4 | the variables in the table at [`Profile`], such as `SNOWFLAKE_USER` | they fill gaps, as with the Snowflake CLI |
///
/// Alternative settings hide each other: a key file in one place hides a key in a later place, and a URL hides a host.
/// Credentials of another kind than the chosen one are ignored if they come from a later place. The URL, host, scheme and port
/// of the environment belong to the environment's account and are not used for another account. A token endpoint is not used
/// for an OAuth client whose id and secret come from an earlier place.
///
/// ```no_run
/// use snowpipe_streaming::Profile;
/// let profile = Profile::loader().file("profile.json").set("role", "LOADER").load()?;
/// for (key, origin) in profile.origins() {
///     println!("{key} from {origin}");
/// }
/// # Ok::<(), snowpipe_streaming::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct ProfileLoader {
    file: Option<PathBuf>,
    connection: Option<String>,
    properties: BTreeMap<String, String>,
}

impl Profile {
    /// Creates a loader without settings.
    pub fn loader() -> ProfileLoader {
        ProfileLoader::default()
    }

    /// Loads what is configured on this machine: the default connection of the Snowflake CLI, if there is one (feature
    /// `connections`), and the environment. The same as [`Profile::loader`] without settings.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for the reasons of [`ProfileLoader::load`].
    pub fn discover() -> Result<Self> {
        Self::loader().load()
    }
}

impl ProfileLoader {
    /// Reads this file: properties if it ends in `.properties`, connections of the Snowflake CLI if it ends in `.toml` (feature
    /// `connections`), otherwise a `profile.json`.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Uses this connection of the Snowflake CLI instead of the default one.
    #[cfg(feature = "connections")]
    pub fn connection(mut self, name: impl Into<String>) -> Self {
        self.connection = Some(name.into());
        self
    }

    /// Sets a value that takes precedence over all other places, by its key in `profile.json`. Unknown keys are ignored.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Loads the profile. The private key is not read yet, and may be added afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a file cannot be read or parsed, the connection does not exist,
    /// account, user or a setting of the authorization is missing, or a setting is malformed or contradicts another.
    pub fn load(self) -> Result<Profile> {
        self.load_from(&process_variable)
    }

    /// [`load`](Self::load) with any environment.
    pub(crate) fn load_from(self, variables: Variables<'_>) -> Result<Profile> {
        let mut layers = vec![
            Layer::from_pairs(self.properties.clone(), &Origin::Program)?,
            spcs_layer(variables),
        ];
        layers.extend(self.file_layers(variables)?);
        let mut environment = Layer::from_variables(variables);
        if layers.iter().any(|layer| layer.has(&ACCOUNT)) {
            for setting in [&URL, &HOST, &SCHEME, &PORT] {
                environment.take(setting);
            }
        }
        layers.push(environment);
        Profile::assemble(&Layers(layers))
    }

    fn file_layers(&self, variables: Variables<'_>) -> Result<Vec<Layer>> {
        match (self.file.as_deref(), &self.connection) {
            (Some(path), Some(name)) if !has_ending(path, "toml") => Err(config(format!(
                "both the connection {name:?} and the profile {} are given, and a connection is in a TOML file; remove one of them",
                path.display()
            ))),
            (Some(path), None) if !has_ending(path, "toml") => {
                Ok(vec![file_layer(path, variables)?])
            }
            (toml, name) => connection_layers(toml, name.as_deref(), variables),
        }
    }
}

#[cfg(feature = "connections")]
fn connection_layers(
    file: Option<&Path>,
    name: Option<&str>,
    variables: Variables<'_>,
) -> Result<Vec<Layer>> {
    let connections = match file {
        Some(path) => Connections::of_file(path, variables)?,
        None => Connections::of_cli(variables)?,
    };
    let found = connections.pick(name, variables)?;
    Ok(found
        .into_iter()
        .flat_map(|connection| [connection.variables, connection.file])
        .collect())
}

#[cfg(not(feature = "connections"))]
fn connection_layers(file: Option<&Path>, _: Option<&str>, _: Variables<'_>) -> Result<Vec<Layer>> {
    match file {
        None => Ok(Vec::new()),
        Some(path) => Err(config(format!(
            "{} needs the feature \"connections\" of snowpipe-streaming; enable it, or write a profile.json",
            path.display()
        ))),
    }
}

impl fmt::Debug for ProfileLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProfileLoader")
            .field("file", &self.file)
            .field("connection", &self.connection)
            // The values may be secrets.
            .field("set", &self.properties.keys())
            .finish()
    }
}
