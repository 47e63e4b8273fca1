//! The answers of the account before rows are sent. Observed of the official SDK 1.9.1: the host name without a port, a JWT
//! that must differ between calls, and a complete description of the stage for its files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The lifetime of tokens and of the stage's credentials: longer than any run.
const LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// The first part of the path of an upload.
pub(super) const BUCKET: &str = "sink";

/// The key with which files are encrypted.
pub(super) const PIPE_KEY: [u8; 32] = [7; 32];

/// A token without a real signature, which clients do not check.
pub(super) fn token() -> String {
    let claims = json!({ "exp": until().as_secs(), "jti": fastrand::u64(..) });
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    [header.to_string(), claims.to_string(), "sink".to_owned()]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

/// The stage for files, and their encryption key.
pub(super) fn pipe_info() -> Value {
    let until_ms = u64::try_from(until().as_millis()).unwrap_or(u64::MAX);
    let location = json!({
        "location_type": "S3",
        // Every client numbers its files from 0.
        "location": format!("{BUCKET}/{:016x}/", fastrand::u64(..)),
        "region": "us-east-1",
        "use_s3_regional_url": false,
        "storage_account": null,
        "storage_endpoint": null,
        "url_override": null,
        "creds": { "AWS_KEY_ID": "SINK", "AWS_SECRET_KEY": "sink", "AWS_TOKEN": "sink" },
        "expiry_time": until_ms.to_string(),
        "expiry_time_ms": until_ms,
    });
    json!({
        "status_code": 0,
        "message": "Success",
        "binary_input_format": "BASE64",
        "parameter_overrides": {},
        "stage_location": location,
        "rowset_stage_location": location,
        "durable_stage_location": location,
        "encryption_info": {
            "pipe_key": STANDARD.encode(PIPE_KEY),
            "pipe_key_id": "7",
            "diversifier": "sink",
        },
    })
}

fn until() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default() + LIFE
}
