//! A wrong clock of this machine: the client uses the account host's time.

use std::time::{Duration, SystemTime};

use snowpipe_streaming::ErrorKind;
use snowpipe_streaming::time::{TimeSource, TokioClock};
use snowpipe_streaming_emulator::Endpoint;
use tokio::time::advance;
use tracing::Level;

use crate::support::{World, row};
use snowpipe_connector_support::trace::Trace;

/// A clock that is ahead of the world's clock by this much.
#[derive(Debug)]
struct Wrong {
    right: TokioClock,
    ahead: i64,
}

impl TimeSource for Wrong {
    fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.ahead.unsigned_abs());
        if self.ahead < 0 {
            self.right.now() - by
        } else {
            self.right.now() + by
        }
    }
}

fn wrong(ahead: i64) -> Wrong {
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_768_658_400);
    Wrong {
        right: TokioClock::starting_at(epoch),
        ahead,
    }
}

/// Lands rows with a clock that is `ahead` by this many seconds. Returns the warnings, and the HTTP statuses of all requests.
async fn land(ahead: i64) -> (String, Vec<u16>) {
    let warnings = Trace::of(Level::WARN);
    let world = World::new();
    let client = world
        .builder()
        .time_source(wrong(ahead))
        .build()
        .await
        .unwrap();
    let mut channel = client.open_channel("c").await.unwrap();
    for n in 0..4 {
        let receipt = channel.append_row(&row(n), n).await.unwrap();
        receipt.committed().await.unwrap();
        // Longer than the lifetime of JWTs and scoped tokens.
        advance(Duration::from_secs(4000)).await;
    }
    assert_eq!(world.landed(), [0, 1, 2, 3]);
    assert!(world.requests(Endpoint::Token) >= 4, "tokens were renewed");
    let log = world.emulator.log();
    let statuses = log.iter().filter_map(|request| request.status).collect();
    (warnings.text(), statuses)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_costs_one_refused_jwt_and_one_warning() {
    let (warnings, statuses) = land(600).await;
    assert_eq!(statuses[..3], [401, 200, 200]);
    assert!(
        statuses[3..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert_eq!(
        warnings
            .matches("this machine's clock is 600 s ahead of")
            .count(),
        1,
        "{warnings}"
    );
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_behind_costs_one_refused_jwt_and_one_warning() {
    let (warnings, statuses) = land(-7200).await;
    assert_eq!(statuses[..3], [401, 200, 200]);
    assert!(
        statuses[3..].iter().all(|status| *status == 200),
        "{statuses:?}"
    );
    assert_eq!(
        warnings
            .matches("this machine's clock is 7200 s behind")
            .count(),
        1,
        "{warnings}"
    );
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

#[tokio::test(start_paused = true)]
async fn a_small_clock_difference_is_ignored() {
    for ahead in [-25, 0, 25] {
        let (warnings, statuses) = land(ahead).await;
        assert!(
            statuses.iter().all(|status| *status == 200),
            "{ahead}: {statuses:?}"
        );
        assert_eq!(warnings, "", "{ahead}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_days_off_is_not_corrected() {
    for ahead in [-10 * 365 * 86_400, 3 * 86_400] {
        let warnings = Trace::of(Level::WARN);
        let world = World::new();
        let builder = world.builder().time_source(wrong(ahead));
        let error = builder.build().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(error.to_string().contains("clock"), "{error}");
        let statuses: Vec<_> = world.emulator.log().iter().map(|r| r.status).collect();
        assert_eq!(statuses, [Some(401)], "one JWT, of our own time");
        let warnings = warnings.text();
        assert!(warnings.contains("too much to correct"), "{warnings}");
    }
}
