//! Settings by where they were found, and which of them counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::origin::Origin;
use super::settings::{ALL, PATHS, SECRETS, Setting};
use super::{Variables, config};
use crate::types::error::Result;

/// The settings of one place.
#[derive(Default)]
pub(super) struct Layer(BTreeMap<&'static str, (String, Origin)>);

/// A setting that was found.
pub(super) struct Found<'a> {
    pub(super) text: &'a str,
    pub(super) origin: &'a Origin,
    /// How many places come before the one it was found in.
    pub(super) rank: usize,
}

impl Layer {
    /// The settings of a profile or connection. Unknown keys count for nothing.
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

    /// The settings of pairs of text, of which the last of a key counts.
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

    /// The settings that have variables of their own.
    pub(super) fn from_variables(variables: Variables<'_>) -> Self {
        Self::from_names(variables, |setting| {
            setting.env.iter().map(|name| (*name).to_owned()).collect()
        })
    }

    /// The settings that have variables for this connection of the Snowflake CLI.
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

    /// Makes paths absolute: `~/` is the home folder, and another relative one is looked up in `folder`.
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

/// A path whose `~/` stands for the home folder.
pub(super) fn expanded(text: &str, variables: Variables<'_>) -> PathBuf {
    let home = || variables(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    match text.strip_prefix("~/") {
        Some(rest) => home().map_or(PathBuf::from(text), |home| PathBuf::from(home).join(rest)),
        None => PathBuf::from(text),
    }
}

/// Places in the order in which they count.
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    pub(super) fn find(&self, setting: &Setting) -> Option<Found<'_>> {
        self.0.iter().enumerate().find_map(|(rank, layer)| {
            let (text, origin) = layer.0.get(setting.key)?;
            Some(Found { text, origin, rank })
        })
    }

    /// The value that counts, noted with its origin.
    pub(super) fn read(
        &self,
        setting: &Setting,
        origins: &mut BTreeMap<&'static str, Origin>,
    ) -> Option<String> {
        let found = self.find(setting)?;
        origins.insert(setting.key, found.origin.clone());
        Some(found.text.to_owned())
    }

    /// Of settings that stand for each other, the one found in the first place that has any of them.
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
                "both {:?} and {:?} are set (from {}); leave one of them out",
                first.key, rival.key, best.origin
            )));
        }
        Ok(Some((first, best)))
    }
}
