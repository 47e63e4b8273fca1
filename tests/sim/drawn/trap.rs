//! Panics in what a client calls: its transport, its clock and its credential. During a request such a panic is a lost answer. In an
//! append, which reads the clock, it is the program's own, and ends the process.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use snowpipe_streaming::auth::{Bearer, Credential, CredentialContext, CredentialError};
use snowpipe_streaming::time::TimeSource;

use super::outage::Part;
use super::world::World;

/// The call that panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The transport, at a request of this part.
    Request(Part),
    Clock,
    Credential,
}

impl Call {
    pub const ALL: [Self; 7] = [
        Self::Request(Part::Statuses),
        Self::Request(Part::Appends),
        Self::Request(Part::Opens),
        Self::Request(Part::Tokens),
        Self::Request(Part::Account),
        Self::Clock,
        Self::Credential,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Request(_) => "panic of a transport",
            Self::Clock => "panic of a clock",
            Self::Credential => "panic of a credential",
        }
    }
}

/// The panic's payload.
#[derive(Debug)]
struct Sprung;

/// Whether a task ended with such a panic.
pub fn is_sprung(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Sprung>()
}

/// The next call of a kind panics, once.
#[derive(Debug, Default)]
pub struct Trap(Mutex<Option<Call>>);

impl Trap {
    pub fn arm(&self, call: Call) {
        *self.0.lock().unwrap() = Some(call);
    }

    pub fn disarm(&self) {
        *self.0.lock().unwrap() = None;
    }
}

impl World {
    /// Panics if the trap is armed for this call.
    pub fn pass(&self, call: Call) {
        let mut armed = self.trap.0.lock().unwrap();
        if *armed == Some(call) {
            *armed = None;
            drop(armed);
            self.count(call.name());
            self.log(format!("panic: {call:?}"));
            // Without the hook, which would print a backtrace.
            std::panic::resume_unwind(Box::new(Sprung));
        }
    }
}

/// The clock of a client.
pub struct TrappedClock(pub Arc<World>);

impl fmt::Debug for TrappedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrappedClock")
    }
}

impl TimeSource for TrappedClock {
    fn now(&self) -> SystemTime {
        self.0.pass(Call::Clock);
        self.0.clock.now()
    }
}

/// The credential of a client.
pub struct TrappedCredential<C> {
    pub world: Arc<World>,
    pub inner: C,
}

impl<C> fmt::Debug for TrappedCredential<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrappedCredential")
    }
}

#[async_trait::async_trait]
impl<C: Credential> Credential for TrappedCredential<C> {
    async fn bearer(&self, context: CredentialContext<'_>) -> Result<Bearer, CredentialError> {
        self.world.pass(Call::Credential);
        self.inner.bearer(context).await
    }

    fn role(&self) -> Option<&str> {
        self.inner.role()
    }

    fn is_exchanged(&self) -> bool {
        self.inner.is_exchanged()
    }

    fn exchange_form(&self, bearer: &Bearer, ingest_host: &str) -> Vec<(&'static str, String)> {
        self.inner.exchange_form(bearer, ingest_host)
    }
}
