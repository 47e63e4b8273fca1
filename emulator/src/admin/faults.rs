//! Faults as JSON: `{"fault": "throttle", "retry_after_s": 2, "endpoint": "append", "times": 3}`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::endpoints::read;
use crate::messages::answer::Refusal;
use crate::protocol::faults::{Fault, Faults, Rule};
use crate::protocol::routes::Endpoint;

/// More rules than a test needs: each request looks at all of them.
const MOST_RULES: usize = 1_000;

const ENDPOINTS: [Endpoint; 15] = [
    Endpoint::Hostname,
    Endpoint::Token,
    Endpoint::Open,
    Endpoint::Append,
    Endpoint::Status,
    Endpoint::Drop,
    Endpoint::PipeInfo,
    Endpoint::AppendFiles,
    Endpoint::Upload,
    Endpoint::Telemetry,
    Endpoint::Authorize,
    Endpoint::Statement,
    Endpoint::Login,
    Endpoint::Query,
    Endpoint::Session,
];

/// One rule as it is posted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    fault: String,
    endpoint: Option<String>,
    channel: Option<String>,
    #[serde(default)]
    after: u64,
    times: Option<u64>,
    #[serde(default)]
    always: bool,
    rate: Option<f64>,
    ms: Option<u64>,
    retry_after_s: Option<u64>,
    status: Option<u16>,
    code: Option<String>,
    token: Option<String>,
}

/// The rules, and how often each fault was injected.
pub(crate) fn list(faults: &Faults) -> Value {
    let rules: Vec<Value> = faults.rules().iter().map(shown).collect();
    let injected: Map<String, Value> = faults
        .injected()
        .into_iter()
        .map(|(name, count)| (plain(name), count.into()))
        .collect();
    json!({ "faults": rules, "injected": injected })
}

/// Adds the rule or the list of rules of a body: all of them, or none if one is wrong.
pub(crate) fn add(faults: &Faults, body: &[u8]) -> Result<(), Refusal> {
    let posted = match read(body)? {
        Value::Array(rules) => rules,
        rule => vec![rule],
    };
    let mut rules = Vec::with_capacity(posted.len());
    for rule in posted {
        let wanted: Wanted = serde_json::from_value(rule)
            .map_err(|why| Refusal::malformed(format!("The fault cannot be read: {why}.")))?;
        rules.push(wanted.rule()?);
    }
    if faults.rules().len() + rules.len() > MOST_RULES {
        return Err(Refusal::malformed(format!(
            "There would be more than {MOST_RULES} faults: DELETE /_emulator/faults removes them."
        )));
    }
    for rule in rules {
        faults.push(rule);
    }
    Ok(())
}

/// A name in one form: `apply then lose` is `apply_then_lose` in JSON.
fn plain(name: &str) -> String {
    name.replace([' ', '-'], "_").to_lowercase()
}

/// An endpoint by its name in JSON.
pub(crate) fn endpoint(name: &str) -> Result<Endpoint, Refusal> {
    let wanted = plain(name);
    let mut known = ENDPOINTS.into_iter();
    let found = known.find(|endpoint| endpoint_name(*endpoint) == wanted);
    found.ok_or_else(|| {
        let names = ENDPOINTS.map(endpoint_name).join(", ");
        Refusal::malformed(format!("There is no endpoint {name:?}, only {names}."))
    })
}

/// An endpoint's name in JSON.
pub(crate) fn endpoint_name(endpoint: Endpoint) -> String {
    plain(&endpoint.to_string())
}

impl Wanted {
    fn rule(mut self) -> Result<Rule, Refusal> {
        let mut rule = Rule::from(self.take_fault()?);
        // What the fault has not taken does not belong to it.
        let left = [
            ("ms", self.ms.is_some()),
            ("retry_after_s", self.retry_after_s.is_some()),
            ("status", self.status.is_some()),
            ("code", self.code.is_some()),
            ("token", self.token.is_some()),
        ];
        if let Some((name, _)) = left.iter().find(|(_, is_left)| *is_left) {
            return Err(Refusal::malformed(format!(
                "The fault {} has no field {name:?}.",
                plain(&self.fault)
            )));
        }
        if let Some(name) = &self.endpoint {
            rule.endpoint = Some(endpoint(name)?);
        }
        rule.channel = self.channel;
        rule = rule.after(self.after);
        if let Some(times) = self.times {
            rule = rule.times(times);
        }
        if self.always {
            rule = rule.always();
        }
        if let Some(rate) = self.rate {
            if !(0.0..=1.0).contains(&rate) {
                return Err(Refusal::malformed(format!(
                    "The rate is {rate}, which is not between 0 and 1."
                )));
            }
            rule = rule.at_rate(rate);
        }
        Ok(rule)
    }

    fn take_fault(&mut self) -> Result<Fault, Refusal> {
        Ok(match plain(&self.fault).as_str() {
            "refuse" => Fault::Refuse,
            "lose" => Fault::Lose,
            "apply_then_lose" => Fault::ApplyThenLose,
            "zombie" => Fault::Zombie,
            "hang" => Fault::Hang,
            "apply_then_hang" => Fault::ApplyThenHang,
            "cut" => Fault::Cut,
            "delay" => Fault::Delay(self.take_ms()?),
            "throttle" => Fault::Throttle(self.retry_after_s.take().map(Duration::from_secs)),
            "server_error" => Fault::ServerError(self.take_status()?),
            "apply_then_server_error" => Fault::ApplyThenServerError(self.take_status()?),
            "unauthorized" => Fault::Unauthorized,
            "forbidden" => Fault::Forbidden,
            "expire_token" => Fault::ExpireToken,
            "bare_not_found" => Fault::BareNotFound,
            "failed_over" => Fault::FailedOver,
            "stale" => Fault::Stale,
            "bad_request" => Fault::BadRequest(self.take_code()?),
            "second_writer" => Fault::SecondWriter,
            "withhold_commits" => {
                let length = self.ms.take().map(Duration::from_millis);
                Fault::WithholdCommits(length.unwrap_or(Duration::MAX))
            }
            "foreign_token" => Fault::ForeignToken(self.token.take()),
            "invalidate" => Fault::Invalidate(self.take_code()?),
            "accept_and_lose" => Fault::AcceptAndLose,
            "stale_status" => Fault::StaleStatus(self.take_ms()?),
            "absent" => Fault::Absent,
            _ => {
                return Err(Refusal::malformed(format!(
                    "There is no fault {:?}: the emulator's chapter of the guide lists them.",
                    self.fault
                )));
            }
        })
    }

    fn take_ms(&mut self) -> Result<Duration, Refusal> {
        let length = self.ms.take().map(Duration::from_millis);
        length.ok_or_else(|| self.lacks("ms"))
    }

    fn take_code(&mut self) -> Result<String, Refusal> {
        self.code.take().ok_or_else(|| self.lacks("code"))
    }

    fn take_status(&mut self) -> Result<u16, Refusal> {
        let status = self.status.take().unwrap_or(500);
        if (500..600).contains(&status) {
            return Ok(status);
        }
        Err(Refusal::malformed(format!(
            "The status {status} is not one of a server error, from 500 to 599."
        )))
    }

    fn lacks(&self, field: &str) -> Refusal {
        Refusal::malformed(format!(
            "The fault {} needs the field {field:?}.",
            plain(&self.fault)
        ))
    }
}

/// A rule in the form in which it can be posted; what is at its default is left out.
fn shown(rule: &Rule) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            shown.insert(name.to_owned(), value);
        }
    };
    put("fault", plain(rule.fault.name()).into());
    let millis = |time: &Duration| Value::from(u64::try_from(time.as_millis()).ok());
    match &rule.fault {
        Fault::Delay(time) | Fault::StaleStatus(time) | Fault::WithholdCommits(time) => {
            put("ms", millis(time));
        }
        Fault::Throttle(after) => put("retry_after_s", after.map(|time| time.as_secs()).into()),
        Fault::ServerError(status) | Fault::ApplyThenServerError(status) => {
            put("status", (*status).into());
        }
        Fault::BadRequest(code) | Fault::Invalidate(code) => put("code", code.as_str().into()),
        Fault::ForeignToken(token) => put("token", token.as_deref().into()),
        Fault::Refuse
        | Fault::Lose
        | Fault::ApplyThenLose
        | Fault::Zombie
        | Fault::Hang
        | Fault::ApplyThenHang
        | Fault::Cut
        | Fault::Unauthorized
        | Fault::Forbidden
        | Fault::ExpireToken
        | Fault::AcceptAndLose
        | Fault::BareNotFound
        | Fault::FailedOver
        | Fault::Stale
        | Fault::SecondWriter
        | Fault::Absent => {}
    }
    put("endpoint", rule.endpoint.map(endpoint_name).into());
    put("channel", rule.channel.as_deref().into());
    put("after", Some(rule.skip).filter(|&skip| skip > 0).into());
    if rule.rate < 1.0 {
        put("rate", rule.rate.into());
    } else if let Some(left) = rule.left {
        put("times", left.into());
    } else {
        put("always", true.into());
    }
    Value::Object(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(body: &Value) -> Result<Faults, String> {
        let faults = Faults::seeded(0);
        match add(&faults, body.to_string().as_bytes()) {
            Ok(()) => Ok(faults),
            Err(refusal) => Err(String::from_utf8_lossy(refusal.into_answer().body()).into_owned()),
        }
    }

    /// What is listed can be posted again, and is the same: so every fault has its form.
    #[test]
    fn every_fault_can_be_posted() {
        let second = Duration::from_secs(1);
        let code = || "ERR_X".to_owned();
        let all = [
            Fault::Refuse,
            Fault::Lose,
            Fault::ApplyThenLose,
            Fault::Zombie,
            Fault::Hang,
            Fault::ApplyThenHang,
            Fault::Cut,
            Fault::Delay(second),
            Fault::Throttle(None),
            Fault::Throttle(Some(second)),
            Fault::ServerError(503),
            Fault::ApplyThenServerError(500),
            Fault::Unauthorized,
            Fault::Forbidden,
            Fault::ExpireToken,
            Fault::BareNotFound,
            Fault::FailedOver,
            Fault::Stale,
            Fault::BadRequest(code()),
            Fault::SecondWriter,
            Fault::WithholdCommits(second),
            Fault::WithholdCommits(Duration::MAX),
            Fault::ForeignToken(Some("9".to_owned())),
            Fault::ForeignToken(None),
            Fault::Invalidate(code()),
            Fault::AcceptAndLose,
            Fault::StaleStatus(second),
            Fault::Absent,
        ];
        for fault in all {
            let rule = Rule::from(fault.clone()).channel("c").after(2);
            let again = added(&shown(&rule)).unwrap();
            assert_eq!(again.rules(), [rule], "{fault:?}");
        }
        for endpoint in ENDPOINTS {
            let rule = Fault::Lose.on(endpoint).always();
            assert_eq!(added(&shown(&rule)).unwrap().rules(), [rule]);
        }
        let rule = Rule::from(Fault::Lose).at_rate(0.25);
        assert_eq!(added(&shown(&rule)).unwrap().rules(), [rule]);
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_is_added() {
        let cases = [
            (json!({ "fault": "lost" }), "no fault \\\"lost\\\""),
            (
                json!({ "fault": "lose", "tims": 2 }),
                "unknown field `tims`",
            ),
            (
                json!({ "fault": "lose", "ms": 2 }),
                "lose has no field \\\"ms\\\"",
            ),
            (
                json!({ "fault": "delay" }),
                "delay needs the field \\\"ms\\\"",
            ),
            (json!({ "fault": "lose", "rate": 2 }), "not between 0 and 1"),
            (
                json!({ "fault": "lose", "endpoint": "x" }),
                "only hostname, token",
            ),
            (
                json!({ "fault": "server error", "status": 200 }),
                "from 500 to 599",
            ),
            (json!({ "endpoint": "open" }), "missing field `fault`"),
            (
                json!([{ "fault": "lose" }, { "fault": "x" }]),
                "no fault \\\"x\\\"",
            ),
        ];
        for (body, message) in cases {
            let why = added(&body).err().unwrap();
            assert!(why.contains(message), "{body}: {why}");
        }
        let both = added(&json!([{ "fault": "lose" }, { "fault": "cut", "times": 3 }])).unwrap();
        assert_eq!(
            both.rules(),
            [Rule::from(Fault::Lose), Rule::from(Fault::Cut).times(3)]
        );
    }
}
