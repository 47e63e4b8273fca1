//! What the servers refuse: the login, the token, the role, the pipe, the channel.

use snowpipe_streaming::PipePath;
use snowpipe_streaming::doctor::{Check, Options, Outcome};
use snowpipe_streaming::transport::Request;
use snowpipe_streaming_emulator::{Endpoint, Fault, Limits};

use crate::world::{
    World, assert_found, examine, examine_with, intercepted, outcome, pipe, transport,
};

#[tokio::test]
async fn a_login_that_is_forbidden_or_not_found() {
    let world = World::new().await;
    for (endpoint, check) in [
        (Endpoint::Hostname, Check::IngestHost),
        (Endpoint::Token, Check::Token),
    ] {
        world
            .emulator()
            .faults()
            .push(Fault::Forbidden.on(endpoint).always());
        let report = world.examine().await;
        assert_found(&report, check, "403", "network policy");
        world.emulator().faults().clear();
    }
    world
        .emulator()
        .faults()
        .push(Fault::BareNotFound.on(Endpoint::Hostname));
    let report = world.examine().await;
    assert_found(&report, Check::IngestHost, "404", "CREATE PIPE");
}

#[tokio::test]
async fn a_role_that_the_user_may_not_assume() {
    let world = World::new().await;
    let without = |request: &Request| {
        let body = String::from_utf8_lossy(request.body());
        let is_asked =
            request.uri().path() == "/oauth/token" && body.contains("session%3Arole%3ANOBODY");
        is_asked.then_some((
            400,
            r#"{"code": "390186", "message": "Role NOBODY is not granted."}"#,
        ))
    };
    let profile = world.profile().with_role("NOBODY");
    let report = examine_with(profile, &pipe(), intercepted(without)).await;
    assert_found(
        &report,
        Check::Role,
        "Role NOBODY is not granted",
        "GRANT ROLE NOBODY TO USER STREAMING_INGEST",
    );
    assert_eq!(outcome(&report, Check::Token), Outcome::Ok);
    assert_eq!(outcome(&report, Check::Pipe), Outcome::Skipped);

    // It is not the role if there is no token without it either.
    let never = |request: &Request| (request.uri().path() == "/oauth/token").then_some((400, "{}"));
    let profile = world.profile().with_role("NOBODY");
    let report = examine_with(profile, &pipe(), intercepted(never)).await;
    assert_found(&report, Check::Token, "400", "");
    assert_eq!(outcome(&report, Check::Role), Outcome::Skipped);
}

#[tokio::test]
async fn a_pipe_or_table_that_is_not_there() {
    let world = World::new().await;
    let options = || Options::new().transport(transport());
    let missing = PipePath::new("RESORT", "PUBLIC", "NOTHING").expect("a name");
    let report = examine_with(world.profile(), &missing, options()).await;
    assert_found(
        &report,
        Check::Pipe,
        "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
        "SHOW PIPES IN SCHEMA RESORT.PUBLIC",
    );
    assert_eq!(outcome(&report, Check::Channel), Outcome::Skipped);

    // A default pipe may come into being with its first channel, and here it does not.
    let missing = PipePath::for_table("RESORT", "PUBLIC", "NOTHING").expect("a name");
    let report = examine_with(world.profile(), &missing, options()).await;
    assert_found(
        &report,
        Check::Channel,
        "404",
        "check that the table RESORT.PUBLIC.NOTHING exists",
    );
    assert_eq!(outcome(&report, Check::Pipe), Outcome::Warn);
    assert_eq!(outcome(&report, Check::Drop), Outcome::Skipped);
}

#[tokio::test]
async fn a_role_that_sees_nothing() {
    let world = World::new().await;
    let elsewhere = PipePath::for_table("NOWHERE", "PUBLIC", "RIDE").expect("a name");
    let code = "ERR_DATABASE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED";
    for (profile, pipe, role) in [
        (world.profile(), elsewhere, "the user's DEFAULT_ROLE"),
        (
            world.profile().with_role("PUBLIC"),
            pipe(),
            "the role is PUBLIC",
        ),
    ] {
        let report = examine_with(profile, &pipe, Options::new().transport(transport())).await;
        assert_found(&report, Check::Pipe, code, role);
        assert_eq!(outcome(&report, Check::Channel), Outcome::Skipped);
    }
}

#[tokio::test]
async fn a_pipe_that_the_role_may_not_use() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Status).always());
    let report = examine(world.profile().with_role("LOADER")).await;
    let remedy = "GRANT OPERATE ON PIPE RESORT.PUBLIC.RIDE_PIPE TO ROLE LOADER";
    assert_found(&report, Check::Pipe, "403", remedy);
}

#[tokio::test]
async fn a_pipe_that_is_broken() {
    let world = World::new().await;
    let status = |request: &Request| {
        let is_asked = request.uri().path().ends_with(":bulk-channel-status");
        is_asked.then_some((
            409,
            r#"{"code": "ERR_PIPE_IN_INVALID_STATE", "message": "It is."}"#,
        ))
    };
    let report = examine_with(world.profile(), &pipe(), intercepted(status)).await;
    assert_found(
        &report,
        Check::Pipe,
        "ERR_PIPE_IN_INVALID_STATE",
        "repair the pipe and its table",
    );

    // It opens all the same, with 200.
    let opened = |request: &Request| {
        (request.method() == http::Method::PUT).then_some((
            200,
            r#"{"next_continuation_token": "0_1", "channel_status": {"channel_status_code": "ERR_PIPE_IN_INVALID_STATE"}}"#,
        ))
    };
    let report = examine_with(world.profile(), &pipe(), intercepted(opened)).await;
    assert_found(
        &report,
        Check::Channel,
        "its status is ERR_PIPE_IN_INVALID_STATE",
        "DESC PIPE RESORT.PUBLIC.RIDE_PIPE",
    );
    let dropped = world.emulator().log();
    assert!(
        dropped.iter().any(|r| r.endpoint == Endpoint::Drop),
        "the probe is dropped"
    );
}

#[tokio::test]
async fn a_server_that_asks_to_slow_down() {
    for (endpoint, check) in [
        (Endpoint::Hostname, Check::IngestHost),
        (Endpoint::Token, Check::Token),
        (Endpoint::Status, Check::Pipe),
        (Endpoint::Open, Check::Channel),
    ] {
        let world = World::new().await;
        world
            .emulator()
            .faults()
            .push(Fault::Throttle(None).on(endpoint).always());
        let report = world.examine().await;
        assert_found(&report, check, "429", "wait a minute and run this again");
    }
}

#[tokio::test]
async fn a_pipe_that_has_all_the_channels_it_may_have() {
    let mut limits = Limits::default();
    limits.channels_per_pipe = Some(0);
    let world = World::of(|builder| builder.limits(limits)).await;
    let report = world.examine().await;
    let remedy = "SHOW CHANNELS IN PIPE RESORT.PUBLIC.RIDE_PIPE";
    assert_found(
        &report,
        Check::Channel,
        "ERR_CHANNEL_LIMIT_EXCEEDED_FOR_PIPE",
        remedy,
    );
    assert_eq!(outcome(&report, Check::Drop), Outcome::Skipped);
}

#[tokio::test]
async fn a_probe_that_may_be_open_is_dropped() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::ApplyThenLose.on(Endpoint::Open));
    let report = world.examine().await;
    assert_found(&report, Check::Channel, "broke before the answer", "");
    assert_eq!(outcome(&report, Check::Drop), Outcome::Ok);
    assert_eq!(world.channels(), 0);

    // The first try to drop it fails.
    world
        .emulator()
        .faults()
        .push(Fault::ServerError(503).on(Endpoint::Drop));
    let report = world.examine().await;
    assert!(report.is_fine(), "{report:#?}");
    assert_eq!(world.channels(), 0);
}

#[tokio::test]
async fn a_probe_that_cannot_be_dropped() {
    let world = World::new().await;
    world
        .emulator()
        .faults()
        .push(Fault::Forbidden.on(Endpoint::Drop).always());
    let report = world.examine().await;
    assert_found(&report, Check::Drop, "403", "thirty days without use");
    assert_eq!(outcome(&report, Check::Channel), Outcome::Ok);
}
