//! Profiles and private keys. An input's first byte says what the rest is: a profile, a key as text or as DER, or the
//! names of a pipe.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use snowpipe_streaming::{PipePath, Profile};
use snowpipe_streaming_fuzz::parts;

fn read(profile: Profile) {
    let url = profile.url();
    assert!(url.is_err() || url.is_ok_and(|url| url.starts_with("http")));
    let _ = profile.rsa_public_key();
    assert!(!format!("{profile:?}").contains("snowpipe"), "a secret");
}

fn with_key(key: String) {
    let profile = Profile::new("a").with_user("u").with_private_key(key);
    read(profile.with_private_key_passphrase("snowpipe"));
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    match kind {
        b'k' => with_key(text.into_owned()),
        b'd' => with_key(STANDARD.encode(rest)),
        b'u' => read(Profile::new("a").with_user("u").with_url(text)),
        b'n' => {
            let mut names = parts(rest).map(String::from_utf8_lossy);
            let mut name = || names.next().unwrap_or_default();
            let (database, schema, pipe) = (name(), name(), name());
            let _ = PipePath::new(&*database, &*schema, &*pipe);
            let _ = PipePath::for_table(&*database, &*schema, &*pipe);
        }
        // A file with a key or token is not this input's to name.
        _ if text.contains("_file") => {}
        b'p' => drop(Profile::from_properties(&text).map(read)),
        _ => drop(Profile::from_json(&text).map(read)),
    }
});
