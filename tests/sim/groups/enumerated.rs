//! Every short history: two members, two partitions, and up to two events at the first requests.
//!
//! An event is tried at a request only if the history without it comes to that request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snowpipe_streaming_emulator::tables::Catalog;
use snowpipe_streaming_emulator::{Endpoint, Fault, ReplayedToken};
use tokio::time::{Instant, sleep, timeout_at};

use super::cluster::{Cluster, Rules};
use super::history::{History, Outcome};
use super::script::{Choice, Event, Script};
use crate::repeatable::in_virtual_time;
use crate::support::World;

/// The requests at which something may go wrong.
const REQUESTS: u64 = 14;
/// In a debug build every so many-th pair is tried.
const DEBUG_STRIDE: u64 = 389;
const SESSION: Duration = Duration::from_secs(6);
/// Events end after this time.
const SPAN: Duration = Duration::from_secs(40);

/// What a history has beside its events.
#[derive(Debug, Clone, Copy)]
struct Configuration {
    name: &'static str,
    /// The coordinator does not wait for the last owner of a partition.
    is_hasty: bool,
    replay: ReplayedToken,
}

const CONFIGURATIONS: [Configuration; 4] = [
    of("orderly-stale", false, ReplayedToken::Stale),
    of("orderly-accept", false, ReplayedToken::Accept),
    of("hasty-stale", true, ReplayedToken::Stale),
    of("hasty-accept", true, ReplayedToken::Accept),
];

const fn of(name: &'static str, is_hasty: bool, replay: ReplayedToken) -> Configuration {
    Configuration {
        name,
        is_hasty,
        replay,
    }
}

impl Configuration {
    fn history(self, script: Script) -> History {
        let ddl = "CREATE TABLE DB.PUBLIC.RIDES (P NUMBER, N NUMBER NOT NULL);
            CREATE PIPE DB.PUBLIC.RIDES_PIPE AS COPY INTO DB.PUBLIC.RIDES FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING'))
            MATCH_BY_COLUMN_NAME=CASE_SENSITIVE;";
        let world = World::with(|e| {
            let delay = Duration::from_millis(700);
            let catalog = Catalog::from_ddl(ddl).unwrap();
            e.catalog(catalog).replay(self.replay).commit_delay(delay)
        });
        let mut rng = fastrand::Rng::with_seed(1);
        let rules = Rules {
            partitions: 2,
            session: SESSION,
            heartbeat: Duration::from_secs(1),
            is_eager: false,
            is_hasty: self.is_hasty,
        };
        let cluster = Cluster::new(rules, &mut rng, 12, Duration::from_secs(10));
        let calm_at = Instant::now() + SPAN;
        History::new(world, cluster, rng, calm_at, Arc::new(script))
    }

    /// Runs a history. Returns how many requests it came to.
    fn run(self, choices: &[Choice]) -> Result<u64, String> {
        let (requests, Outcome { wrong, .. }) = self.outcome(choices);
        if wrong.is_empty() {
            Ok(requests)
        } else {
            Err(format!("{}: {wrong:#?}", self.text(choices)))
        }
    }

    /// Runs a history. Returns how many requests it came to, and what came of it.
    fn outcome(self, choices: &[Choice]) -> (u64, Outcome) {
        in_virtual_time(async {
            let (script, mut events) = Script::new(choices);
            let mut history = self.history(script);
            history.start().await;
            history.start().await;
            let calm_at = history.calm_at;
            while let Ok(Some((process, event))) = timeout_at(calm_at, events.recv()).await {
                happen(&mut history, process, event).await;
            }
            let script = history.script();
            let outcome = history.settle().await;
            (script.requests(), outcome)
        })
    }

    fn text(self, choices: &[Choice]) -> String {
        let choices = choices.iter().map(Choice::to_string);
        let words: Vec<_> = std::iter::once(self.name.to_owned())
            .chain(choices)
            .collect();
        words.join(" ")
    }
}

async fn happen(history: &mut History, process: u64, event: Event) {
    match event {
        Event::LoseRequest | Event::LoseAnswer | Event::Delay => {}
        Event::MustReopen => {
            let must = Fault::Invalidate("ERR_CHANNEL_MUST_BE_REOPENED".to_owned());
            let rule = must.on(Endpoint::Append).times(1);
            history.world.emulator.faults().push(rule);
        }
        Event::Kill => history.kill(process),
        Event::Doze => {
            history.suspend(process);
            sleep(SESSION / 2).await;
            history.resume(process);
        }
        Event::Sleep => {
            history.suspend(process);
            sleep(SESSION).await;
            history.expire();
            sleep(SESSION / 2).await;
            history.resume(process);
        }
        Event::Rebalance => history.cluster.rebalance(),
        Event::Storm => {
            for _ in 0..3 {
                history.cluster.rebalance();
                sleep(Duration::from_millis(150)).await;
            }
        }
        Event::CoordinatorAway => {
            history.cluster.go_away();
            sleep(SESSION).await;
            history.cluster.end_all_sessions();
            sleep(SESSION / 2).await;
            history.cluster.come_back();
        }
        Event::Join => history.start().await,
        Event::Stop => history.stop(process),
    }
}

/// The histories with one more event after the last, at requests that the history comes to.
fn longer(choices: &[Choice], requests: u64) -> impl Iterator<Item = Vec<Choice>> {
    let first = choices.last().map_or(0, |last| last.request + 1);
    let requests = first..requests.min(REQUESTS);
    requests.flat_map(move |request| {
        Event::ALL.map(|event| {
            let mut longer = choices.to_vec();
            longer.push(Choice { request, event });
            longer
        })
    })
}

/// Tries all of them, or every so many-th pair.
pub fn all(stride: Option<u64>) {
    if let Ok(one) = std::env::var("EXHAUSTIVE_ONE") {
        return self::one(&one);
    }
    let release = if cfg!(debug_assertions) {
        DEBUG_STRIDE
    } else {
        1
    };
    let stride = stride.unwrap_or(release);
    let mut singles = Vec::new();
    for configuration in CONFIGURATIONS {
        let requests = configuration.run(&[]).unwrap();
        assert!(requests >= REQUESTS, "only {requests} requests");
        let longer = longer(&[], requests);
        singles.extend(longer.map(|choices| (configuration, choices)));
    }
    let next = AtomicUsize::new(0);
    let found = Mutex::new((0_u64, Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((configuration, choices)) =
                    singles.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let (tried, wrong) = pairs(*configuration, choices, stride);
                    let mut found = found.lock().unwrap();
                    found.0 += tried;
                    found.1.extend(wrong);
                }
            });
        }
    });
    let (tried, wrong) = found.into_inner().unwrap();
    println!("{tried} histories, {} of them wrong", wrong.len());
    assert!(tried >= 4 * REQUESTS * 12);
    let some: Vec<&String> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "{} are wrong, as {some:#?}", wrong.len());
}

/// Tries a history with one event, and those with one more.
fn pairs(configuration: Configuration, single: &[Choice], stride: u64) -> (u64, Vec<String>) {
    let mut wrong = Vec::new();
    let requests = match configuration.run(single) {
        Ok(requests) => requests,
        Err(what) => {
            wrong.push(what);
            0
        }
    };
    let mut tried = 1;
    for (number, choices) in longer(single, requests).enumerate() {
        let salt = single[0].request * 31 + single[0].event as u64 * 7;
        if (number as u64 + salt).is_multiple_of(stride) {
            tried += 1;
            wrong.extend(configuration.run(&choices).err());
        }
    }
    (tried, wrong)
}

/// Runs the history with this text.
fn one(text: &str) {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or_default();
    let Some(configuration) = CONFIGURATIONS.into_iter().find(|c| c.name == name) else {
        return;
    };
    let choices: Vec<Choice> = words
        .map(|word| {
            let (request, event) = word.split_once(':').unwrap();
            let request = request.parse().unwrap();
            let mut events = Event::ALL.into_iter();
            let event = events.find(|e| format!("{e:?}") == event).unwrap();
            Choice { request, event }
        })
        .collect();
    configuration.run(&choices).unwrap();
}
