//! Every request gets an answer.

use bytes::Bytes;
use http::Request;
use proptest::prelude::*;

use crate::mutated::mutated;
use crate::rig::{Client, answered};

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "v2", "streaming", "data", "databases", "DB", "schemas", "S", "pipes", "P", "channels", "c", "rows",
            "oauth", "token", "hostname", "P:bulk-channel-status", "P:pipe-info", "filebuffer", "snowpipe-emulator-stage",
            "%22", "%", "%ff", "",
        ])
        .prop_map(str::to_owned),
        1 => "[!-~]{0,8}".prop_map(|text| text.replace(['/', '?', '#'], "")),
    ]
}

fn path() -> impl Strategy<Value = String> {
    let free = prop::collection::vec(segment(), 0..12).prop_map(|parts| parts.join("/"));
    let real = prop::sample::select(vec![
        "v2/streaming/databases/DB/schemas/S/pipes/P/channels/c".to_owned(),
        "v2/streaming/data/databases/DB/schemas/S/pipes/P/channels/c/rows".to_owned(),
        "v2/streaming/databases/DB/schemas/S/pipes/P:bulk-channel-status".to_owned(),
        "v2/streaming/databases/DB/schemas/S/pipes/P:pipe-info".to_owned(),
        "v2/streaming/data/databases/DB/schemas/S/pipes/P/channels/c/filebuffer".to_owned(),
        "snowpipe-emulator-stage/a/1/0.ndjson".to_owned(),
        "oauth/token".to_owned(),
    ]);
    prop_oneof![free, real]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn no_request_breaks_the_server(
        method in prop::sample::select(vec!["GET", "PUT", "POST", "DELETE"]),
        path in path(),
        continuation in "([0-9]{1,20}_[0-9]{1,20}|[ -~]{0,12})",
        encoding in prop::sample::select(vec!["gzip", "zstd", "identity", "x"]),
        token in prop_oneof![Just(None), "[ -~]{0,40}".prop_map(Some)],
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            mutated(vec![
                b"{\"n\":1}\n{\"n\":[2]}\n".to_vec(),
                b"{\"channel_names\":[\"c\"]}".to_vec(),
                b"{\"offset_token\":\"7\"}".to_vec(),
            ]),
        ],
    ) {
        let client = Client::new();
        client.open("c");
        let continuation: String =
            url::form_urlencoded::byte_serialize(continuation.as_bytes()).collect();
        let token = token.unwrap_or_else(|| client.token.clone());
        let built = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1/{path}?continuationToken={continuation}"))
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "*/*")
            .header("content-encoding", encoding)
            .body(Bytes::from(body));
        if let Ok(request) = built {
            let answer = answered(client.emulator.handle(client.now, request));
            prop_assert!(answer.status().as_u16() < 500);
            client.emulator.commit_now();
        }
    }
}
