//! The emulator's settings.

use std::sync::Mutex;
use std::time::Duration;

use snowpipe_streaming::auth::Secret;

use super::auth::keys::{self, PublicKey};
use super::auth::login::{Kind, Login};
use super::auth::oauth::OAuth;
use super::catalog::tables::Catalog;
use super::channels::channel::Rules;
use super::channels::committed_rows::{CommitObserver, CommittedRows};
use super::channels::limits::Limits;
use super::channels::state::State;
use super::instance::{Emulator, Shared};
use super::protocol::faults::Faults;
use super::protocol::handler::Handler;
use super::protocol::stage::Stage;
#[cfg(feature = "server")]
use super::storage::data_file::DataFile;
use super::storage::interface::Storage;
use super::storage::memory::MemoryStorage;
use crate::answers::{Answers, MaxBody, ReplayedToken};
use crate::error::{Error, ErrorKind, Result};
use snowpipe_streaming::auth::WorkloadIdentityProvider;

/// Settings of an [`Emulator`], each with a default that works.
#[derive(Debug)]
#[must_use]
pub struct EmulatorBuilder {
    catalog: Catalog,
    storage: Box<dyn Storage>,
    observer: Option<CommitObserver>,
    lose_buffer: bool,
    rules: Rules,
    token_life: Duration,
    ingest_host: String,
    seed: u64,
    account: String,
    user: String,
    private_key: Option<Secret>,
    public_keys: Vec<(String, String)>,
    oauth_clients: Vec<(String, Secret, Option<String>)>,
    refresh_tokens: Vec<(String, Secret)>,
    access_token_life: Duration,
    tokens: Vec<(Kind, Secret, Option<String>)>,
}

impl Emulator {
    /// A builder with every setting at its default.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::new()
    }
}

impl EmulatorBuilder {
    pub(crate) fn new() -> Self {
        Self {
            catalog: Catalog::anything(),
            storage: Box::new(MemoryStorage::new()),
            observer: None,
            lose_buffer: false,
            rules: Rules {
                commit_delay: Duration::from_millis(500),
                commit_every: Duration::from_millis(250),
                ..Rules::default()
            },
            token_life: Duration::from_secs(3600),
            ingest_host: "127.0.0.1".to_owned(),
            seed: 0,
            account: "EMULATOR".to_owned(),
            user: "STREAMING_INGEST".to_owned(),
            private_key: None,
            public_keys: Vec::new(),
            oauth_clients: Vec::new(),
            refresh_tokens: Vec::new(),
            access_token_life: Duration::from_secs(600),
            tokens: Vec::new(),
        }
    }

    /// The tables and pipes. By default every pipe exists, and its rows land whole in a table of one column.
    pub fn catalog(mut self, catalog: Catalog) -> Self {
        self.catalog = catalog;
        self
    }

    /// Stores rows, channels and accepted batches in this memory, so that an emulator that is built later can continue with them. By
    /// default they end with the emulator.
    pub fn memory(self, memory: MemoryStorage) -> Self {
        self.storage(memory)
    }

    /// Stores rows, channels and accepted batches in this file, and takes the tables and pipes from it.
    #[cfg(feature = "server")]
    pub fn data_file(self, file: DataFile) -> Self {
        let catalog = file.catalog().clone();
        self.catalog(catalog).storage(file)
    }

    /// Stores rows, channels and accepted batches here.
    pub(crate) fn storage(mut self, storage: impl Storage + 'static) -> Self {
        self.storage = Box::new(storage);
        self
    }

    /// Calls `observer` with the rows of each commit, in the order of the commits.
    ///
    /// The emulator waits for `observer`, which must not call the emulator.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use snowpipe_streaming_emulator::Emulator;
    /// let landed = Arc::new(Mutex::new(Vec::<serde_json::Value>::new()));
    /// let seen = Arc::clone(&landed);
    /// let emulator = Emulator::builder()
    ///     .on_commit(move |commit| seen.lock().unwrap().extend(commit.rows.iter().cloned()))
    ///     .build()?;
    /// # Ok::<(), snowpipe_streaming_emulator::Error>(())
    /// ```
    pub fn on_commit(mut self, observer: impl Fn(&CommittedRows) + Send + Sync + 'static) -> Self {
        self.observer = Some(CommitObserver::new(observer));
        self
    }

    /// Deletes at the start what an earlier run accepted and did not commit, as a server does that lost its buffer. The channels of
    /// these rows must be reopened. Off by default.
    pub fn lose_buffer(mut self, lose: bool) -> Self {
        self.lose_buffer = lose;
        self
    }

    /// How old an accepted batch must be before it commits; half a second by default.
    pub fn commit_delay(mut self, delay: Duration) -> Self {
        self.rules.commit_delay = delay;
        self
    }

    /// How often batches that are old enough commit, all of them together; every quarter of a second by default. Zero
    /// commits each on its own.
    pub fn commit_every(mut self, period: Duration) -> Self {
        self.rules.commit_every = period;
        self
    }

    /// How long the schema evolution of a table takes: the rows that need it commit so much later. Zero by default.
    pub fn evolution_delay(mut self, delay: Duration) -> Self {
        self.rules.evolution_delay = delay;
        self
    }

    /// Takes `EVOLVE SCHEMA` from the role of the clients: tables with `ENABLE_SCHEMA_EVOLUTION` do not change, keys that they do not know
    /// are ignored, and a row without a NOT NULL column is rejected. The role has the privilege by default.
    pub fn without_evolve_schema(mut self, is_missing: bool) -> Self {
        self.rules.may_not_evolve = is_missing;
        self
    }

    /// The limits; [`Limits::default`] by default.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.rules.limits = limits;
        self
    }

    /// Checks requests strictly against "Snowpipe Streaming REST API endpoints". Parameters that an endpoint does not have
    /// are refused, and so are requests without a `User-Agent` and bodies without their documented `Content-Type`; with
    /// [`Limits::strict`] rates are kept to the second. Off by default.
    pub fn strict(mut self, strict: bool) -> Self {
        self.rules.is_strict = strict;
        self
    }

    /// The answers to what is not published, as a conformance run has found them in an account. The limits follow
    /// [`Wire::max_body`](crate::answers::Wire::max_body) unless [`limits`](Self::limits) is set after this.
    pub fn answers(mut self, answers: Answers) -> Self {
        self.rules.answers = answers;
        self.rules.limits.request_bytes = Some(match answers.wire.max_body {
            MaxBody::Binary => 4 << 20,
            MaxBody::Decimal => 4_000_000,
        });
        self
    }

    /// The answer to a continuation token whose batch was accepted already.
    pub fn replay(mut self, replay: ReplayedToken) -> Self {
        self.rules.answers.wire.replayed_token = replay;
        self
    }

    /// How long a scoped token lives; an hour by default.
    pub fn token_life(mut self, life: Duration) -> Self {
        self.token_life = life;
        self
    }

    /// The ingest host that clients are sent to, without a port; `127.0.0.1` by default.
    pub fn ingest_host(mut self, host: impl Into<String>) -> Self {
        self.ingest_host = host.into();
        self
    }

    /// The seed of faults at a rate; 0 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The account's name; `EMULATOR` by default.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The user of [`Emulator::profile_json`]; `STREAMING_INGEST` by default.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// That user's private key, as unencrypted PKCS#8 PEM. By default one is made and shared by all emulators of the
    /// process.
    pub fn private_key(mut self, pem: Secret) -> Self {
        self.private_key = Some(pem);
        self
    }

    /// Lets a user log in with the private half of this public key, a PEM that begins with `BEGIN PUBLIC KEY`. A user
    /// may have several.
    pub fn public_key(mut self, user: impl Into<String>, pem: impl Into<String>) -> Self {
        self.public_keys.push((user.into(), pem.into()));
        self
    }

    /// Lets an OAuth client fetch access tokens at `/oauth/token-request`, and log in with them; with a role, under that
    /// one only.
    pub fn oauth_client(
        mut self,
        id: impl Into<String>,
        secret: impl Into<Secret>,
        role: Option<&str>,
    ) -> Self {
        let role = role.map(str::to_owned);
        self.oauth_clients.push((id.into(), secret.into(), role));
        self
    }

    /// Gives an OAuth client a refresh token. It works once: the answer holds the next.
    pub fn refresh_token(mut self, client: impl Into<String>, token: impl Into<Secret>) -> Self {
        self.refresh_tokens.push((client.into(), token.into()));
        self
    }

    /// How long an OAuth access token lives; ten minutes by default.
    pub fn access_token_life(mut self, life: Duration) -> Self {
        self.access_token_life = life;
        self
    }

    /// Accepts this programmatic access token as a login; with a role, for that role only.
    pub fn access_token(self, token: impl Into<Secret>, role: Option<&str>) -> Self {
        self.token(Kind::ProgrammaticAccessToken, token.into(), role)
    }

    /// Accepts this access token of an external OAuth server as a login; with a role, for that role only.
    pub fn external_token(self, token: impl Into<Secret>, role: Option<&str>) -> Self {
        self.token(Kind::AccessToken, token.into(), role)
    }

    /// Lets a service of Snowpark Container Services log in with this token of its file.
    pub fn spcs_token(self, token: impl Into<Secret>) -> Self {
        self.token(Kind::AccessToken, token.into(), None)
    }

    /// Lets a workload log in with this token, without `WIF.` and the provider. If it is a JWT, until its `exp`; its signature is not
    /// checked.
    pub fn workload_identity(
        self,
        provider: WorkloadIdentityProvider,
        token: impl Into<Secret>,
    ) -> Self {
        let token = format!("WIF.{provider}.{}", token.into().expose());
        self.token(Kind::WorkloadIdentity, Secret::from(token), None)
    }

    fn token(mut self, kind: Kind, token: Secret, role: Option<&str>) -> Self {
        self.tokens.push((kind, token, role.map(str::to_owned)));
        self
    }

    /// The emulator.
    ///
    /// # Errors
    ///
    /// When a key cannot be read or made, or the storage cannot be loaded.
    pub fn build(self) -> Result<Emulator> {
        let private_key = match self.private_key {
            Some(key) => key,
            None => keys::shared()?,
        };
        let mut oauth = OAuth::new(self.access_token_life);
        for (id, secret, role) in &self.oauth_clients {
            oauth.register(id, secret.expose(), role.as_deref());
        }
        for (client, token) in &self.refresh_tokens {
            oauth.register_refresh_token(client, token.expose());
        }
        let mut login = Login::new(&self.account, &self.ingest_host, self.token_life, oauth)?;
        for (kind, token, role) in &self.tokens {
            login.register_token(*kind, token.expose(), role.as_deref());
        }
        login.register(&self.user, PublicKey::of_private_pem(&private_key)?);
        for (user, pem) in &self.public_keys {
            login.register(user, PublicKey::from_pem(pem)?);
        }
        let catalog = self.catalog.with_answers(&self.rules.answers);
        let mut state =
            State::load(self.rules, catalog, self.storage, self.lose_buffer).map_err(|why| {
                Error::new(ErrorKind::Config, "the emulator's storage cannot be loaded")
                    .with_source(why)
            })?;
        state.observer = self.observer;
        let faults = Faults::seeded(self.seed);
        // With the same key, an emulator that is restarted continues to accept the files of running clients.
        let files = Stage::new(private_key.expose().as_bytes());
        Ok(Emulator::new(Shared {
            handler: Mutex::new(Handler::new(state, files, login, faults.clone())),
            faults,
            account: self.account,
            user: self.user,
            private_key,
            #[cfg(feature = "server")]
            statements: std::sync::Arc::default(),
            #[cfg(feature = "server")]
            sessions: std::sync::Arc::default(),
        }))
    }
}
