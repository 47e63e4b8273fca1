//! The registry of names.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use tokio::task::yield_now;

use super::channel::channel;
use super::{joined, parallel};
use crate::channel::registry::Registry;
use crate::channel::shared::Shared;
use crate::context::ClientContext;
use crate::types::error::{Error, ErrorKind};

/// Counts who holds a name.
#[derive(Default)]
struct Holders(AtomicU32);

impl Holders {
    fn enter(&self) {
        assert_eq!(
            self.0.fetch_add(1, Ordering::Relaxed),
            0,
            "a name is held twice"
        );
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn end(channel: &Arc<Shared>) {
    let closed = Error::new(ErrorKind::ChannelClosed, "closed");
    channel.update(|core, now| core.end(now, closed, true));
}

/// A name is held by one open or channel at a time, even if a channel that has ended is taken off the list late.
pub(crate) async fn a_name_has_one_holder() {
    let client = Arc::new(Registry::new(Arc::new(ClientContext), |_, _, _| {}));
    let holders = Arc::new(Holders::default());
    let opens = (0..4).map(|i| {
        let (client, holders) = (Arc::clone(&client), Arc::clone(&holders));
        async move {
            let Ok(reservation) = client.reserve(["a", "A"][i % 2], None) else {
                return;
            };
            holders.enter();
            yield_now().await;
            // One open fails.
            if i == 0 {
                holders.leave();
                drop(reservation);
                return;
            }
            let channel = channel("a", &Arc::default());
            assert!(reservation.fill(&channel));
            yield_now().await;
            let again = client.reserve("a", None);
            assert!(again.is_err(), "a name in use is free");
            end(&channel);
            holders.leave();
            client.forget(&channel);
            yield_now().await;
            client.forget(&channel);
        }
    });
    joined(parallel(opens)).await;
    assert!(client.channels().is_empty());
    assert!(client.reserve("a", None).is_ok(), "the name is not free");
}

/// A client that closes ends every channel, the one that is just opened included.
pub(crate) async fn no_channel_outlives_its_client() {
    let client = Arc::new(Registry::new(Arc::new(ClientContext), |_, _, _| {}));
    let opens = ["a", "b"].map(|name| {
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            let reservation = client.reserve(name, None).ok()?;
            let channel = channel(name, &Arc::default());
            reservation.fill(&channel).then_some(channel)
        })
    });
    let closes = tokio::spawn({
        let client = Arc::clone(&client);
        async move { client.end(&Error::new(ErrorKind::ClientClosed, "closed")) }
    });
    let channels = joined(opens.into()).await;
    joined(vec![closes]).await;
    for channel in channels.into_iter().flatten() {
        assert!(channel.core().is_ended(), "{:?} is open", channel.name);
    }
    assert!(client.channels().is_empty());
}

/// A reopen that fails gives the name back to the old channel, or frees it if that has ended meanwhile.
pub(crate) async fn a_failed_reopen_leaves_no_name_behind() {
    let client = Arc::new(Registry::new(Arc::new(ClientContext), |_, _, _| {}));
    let old = channel("a", &Arc::default());
    let reservation = client.reserve("a", None).expect("the name is free");
    assert!(reservation.fill(&old));
    let reopens = tokio::spawn({
        let (client, old) = (Arc::clone(&client), Arc::clone(&old));
        async move {
            let reservation = client.reserve("a", Some(&old));
            yield_now().await;
            drop(reservation);
        }
    });
    let ends = tokio::spawn({
        let client = Arc::clone(&client);
        async move {
            end(&old);
            client.forget(&old);
        }
    });
    joined(vec![reopens, ends]).await;
    assert!(client.reserve("a", None).is_ok(), "the name is not free");
}
