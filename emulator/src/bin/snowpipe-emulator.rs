//! The emulator as a program: a local Snowpipe Streaming server on loopback HTTP or HTTPS, with tables from Snowflake DDL and
//! rows in memory or in a SQLite file.

use std::error::Error;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};
use snowpipe_streaming::auth::Secret;
use snowpipe_streaming_emulator::answers::Answers;
use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{
    BinaryFormat, DataFile, Ddl, Emulator, Endpoint, Fault, Limits, Server, Tls,
};

#[path = "snowpipe_emulator/authority.rs"]
mod authority;

#[path = "snowpipe_emulator/credentials.rs"]
mod credentials;
#[path = "snowpipe_emulator/files.rs"]
mod files;
#[path = "snowpipe_emulator/profile.rs"]
mod profile;

use authority::Authority;
use credentials::CredentialOptions;
use files::read_text;

/// The user that profiles are written for.
const USER: &str = "STREAMING_INGEST";

/// The most memory that SQLite takes in this process, in bytes.
const MOST_SQLITE: i64 = 2 << 30;

/// A local Snowpipe Streaming server.
///
/// Prints its URL on stdout when it is ready, and with `--tls` on the same line the environment that clients need to trust it.
/// Logs on stderr (`RUST_LOG` sets the level). Ends on Ctrl-C or SIGTERM after it has answered the requests in flight and
/// committed what it accepted.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#[command(name = "snowpipe-emulator", version)]
struct Options {
    /// The loopback address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Lets other machines connect: `--listen` may be any address. The keys of a local server are not secret, so use this only
    /// on networks that you trust.
    #[arg(long, requires = "admin_token")]
    allow_remote: bool,

    /// The token that requests to `/_emulator/` need as `Authorization: Bearer TOKEN`.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "SNOWPIPE_EMULATOR_ADMIN_TOKEN",
        hide_env_values = true
    )]
    admin_token: Option<Secret>,

    /// A further host name of the emulator; the first one is used in the profile.
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    host: Vec<String>,

    /// Serves HTTPS, which the official SDK requires, with a certificate authority that is created at the start. The printed
    /// line has two assignments for the environment of clients: `SSL_CERT_FILE`, to trust the authority, and
    /// `AWS_ENDPOINT_URL`, to upload files here.
    #[arg(long)]
    tls: bool,

    /// A further host name or IP address in the certificate, besides those of loopback.
    #[arg(long, value_name = "NAME", requires = "tls", value_parser = certified_name)]
    tls_san: Vec<String>,

    /// The file for the authority's certificate. The default is beside the profile, or a temporary file.
    #[arg(long, value_name = "FILE.pem", requires = "tls")]
    tls_ca: Option<PathBuf>,

    /// Snowflake DDL that creates the tables and pipes. Without it every pipe exists, and rows are stored as they are.
    ///
    /// A data file stores the script: the same script again changes nothing, another one is an error.
    #[arg(long, value_name = "FILE.sql")]
    ddl: Option<PathBuf>,

    /// Executes the DDL on a data file that was created with another script. OR REPLACE empties tables.
    #[arg(long, requires = "ddl", requires = "data")]
    apply_ddl: bool,

    /// The SQLite file for rows, channels and accepted batches. The default is memory.
    #[arg(long, value_name = "FILE.db")]
    data: Option<PathBuf>,

    /// Writes a profile with everything that a client needs. An existing file is never overwritten: if an earlier run of the
    /// emulator wrote it for this URL, its key stays valid; otherwise it is an error.
    #[arg(long, value_name = "FILE.json")]
    write_profile: Option<PathBuf>,

    /// The user's private key, an unencrypted PKCS#8 PEM. The default is a new key.
    #[arg(long, value_name = "FILE.p8")]
    private_key: Option<PathBuf>,

    #[command(flatten)]
    credentials: CredentialOptions,

    /// How long accepted rows wait for their commit.
    #[arg(long, value_name = "DURATION", default_value = "500ms", value_parser = duration)]
    commit_delay: Duration,

    /// How long a token of the ingest host lives: a client has to fetch the next one before its end.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    token_life: Duration,

    /// How long rows wait for the columns that schema evolution adds for them.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    evolution_delay: Duration,

    /// Takes the privilege EVOLVE SCHEMA from the role of the clients: no table gets columns by itself.
    #[arg(long)]
    no_evolve_schema: bool,

    /// How long the answer to an append is delayed after its rows are accepted; logged at debug level.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    delay_answers: Duration,

    /// Discards the rows that an earlier run accepted and did not commit; their channels must be reopened.
    #[arg(long, requires = "data")]
    lose_buffer: bool,

    /// Lifts the limits on sizes, rates and channels.
    #[arg(long)]
    no_limits: bool,

    /// Enforces the documentation literally: refuses unknown query parameters, missing headers and more than ten requests in
    /// any second.
    #[arg(long, conflicts_with = "no_limits")]
    strict: bool,

    /// Stores JSON nulls in VARIANT columns as SQL NULL.
    #[arg(long)]
    sql_null: bool,

    /// The account's `BINARY_INPUT_FORMAT` for pipes made with CREATE PIPE: HEX, BASE64 or UTF-8. Default pipes always use
    /// BASE64.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    binary_input_format: BinaryFormat,

    /// The account's `TIMEZONE` for pipes, such as `America/Los_Angeles`, which is an account's own default: integers and texts without an
    /// offset are times in this zone. Queries and other statements run in UTC.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    timezone: String,

    /// The answers of an account to what Snowflake does not document: a report of `snowpipe conformance`, or its field
    /// `answers`. The default is what is documented or was observed.
    #[arg(long, value_name = "REPORT.json")]
    answers: Option<PathBuf>,

    /// The seed of the emulator's random choices.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|why: jiff::Error| why.to_string())?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// A host as it stands in a URL.
fn host_name(text: &str) -> Result<String, String> {
    match url::Host::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// A host as it stands in a certificate: an IPv6 address has no brackets.
fn certified_name(text: &str) -> Result<String, String> {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => host_name(text),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        .init();
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Ignored: stderr may be closed.
            let _ = writeln!(io::stderr(), "error: {}", with_causes(why.as_ref()));
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    // A statement that needs more is refused; without the limit its values could take all memory.
    rusqlite::Connection::open_in_memory()?.pragma_update(None, "hard_heap_limit", MOST_SQLITE)?;
    let (key, existing) = key(&options)?;
    let emulator = build(&options, key.as_ref())?;
    // Until the files are read a signal ends the program at once: one of them may never come.
    let mut ended = std::pin::pin!(end_signal()?);
    if !options.delay_answers.is_zero() {
        let delay = Fault::Delay(options.delay_answers);
        emulator.faults().push(delay.on(Endpoint::Append).always());
    }
    let mut settings = Server::builder(emulator.clone())
        .listen(options.listen)
        .allow_remote(options.allow_remote);
    for name in &options.host {
        settings = settings.host(name);
    }
    if let Some(token) = &options.admin_token {
        settings = settings.admin_token(token.clone());
    }
    let names = options.tls_san.iter().chain(&options.host);
    let tls = options.tls.then(|| Tls::generate(names)).transpose()?;
    if let Some(tls) = &tls {
        settings = settings.tls(tls.clone());
    }
    let server = settings.bind().await?;
    let url = match (options.host.first(), server.url().split_once("://")) {
        (Some(name), Some((scheme, _))) => {
            format!("{scheme}://{name}:{}", server.local_addr().port())
        }
        _ => server.url(),
    };
    if let Some(path) = &options.write_profile {
        match &existing {
            Some(profile) => profile::check(path, profile, &url)?,
            None => profile::write(path, new_profile(&options, &emulator, &url)?)?,
        }
    }
    let authority = match &tls {
        Some(tls) => Some(Authority::write(
            tls.authority_pem(),
            certificate(&options),
        )?),
        None => None,
    };
    tracing::info!(url, "the emulator is ready");
    // A closed stdout is not an error.
    let mut line = url;
    if let Some(authority) = &authority {
        let file = authority.path().display();
        line = format!("{line} SSL_CERT_FILE={file} AWS_ENDPOINT_URL={line}");
    }
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    ended.as_mut().await;
    tracing::info!("shutting down: answering the requests in flight and committing accepted rows");
    server.shutdown().await;
    Ok(())
}

/// The path of the authority's certificate; `None` for a temporary file.
fn certificate(options: &Options) -> Option<PathBuf> {
    let beside = || Some(options.write_profile.as_ref()?.with_extension("ca.pem"));
    options.tls_ca.clone().or_else(beside)
}

/// The key to register, and the profile of an earlier run if there is one.
fn key(options: &Options) -> Result<(Option<Secret>, Option<Value>), Box<dyn Error>> {
    let existing = match &options.write_profile {
        Some(path) => profile::read(path)?,
        None => None,
    };
    if let Some(path) = &options.private_key {
        let key = read_key(path)?;
        if let (Some(profile), Some(at)) = (&existing, &options.write_profile) {
            let held = profile::key(profile, at)?;
            if Emulator::public_key_of(&held)? != Emulator::public_key_of(&key)? {
                return Err(format!(
                    "the profile {} has another key than {}: choose another profile, or omit --private-key",
                    at.display(),
                    path.display()
                )
                .into());
            }
        }
        return Ok((Some(key), existing));
    }
    if let (Some(profile), Some(at)) = (&existing, &options.write_profile) {
        return Ok((Some(profile::key(profile, at)?), existing));
    }
    let fresh = match options.write_profile {
        Some(_) => Some(Emulator::generate_key()?),
        None => None,
    };
    Ok((fresh, None))
}

fn build(options: &Options, key: Option<&Secret>) -> Result<Emulator, Box<dyn Error>> {
    let script = match &options.ddl {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let mut builder = Emulator::builder()
        .user(USER)
        .commit_delay(options.commit_delay)
        .token_life(options.token_life)
        .evolution_delay(options.evolution_delay)
        .without_evolve_schema(options.no_evolve_schema)
        .lose_buffer(options.lose_buffer)
        .seed(options.seed)
        .ingest_host(host(options));
    let answers = answers(options)?;
    builder = builder.answers(answers);
    if options.no_limits {
        builder = builder.limits(Limits::off());
    }
    if options.strict {
        builder = builder.strict(true).limits(Limits::strict());
    }
    if let Some(key) = key {
        builder = builder.private_key(key.clone());
    }
    let credentials = options.credentials.read()?;
    let can_log_in = key.is_some() || !credentials.is_empty();
    for (id, secret) in credentials.oauth_clients {
        builder = builder.oauth_client(id, secret, None);
    }
    for token in credentials.access_tokens {
        builder = builder.access_token(token, None);
    }
    for (provider, token) in credentials.workload_identities {
        builder = builder.workload_identity(provider, token);
    }
    let Some(path) = &options.data else {
        if !can_log_in {
            tracing::warn!(
                "no client can log in: give --write-profile, --private-key, --oauth-client, --access-token or --workload-identity"
            );
        }
        let catalog = match script {
            Some(script) => {
                let mut catalog = Catalog::default().with_answers(&answers);
                catalog
                    .apply_ddl(&script)
                    .map_err(|why| format!("the DDL script cannot be executed: {why}"))?;
                catalog
            }
            None => Catalog::anything(),
        };
        return Ok(builder.catalog(of_account(options, catalog)?).build()?);
    };
    let ddl = match script {
        Some(script) if options.apply_ddl => Ddl::Apply(script),
        Some(script) => Ddl::Bootstrap(script),
        None => Ddl::Stored,
    };
    let file = DataFile::open_with_answers(path, &ddl, &answers)?;
    if let Some(key) = key {
        file.remember_key(USER, &Emulator::public_key_of(key)?)?;
    }
    for (user, public_key) in file.keys()? {
        builder = builder.public_key(user, public_key);
    }
    let catalog = of_account(options, file.catalog().clone())?;
    Ok(builder.data_file(file).catalog(catalog).build()?)
}

/// The answers of the file, if there is one.
fn answers(options: &Options) -> Result<Answers, Box<dyn Error>> {
    let Some(path) = &options.answers else {
        return Ok(Answers::default());
    };
    let text = read_text(path).map_err(|why| named("the answers", path, &why))?;
    let answers = Answers::from_json(&text).map_err(|why| format!("{}: {why}", path.display()))?;
    for (point, answer) in answers.differences() {
        tracing::info!(point, answer, "answers otherwise than by default");
    }
    Ok(answers)
}

/// Applies the options of the account to the catalog.
fn of_account(options: &Options, catalog: Catalog) -> Result<Catalog, String> {
    catalog
        .with_sql_null(options.sql_null)
        .with_binary_input_format(options.binary_input_format)
        .with_timezone(&options.timezone)
        .map_err(|why| format!("--timezone: {why}"))
}

/// The host for clients, as in a URL.
fn host(options: &Options) -> String {
    if let Some(name) = options.host.first() {
        return name.clone();
    }
    match options.listen {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}

fn new_profile(options: &Options, emulator: &Emulator, url: &str) -> Result<Value, Box<dyn Error>> {
    let mut profile: Value = serde_json::from_str(&emulator.profile_json(url))?;
    let Some(fields) = profile.as_object_mut() else {
        return Err("the emulator's profile is not an object".into());
    };
    if let Some(path) = &options.private_key {
        // The profile names the key's file instead of containing a copy.
        let path = path
            .canonicalize()
            .map_err(|why| named("the private key", path, &why))?;
        fields.remove("private_key");
        fields.insert("private_key_file".to_owned(), json!(path));
    }
    Ok(profile)
}

fn read_key(path: &Path) -> Result<Secret, Box<dyn Error>> {
    read_text(path)
        .map(|text| Secret::from(text.as_str()))
        .map_err(|why| named("the private key", path, &why))
}

fn read(path: &Path) -> Result<String, Box<dyn Error>> {
    let text = read_text(path).map_err(|why| named("the DDL script", path, &why))?;
    Ok(text.to_string())
}

fn named(what: &str, path: &Path, why: &io::Error) -> Box<dyn Error> {
    format!("{what} {}: {why}", path.display()).into()
}

/// Resolves on Ctrl-C or, on Unix, SIGTERM.
fn end_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        let terminated = terminate.recv();
        #[cfg(not(unix))]
        let terminated = std::future::pending::<()>();
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated => {}
        }
    })
}

/// The text of an error and its causes, without repetitions.
fn with_causes(why: &dyn Error) -> String {
    let mut text = why.to_string();
    let mut cause = why.source();
    while let Some(why) = cause {
        let message = why.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = why.source();
    }
    text
}
