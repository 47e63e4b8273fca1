//! Tests of the token cache: when it fetches, renews and shares tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep, timeout};

use super::{Fetched, Held, TokenCache};
use crate::auth::flight::Stopped;
use crate::base::time::{TimeSource, TokioClock};

const HOUR: Duration = Duration::from_secs(3600);

impl From<Stopped> for &'static str {
    fn from(_: Stopped) -> Self {
        "stopped"
    }
}

/// A cache, and a server that numbers its tokens.
#[derive(Clone)]
struct Rig {
    clock: TokioClock,
    cache: Arc<TokenCache<&'static str>>,
    fetches: Arc<AtomicU32>,
}

impl Rig {
    fn new() -> Self {
        Self {
            clock: TokioClock::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30)),
            cache: Arc::default(),
            fetches: Arc::default(),
        }
    }

    fn fetches(&self) -> u32 {
        self.fetches.load(Ordering::SeqCst)
    }

    fn next_token(&self, life: Duration) -> Fetched {
        let number = self.fetches.fetch_add(1, Ordering::SeqCst) + 1;
        let obtained_at = self.clock.now();
        Fetched {
            token: Secret::from(format!("token-{number}")),
            token_type: "OAUTH",
            obtained_at,
            expires_at: obtained_at + life,
        }
    }

    /// Gets a token from a server that answers once `ready` resolves.
    async fn get_after<R, Fut>(&self, life: Duration, ready: R) -> Held
    where
        R: Fn() -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let fetch = || {
            let (rig, ready) = (self.clone(), ready());
            async move {
                ready.await;
                Ok(rig.next_token(life))
            }
        };
        self.cache.get(&self.clock, fetch).await.unwrap()
    }

    async fn get_with_life(&self, life: Duration) -> Held {
        self.get_after(life, || async {}).await
    }

    /// Gets a token that lives for an hour, as text.
    async fn get(&self) -> String {
        text(&self.get_with_life(HOUR).await)
    }

    async fn get_failing(&self) -> Result<String, &'static str> {
        let fetch = || {
            let fetches = Arc::clone(&self.fetches);
            async move {
                fetches.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                Err("down")
            }
        };
        let held = self.cache.get(&self.clock, fetch).await;
        held.map(|held| text(&held))
    }
}

fn text(held: &Held) -> String {
    held.token.expose().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_five_minutes_before_it_expires() {
    let rig = Rig::new();
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3299)).await;
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(1)).await;
    assert_eq!(rig.get().await, "token-1", "the old token is still used");
    yield_now().await;
    assert_eq!(rig.get().await, "token-2");
    assert_eq!(rig.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_is_renewed_in_its_last_tenth() {
    let rig = Rig::new();
    let life = Duration::from_secs(100);
    assert_eq!(text(&rig.get_with_life(life).await), "token-1");
    advance(Duration::from_secs(89)).await;
    assert_eq!(text(&rig.get_with_life(life).await), "token-1");
    advance(Duration::from_secs(1)).await;
    assert_eq!(text(&rig.get_with_life(life).await), "token-1");
    yield_now().await;
    assert_eq!(text(&rig.get_with_life(life).await), "token-2");
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_one_fetch() {
    let rig = Rig::new();
    let slow = || sleep(Duration::from_secs(1));
    let (a, b, c) = tokio::join!(
        rig.get_after(HOUR, slow),
        rig.get_after(HOUR, slow),
        rig.get_after(HOUR, slow)
    );
    for held in [a, b, c] {
        assert_eq!(text(&held), "token-1");
    }
    assert_eq!(rig.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn concurrent_callers_share_one_failure_and_the_next_call_tries_again() {
    let rig = Rig::new();
    let (a, b, c) = tokio::join!(rig.get_failing(), rig.get_failing(), rig.get_failing());
    assert_eq!([a, b, c], [Err("down"), Err("down"), Err("down")]);
    assert_eq!(rig.fetches(), 1);
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_continues_when_its_caller_is_cancelled() {
    let rig = Rig::new();
    let answer = Arc::new(Notify::new());
    let ready = || {
        let answer = Arc::clone(&answer);
        async move { answer.notified().await }
    };
    for _ in 0..3 {
        let limit = Duration::from_secs(15);
        let cancelled = timeout(limit, rig.get_after(HOUR, ready)).await;
        assert!(cancelled.is_err());
    }
    answer.notify_one();
    assert_eq!(rig.get().await, "token-1");
    assert_eq!(rig.fetches(), 1, "there was one fetch");
}

#[tokio::test(start_paused = true)]
async fn a_valid_token_is_used_after_a_failed_renewal() {
    let rig = Rig::new();
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3300)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    // The fetch fails after a second.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.fetches(), 2);
    advance(Duration::from_secs(28)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    yield_now().await;
    assert_eq!(rig.fetches(), 2, "the next renewal waits for 30 s");
    advance(Duration::from_secs(1)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    yield_now().await;
    assert_eq!(rig.fetches(), 3);
    advance(Duration::from_secs(270)).await;
    assert_eq!(rig.get_failing().await.unwrap_err(), "down");
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_does_not_delay_renewals_of_the_next_token() {
    let rig = Rig::new();
    rig.get_with_life(Duration::from_secs(100)).await;
    advance(Duration::from_secs(90)).await;
    assert_eq!(rig.get_failing().await.unwrap(), "token-1");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.fetches(), 2);
    // The token expires before the renewal is tried again.
    advance(Duration::from_secs(8)).await;
    let next = rig.get_with_life(Duration::from_secs(10)).await;
    assert_eq!(text(&next), "token-3");
    advance(Duration::from_secs(9)).await;
    assert_eq!(rig.get().await, "token-3");
    yield_now().await;
    assert_eq!(rig.get().await, "token-4");
}

#[tokio::test(start_paused = true)]
async fn callers_do_not_wait_for_a_renewal_while_the_token_is_valid() {
    let rig = Rig::new();
    assert_eq!(rig.get().await, "token-1");
    advance(Duration::from_secs(3300)).await;
    let start = Instant::now();
    let slow = || sleep(Duration::from_secs(20));
    for _ in 0..3 {
        assert_eq!(text(&rig.get_after(HOUR, slow).await), "token-1");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(21)).await;
    assert_eq!(rig.get().await, "token-2");
    assert_eq!(rig.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_refusals_of_one_token_cause_one_fetch() {
    let rig = Rig::new();
    let first = rig.get_with_life(HOUR).await;
    rig.cache.invalidate(first.generation);
    let second = rig.get_with_life(HOUR).await;
    assert_eq!(text(&second), "token-2");
    rig.cache.invalidate(first.generation);
    assert_eq!(text(&rig.get_with_life(HOUR).await), "token-2");
    assert_eq!(rig.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_has_expired_on_arrival_is_fetched_again() {
    let rig = Rig::new();
    assert_eq!(text(&rig.get_with_life(Duration::ZERO).await), "token-1");
    assert_eq!(rig.get().await, "token-2");
}

#[tokio::test(start_paused = true)]
async fn debug_output_contains_no_token() {
    let rig = Rig::new();
    let held = rig.get_with_life(HOUR).await;
    assert!(!format!("{held:?} {:?}", rig.cache).contains("token-1"));
}
