//! The emulator as a transport, under a paused clock.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use tokio::time::{Instant, timeout};

use crate::instance::Emulator;
use crate::memory::MemoryTransport;
use crate::protocol::faults::{Fault, Rule};
use crate::rig::{Client, START, START_MS, jwt, request, settings};
use snowpipe_streaming::time::{TimeSource, TokioClock};
use snowpipe_streaming::transport::{Transport, TransportErrorKind};

fn transport(emulator: &Emulator) -> (MemoryTransport, Arc<TokioClock>) {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(START_MS);
    let clock = Arc::new(TokioClock::starting_at(start));
    (MemoryTransport::new(emulator.clone(), clock.clone()), clock)
}

fn hostname() -> Request<Bytes> {
    request("GET", "/v2/streaming/hostname", &jwt(START, START + 3600))
        .body(Bytes::new())
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_the_latency_both_ways() {
    let emulator = settings().build().unwrap();
    let (transport, _) = transport(&emulator);
    let begun = Instant::now();
    assert_eq!(transport.call(hostname()).await.unwrap().status(), 200);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let transport = transport.with_latency(Duration::from_millis(40));
    assert_eq!(transport.call(hostname()).await.unwrap().status(), 200);
    assert_eq!(begun.elapsed(), Duration::from_millis(80));
}

#[tokio::test(start_paused = true)]
async fn the_servers_clock_is_the_time_source() {
    let emulator = settings().build().unwrap();
    let (transport, clock) = transport(&emulator);
    let client = Client::at(emulator.clone(), START_MS);
    let next = client.open("c");
    client.append("c", &next, "1", "{\"n\":1}\n");
    tokio::time::sleep(Duration::from_millis(500)).await;
    transport.call(hostname()).await.unwrap();
    assert_eq!(client.landed(), [1]);
    let passed = clock.now().duration_since(client.now).unwrap();
    assert_eq!(passed, Duration::from_millis(500));
}

#[tokio::test(start_paused = true)]
async fn faults_become_the_errors_of_a_network() {
    let emulator = settings().build().unwrap();
    let (transport, _) = transport(&emulator);
    for (fault, kind, may_have_been_sent) in [
        (Fault::Refuse, TransportErrorKind::Connect, false),
        (Fault::Lose, TransportErrorKind::Interrupted, true),
        (Fault::ApplyThenLose, TransportErrorKind::Interrupted, true),
        (Fault::Cut, TransportErrorKind::Body, true),
    ] {
        emulator.faults().push(fault);
        let why = transport.call(hostname()).await.unwrap_err();
        assert_eq!(why.kind(), kind);
        assert_eq!(why.may_have_been_sent(), may_have_been_sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_waited_for_and_a_hang_never_ends() {
    let emulator = settings().build().unwrap();
    let (transport, _) = transport(&emulator);
    emulator.faults().push(Fault::Delay(Duration::from_secs(9)));
    let begun = Instant::now();
    assert_eq!(transport.call(hostname()).await.unwrap().status(), 200);
    assert_eq!(begun.elapsed(), Duration::from_secs(9));
    emulator.faults().push(Rule::from(Fault::Hang));
    let hour = Duration::from_secs(3600);
    assert!(timeout(hour, transport.call(hostname())).await.is_err());
}
