//! What the token cache fetches, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Notify;
use tokio::time::{advance, sleep};

use super::{Fetched, Held, TokenCache};
use crate::time::{TimeSource, TokioClock};

const HOUR: Duration = Duration::from_secs(3600);

/// A cache and a server that numbers the tokens it hands out.
struct Rig {
    clock: TokioClock,
    cache: TokenCache<&'static str>,
    fetches: AtomicU32,
}

impl Rig {
    fn new() -> Self {
        let clock = TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));
        Self {
            clock,
            cache: TokenCache::default(),
            fetches: AtomicU32::new(0),
        }
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    fn next_token(&self, life: Duration) -> Fetched {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        Fetched {
            token: SecretString::from(format!("token-{number}")),
            expires_at: self.clock.now() + life,
        }
    }

    async fn get_living(&self, life: Duration) -> Held {
        self.cache
            .get(&self.clock, async || Ok(self.next_token(life)))
            .await
            .unwrap()
    }

    /// The number of the token that is served.
    async fn get(&self) -> String {
        text(&self.get_living(HOUR).await)
    }

    async fn get_failing(&self) -> Result<String, &'static str> {
        let fetch = async || {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(1)).await;
            Err("down")
        };
        self.cache
            .get(&self.clock, fetch)
            .await
            .map(|held| text(&held))
    }
}

fn text(held: &Held) -> String {
    held.token.expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_five_minutes_before_it_ends() {
    let rig = Rig::new();
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3299)).await;
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(1)).await;
    assert_eq!(rig.get().await, "token-2");
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_is_renewed_in_its_last_tenth() {
    let rig = Rig::new();
    let life = Duration::from_secs(100);
    assert_eq!(text(&rig.get_living(life).await), "token-1");
    advance(Duration::from_secs(89)).await;
    assert_eq!(text(&rig.get_living(life).await), "token-1");
    advance(Duration::from_secs(1)).await;
    assert_eq!(text(&rig.get_living(life).await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_one_fetch() {
    let rig = Rig::new();
    let slow = || async {
        sleep(Duration::from_secs(1)).await;
        Ok(rig.next_token(HOUR))
    };
    let (a, b, c) = tokio::join!(
        rig.cache.get(&rig.clock, slow),
        rig.cache.get(&rig.clock, slow),
        rig.cache.get(&rig.clock, slow)
    );
    for held in [a, b, c] {
        assert_eq!(text(&held.unwrap()), "token-1");
    }
    assert_eq!(rig.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_share_one_failure_and_the_next_tries_again() {
    let rig = Rig::new();
    let (a, b, c) = tokio::join!(rig.get_failing(), rig.get_failing(), rig.get_failing());
    assert_eq!([a, b, c], [Err("down"), Err("down"), Err("down")]);
    assert_eq!(rig.fetches(), 1);
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_fetch_leaves_the_turn_to_the_next() {
    let rig = Arc::new(Rig::new());
    let started = Arc::new(Notify::new());
    let stuck = tokio::spawn({
        let (rig, started) = (Arc::clone(&rig), Arc::clone(&started));
        async move {
            let fetch = async || {
                started.notify_one();
                std::future::pending().await
            };
            rig.cache
                .get(&rig.clock, fetch)
                .await
                .map(|held| text(&held))
        }
    });
    started.notified().await;
    let waiting = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { rig.get().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    stuck.abort();
    assert_eq!(waiting.await.unwrap(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_serves_through_a_failed_renewal() {
    let rig = Rig::new();
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3300)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    assert_eq!(rig.fetches(), 2);
    advance(Duration::from_secs(28)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    assert_eq!(rig.fetches(), 2, "the renewal is put off for 30 s");
    advance(Duration::from_secs(2)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    assert_eq!(rig.fetches(), 3);
    advance(Duration::from_secs(270)).await;
    assert_eq!(rig.get_failing().await.unwrap_err(), "down");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_renewal_while_the_token_is_valid() {
    let rig = Arc::new(Rig::new());
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3300)).await;
    let release = Arc::new(Notify::new());
    let renewing = tokio::spawn({
        let (rig, release) = (Arc::clone(&rig), Arc::clone(&release));
        async move {
            let fetch = async || {
                release.notified().await;
                Ok(rig.next_token(HOUR))
            };
            rig.cache
                .get(&rig.clock, fetch)
                .await
                .map(|held| text(&held))
        }
    });
    tokio::task::yield_now().await;
    assert_eq!(rig.get().await, "token-1");
    release.notify_one();
    assert_eq!(renewing.await.unwrap().unwrap(), "token-2");
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn many_refusals_of_one_token_cause_one_fetch() {
    let rig = Rig::new();
    let first = rig.get_living(HOUR).await;
    rig.cache.invalidate(first.generation);
    let second = rig.get_living(HOUR).await;
    assert_eq!(text(&second), "token-2");
    rig.cache.invalidate(first.generation);
    assert_eq!(text(&rig.get_living(HOUR).await), "token-2");
    assert_eq!(rig.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_over_on_arrival_is_fetched_again() {
    let rig = Rig::new();
    assert_eq!(text(&rig.get_living(Duration::ZERO).await), "token-1");
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn debug_output_holds_no_token() {
    let rig = Rig::new();
    let held = rig.get_living(HOUR).await;
    assert!(!format!("{held:?} {:?}", rig.cache).contains("token-1"));
}
