//! Settings by the place they come from, and the precedence of places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::origin::Origin;
use super::settings::{ALL, PATHS, SECRETS, Setting};
use super::{Variables, config};
use crate::types::error::Result;

/// The settings from one place.
#[derive(Default)]
pub(super) struct Layer(BTreeMap<&'static str, (String, Origin)>);

/// A setting and the place it comes from.
pub(super) struct Found<'a> {
    pub(super) text: &'a str,
    pub(super) origin: &'a Origin,
    /// The precedence of the place: the number of places before it.
    pub(super) rank: usize,
}

impl Layer {
    /// The settings of a profile or connection. Unknown keys are ignored.
    pub(super) fn from_map(
        mut map: Map<String, Value>,
        cli: bool,
        origin: &Origin,
    ) -> Result<Self> {
        let mut layer = Self::default();
        for setting in ALL {
            let aliases = if cli { setting.cli } else { &[] };
            for name in [&setting.key].into_iter().chain(aliases) {
                let Some(value) = map.remove(*name) else {
                    continue;
                };
                if let Some(text) = setting.text(name, value)? {
                    layer.insert(setting, text, origin.clone());
                    break;
                }
            }
        }
        Ok(layer)
    }

    /// The settings from pairs of key and value. The last value of a key is used.
    pub(super) fn from_pairs(
        pairs: impl IntoIterator<Item = (String, String)>,
        origin: &Origin,
    ) -> Result<Self> {
        let map = pairs
            .into_iter()
            .map(|(key, text)| (key, Value::String(text)))
            .collect();
        Self::from_map(map, false, origin)
    }

    /// The settings from the general environment variables.
    pub(super) fn from_variables(variables: Variables<'_>) -> Self {
        Self::from_names(variables, |setting| {
            setting.env.iter().map(|name| (*name).to_owned()).collect()
        })
    }

    /// The settings from the environment variables of this connection of the Snowflake CLI.
    #[cfg(feature = "connections")]
    pub(super) fn from_connection_variables(connection: &str, variables: Variables<'_>) -> Self {
        let prefix = format!("SNOWFLAKE_CONNECTIONS_{}_", connection.to_uppercase());
        Self::from_names(variables, |setting| {
            [&setting.key]
                .into_iter()
                .chain(setting.cli)
                .map(|name| format!("{prefix}{}", name.to_ascii_uppercase()))
                .collect()
        })
    }

    fn from_names(variables: Variables<'_>, names: impl Fn(&Setting) -> Vec<String>) -> Self {
        let mut layer = Self::default();
        for setting in ALL {
            for name in names(setting) {
                let found = variables(&name).and_then(|text| setting.tidy(text));
                if let Some(text) = found {
                    layer.insert(setting, text, Origin::Variable(name));
                    break;
                }
            }
        }
        layer
    }

    pub(super) fn insert(&mut self, setting: &Setting, text: String, origin: Origin) {
        self.0.insert(setting.key, (text, origin));
    }

    pub(super) fn take(&mut self, setting: &Setting) -> Option<(String, Origin)> {
        self.0.remove(setting.key)
    }

    pub(super) fn has(&self, setting: &Setting) -> bool {
        self.0.contains_key(setting.key)
    }

    #[cfg(feature = "connections")]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has_secrets(&self) -> bool {
        SECRETS.into_iter().any(|secret| self.has(secret))
    }

    /// Resolves paths: `~/` is the home folder, and other relative paths are relative to `folder`.
    pub(super) fn resolve_paths(&mut self, folder: Option<&Path>, variables: Variables<'_>) {
        for setting in PATHS {
            let Some((text, _)) = self.0.get_mut(setting.key) else {
                continue;
            };
            let path = expanded(text, variables);
            let path = folder.map_or(path.clone(), |folder| folder.join(&path));
            *text = path.to_string_lossy().into_owned();
        }
    }
}

/// Expands `~/` at the beginning of a path.
pub(super) fn expanded(text: &str, variables: Variables<'_>) -> PathBuf {
    let home = || variables(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    match text.strip_prefix("~/") {
        Some(rest) => home().map_or(PathBuf::from(text), |home| PathBuf::from(home).join(rest)),
        None => PathBuf::from(text),
    }
}

/// The settings of all places in the order of precedence.
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    pub(super) fn find(&self, setting: &Setting) -> Option<Found<'_>> {
        self.0.iter().enumerate().find_map(|(rank, layer)| {
            let (text, origin) = layer.0.get(setting.key)?;
            Some(Found { text, origin, rank })
        })
    }

    /// Returns the value with the highest precedence, and records its origin.
    pub(super) fn read(
        &self,
        setting: &Setting,
        origins: &mut BTreeMap<&'static str, Origin>,
    ) -> Option<String> {
        let found = self.find(setting)?;
        origins.insert(setting.key, found.origin.clone());
        Some(found.text.to_owned())
    }

    /// Of alternative settings, returns the one in the first place that has any of them. Two in the same place are an error.
    pub(super) fn one_of<'s>(
        &self,
        settings: &[&'s Setting],
    ) -> Result<Option<(&'s Setting, Found<'_>)>> {
        let found = |setting: &&'s Setting| Some((*setting, self.find(setting)?));
        let Some((first, best)) = settings
            .iter()
            .filter_map(found)
            .min_by_key(|(_, found)| found.rank)
        else {
            return Ok(None);
        };
        let rival = settings
            .iter()
            .filter(|setting| setting.key != first.key)
            .find(|setting| {
                self.0
                    .get(best.rank)
                    .is_some_and(|layer| layer.has(setting))
            });
        if let Some(rival) = rival {
            return Err(config(format!(
                "both {:?} and {:?} are set (from {}); remove one of them",
                first.key, rival.key, best.origin
            )));
        }
        Ok(Some((first, best)))
    }
}
