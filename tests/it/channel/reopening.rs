//! Reopening in place: the pause before it, refusals, and what the channel keeps. Paused clock throughout.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snowpipe_streaming::{InvalidationCause, Recovery};
use snowpipe_streaming_emulator::{Endpoint, Fault};
use tokio::time::Instant;

use crate::support::{World, cause, row};

fn must_reopen() -> Fault {
    Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned())
}

#[tokio::test(start_paused = true)]
async fn the_pause_before_a_reopen_is_drawn_from_its_upper_half() {
    let mut pauses = Vec::new();
    for seed in 0..20 {
        let world = World::new();
        let opened = Arc::new(Mutex::new(Vec::new()));
        let opens = Arc::clone(&opened);
        let builder = world.intercepted(move |request| {
            if request.method() == http::Method::PUT {
                opens.lock().unwrap().push(Instant::now());
            }
            None
        });
        let builder = builder.recovery(Recovery::Replay).seed(seed);
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        world
            .emulator
            .faults()
            .push(must_reopen().on(Endpoint::Append));
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        let flushed = Instant::now();
        channel.initiate_flush();
        receipt.accepted().await.unwrap();
        let opened = opened.lock().unwrap();
        assert_eq!(opened.len(), 2);
        pauses.push(opened[1] - flushed);
    }
    pauses.sort();
    let (least, most) = (pauses[0], pauses[19]);
    assert!(least >= Duration::from_millis(250), "{least:?}");
    assert!(most <= Duration::from_millis(501), "{most:?}");
    assert!(most > least + Duration::from_millis(100), "it varies");
}

#[tokio::test(start_paused = true)]
async fn a_reopen_that_is_refused_for_its_credential_is_tried_again() {
    for refusal in [Fault::Forbidden, Fault::Unauthorized] {
        let world = World::new();
        let builder = world.builder().recovery(Recovery::Replay);
        let client = builder.build().await.unwrap();
        let mut channel = client.open_channel("c").await.unwrap();
        let faults = world.emulator.faults();
        faults.push(must_reopen().on(Endpoint::Append));
        // More refusals than one attempt resolves by itself.
        faults.push(refusal.clone().on(Endpoint::Open).times(4));
        let receipt = channel.append_row(&row(0), 0).await.unwrap();
        receipt.committed().await.unwrap();

        faults.push(must_reopen().on(Endpoint::Append));
        faults.push(refusal.clone().on(Endpoint::Open).always());
        let receipt = channel.append_row(&row(1), 1).await.unwrap();
        let error = receipt.committed().await.unwrap_err();
        let InvalidationCause::MustReopen = cause(&error) else {
            panic!("{refusal:?}: {error}");
        };
        assert!(
            error.to_string().contains("could not be reopened"),
            "{error}"
        );
        assert_eq!(world.landed(), [0]);
    }
}
