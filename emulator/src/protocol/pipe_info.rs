//! The information about a pipe that a client requests first: the location of files, the credentials for it, and the key that
//! encrypts them. Observed of the official SDK 1.9.1, which refuses a pipe without a complete answer.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

use super::routes::STAGE;
use crate::catalog::binary::hex;
use crate::catalog::object_name::ObjectName;
use crate::catalog::tables::Pipe;
use crate::messages::answer::{Answer, json_answer};

/// How long the credentials of a stage are valid. The official SDK renews them after 59 minutes.
const GRANT_LIFE: Duration = Duration::from_secs(4000);

/// Derives everything about a pipe's stage from one secret. So nothing is stored per client, and what a client received is still
/// valid after a restart with the same secret.
#[derive(Debug)]
pub(crate) struct Grants {
    secret: hmac::Key,
    /// Distinguishes the prefixes of this start from earlier ones.
    start: u64,
    /// How many prefixes were assigned. Each is for one client, because every client numbers its files from 0.
    given: u64,
}

/// The credentials of an upload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Valid for keys with this prefix.
    Good(String),
    /// No longer valid.
    Expired,
    /// Not made by this server.
    Unknown,
}

impl Grants {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self {
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret),
            start: fastrand::u64(..),
            given: 0,
        }
    }

    /// The key of a pipe's files, 32 bytes.
    pub(crate) fn key(&self, pipe: &ObjectName) -> Vec<u8> {
        self.derived("key", pipe)
    }

    /// The number of that key.
    pub(crate) fn key_id(&self, pipe: &ObjectName) -> String {
        // As many digits as a JSON number keeps wherever it is read.
        let digits = self.derived("key id", pipe).into_iter().take(6);
        let number = digits.fold(0_u64, |number, byte| number << 8 | u64::from(byte));
        number.to_string()
    }

    /// Identifies the key, together with its number.
    pub(crate) fn diversifier(&self, pipe: &ObjectName) -> String {
        hex(&self.derived("diversifier", pipe), 16)
    }

    /// The prefix of all files of a pipe.
    pub(crate) fn root(&self, pipe: &ObjectName) -> String {
        format!("{}/", hex(&self.derived("root", pipe), 8))
    }

    /// What an upload's session token grants at `now_ms`.
    pub(crate) fn check(&self, token: &str, now_ms: u64) -> Credentials {
        let claims = || {
            let (message, tag) = token.rsplit_once('.')?;
            let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
            hmac::verify(&self.secret, message.as_bytes(), &tag).ok()?;
            let (prefix, until_ms) = message.rsplit_once('.')?;
            Some((prefix.to_owned(), until_ms.parse::<u64>().ok()?))
        };
        match claims() {
            Some((prefix, until_ms)) if now_ms < until_ms => Credentials::Good(prefix),
            Some(_) => Credentials::Expired,
            None => Credentials::Unknown,
        }
    }

    /// A new prefix in the stage of a pipe, with its credentials.
    fn location(&mut self, pipe: &ObjectName, now_ms: u64) -> Value {
        self.given += 1;
        let prefix = format!("{}{:x}-{}/", self.root(pipe), self.start, self.given);
        let life_ms = u64::try_from(GRANT_LIFE.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(life_ms);
        let message = format!("{prefix}.{until_ms}");
        let tag = hmac::sign(&self.secret, message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
        json!({
            "location_type": "S3",
            "location": format!("{STAGE}/{prefix}"),
            "region": "us-east-1",
            "use_s3_regional_url": false,
            "storage_account": null,
            "storage_endpoint": null,
            "url_override": null,
            "creds": {
                "AWS_KEY_ID": "EMULATOR",
                "AWS_SECRET_KEY": hex(&self.derived("secret key", pipe), 20),
                "AWS_TOKEN": token,
            },
            "expiry_time": until_ms.to_string(),
            "expiry_time_ms": until_ms,
        })
    }

    fn derived(&self, what: &str, pipe: &ObjectName) -> Vec<u8> {
        let ObjectName {
            database,
            schema,
            name,
        } = pipe;
        let message = json!([what, database, schema, name]).to_string();
        hmac::sign(&self.secret, message.as_bytes())
            .as_ref()
            .to_vec()
    }
}

/// The answer about a pipe.
pub(crate) fn answer(grants: &mut Grants, now_ms: u64, pipe: &Pipe) -> Answer {
    let format = pipe.rules.binary.to_string();
    let encryption = json!({
        "pipe_key": STANDARD.encode(grants.key(&pipe.name)),
        "pipe_key_id": grants.key_id(&pipe.name),
        "diversifier": grants.diversifier(&pipe.name),
    });
    let rowset = grants.location(&pipe.name, now_ms);
    let durable = grants.location(&pipe.name, now_ms);
    let answer = json!({
        "status_code": 0,
        "message": "Success",
        "database_name": pipe.name.database,
        "schema_name": pipe.name.schema,
        "pipe_name": pipe.name.name,
        "binary_input_format": format,
        // Where the official SDK 1.9.1 looks for it.
        "parameter_overrides": { "binary_input_format": format },
        "stage_location": rowset,
        "rowset_stage_location": rowset,
        "durable_stage_location": durable,
        "encryption_info": encryption,
    });
    json_answer(StatusCode::OK, &answer)
}
