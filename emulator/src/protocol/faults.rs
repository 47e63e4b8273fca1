//! Faults: what goes wrong between a client and the server on purpose, one by one or at random from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::routes::Endpoint;

/// Something that goes wrong with a request.
///
/// By itself a fault is injected once, at the next request that allows it. [`Fault::on`] and the methods of [`Rule`] change that.
///
/// ```
/// use snowpipe_streaming_emulator::{Emulator, Endpoint, Fault};
/// let emulator = Emulator::builder().build()?;
/// // The second append of the channel is carried out, but its answer never arrives.
/// emulator.faults().push(Fault::ApplyThenLose.on(Endpoint::Append).channel("rides-0").after(1));
/// # Ok::<(), snowpipe_streaming_emulator::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No connection: the server never receives the request, and the client knows it.
    Refuse,
    /// The request is lost and the connection breaks: nothing happened, but the client cannot know.
    Lose,
    /// The request is carried out, and the connection breaks before the answer.
    ApplyThenLose,
    /// The connection breaks, and the request is carried out after the channel's next one, for example its own retry.
    Zombie,
    /// The request is lost, and the client gets no answer.
    Hang,
    /// The request is carried out, and the client gets no answer.
    ApplyThenHang,
    /// The request is carried out, and the answer breaks off in the middle.
    Cut,
    /// The request is carried out, and the answer takes this long.
    Delay(Duration),
    /// 429, with a `Retry-After` if there is a time; nothing is carried out.
    Throttle(Option<Duration>),
    /// This status, 500 or above, and nothing is carried out.
    ServerError(u16),
    /// This status, 500 or above, although the request is carried out.
    ApplyThenServerError(u16),
    /// 401 for this one request.
    Unauthorized,
    /// 403 for this one request.
    Forbidden,
    /// All scoped tokens are revoked before the request, which is answered 401.
    ExpireToken,
    /// 404 without a body.
    BareNotFound,
    /// 410: the pipe has failed over to another deployment.
    FailedOver,
    /// 400 `STALE_CONTINUATION_TOKEN_SEQUENCER` although the token is good; nothing is carried out.
    Stale,
    /// 400 with this code, an append refused for good; nothing is carried out.
    BadRequest(String),
    /// Another writer opens the channel just before the request.
    SecondWriter,
    /// The channel commits nothing for this long from now on; [`Duration::MAX`] has no end.
    WithholdCommits(Duration),
    /// The channel's committed token becomes this one just before the request, although no client sent it.
    ForeignToken(Option<String>),
    /// The channel's status becomes this code just before the request.
    Invalidate(String),
    /// The channel's status becomes `ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED` just before the request. Rows that it has accepted
    /// and not committed are lost, and so are rows that it accepts before it is opened again, as after CREATE OR REPLACE TABLE. The
    /// committed rows and the token stay.
    AcceptAndLose,
    /// The answer shows the channel as it was this long ago, as a lagging replica does.
    StaleStatus(Duration),
    /// The channel is missing from the answer, as if the server did not know it.
    Absent,
}

impl Fault {
    /// The fault on requests to one endpoint only.
    pub fn on(self, endpoint: Endpoint) -> Rule {
        Rule {
            endpoint: Some(endpoint),
            ..Rule::from(self)
        }
    }

    /// The fault's name, as [`Faults::injected`] counts it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Lose => "lose",
            Self::ApplyThenLose => "apply then lose",
            Self::Zombie => "zombie",
            Self::Hang => "hang",
            Self::ApplyThenHang => "apply then hang",
            Self::Cut => "cut",
            Self::Delay(_) => "delay",
            Self::Throttle(_) => "throttle",
            Self::ServerError(_) => "server error",
            Self::ApplyThenServerError(_) => "apply then server error",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::ExpireToken => "expire token",
            Self::BareNotFound => "bare not found",
            Self::FailedOver => "failed over",
            Self::Stale => "stale",
            Self::BadRequest(_) => "bad request",
            Self::SecondWriter => "second writer",
            Self::WithholdCommits(_) => "withhold commits",
            Self::ForeignToken(_) => "foreign token",
            Self::Invalidate(_) => "invalidate",
            Self::AcceptAndLose => "accept and lose",
            Self::StaleStatus(_) => "stale status",
            Self::Absent => "absent",
        }
    }

    /// Whether the fault makes sense at an endpoint.
    fn fits(&self, endpoint: Endpoint) -> bool {
        let account = matches!(
            endpoint,
            Endpoint::Hostname
                | Endpoint::Token
                | Endpoint::Authorize
                | Endpoint::Telemetry
                | Endpoint::Statement
                | Endpoint::Login
                | Endpoint::Query
                | Endpoint::Session
                | Endpoint::Upload
        );
        match self {
            Self::Stale | Self::BadRequest(_) => {
                matches!(endpoint, Endpoint::Append | Endpoint::AppendFiles)
            }
            Self::StaleStatus(_) | Self::Absent => endpoint == Endpoint::Status,
            Self::ExpireToken | Self::FailedOver => !account,
            Self::SecondWriter
            | Self::WithholdCommits(_)
            | Self::ForeignToken(_)
            | Self::Invalidate(_)
            | Self::AcceptAndLose => matches!(
                endpoint,
                Endpoint::Append | Endpoint::AppendFiles | Endpoint::Status
            ),
            Self::Zombie => matches!(
                endpoint,
                Endpoint::Open | Endpoint::Append | Endpoint::AppendFiles | Endpoint::Drop
            ),
            _ => true,
        }
    }
}

/// A fault, and the requests at which it is injected.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub(crate) fault: Fault,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) channel: Option<String>,
    pub(crate) skip: u64,
    pub(crate) left: Option<u64>,
    pub(crate) rate: f64,
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            endpoint: None,
            channel: None,
            skip: 0,
            left: Some(1),
            rate: 1.0,
        }
    }
}

impl Rule {
    /// Only requests about this channel, whatever the name's case.
    #[must_use]
    pub fn channel(mut self, name: impl Into<String>) -> Self {
        self.channel = Some(name.into());
        self
    }

    /// Lets this many matching requests pass first.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    /// Injects the fault at this many requests instead of one.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.left = Some(times);
        self
    }

    /// Injects the fault at every matching request.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    /// Injects the fault at each matching request with this probability, from 0 to 1, drawn from the emulator's seed.
    #[must_use]
    pub fn at_rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self.always()
    }

    fn matches(&self, endpoint: Endpoint, channels: &[String]) -> bool {
        self.endpoint.is_none_or(|only| only == endpoint)
            && self.fault.fits(endpoint)
            && (self.channel.is_none() || self.target(channels).is_some())
    }

    /// Which of a request's channels the rule is about.
    fn target(&self, channels: &[String]) -> Option<String> {
        let only = self.channel.as_ref().map(|name| name.to_uppercase());
        let mut channels = channels.iter();
        channels
            .find(|name| only.is_none() || only == Some(name.to_uppercase()))
            .cloned()
    }
}

/// A fault that is injected at a request, and the channel that it is about.
#[derive(Debug)]
pub(crate) struct InjectedFault {
    pub(crate) fault: Fault,
    pub(crate) channel: Option<String>,
}

/// The faults of an emulator. A cheap handle: clones share the rules.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    rules: Vec<Rule>,
    injected: BTreeMap<&'static str, u64>,
    rng: fastrand::Rng,
}

impl Faults {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Script {
            rules: Vec::new(),
            injected: BTreeMap::new(),
            rng: fastrand::Rng::with_seed(seed),
        })))
    }

    /// Adds a rule. Of the rules that match a request, the one that was added first applies.
    pub fn push(&self, rule: impl Into<Rule>) {
        self.script().rules.push(rule.into());
    }

    /// Removes all rules. Their effects remain: a channel whose commits are withheld continues to withhold them.
    pub fn clear(&self) {
        self.script().rules.clear();
    }

    /// Removes all rules and resets the counts.
    pub(crate) fn reset(&self) {
        let mut script = self.script();
        script.rules.clear();
        script.injected.clear();
    }

    /// The rules that are not used up.
    #[cfg(feature = "server")]
    pub(crate) fn rules(&self) -> Vec<Rule> {
        self.script().rules.clone()
    }

    /// How many faults were injected so far, by [`Fault::name`].
    pub fn injected(&self) -> BTreeMap<&'static str, u64> {
        self.script().injected.clone()
    }

    /// The fault of a request, if there is one.
    pub(crate) fn inject(&self, endpoint: Endpoint, channels: &[String]) -> Option<InjectedFault> {
        let mut script = self.script();
        let Script {
            rules,
            injected,
            rng,
        } = &mut *script;
        for rule in rules.iter_mut() {
            if !rule.matches(endpoint, channels) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.left == Some(0) || (rule.rate < 1.0 && rng.f64() >= rule.rate) {
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            *injected.entry(rule.fault.name()).or_default() += 1;
            let found = InjectedFault {
                fault: rule.fault.clone(),
                channel: rule.target(channels),
            };
            rules.retain(|rule| rule.left != Some(0));
            return Some(found);
        }
        None
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults").field(&self.script().rules).finish()
    }
}
