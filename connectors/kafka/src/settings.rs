//! librdkafka's settings: what the program needs, and what the user adds.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;

use crate::cli::Args;

/// The defaults that differ from librdkafka's.
const DEFAULTS: [(&str, &str); 6] = [
    ("client.id", "snowpipe-kafka"),
    // Each partition has a queue of this size, besides the memory of the rows in flight.
    ("queued.max.messages.kbytes", "4096"),
    ("session.timeout.ms", "45000"),
    ("heartbeat.interval.ms", HEARTBEAT_MS),
    // The ends of the logs, for the lag.
    ("statistics.interval.ms", "5000"),
    ("log.connection.close", "false"),
];
const HEARTBEAT_MS: &str = "3000";

/// What exactly-once delivery relies on, and why.
const FIXED: [(&str, &str, &str); 6] = [
    (
        "enable.auto.commit",
        "false",
        "the committed token of the channel is the position",
    ),
    (
        "enable.auto.offset.store",
        "false",
        "the committed token of the channel is the position",
    ),
    (
        "auto.offset.reset",
        "error",
        "see --start and --on-gap for what happens without an offset",
    ),
    (
        "partition.assignment.strategy",
        "cooperative-sticky",
        "partitions that stay are not interrupted",
    ),
    (
        "enable.partition.eof",
        "true",
        "the end of a log has to be seen",
    ),
    (
        "group.protocol",
        "classic",
        "the program was written for this one",
    ),
];
/// Settings that have options.
const OPTIONS: [(&str, &str); 5] = [
    ("bootstrap.servers", "--brokers"),
    ("metadata.broker.list", "--brokers"),
    ("group.id", "--group"),
    ("group.instance.id", "--instance-id"),
    ("topic.blacklist", "--topic"),
];

/// The settings of the consumer.
///
/// # Errors
/// If the properties cannot be read, or contain a setting that is not the user's to choose.
pub(crate) fn consumer(args: &Args) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(key, value);
    }
    for (key, value) in of_user(args)? {
        config.set(key, value);
    }
    for (key, value, _) in FIXED {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &args.brokers);
    config.set("group.id", &args.group);
    if let Some(instance) = &args.instance_id {
        config.set("group.instance.id", instance);
    }
    Ok(config)
}

/// The settings of the producer of dead letters: those of the connection, which the user gave.
///
/// # Errors
/// As of [`consumer`].
pub(crate) fn producer(args: &Args) -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    // The partition waits for its letters, and tries again.
    config.set("message.timeout.ms", "30000");
    for (key, value) in of_user(args)? {
        config.set(key, value);
    }
    config.set("bootstrap.servers", &args.brokers);
    config.set("enable.idempotence", "true");
    Ok(config)
}

/// What the user has set, in the file first.
fn of_user(args: &Args) -> Result<Vec<(String, String)>> {
    let mut settings = match &args.properties {
        Some(path) => read(path)?,
        None => Vec::new(),
    };
    for text in &args.settings {
        settings.push(pair(text)?);
    }
    for (key, value) in &settings {
        check(key, value)?;
    }
    Ok(settings)
}

/// The interval of heartbeats.
///
/// # Errors
/// If it is not a number.
pub(crate) fn heartbeat(config: &ClientConfig) -> Result<Duration> {
    let millis = config.get("heartbeat.interval.ms").unwrap_or(HEARTBEAT_MS);
    let millis = millis.parse().context("heartbeat.interval.ms")?;
    Ok(Duration::from_millis(millis))
}

fn check(key: &str, value: &str) -> Result<()> {
    if let Some((_, fixed, why)) = FIXED.iter().find(|(fixed, ..)| *fixed == key)
        && *fixed != value
    {
        bail!("{key} has to be {fixed}: {why}");
    }
    if let Some((_, option)) = OPTIONS.iter().find(|(of_option, _)| *of_option == key) {
        bail!("use {option} in place of {key}");
    }
    Ok(())
}

/// The pairs of a properties file: a pair in each line, and comments after `#` or `!`.
fn read(path: &Path) -> Result<Vec<(String, String)>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    lines
        .map(pair)
        .collect::<Result<_>>()
        .with_context(|| format!("in {}", path.display()))
}

fn pair(text: &str) -> Result<(String, String)> {
    let Some((key, value)) = text.split_once('=') else {
        bail!("{text:?} is not KEY=VALUE");
    };
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn with(options: &[&str]) -> Result<ClientConfig> {
        let required = "x --brokers b:9092 --group g --topic t=A.B.C".split(' ');
        consumer(&Args::try_parse_from(
            required.chain(options.iter().copied()),
        )?)
    }

    #[test]
    fn the_users_settings_replace_the_defaults() {
        let config = with(&["--set", "session.timeout.ms=6000"]).unwrap();
        assert_eq!(config.get("session.timeout.ms"), Some("6000"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("bootstrap.servers"), Some("b:9092"));
        assert_eq!(heartbeat(&config).unwrap(), Duration::from_secs(3));
    }

    #[test]
    fn a_file_has_comments_and_spaces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(
            file.path(),
            "# brokers\n\n! old\n sasl.password = a=b \nheartbeat.interval.ms=500\n",
        )
        .unwrap();
        let path = file.path().to_str().unwrap();
        let config = with(&["--properties", path, "--set", "sasl.username=u"]).unwrap();
        assert_eq!(config.get("sasl.password"), Some("a=b"));
        assert_eq!(config.get("sasl.username"), Some("u"));
        assert_eq!(heartbeat(&config).unwrap(), Duration::from_millis(500));
    }

    #[test]
    fn what_delivery_relies_on_cannot_be_changed() {
        for (setting, text) in [
            ("enable.auto.commit=true", "has to be false"),
            ("auto.offset.reset=earliest", "--on-gap"),
            ("partition.assignment.strategy=range", "cooperative-sticky"),
            ("group.id=other", "use --group"),
            ("nonsense", "KEY=VALUE"),
        ] {
            let error = with(&["--set", setting]).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        assert!(with(&["--set", "enable.auto.commit=false"]).is_ok());
    }
}
