//! The configuration, the profile and the command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use snowpipe_streaming::Profile;
use snowpipe_streaming_emulator::Emulator;

use crate::cli::{Args, explain};
use crate::config::{Config, DEFAULT, Names};
use crate::profile;
use crate::table::{Schema, Table};
use crate::target::schema;

const STAGING: &str = include_str!("../config_staging.properties");

fn names(channel: &str, pipe: &str) -> Names {
    Names {
        channel: channel.to_owned(),
        pipe: pipe.to_owned(),
    }
}

#[test]
fn every_key_is_read() {
    let text = "
        # a comment
        profile.path = keys/profile.json
        channel.customers.name=customers_channel
        channel.orders.name=  o  \n channel.order_items.name=i=1
        pipe.customers.name=CUSTOMERS-STREAMING
        pipe.orders.name=ORDERS-STREAMING
        pipe.order_items.name=ORDER_ITEMS-STREAMING
        max.client.lag=5
        batch.size=7
        batch.timeout.ms=5000
        max.retries=0
        retry.delay.ms=20
        orders.batch.size=8
        num.orders.per.batch=9
        generation.interval.ms=10000
    ";
    let expected = Config {
        profile: Some(PathBuf::from("keys/profile.json")),
        customers: Some(names("customers_channel", "CUSTOMERS-STREAMING")),
        orders: names("o", "ORDERS-STREAMING"),
        items: names("i=1", "ORDER_ITEMS-STREAMING"),
        total_orders: 9,
        max_client_lag: Duration::from_secs(5),
        orders_at_once: 8,
        items_at_once: 7,
        generation_interval: Duration::from_secs(10),
        request_timeout: Duration::from_secs(5),
        max_retries: 0,
        retry_delay: Duration::from_millis(20),
    };
    assert_eq!(Config::parse(text).unwrap(), expected);
    assert_eq!(expected.orders.channel_of(Some(3)), "o_instance_3");
    assert_eq!(expected.orders.channel_of(None), "o");
    let half = text.replace("pipe.customers.name", "# pipe");
    let error = Config::parse(&half).unwrap_err().to_string();
    assert!(error.contains("pipe.customers.name"), "{error}");
}

#[test]
fn the_files_beside_the_source_are_valid() {
    let config = Config::parse(DEFAULT).unwrap();
    assert_eq!(config.profile, None);
    assert_eq!(config.orders, names("orders_channel", "ORDERS-STREAMING"));
    assert_eq!(
        config.items,
        names("order_items_channel", "ORDER_ITEMS-STREAMING")
    );
    assert_eq!(
        (config.total_orders, config.orders_at_once),
        (10_000, 10_000)
    );
    assert_eq!(config.max_client_lag, Duration::from_secs(60));
    assert_eq!(Config::load(None).unwrap(), config);

    let staging = Config::parse(STAGING).unwrap();
    assert_eq!(
        staging.orders,
        names("orders_channel_staging", "ORDERS_STAGING-STREAMING")
    );
    assert_eq!(
        staging.items,
        names(
            "order_items_channel_staging",
            "ORDER_ITEMS_STAGING-STREAMING"
        )
    );
    assert_eq!(staging.customers, None);
    let same = Config {
        customers: config.customers.clone(),
        orders: config.orders.clone(),
        items: config.items.clone(),
        ..staging
    };
    assert_eq!(same, config);
}

#[test]
fn all_missing_keys_are_listed() {
    let error = Config::parse("pipe.orders.name=\nchannel.orders.name=o\n").unwrap_err();
    let text = error.to_string();
    for key in [
        "channel.order_items.name",
        "pipe.orders.name",
        "pipe.order_items.name",
    ] {
        assert!(text.contains(key), "{text}");
    }
    assert!(!text.contains("channel.orders.name"), "{text}");
}

#[test]
fn an_invalid_value_names_its_key() {
    for line in [
        "max.client.lag=soon",
        "batch.size=0",
        "orders.batch.size=-1",
        "num.orders.per.batch=0",
        "batch.timeout.ms=0",
        "max.retries=1.5",
        "retry.delay.ms=1s",
        "generation.interval.ms=x",
    ] {
        let key = line.split('=').next().unwrap();
        let error = Config::parse(&format!("{DEFAULT}\n{line}")).unwrap_err();
        assert!(error.to_string().starts_with(key), "{error}");
    }
    // Other lines are logged and ignored.
    let text = format!("{DEFAULT}\nnonsense\nno.such.key=1");
    assert!(Config::parse(&text).is_ok());
}

#[test]
fn a_profile_path_is_relative_to_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.properties");
    std::fs::write(&path, format!("{DEFAULT}\nprofile.path=keys/profile.json")).unwrap();
    let config = Config::load(Some(&path)).unwrap();
    assert_eq!(
        config.profile,
        Some(folder.path().join("keys/profile.json"))
    );
    let missing = folder.path().join("none.properties");
    assert!(
        Config::load(Some(&missing))
            .unwrap_err()
            .to_string()
            .contains("none.properties")
    );
}

/// The emulator's profile with more keys, and its private key.
fn profile_with(more: &serde_json::Value) -> (serde_json::Value, String) {
    let emulator = Emulator::builder().build().unwrap();
    let json = emulator.profile_json("http://127.0.0.1:1");
    let mut profile: serde_json::Value = serde_json::from_str(&json).unwrap();
    let key = profile["private_key"].as_str().unwrap().to_owned();
    let fields = profile.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    (profile, key)
}

#[test]
fn a_key_comes_inline_with_escaped_newlines_or_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (inline, key) = profile_with(&serde_json::json!({
        "database": "D", "schema": "RAW", "warehouse": "W", "role": "R"
    }));
    let public_key = |profile: &serde_json::Value| {
        let profile = profile::parse(&profile.to_string(), folder.path()).unwrap();
        profile.rsa_public_key().unwrap()
    };
    let expected = public_key(&inline);

    let escaped = serde_json::json!({ "private_key": key.replace('\n', "\\n") });
    assert_eq!(public_key(&profile_with(&escaped).0), expected);

    std::fs::write(folder.path().join("rsa_key.p8"), &key).unwrap();
    for name in ["private_key_path", "private_key_file"] {
        let file = serde_json::json!({ "private_key": "", name: "rsa_key.p8" });
        assert_eq!(public_key(&profile_with(&file).0), expected, "{name}");
    }

    let profile = profile::parse(&inline.to_string(), folder.path()).unwrap();
    assert_eq!(
        (profile.database(), profile.schema()),
        (Some("D"), Some("RAW"))
    );
    assert_eq!(profile.role(), Some("R"));
}

#[test]
fn an_unusable_profile_lists_the_missing_keys() {
    let parse = |text: &str| profile::parse(text, Path::new("")).unwrap_err().to_string();
    let text = parse(r#"{"account": "a-b", "private_key": " "}"#.replace(' ', "").as_str());
    assert!(
        text.contains("user, private_key or private_key_path"),
        "{text}"
    );
    assert!(!text.contains("account"), "{text}");
    let text = parse(r#"{"private_key": "secret" "#);
    assert!(
        text.contains("not a JSON object") && !text.contains("secret"),
        "{text}"
    );
    let template = include_str!("../profile.json.template");
    assert!(
        parse(template).contains("account"),
        "the template has to be filled in"
    );
}

#[test]
fn the_schema_determines_the_tables() {
    let config = Config::parse(DEFAULT).unwrap();
    let staging = Config::parse(STAGING).unwrap();
    let bare = Profile::new("a-b");
    let raw = schema(&bare, &config).unwrap();
    assert_eq!(raw.path(Table::Orders), "AUTOMATED_INTELLIGENCE.RAW.ORDERS");
    let found = schema(&bare, &staging).unwrap();
    assert_eq!(
        found.path(Table::OrderItems),
        "AUTOMATED_INTELLIGENCE.STAGING.ORDER_ITEMS_STAGING"
    );
    let named = bare.clone().with_database("D").with_schema("staging");
    let named = schema(&named, &staging).unwrap();
    assert_eq!(named.path(Table::Orders), "D.staging.ORDERS_STAGING");
    for (schema_name, config) in [("STAGING", &config), ("RAW", &staging)] {
        let profile = bare.clone().with_schema(schema_name);
        let error = schema(&profile, config).unwrap_err().to_string();
        assert!(
            error.contains(schema_name) && error.contains("-STREAMING"),
            "{error}"
        );
    }
    let pipes = Schema {
        database: "D".to_owned(),
        name: "STAGING".to_owned(),
    };
    assert!(
        pipes.may_have("ORDERS_PIPE"),
        "a custom pipe can have any name"
    );
}

#[test]
fn the_command_line_is_checked() {
    let parse = |line: &str| Args::read(std::iter::once("orders").chain(line.split_whitespace()));
    let args = parse("").unwrap();
    assert_eq!((args.orders, args.instances()), (None, None));
    assert_eq!((args.config(), args.profile()), (None, None));
    let args = parse("100 staging.properties profile.json").unwrap();
    assert_eq!((args.orders, args.instances()), (Some(100), None));
    assert_eq!(args.config(), Some(Path::new("staging.properties")));
    assert_eq!(args.profile(), Some(Path::new("profile.json")));
    let args = parse("100000 5 config.properties profile.json --seed 3 --now 2026-01-17T14:00:00Z");
    let args = args.unwrap();
    assert_eq!(
        (args.orders, args.instances(), args.seed),
        (Some(100_000), Some(5), 3)
    );
    assert_eq!(args.config(), Some(Path::new("config.properties")));
    assert_eq!(args.profile(), Some(Path::new("profile.json")));
    for bad in [
        "0",
        "-5",
        "many",
        "10 0",
        "10 1001",
        "10 config.properties profile.json more",
        "10 2 a b c",
        "--now today",
        "--customers 0",
    ] {
        let error = parse(bad).unwrap_err();
        let text = explain(&error);
        assert!(
            error.use_stderr() && text.contains("Usage: orders"),
            "{bad}: {text}"
        );
    }
    let help = parse("--help").unwrap_err();
    assert!(!help.use_stderr() && explain(&help).contains("CONFIG.PROPERTIES"));
}
