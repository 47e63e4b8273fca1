//! The configuration: config.properties and the meaning of its keys.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tracing::warn;

use crate::table::Table;

/// The default configuration.
pub(crate) const DEFAULT: &str = include_str!("config.properties");

/// The settings of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) profile: Option<PathBuf>,
    /// `None`: customers are not streamed.
    pub(crate) customers: Option<Names>,
    pub(crate) orders: Names,
    pub(crate) items: Names,
    pub(crate) total_orders: u64,
    pub(crate) max_client_lag: Duration,
    pub(crate) orders_at_once: usize,
    pub(crate) items_at_once: usize,
    pub(crate) generation_interval: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) max_retries: u32,
    pub(crate) retry_delay: Duration,
}

/// The name of a table's channels, without the instance, and of its pipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) channel: String,
    pub(crate) pipe: String,
}

impl Config {
    /// A table's channel and pipe, if rows are streamed to it.
    pub(crate) fn names(&self, table: Table) -> Option<&Names> {
        match table {
            Table::Customers => self.customers.as_ref(),
            Table::Orders => Some(&self.orders),
            Table::OrderItems => Some(&self.items),
        }
    }

    /// The tables to which rows are streamed.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (Table, &Names)> {
        let all = [Table::Customers, Table::Orders, Table::OrderItems];
        all.into_iter()
            .filter_map(|table| Some((table, self.names(table)?)))
    }

    /// How many rows of a table are generated and appended at once, at most.
    pub(crate) fn rows_at_once(&self, table: Table) -> usize {
        match table {
            Table::Orders => self.orders_at_once,
            Table::Customers | Table::OrderItems => self.items_at_once,
        }
    }

    /// Reads a file, or uses the default. A relative `profile.path` is relative to the file's folder.
    ///
    /// # Errors
    /// If the file cannot be read, or for the reasons of [`parse`](Self::parse).
    pub(crate) fn load(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Self::parse(DEFAULT);
        };
        let text = fs::read_to_string(path)
            .with_context(|| format!("the configuration {} cannot be read", path.display()))?;
        let mut config =
            Self::parse(&text).with_context(|| format!("the configuration {}", path.display()))?;
        if let (Some(profile), Some(folder)) = (&mut config.profile, path.parent()) {
            *profile = folder.join(&*profile);
        }
        Ok(config)
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// If required keys are missing (the error lists all of them), or a value is not valid.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keys = Keys::read(text);
        let required = [
            "channel.orders.name",
            "channel.order_items.name",
            "pipe.orders.name",
            "pipe.order_items.name",
        ]
        .map(|key| (key, keys.take(key)));
        let missing = required.iter().filter(|(_, value)| value.is_none());
        let missing: Vec<_> = missing.map(|(key, _)| *key).collect();
        if !missing.is_empty() {
            bail!(
                "required keys are missing: {}; add them",
                missing.join(", ")
            );
        }
        let [orders_channel, items_channel, orders_pipe, items_pipe] =
            required.map(|(_, value)| value.unwrap_or_default());
        let customers = match ["channel.customers.name", "pipe.customers.name"]
            .map(|key| keys.take(key))
        {
            [Some(channel), Some(pipe)] => Some(Names { channel, pipe }),
            [None, None] => None,
            _ => bail!(
                "customers need channel.customers.name and pipe.customers.name: add the missing key, or remove the other one"
            ),
        };
        let config = Self {
            customers,
            profile: keys.take("profile.path").map(PathBuf::from),
            orders: Names {
                channel: orders_channel,
                pipe: orders_pipe,
            },
            items: Names {
                channel: items_channel,
                pipe: items_pipe,
            },
            total_orders: keys.number("num.orders.per.batch", 1, 100)?,
            max_client_lag: Duration::from_secs(keys.number("max.client.lag", 0, 60)?),
            orders_at_once: keys.number("orders.batch.size", 1, 10_000)?,
            items_at_once: keys.number("batch.size", 1, 1_000)?,
            generation_interval: keys.millis("generation.interval.ms", 0, 0)?,
            request_timeout: keys.millis("batch.timeout.ms", 1, 60_000)?,
            max_retries: keys.number("max.retries", 0, 3)?,
            retry_delay: keys.millis("retry.delay.ms", 0, 1_000)?,
        };
        for key in keys.0.keys() {
            warn!(key, "unknown key: it is ignored");
        }
        Ok(config)
    }
}

impl Names {
    /// The channel of one instance, or of a single run.
    pub(crate) fn channel_of(&self, instance: Option<u64>) -> String {
        match instance {
            Some(instance) => format!("{}_instance_{instance}", self.channel),
            None => self.channel.clone(),
        }
    }
}

/// The keys of a file that have not been read yet.
struct Keys(BTreeMap<String, String>);

impl Keys {
    fn read(text: &str) -> Self {
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let pair = line.split_once('=');
            if pair.is_none() {
                warn!(line, "not key=value: the line is ignored");
            }
            pair.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        });
        Self(pairs.collect())
    }

    /// A key's value, if the key exists and is not blank.
    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).filter(|value| !value.is_empty())
    }

    fn number<T: Copy + FromStr + PartialOrd + fmt::Display>(
        &mut self,
        key: &str,
        least: T,
        default: T,
    ) -> Result<T> {
        let Some(value) = self.take(key) else {
            return Ok(default);
        };
        let number = value.parse().ok().filter(|number| *number >= least);
        number.ok_or_else(|| anyhow!("{key} is {value:?}: use a whole number of at least {least}"))
    }

    fn millis(&mut self, key: &str, least: u64, default: u64) -> Result<Duration> {
        self.number(key, least, default).map(Duration::from_millis)
    }
}
