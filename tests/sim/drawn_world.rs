//! A server whose answers, delays and faults are drawn, for the histories of sources.

use std::time::Duration;

use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken, Rule};

use crate::support::World;

/// A server with the table `RIDES` of these columns. Each fault hits with an own rate below `most`, or never.
pub(crate) fn draw(
    rng: &mut fastrand::Rng,
    columns: &str,
    most: f64,
    further: Option<Rule>,
) -> World {
    let ddl = format!(
        "CREATE TABLE DB.PUBLIC.RIDES ({columns});
        CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
        MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;"
    );
    let catalog = Catalog::from_ddl(&ddl).unwrap();
    let replay = if rng.bool() {
        ReplayedToken::Accept
    } else {
        ReplayedToken::Stale
    };
    let delay = Duration::from_millis(rng.u64(..3_000));
    let seed = rng.u64(..);
    let world = World::with(|e| {
        e.catalog(catalog)
            .seed(seed)
            .replay(replay)
            .commit_delay(delay)
    });
    let invalidated = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
    let faults = [
        Fault::Refuse.on(Endpoint::Append),
        Fault::Lose.on(Endpoint::Append),
        Fault::ApplyThenLose.on(Endpoint::Append),
        Fault::Zombie.on(Endpoint::Append),
        Fault::SecondWriter.on(Endpoint::Append),
        Fault::Stale.on(Endpoint::Append),
        invalidated.clone().on(Endpoint::Append),
        invalidated.on(Endpoint::Status),
        Fault::ServerError(503).on(Endpoint::Open),
        Fault::ApplyThenLose.on(Endpoint::Open),
    ];
    let withheld = Fault::WithholdCommits(Duration::from_secs(40)).on(Endpoint::Append);
    for fault in faults.into_iter().chain(further).chain([withheld]) {
        if rng.bool() {
            let rate = rng.f64() * most;
            world.emulator.faults().push(fault.at_rate(rate));
        }
    }
    world
}
