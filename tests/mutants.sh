#!/usr/bin/env bash
# Breaks the client on purpose, one way at a time, and says how many of the breaks the tests catch. The breaks are those that
# cargo-mutants does not draw: it changes operators and guards, and empties functions.
#
#   tests/mutants.sh [PATTERN]     only the mutants whose name matches
#   tests/mutants.sh --check       runs no test: only says whether each mutant still fits the code
set -euo pipefail
cd "$(dirname "$0")/.."

pattern=${1:-.}
is_check=false
[[ $pattern != --check ]] || { is_check=true; pattern=.; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A copy is broken, never the tree; what it compiles is kept for the next run.
mkdir "$work/tree"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -c | tar -x -C "$work/tree"
export CARGO_TARGET_DIR=${MUTANTS_TARGET_DIR:-$PWD/target/mutants} CARGO_TERM_COLOR=never RUST_BACKTRACE=0 PROPTEST_FAILURE_PERSISTENCE=off
# The simulator looks at a few seeds of each mutant: the plain tests come first.
export SIM_SEEDS=${SIM_SEEDS:-40}

# What the quick tests catch the others need not be compiled for.
run_tests() {
  (cd "$work/tree" && timeout 900 cargo test --locked --lib && timeout 900 cargo test --locked --test it --test sim) >"$work/log" 2>&1
}

caught=0
total=0
missed=()

# mutant NAME FILE, and on standard input the lines to replace, each after a "-", and what comes in their place after a "+".
mutant() {
  local name=$1 file=$2 code=0
  cat >"$work/edit"
  [[ $name =~ $pattern ]] || return 0
  total=$((total + 1))
  cp "$work/tree/$file" "$work/original"
  python3 - "$work/tree/$file" "$work/edit" <<'PYTHON'
import sys

path, edit = sys.argv[1:]
lines = open(edit).read().splitlines()
old = [line[1:].strip() for line in lines if line.startswith("-")]
new = [line[1:] for line in lines if line.startswith("+")]
text = open(path).read().splitlines()
found = [i for i in range(len(text)) if [line.strip() for line in text[i : i + len(old)]] == old]
if len(found) != 1:
    sys.exit(f"{path}: {len(found)} places match the mutant's lines; it has to be adapted to the code")
text[found[0] : found[0] + len(old)] = new
open(path, "w").write("\n".join(text) + "\n")
PYTHON
  if $is_check; then
    cp "$work/original" "$work/tree/$file"
    return 0
  fi
  run_tests || code=$?
  cp "$work/original" "$work/tree/$file"
  if grep -q '^error.*could not compile' "$work/log"; then
    tail -n 30 "$work/log" >&2
    echo "error: the mutant \"$name\" does not compile" >&2
    exit 1
  fi
  if ((code == 0)); then
    missed+=("$name")
    echo "MISSED  $name"
  else
    caught=$((caught + 1))
    echo "caught  $name ($(grep -c ' FAILED$' "$work/log" || true) tests fail)"
  fi
}

$is_check || run_tests || { tail -n 30 "$work/log" >&2; echo "error: the tests fail without any mutant" >&2; exit 1; }

mutant "skip a batch" src/channel/core/responses.rs <<'DIFF'
-                self.accepted = flight.batch.position;
+                self.accepted = flight.batch.position;
+                self.ready.pop_front();
DIFF

mutant "double-send after an ambiguous answer" src/channel/core/replay.rs <<'DIFF'
-        if let Some(flight) = self.flight.take()
-            && flight.batch.position > committed
-        {
+        if let Some(flight) = self.flight.take() {
DIFF

mutant "hold accepted rows no longer than their accept" src/channel/core/responses.rs <<'DIFF'
-                    self.retained.push_back(flight.batch);
+                    drop(flight.batch);
DIFF

mutant "acknowledge on accept" src/channel/core/mod.rs <<'DIFF'
-            committed: self.counts.committed(),
-            committed_token: self.committed_token(),
+            committed: self.counts.committed().max(self.accepted),
+            committed_token: self.committed_token(),
DIFF

mutant "refund twice" src/base/budget.rs <<'DIFF'
-            budget.free.add_permits(surplus);
+            budget.free.add_permits(2 * surplus);
DIFF

mutant "forget a budget refund" src/channel/writer.rs <<'DIFF'
-        self.credit.shrink_to(0);
-    }
+        let _ = &self.credit;
+    }
DIFF

mutant "drop the last batch on close" src/channel/core/schedule.rs <<'DIFF'
-            self.counts.committed() == self.appended && !self.counts.waits_for_earlier_rows();
+            self.counts.committed() == self.sent && !self.counts.waits_for_earlier_rows();
DIFF

mutant "close before the last rows are counted" src/channel/core/schedule.rs <<'DIFF'
-            self.counts.committed() == self.appended && !self.counts.waits_for_earlier_rows();
+            self.ledger.committed() == self.appended && !self.counts.waits_for_earlier_rows();
DIFF

mutant "ascribe late rejects to later rows" src/channel/core/row_counts.rs <<'DIFF'
-        if !self.counts.waits_for_earlier_rows() {
+        if self.counts.committed() <= self.ledger.committed() {
DIFF

mutant "compare tokens as text" src/channel/core/tokens.rs <<'DIFF'
-            Some(last) if first <= last => Err(backward(first, last)),
+            Some(last) if first.to_string() <= last.to_string() => Err(backward(first, last)),
DIFF

mutant "offsets made of digits are numbers" src/types/offset/arguments.rs <<'DIFF'
-        match canonical_integer(&text).filter(|_| self.is_number) {
+        match canonical_integer(&text).filter(|_| self.is_number || !text.is_empty()) {
DIFF

mutant "text made of digits is compared as a number" src/types/offset.rs <<'DIFF'
-        self.reads_as_integer().filter(|_| self.is_integer)
+        self.reads_as_integer()
DIFF

mutant "a text and the integer of its digits are two tokens" src/channel/core/tokens.rs <<'DIFF'
-            Some(number) if Some(number) <= self.appended => Err(reused(token)),
+            Some(number) if Some(number) <= self.appended && number < 0 => Err(reused(token)),
DIFF

mutant "discard on a first open" src/channel/open_request.rs <<'DIFF'
-    let mut fail_on_uncommitted = policy != OnUncommitted::Discard;
+    let mut fail_on_uncommitted = false;
DIFF

mutant "discard when fenced" src/channel/core/replay.rs <<'DIFF'
-                .then_some(OnUncommitted::Wait(OTHERS_ROWS_WAIT)),
+                .then_some(OnUncommitted::Discard),
DIFF

mutant "a close that runs out of time in a reopen hides the cause" src/channel/core/close.rs <<'DIFF'
-        match self.reopening_for() {
+        match self.reopening_for().filter(|_| false) {
DIFF

mutant "a reopened channel is a success of the source" src/ingest/flow.rs <<'DIFF'
-                    if self.is_idle {
-                        self.source.succeeded(WAIT);
-                    }
+                    self.source.succeeded(WAIT);
DIFF

mutant "count the delay of statuses from the question" src/channel/polling/throttle.rs <<'DIFF'
-        self.not_before = Some((now + after).min(last_try));
+        self.not_before = Some((now.min(asked) + after).min(last_try));
DIFF

mutant "replay over a conflict" src/channel/core/ledger.rs <<'DIFF'
-            None if self.watermark.as_ref() == token => {}
-            None => return false,
+            None => {}
DIFF

mutant "exchange the next token of a credential with the form of the refused one" src/api/account.rs <<'DIFF'
-                    response = self.send(&call(&next), &self.base, &next, attempt).await?;
+                    response = self.send(&first, &self.base, &next, attempt).await?;
DIFF

mutant "take an odd status for a conflict at once" src/channel/core/ledger.rs <<'DIFF'
-            if is_confirmed && !suspect.may_be_older {
+            if !suspect.may_be_older {
DIFF

mutant "a stale read of the token is a step backward" src/channel/core/ledger.rs <<'DIFF'
-        let is_past = || self.past.contains(&fingerprint(token));
+        let is_past = || self.past.is_empty() && self.past.contains(&fingerprint(token));
DIFF

mutant "say nothing of rejected rows" src/channel/core/progress.rs <<'DIFF'
-                .find(|w| w.from < position && from < w.to);
+                .find(|w| w.from < position && position < from);
DIFF

mutant "a new request id for a retry" src/channel/core/schedule.rs <<'DIFF'
-            attempt: attempts.next(),
+            attempt: crate::api::call::Attempt { request_id: fresh_id, ..attempts.next() },
DIFF

mutant "call a stale answer fenced though a try went unanswered" src/pipeline/attempts.rs <<'DIFF'
-    if ambiguous {
-        InvalidationCause::Ambiguous
+    if ambiguous && cfg!(not(unix)) {
+        InvalidationCause::Ambiguous
DIFF

mutant "cut a batch that may be in already" src/pipeline/attempts.rs <<'DIFF'
-            (413, _) if ambiguous && is_in_order => Decision::GiveUp(InvalidationCause::Ambiguous),
-            (413, _) => Decision::Split,
+            (413, _) => Decision::Split,
DIFF

mutant "append half of a cancelled unit" src/channel/append.rs <<'DIFF'
-        self.writer.staging.release_buffer();
+        let _ = self.writer.append(false);
+        self.writer.staging.release_buffer();
DIFF

mutant "wake one of the appends that wait for the driver" src/channel/shared.rs <<'DIFF'
-        self.caught_up.notify_waiters();
+        self.caught_up.notify_one();
DIFF

mutant "a channel that closes takes the rows of its senders" src/channel/core/mod.rs <<'DIFF'
-        if self.drain_until.is_some() {
-            return Some(closed());
-        }
+        let _ = closed;
DIFF

mutant "a channel that closes lets its senders wait" src/channel/core/progress.rs <<'DIFF'
-        if self.is_closing {
-            return Some(closed());
-        }
+        let _ = closed;
DIFF

mutant "a receipt begins with the first row of its channel" src/channel/writer.rs <<'DIFF'
-        Receipt::new(Arc::clone(shared), rows.start, rows.end)
+        Receipt::new(Arc::clone(shared), 0, rows.end)
DIFF

mutant "the lag begins with the last row" src/channel/core/mod.rs <<'DIFF'
-        open.position = self.appended;
+        open.position = self.appended;
+        open.first_append = Instant::now();
DIFF

mutant "release before dead letters" src/ingest/flow.rs <<'DIFF'
-                self.keep_new_rejects(index).await?;
-                if let Some(shard) = self.shards.get_mut(index)
-                    && shard.rejects.are_kept()
-                {
-                    self.tally.committed += shard.settled();
-                }
-                self.release().await
+                if let Some(shard) = self.shards.get_mut(index) {
+                    self.tally.committed += shard.settled();
+                }
+                self.release().await?;
+                self.keep_new_rejects(index).await
DIFF

mutant "release while dead letters cannot be kept" src/ingest/flow.rs <<'DIFF'
-        if self.rejects_due().is_some() {
+        if self.rejects_due().is_some() && self.shards.is_empty() {
DIFF

mutant "one method of a source that succeeds ends the trouble of all" src/ingest/retrying.rs <<'DIFF'
-        self.retries.remove(what);
+        self.retries.retain(|_, _| what.is_empty());
DIFF

mutant "follow no channel while dead letters cannot be kept" src/ingest/rejects.rs <<'DIFF'
-                Err(Setback::Retry(pause)) => self.keep_rejects_at = Some(Instant::now() + pause),
+                Err(Setback::Retry(pause)) => self.source.shutdown.interrupting(tokio::time::sleep(pause)).await?,
DIFF

mutant "a channel that closes takes its name back" src/channel/core/replay.rs <<'DIFF'
-        if cause == InvalidationCause::Fenced && self.drain_until.is_some() {
+        if cause == InvalidationCause::Fenced && self.drain_until.is_none() && self.is_ended() {
DIFF

mutant "rejects counted since the open end where the open did" src/ingest/rejects.rs <<'DIFF'
-            let through = committed.max(shown.as_ref());
+            let through = committed.or(shown.as_ref());
DIFF

mutant "each open learns anew how large a request may be" src/channel/open.rs <<'DIFF'
-        request_limit: context.request_limit.clone(),
+        request_limit: crate::base::request_limit::RequestLimit::new(options.max_request_bytes),
DIFF

mutant "a batch that is too large goes behind those after it" src/channel/core/responses.rs <<'DIFF'
-        flight.batch.is_refused = true;
-        self.ready.push_front(flight.batch);
+        flight.batch.is_refused = true;
+        self.ready.push_back(flight.batch);
DIFF

mutant "count one rejected row in a window of several" src/channel/core/commits.rs <<'DIFF'
-                count: count - self.commit.rejected,
+                count: 1,
DIFF

mutant "count the rejects of a window once more in the next" src/ingest/rejects.rs <<'DIFF'
-                    count: window.total.saturating_sub(self.counted),
+                    count: window.total,
DIFF

mutant "hand over dead letters without their rows" src/ingest/rejects.rs <<'DIFF'
-                kept: after.clone(),
+                kept: Some(through.clone()),
DIFF

mutant "the counter of rejects moves with their first rows" src/ingest/rejects.rs <<'DIFF'
-            if !is_last {
-                rejected.total = rejected.total.saturating_sub(rejected.count);
-            }
DIFF

mutant "a receipt resolves with its first row" src/channel/core/progress.rs <<'DIFF'
-        if self.committed >= position {
+        if self.committed > from {
DIFF

mutant "ask for commits as rarely as for an idle channel" src/channel/polling/estimator.rs <<'DIFF'
-const SLOWEST: Duration = Duration::from_secs(1);
+const SLOWEST: Duration = Duration::from_secs(30);
DIFF

mutant "hide the rejects of a channel made anew" src/ingest/rejects.rs <<'DIFF'
-        if counter.total < self.counted {
-            self.counted = 0;
-        }
-        let count = counter.total - self.counted;
+        let count = counter.total.saturating_sub(self.counted);
DIFF

mutant "count the rejects of a channel that was dropped" src/ingest/rejects.rs <<'DIFF'
-        let is_current = channel.is_shown_by(status);
+        let is_current = channel.is_shown_by(status) || shown > 0;
DIFF

mutant "a few tries for the status after an open" src/channel/mod.rs <<'DIFF'
-        context.status_after_open(self.name(), OPEN_RETRY_FOR).await
+        context.status_after_open(self.name(), OPEN_RETRY_FOR / 60).await
DIFF

mutant "a few tries for the statuses before a run" src/ingest/layout.rs <<'DIFF'
-    let known = client.statuses(&firsts, retries).await?;
+    let known = client.statuses(&firsts, Retries::Few).await?;
DIFF

mutant "an open answer without a status is nothing committed" src/channel/open_request.rs <<'DIFF'
-            context.status_after_open(name, retry_for).await?
+            ChannelStatus::default()
DIFF

mutant "believe a replica about an open without a status" src/channel/open_request.rs <<'DIFF'
-            sleep(REPLICA_LAG).await;
+            tokio::task::yield_now().await;
DIFF

mutant "follow a channel by the caller's spelling" src/channel/open.rs <<'DIFF'
-    let name = spelled_by_server(name, status);
+    let _ = spelled_by_server(name, status);
DIFF

mutant "release what another shard has not committed" src/ingest/flow.rs <<'DIFF'
-        let uncommitted = self.shards.iter().filter_map(Shard::uncommitted).min();
-        let Some(mark) = self.marks.below(uncommitted).cloned() else {
+        let uncommitted = self.shards.iter().filter_map(Shard::uncommitted).max();
+        let Some(mark) = self.marks.below(uncommitted).cloned() else {
DIFF

mutant "append again what a shard has committed" src/ingest/flow.rs <<'DIFF'
-            let is_new = shard.reached.as_ref() < Some(&offset);
+            let is_new = shard.reached.as_ref() < Some(&offset) || !group.is_empty() || self.shards.len() > 1;
DIFF

mutant "an unanswered request is not said to be perhaps there" src/pipeline/attempts.rs <<'DIFF'
-            self.ambiguous |= terms.ambiguous;
+            self.ambiguous |= terms.ambiguous && terms.refused;
DIFF

mutant "a new id for each try of an elastic request" src/elastic/schedule.rs <<'DIFF'
-        flight.retry_at = None;
+        flight.retry_at = None;
+        flight.attempts.request_id = uuid::Builder::from_random_bytes(self.rng.u128(..).to_le_bytes()).into_uuid();
DIFF

mutant "an unawaited failure is forgotten" src/elastic/core.rs <<'DIFF'
-        if let Err(Err(failed)) = append.ack_sender.send(Err(failed)) {
-            self.unreported.push(failed);
-        }
+        let _ = append.ack_sender.send(Err(failed));
DIFF

mutant "an acknowledgement dropped unread takes its failure along" src/elastic/ack.rs <<'DIFF'
-            self.shared.update(|core, _| core.keep(failed));
+            drop(failed);
DIFF

mutant "rows handed back to the wrong append" src/elastic/batch.rs <<'DIFF'
-            at += part.len;
-            place
+            place
DIFF

mutant "an append cut in two is acknowledged by its first half" src/elastic/responses.rs <<'DIFF'
-                self.add_part(last.append);
+                let _ = last.append;
DIFF

mutant "a 429 slows no channel down" src/elastic/responses.rs <<'DIFF'
-            self.window = 1;
+            self.window = self.limits.requests;
DIFF

mutant "a checkpoint does not wait for what is on its way" src/elastic/core.rs <<'DIFF'
-        self.appends
-            .first_key_value()
-            .map_or(self.next, |(n, _)| *n)
+        self.next
DIFF

mutant "take a refusal of the account host for one of the rows" src/api/failure.rs <<'DIFF'
-            Self::Answered { error, .. } => Self::AccountRefused(error),
DIFF

mutant "let a panic of the transport end the channel's task" src/api/session.rs <<'DIFF'
-        let result = task::caught(self.try_call(call, attempt, read)).await;
+        let result = Some(self.try_call(call, attempt, read).await);
DIFF

mutant "send as many bytes again after timeouts" src/context/uploads.rs <<'DIFF'
-        self.bytes == 0 || self.window.is_none_or(|window| after <= window)
+        self.bytes == 0 || self.window.is_none_or(|window| after <= window * 1_000)
DIFF

mutant "sign a JWT for any year that a Date names" src/api/clock.rs <<'DIFF'
-        if difference.unsigned_abs() > MAX_SKEW_MS {
+        if difference.unsigned_abs() > u64::MAX / 2 + MAX_SKEW_MS {
DIFF

mutant "wait for a renewal while the token is valid" src/auth/cache.rs <<'DIFF'
-                self.flight.start(work);
-                Ok(held)
+                self.flight.run(|| None, work).await.or(Ok(held))
DIFF

mutant "begin a fetch anew with each caller" src/auth/flight.rs <<'DIFF'
-        if let Some(flight) = last.as_ref().filter(|flight| flight.is_running()) {
+        if let Some(flight) = last.as_ref().filter(|flight| flight.is_running() && false) {
DIFF

mutant "read answers of any length" src/http/mod.rs <<'DIFF'
-        Ok(Ok(response)) if response.body().len() > max_answer => Err(TransportError::new(
+        Ok(Ok(response)) if response.body().len() > usize::MAX - max_answer => Err(TransportError::new(
DIFF

mutant "take an answer in to its end however long it is" src/http/client.rs <<'DIFF'
-        let limit = limit.map_or(MAX_RESPONSE, |limit| limit.0);
+        let limit = limit.map_or(MAX_RESPONSE, |_| MAX_RESPONSE);
DIFF

mutant "keep any number of statuses" src/base/json.rs <<'DIFF'
-            if named.len() > MAX {
+            if named.len() > 100 * MAX {
DIFF

mutant "show the bearer token that a server repeats" src/api/failure.rs <<'DIFF'
-        Some(SentWith(token)) => token.remove_from(text, REDACTED),
+        Some(SentWith(_)) => text.to_owned(),
DIFF

mutant "keep a server's text whole" src/base/text.rs <<'DIFF'
-    for c in text.trim().chars().take(max) {
+    for c in text.trim().chars().take(max.max(1 << 30)) {
DIFF

mutant "forget the charge of rows that are handed back" src/elastic/batch.rs <<'DIFF'
-                charge: Some(Arc::clone(&charge)),
+                charge: None,
DIFF

mutant "charge rows that the caller has taken" src/elastic/ack.rs <<'DIFF'
-            rows.charge = None;
+            let _ = &rows.charge;
DIFF

mutant "wait for memory that only the caller can free" src/base/budget.rs <<'DIFF'
-        budget.more_handed_back.notify_waiters();
DIFF

mutant "time without statuses counts as a stall" src/channel/core/commits.rs <<'DIFF'
-            self.waiting_since += unanswered;
+            let _ = unanswered;
DIFF

mutant "wait for statuses without end" src/channel/core/commits.rs <<'DIFF'
-        let retry_for = self.limits.retry_for;
+        let retry_for = self.limits.retry_for * 100;
DIFF

mutant "ignore the delay a server asks for on a status" src/channel/polling/throttle.rs <<'DIFF'
-        self.not_before = Some((now + after).min(last_try));
+        self.not_before = Some((now + after).min(last_try).min(asked));
DIFF

mutant "put off statuses beyond the retry time" src/channel/polling/throttle.rs <<'DIFF'
-        self.not_before = Some((now + after).min(last_try));
+        self.not_before = Some((now + after).max(last_try));
DIFF

mutant "take a used text token again" src/channel/core/tokens.rs <<'DIFF'
-                        || self.used.contains(end)
+                        || (self.used.contains(end) && self.outstanding.contains(end))
DIFF

mutant "find a stall in a status that is not believed" src/channel/core/commits.rs <<'DIFF'
-        if !is_waiting || !self.has_waited(self.commit.waiting_since, timeout + recheck_allowance) {
+        let _ = recheck_allowance;
+        if !is_waiting || !self.has_waited(self.commit.waiting_since, timeout) {
DIFF

mutant "rows that are not counted wait for a status for ever" src/channel/core/commits.rs <<'DIFF'
-        let is_waiting = self.accepted.max(self.ledger.committed()) > self.counts.committed();
+        let is_waiting = self.accepted > self.ledger.committed();
DIFF

mutant "use the code of a status with an old token" src/channel/core/commits.rs <<'DIFF'
-            Reading::Outdated => return false,
+            Reading::Outdated => {}
DIFF

mutant "a status is doubted without end" src/channel/core/ledger.rs <<'DIFF'
-            if is_confirmed && !suspect.may_be_older {
+            if is_confirmed && false {
DIFF

mutant "a channel that ended is open again" src/channel/core/replay.rs <<'DIFF'
-        let Phase::Reopening(reopening) = &mut self.phase else {
-            return;
-        };
+        let Phase::Reopening(reopening) = &mut self.phase else {
+            self.phase = Phase::Open;
+            return;
+        };
DIFF

mutant "held batches go back in reverse" src/channel/core/replay.rs <<'DIFF'
-        while let Some(batch) = self.retained.pop_back() {
+        while let Some(batch) = self.retained.pop_front() {
DIFF

mutant "the batch under way goes back behind those that wait" src/channel/core/replay.rs <<'DIFF'
-            self.ready.push_front(flight.batch);
+            self.ready.push_back(flight.batch);
DIFF

mutant "an ended channel holds the memory of accepted rows" src/channel/core/close.rs <<'DIFF'
-        let retained = std::mem::take(&mut self.retained);
+        let retained = std::collections::VecDeque::<super::batch::SealedBatch>::new();
DIFF

mutant "a close waits for no rows from before a reopen" src/channel/core/schedule.rs <<'DIFF'
-            self.counts.committed() == self.appended && !self.counts.waits_for_earlier_rows();
+            self.counts.committed() == self.appended;
DIFF

mutant "hand back rows that are committed" src/channel/core/given_up.rs <<'DIFF'
-            .filter(|batch| batch.position > committed)
+            .filter(|batch| batch.position > 0 * committed)
DIFF

mutant "a channel holds whatever is free" src/base/budget.rs <<'DIFF'
-        if held == 0 {
+        if held < usize::MAX {
DIFF

mutant "a job begins where another run has ended" src/client/send_once.rs <<'DIFF'
-    if last.run != run {
+    if last.run != run && run.is_empty() {
DIFF

mutant "an append waits for what it holds itself" src/channel/writer.rs <<'DIFF'
-        self.credit.shrink_to(0);
-        self.frame.as_ref().map_or(self.len(), Bytes::len) + self.overhead
+        self.frame.as_ref().map_or(self.len(), Bytes::len) + self.overhead - self.credit.bytes()
DIFF

mutant "a server shortens the delay before a retry" src/base/retry.rs <<'DIFF'
-        let delay = self.backoff.next(unit).max(asked.unwrap_or_default());
+        let backoff = self.backoff.next(unit);
+        let delay = asked.unwrap_or(backoff);
DIFF

mutant "only the first channel of a failed status call learns of it" src/channel/polling/poller.rs <<'DIFF'
-    for channel in channels {
-        let _named = span(channel).entered();
-        channel.update_and_wake(|core, now| core.on_status_failed(now, why));
+    for channel in channels.iter().take(1) {
+        let _named = span(channel).entered();
+        channel.update_and_wake(|core, now| core.on_status_failed(now, why));
DIFF

mutant "a channel that is reopened goes on sending meanwhile" src/channel/mod.rs <<'DIFF'
-            if !core.is_ended() {
-                core.end(now, gone(), true);
-            }
+            let _ = (core, now);
DIFF

mutant "a run forgets with a reopen that it waits for memory" src/channel/mod.rs <<'DIFF'
-        self.writer.timeout = timeout;
+        let _ = timeout;
DIFF

mutant "a shard with rows in flight has had a rest" src/ingest/shard.rs <<'DIFF'
-        if self.in_flight.is_empty() {
+        if self.in_flight.is_empty() || self.rows_in_flight > 0 {
DIFF

mutant "count no rejects that the status shows and the open does not" src/ingest/rejects.rs <<'DIFF'
-            total: opened_with.max(if is_current { shown } else { 0 }),
+            total: opened_with.max(if is_current { shown.min(opened_with) } else { 0 }),
DIFF

mutant "charge the bookkeeping of the first unit of an append only" src/channel/core/batch.rs <<'DIFF'
-    bytes + units.iter().map(Unit::overhead).sum::<usize>()
+    bytes + units.iter().take(1).map(Unit::overhead).sum::<usize>()
DIFF

mutant "reopen a channel over another one of its name" src/channel/registry.rs <<'DIFF'
-            (Some(Slot::Live(live)), Some(old)) => Arc::ptr_eq(live, old),
+            (Some(Slot::Live(live)), Some(old)) => live.name == old.name,
DIFF

mutant "send into a channel that is unhealthy after its reopen" src/channel/core/replay.rs <<'DIFF'
-        if !status.is_healthy() {
+        if !status.is_healthy() && status.status_code().is_empty() {
DIFF

mutant "drain the channel of a partition that is revoked" src/ingest/resume.rs <<'DIFF'
-            if self.options.is_partition {
-                channel.end_on_drop();
-            }
+            let _ = &mut channel;
DIFF

mutant "keep the task of a partition that is revoked" src/ingest/group/member.rs <<'DIFF'
-                task.abort();
+                let _ = task.is_finished();
DIFF

mutant "open a channel again that a former owner has lost" src/ingest/recover.rs <<'DIFF'
-            _ if ownership == Ownership::NotOwned => return None,
+            _ if ownership == Ownership::NotOwned && self.reopens > 0 => return None,
DIFF

mutant "an owner takes its channel back only once" src/ingest/recover.rs <<'DIFF'
-                    return (self.taken_back <= MOST_REOPENS)
+                    return (self.taken_back <= 1)
DIFF

mutant "an owner's reopens count together with those of other causes" src/ingest/recover.rs <<'DIFF'
-                    return (self.taken_back <= MOST_REOPENS)
+                    return (self.taken_back + self.reopens <= MOST_REOPENS)
DIFF

mutant "forget the rejects that were kept before a takeover" src/ingest/rejects.rs <<'DIFF'
-            let settled = settled.max(kept.filter(|kept| Some(kept) <= committed));
+            let settled = settled.max(kept.filter(|kept| Some(kept) < None));
DIFF

mutant "a former owner says that its partition failed" src/ingest/group/task.rs <<'DIFF'
-        if is_taken && self.is_unowned().await {
+        if !is_taken && self.is_unowned().await {
DIFF

mutant "partitions whose names differ in case share a channel" src/ingest/group/names.rs <<'DIFF'
-        'A'..='Z' | ESCAPE => name.extend([ESCAPE, char.to_ascii_lowercase()]),
+        ESCAPE => name.extend([ESCAPE, char.to_ascii_lowercase()]),
DIFF

mutant "a partition without rows in flight waits for the others" src/ingest/group/quota.rs <<'DIFF'
-        if in_flight == 0 {
+        if in_flight == 0 && used.rows == 0 {
DIFF

mutant "read although other partitions have taken the room" src/ingest/flow.rs <<'DIFF'
-        if max == 0 {
+        if max == 0 && self.quota.is_none() {
DIFF

mutant "give up a partition for good that could be tried again" src/ingest/group/task.rs <<'DIFF'
-            _ => Self::Retry,
+            _ if error.is_retryable() => Self::Retry,
+            _ => Self::GiveUp,
DIFF

mutant "leave the engine before the partitions are drained" src/ingest/group/member.rs <<'DIFF'
-                    self.stop
-                        .change(|is_stopped| !std::mem::replace(is_stopped, true));
+                    self.stop
+                        .change(|is_stopped| !std::mem::replace(is_stopped, true));
+                    self.engine.leave().await;
DIFF

if $is_check; then
  echo "$total mutants fit the code"
  exit 0
fi
echo "$caught/$total mutants caught"
((${#missed[@]} == 0)) || exit 1
