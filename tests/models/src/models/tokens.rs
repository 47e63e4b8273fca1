//! The single flight of tokens.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::types::secret::Secret;
use tokio::sync::Notify;

use super::{joined, parallel};
use crate::auth::cache::{Fetched, Held, TokenCache};
use crate::base::time::TimeSource;
use crate::types::error::Result;

/// A clock that stands still.
#[derive(Debug)]
struct Still;

impl TimeSource for Still {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// A cache, and what counts the fetches.
#[derive(Clone, Default)]
struct Tokens {
    cache: Arc<TokenCache<crate::types::error::Error>>,
    fetched: Arc<AtomicU32>,
}

impl Tokens {
    async fn get(&self) -> Result<Held> {
        let fetch = || {
            let fetched = Arc::clone(&self.fetched);
            async move {
                fetched.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(Fetched {
                    token: Secret::from("token"),
                    token_type: "OAUTH",
                    obtained_at: Still.now(),
                    expires_at: Still.now() + Duration::from_secs(3600),
                })
            }
        };
        self.cache.get(&Still, fetch).await
    }

    fn fetched(&self) -> u32 {
        self.fetched.load(Ordering::Relaxed)
    }
}

/// Callers that need a token at once have the same one, of one fetch, even if one of them gives up.
pub(crate) async fn a_token_is_fetched_once_for_all() {
    let tokens = Tokens::default();
    let cancel = Arc::new(Notify::new());
    let gives_up = tokio::spawn({
        let (tokens, cancel) = (tokens.clone(), Arc::clone(&cancel));
        async move {
            tokio::select! {
                biased;
                () = cancel.notified() => {}
                held = tokens.get() => assert!(held.is_ok()),
            }
        }
    });
    let callers = (0..3).map(|_| {
        let tokens = tokens.clone();
        async move { tokens.get().await.expect("it is fetched").generation }
    });
    let callers = parallel(callers);
    cancel.notify_one();
    assert_eq!(joined(callers).await, [1, 1, 1]);
    joined(vec![gives_up]).await;
    assert_eq!(tokens.fetched(), 1);
}

/// Callers that were refused with the same token cause one fetch.
pub(crate) async fn a_refused_token_is_fetched_again_once() {
    let tokens = Tokens::default();
    let refused = tokens.get().await.expect("it is fetched").generation;
    let callers = (0..3).map(|_| {
        let tokens = tokens.clone();
        async move {
            tokens.cache.invalidate(refused);
            tokens.get().await.expect("it is fetched").generation
        }
    });
    assert_eq!(joined(parallel(callers)).await, [2, 2, 2]);
    assert_eq!(tokens.fetched(), 2);
}
