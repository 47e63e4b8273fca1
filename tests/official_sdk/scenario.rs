//! The scenarios, as they stand in `scenarios.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use snowpipe_streaming_emulator::{BinaryFormat, Endpoint, Fault, Rule};

/// What both clients do, each on a server of its own, and what has to come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    #[serde(default = "usual_table")]
    pub(crate) table: String,
    /// The pipe, if it is not the table's default pipe.
    pub(crate) pipe: Option<String>,
    /// The account's `BINARY_INPUT_FORMAT`, if it is not the default.
    pub(crate) binary_input_format: Option<String>,
    /// What the profile has besides or instead; `null` takes a field away.
    #[serde(default)]
    pub(crate) profile: BTreeMap<String, Value>,
    /// Whether it is about what only the official SDK has.
    #[serde(default)]
    pub(crate) only_official: bool,
    #[serde(default)]
    pub(crate) faults: Vec<ScriptedFault>,
    pub(crate) steps: Vec<Step>,
    /// How many rows land.
    pub(crate) rows: usize,
    /// How many rows are rejected.
    #[serde(default)]
    pub(crate) rejected: usize,
}

fn usual_table() -> String {
    "T".to_owned()
}

impl Scenario {
    /// The account's format of BINARY.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub(crate) fn account_binary_format(&self) -> anyhow::Result<BinaryFormat> {
        let Some(format) = &self.binary_input_format else {
            return Ok(BinaryFormat::default());
        };
        format.parse().map_err(anyhow::Error::msg)
    }

    /// The format of BINARY in rows for the scenario's pipe.
    ///
    /// # Errors
    ///
    /// There is no such format.
    pub(crate) fn pipe_binary_format(&self) -> anyhow::Result<BinaryFormat> {
        match self.pipe {
            Some(_) => self.account_binary_format(),
            None => Ok(BinaryFormat::Base64),
        }
    }
}

/// Something that goes wrong with both servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptedFault {
    fault: String,
    endpoint: String,
    times: u64,
    #[serde(default)]
    after: u64,
}

/// One call, and what it has to come to: for both clients, or for each of them where they differ on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    #[serde(rename = "do")]
    pub(crate) verb: String,
    #[serde(default)]
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) channels: Vec<String>,
    pub(crate) row: Option<Value>,
    #[serde(default)]
    pub(crate) rows: Vec<Value>,
    #[serde(default)]
    pub(crate) values: Vec<TypedValue>,
    pub(crate) token: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) start: Option<String>,
    pub(crate) end: Option<String>,
    #[serde(default)]
    pub(crate) first: u64,
    #[serde(default)]
    pub(crate) last: u64,
    #[serde(default)]
    pub(crate) each: usize,
    pub(crate) text: Option<String>,
    pub(crate) length: Option<usize>,
    #[serde(default, with = "said")]
    expect: Option<Value>,
    #[serde(default, with = "said")]
    expect_sdk: Option<Value>,
    #[serde(default, with = "said")]
    expect_ours: Option<Value>,
}

/// A `null` that is written down is an expectation as well.
mod said {
    use serde::{Deserialize, Deserializer};
    use serde_json::Value;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Value>, D::Error> {
        Value::deserialize(from).map(Some)
    }
}

/// A value of a Python type, and the JSON that stands for it.
#[derive(Debug, Deserialize)]
pub(crate) struct TypedValue {
    pub(crate) id: u64,
    pub(crate) column: String,
    pub(crate) json: Box<RawValue>,
    pub(crate) python: String,
}

/// One of the two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The official Python SDK.
    Official,
    /// This crate.
    Ours,
}

impl Step {
    pub(crate) fn expected(&self, side: Side) -> Option<&Value> {
        let own = match side {
            Side::Official => &self.expect_sdk,
            Side::Ours => &self.expect_ours,
        };
        own.as_ref().or(self.expect.as_ref())
    }
}

impl ScriptedFault {
    /// How often it strikes a client. This crate uploads no files.
    pub(crate) fn strikes(&self, side: Side) -> u64 {
        let is_of_files = ["append files", "upload"].contains(&self.endpoint.as_str());
        match side {
            Side::Ours if is_of_files => 0,
            _ => self.times,
        }
    }

    pub(crate) fn rule(&self) -> anyhow::Result<Rule> {
        let endpoint = match self.endpoint.as_str() {
            "append" => Endpoint::Append,
            "append files" => Endpoint::AppendFiles,
            "open" => Endpoint::Open,
            "status" => Endpoint::Status,
            "upload" => Endpoint::Upload,
            other => bail!("no endpoint {other:?}"),
        };
        let fault = match self.fault.as_str() {
            "accept and lose" => Fault::AcceptAndLose,
            "apply then lose" => Fault::ApplyThenLose,
            "apply then server error" => Fault::ApplyThenServerError(503),
            "bad request" => Fault::BadRequest("ERR_CHANNEL_MUST_BE_REOPENED".to_owned()),
            "expire token" => Fault::ExpireToken,
            "lose" => Fault::Lose,
            "second writer" => Fault::SecondWriter,
            "server error" => Fault::ServerError(500),
            "throttle" => Fault::Throttle(Some(Duration::from_secs(1))),
            other => bail!("no fault {other:?}"),
        };
        Ok(fault.on(endpoint).after(self.after).times(self.times))
    }
}

pub(crate) fn read(text: &str) -> anyhow::Result<Vec<Scenario>> {
    serde_json::from_str(text).context("the scenarios cannot be read")
}
