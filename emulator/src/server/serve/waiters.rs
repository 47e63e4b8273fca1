//! Requests that wait until a table has rows.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};

use super::Shared;
use crate::admin::waiting::Condition;
use crate::messages::answer::{Answer, Refusal, json_answer};
use crate::server::reply_body::Broken;
use snowpipe_streaming::time::{SystemClock, TimeSource as _};

impl Shared {
    /// Answers a request that waits until a table has rows.
    pub(super) async fn wait(
        &self,
        request: Request<Bytes>,
    ) -> std::result::Result<Answer, Broken> {
        let Ok(_place) = self.waiters.try_acquire() else {
            return Ok(Refusal::throttled(None).into_answer());
        };
        let condition = match Condition::read(&request) {
            Ok(condition) => Arc::new(condition),
            Err(refusal) => return Ok(refusal.into_answer()),
        };
        let mut commits = self.commits.subscribe();
        let end = tokio::time::Instant::now() + condition.timeout;
        loop {
            commits.mark_unchanged();
            let asked = condition.clone();
            let checked = self.ask(move |emulator| asked.check(emulator, SystemClock.now()));
            let found = match checked.await.map_err(|_| Broken)? {
                Ok((true, found)) => return Ok(json_answer(StatusCode::OK, &found)),
                Ok((false, found)) => found,
                Err(refusal) => return Ok(refusal.into_answer()),
            };
            // The sender lives as long as this value.
            if tokio::time::timeout_at(end, commits.changed())
                .await
                .is_err()
            {
                return Ok(condition.timed_out(&found).into_answer());
            }
        }
    }
}
