//! Carries out a scenario with this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::{Value, json};
use snowpipe_streaming::elastic::Ack;
use snowpipe_streaming::transport::HttpTransport;
use snowpipe_streaming::{
    Channel, ChannelStatus, ElasticChannel, Error, OffsetToken, PipePath, Profile,
    StreamingIngestClient,
};

use crate::scenario::{Scenario, Side, Step};
use crate::values;

/// No step takes as long as this unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to reach a server.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) profile_json: String,
    pub(crate) authority_pem: String,
}

/// What each step comes to, up to the first failure that the scenario does not expect.
pub(crate) async fn carry_out(scenario: &Scenario, access: &Access) -> anyhow::Result<Vec<Value>> {
    let mut session = Session {
        client: Some(connect(scenario, access).await?),
        channels: BTreeMap::new(),
        elastic: None,
        acks: Vec::new(),
        handled: Vec::new(),
    };
    let mut outcomes = Vec::new();
    for step in &scenario.steps {
        let done = tokio::time::timeout(PATIENCE, session.take(step, scenario, access));
        let outcome = match done.await.with_context(|| step.verb.clone())? {
            Ok(value) => value,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(known) => {
                    json!({ "error": format!("{:?}", known.kind()), "message": known.to_string() })
                }
                None => return Err(error),
            },
        };
        let failed = outcome.get("error").is_some();
        outcomes.push(outcome);
        if failed && step.expected(Side::Ours).is_none() {
            break;
        }
    }
    Ok(outcomes)
}

async fn connect(scenario: &Scenario, access: &Access) -> anyhow::Result<StreamingIngestClient> {
    let transport = HttpTransport::builder()
        .no_proxy()
        .add_root_certificate_pem(access.authority_pem.as_bytes())?
        .build()?;
    let profile = Profile::from_json(&access.profile_json)?;
    let pipe = match &scenario.pipe {
        Some(pipe) => PipePath::new("DB", "S", pipe)?,
        None => PipePath::for_table("DB", "S", &scenario.table)?,
    };
    // Each step ends within its patience, a receipt of an invalidated channel as well.
    let builder = StreamingIngestClient::builder(profile, pipe).transport(transport);
    let builder = builder.settle_timeout(PATIENCE / 2);
    Ok(builder.build().await?)
}

struct Session {
    client: Option<StreamingIngestClient>,
    channels: BTreeMap<String, Channel>,
    elastic: Option<ElasticChannel<String>>,
    acks: Vec<Ack<String>>,
    handled: Vec<String>,
}

impl Session {
    async fn take(
        &mut self,
        step: &Step,
        scenario: &Scenario,
        access: &Access,
    ) -> anyhow::Result<Value> {
        let name = step.channel.as_str();
        match step.verb.as_str() {
            "restart" => {
                self.close_client().await?;
                self.client = Some(connect(scenario, access).await?);
            }
            "open" => {
                let mut open = self.client()?.open_channel(name);
                if let Some(token) = &step.token {
                    open = open.offset_token(token);
                }
                let channel = open.await?;
                let token = channel.latest_committed_offset_token();
                self.channels.insert(name.to_owned(), channel);
                return Ok(json!({ "token": shown_token(token.as_ref()) }));
            }
            "append" => {
                let (Some(row), Some(token)) = (&step.row, &step.token) else {
                    bail!("an append needs a row and a token");
                };
                self.channel(name)?.append_row(row, token.as_str()).await?;
            }
            "append_together" => {
                let (Some(start), Some(end)) = (&step.start, &step.end) else {
                    bail!("rows that go together need a start and an end");
                };
                let tokens = (start.as_str(), end.as_str());
                self.channel(name)?.append_rows(&step.rows, tokens).await?;
            }
            "values" => {
                let channel = self.channel(name)?;
                let binary = scenario.pipe_binary_format()?;
                for value in &step.values {
                    let row = values::Row::new(name, value, binary)?;
                    channel.append_row(&row, value.id).await?;
                }
            }
            "many" => {
                let channel = self.channel(name)?;
                for (first, rows) in batches(step, name) {
                    channel.append_rows(rows, first..).await?;
                }
            }
            "flush" => self.channel(name)?.wait_for_flush().await?,
            "commit" => {
                let token = self.channel(name)?.wait_for_commit().await?;
                return Ok(json!({ "token": shown_token(token.as_ref()) }));
            }
            "status" => return Ok(shown(&self.channel(name)?.status().await?)),
            "statuses" => {
                let statuses = self.client()?.channel_statuses(&step.channels).await?;
                let shown = statuses.iter().map(|(name, status)| (name, shown(status)));
                return Ok(json!(shown.collect::<BTreeMap<_, _>>()));
            }
            "tokens" => {
                let asked = self
                    .client()?
                    .latest_committed_offset_tokens(&step.channels);
                let tokens = asked.await?;
                let shown = tokens
                    .iter()
                    .map(|(name, token)| (name, shown_token(token.as_ref())));
                return Ok(json!(shown.collect::<BTreeMap<_, _>>()));
            }
            "close" => self.close(name).await?,
            "close_and_drop" => {
                self.close(name).await?;
                self.client()?.drop_channel(name).await?;
            }
            "drop" => self.client()?.drop_channel(name).await?,
            "close_client" => self.close_client().await?,
            other if other.starts_with("elastic") => return self.take_elastic(step).await,
            other => bail!("no step {other:?}"),
        }
        Ok(Value::Null)
    }

    async fn take_elastic(&mut self, step: &Step) -> anyhow::Result<Value> {
        if step.verb == "elastic" {
            self.elastic = Some(self.client()?.elastic_channel());
            return Ok(Value::Null);
        }
        let channel = self.elastic.as_ref().context("no elastic channel")?;
        match step.verb.as_str() {
            "elastic_append" => {
                let (Some(row), Some(tag)) = (&step.row, &step.tag) else {
                    bail!("an elastic append needs a row and a tag");
                };
                self.acks.push(channel.append_row(row, tag.clone()).await?);
            }
            "elastic_many" => {
                for (first, rows) in batches(step, "ELASTIC") {
                    self.acks
                        .push(channel.append_rows(rows, first.to_string()).await?);
                }
            }
            "elastic_flush" => {
                tokio::time::timeout(PATIENCE, channel.wait_for_flush()).await??;
                let acks = std::mem::take(&mut self.acks);
                let acknowledged = acks.len();
                for ack in acks {
                    match ack.await {
                        Ok(accepted) => self.handled.push(accepted.into_tag()),
                        Err(failed) => return Err(failed.error().clone().into()),
                    }
                }
                return Ok(json!({ "acknowledged": acknowledged }));
            }
            "elastic_handled" => {
                self.handled.sort();
                return Ok(json!(self.handled));
            }
            other => bail!("no step {other:?}"),
        }
        Ok(Value::Null)
    }

    fn client(&self) -> anyhow::Result<&StreamingIngestClient> {
        self.client.as_ref().context("the client is closed")
    }

    fn channel(&mut self, name: &str) -> anyhow::Result<&mut Channel> {
        let channel = self.channels.get_mut(name);
        channel.with_context(|| format!("no channel {name:?} is open"))
    }

    async fn close(&mut self, name: &str) -> anyhow::Result<()> {
        let channel = self.channels.remove(name);
        let channel = channel.with_context(|| format!("no channel {name:?} is open"))?;
        channel.close().await?;
        Ok(())
    }

    async fn close_client(&mut self) -> anyhow::Result<()> {
        let client = self.client.take().context("the client is closed")?;
        client.close().await?;
        self.channels.clear();
        self.elastic = None;
        Ok(())
    }
}

/// A row of a step with many.
#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct Numbered<'a> {
    #[serde(rename = "CH")]
    channel: &'a str,
    id: u64,
    name: String,
}

/// The rows of a step, some at a time, each time with the number of the first one.
fn batches<'a>(
    step: &'a Step,
    channel: &'a str,
) -> impl Iterator<Item = (u64, impl Iterator<Item = Numbered<'a>> + 'a)> + 'a {
    let text = step.text.as_deref().unwrap_or("x");
    let name = text.repeat(step.length.unwrap_or(1));
    let numbers = (step.first..=step.last).step_by(step.each);
    numbers.map(move |first| {
        let last = step.last.min(first + step.each as u64 - 1);
        let name = name.clone();
        let row = move |id| Numbered {
            channel,
            id,
            name: name.clone(),
        };
        (first, (first..=last).map(row))
    })
}

fn shown(status: &ChannelStatus) -> Value {
    json!({
        "code": status.status_code(),
        "token": shown_token(status.latest_committed_offset_token()),
        "parsed": status.rows_parsed_count(),
        "inserted": status.rows_inserted_count(),
        "errors": status.rows_error_count(),
        "last_error": shown_token(status.last_error_offset_token_upper_bound()),
    })
}

fn shown_token(token: Option<&OffsetToken>) -> Value {
    token.map_or(Value::Null, |token| json!(token.as_str()))
}
