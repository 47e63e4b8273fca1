//! What is promised of a row at each point of its way, what happens when something fails, and what to choose.
//!
//! # The states, and what each guarantees
//!
//! | A row is | when | and then |
//! |---|---|---|
//! | *appended* | the append returned its [`Receipt`](crate::Receipt) | it is in this process's memory. It is lost with the process |
//! | *sealed* | its batch was compressed | as before. A retry sends the same bytes; only a batch the server finds too large is cut, and compressed anew |
//! | *sent* | its request went out | it may be in the table. The request is repeated until an answer decides |
//! | *accepted* | the server answered 200; [`Receipt::accepted`](crate::Receipt::accepted) | the server holds it in a buffer, and may lose it if the channel is opened again before it is committed |
//! | *committed* | its token, or a later one, was seen in the channel's status; [`Receipt::committed`](crate::Receipt::committed) | it is in the table, or it was rejected and counted. Nothing later changes that |
//!
//! Only *committed* is durable. A source may forget a row when it is committed, and not before.
//!
//! The committed token of a channel lives on the server. It says that everything up to it is committed and, once the
//! channel is opened again, that nothing after it is. **Exactly once** follows from three things: the source can be read
//! again from an offset, the offset is the row's token, and after every open the rows go on after the committed token
//! ([`Channel::resume_point`](crate::Channel::resume_point)). [`ingest::run`](crate::ingest) is that loop.
//!
//! # Where it is at least once, or less
//!
//! - A source that cannot be read again ([`open_untracked_channel`](crate::StreamingIngestClient::open_untracked_channel)):
//!   what was appended and not committed when the process dies is lost. Rows whose receipt is
//!   [ambiguous](crate::Error::is_ambiguous) and that the caller sends again may be there twice.
//! - [`OnUncommitted::Discard`](crate::OnUncommitted) and `WaitThenDiscard` give up what an earlier holder of the channel
//!   sent. If that was another program, and it cannot read its rows again, they are lost.
//! - Two programs that write to one channel from two sources take it from each other. The loser is told
//!   ([`Fenced`](crate::InvalidationCause::Fenced), [`OffsetConflict`](crate::InvalidationCause::OffsetConflict)); which of
//!   its rows are not in the table its receipts say.
//! - A row the server rejects is committed, and not in the table. The server counts such rows and does not name them:
//!   [`RejectWindow`](crate::RejectWindow) tells between which tokens they are. Never send the window again, for its good
//!   rows are in the table. Dead letters kept by [`ingest::run`](crate::ingest) are those of the window, good ones included,
//!   and a crash in between may hand them over twice.
//! - Tokens do not make the server skip rows. A request with an old token and a new continuation appends its rows again.
//!
//! # Faults
//!
//! *Surface* and *replay* are the two kinds of [`Recovery`](crate::Recovery). Where they do the same it is told once. In the
//! last column, tests of `tests/it` that show it.
//!
//! | What happens | What the client does | Shown by |
//! |---|---|---|
//! | no connection, no name, no TLS | the same bytes again, with backoff | `faults::a_request_that_was_not_sent_or_lost_is_sent_again` |
//! | the request or its answer is lost, the answer is cut, 408, 5xx | the identical request again: same tokens, same request id, retry count plus one | `protocol::append::an_unclear_answer_means_the_identical_request_again`, `faults::an_answer_lost_after_the_rows_were_applied_is_no_double_where_the_server_knows_the_token` |
//! | no answer at all | a deadline on the attempt, then as above | `protocol::append::no_answer_within_the_deadline_means_again_too` |
//! | the repeated request is called stale | surface: `Ambiguous`; it asks on, and receipts learn what was committed. Replay: opens again, sends what the token does not cover | `faults::where_the_server_calls_the_replay_stale_the_channel_is_invalidated_and_the_receipt_still_learns_the_truth`, `replay::what_makes_a_channel_reopen_loses_and_doubles_nothing_and_receipts_stay_valid` |
//! | the first try arrives after its retry | it is refused as stale, or known as a repetition | `replay::what_makes_a_channel_reopen_loses_and_doubles_nothing_and_receipts_stay_valid` |
//! | another writer opens the channel | surface: `Fenced` at once. Replay: opens again once, discarding nothing; `Fenced` if the other comes back before a commit of ours. | `faults::a_second_writer_fences_the_first`, `replay::a_writer_that_comes_back_fences_for_good` |
//! | another writer commits a token of its own, the token vanishes, the channel was made anew | `OffsetConflict`, never replayed over | `faults::a_token_nobody_here_sent_is_a_conflict`, `replay::another_writers_rows_are_neither_discarded_nor_replayed_over` |
//! | the server asks for a reopen (`ERR_CHANNEL_MUST_BE_REOPENED`, a row sequence gap, a stale pipe cache) | surface: `MustReopen`. Replay: opens again, three times at most without a commit in between | `protocol::polls::an_unhealthy_status_invalidates`, `replay::a_code_that_asks_for_a_reopen_again_and_again_surfaces` |
//! | an idle channel is invalidated | a heartbeat every 30 s notices | `faults::an_idle_channel_learns_of_its_end_by_the_heartbeat`, `replay::an_idle_channel_is_open_again_before_the_next_append` |
//! | 404 without a code | host and token are asked for anew, and the request is repeated, three times; then `Gone` | `protocol::append::a_bare_404_is_healed_and_one_that_stays_is_not` |
//! | 410: the pipe moved to another host | the host is asked for anew. Surface: `Gone`. Replay: opens again there | `protocol::append::a_failed_over_pipe_is_found_by_the_next_open`, `replay::what_makes_a_channel_reopen_loses_and_doubles_nothing_and_receipts_stay_valid` |
//! | the token expired or was revoked (401) | one new token for all who wait, and the request is repeated | `protocol::append::a_refused_token_is_replaced_within_the_attempt` |
//! | credentials or rights are refused again and again | `Unauthorized` | `protocol::append::credentials_and_rights_refused_again_and_again_invalidate` |
//! | 429 | again, not before the server's delay | `faults::a_request_that_was_not_sent_or_lost_is_sent_again`, `patience::a_server_that_asks_for_an_hour_does_not_stretch_the_retry_time` |
//! | 413 | the limit is halved, the batch cut at a row's or a unit's edge | `splitting::what_the_server_finds_too_large_is_cut_and_the_limit_is_learned` |
//! | any other 4xx | `Rejected`: the batch is neither skipped nor sent again | `protocol::append::a_refusal_for_good_invalidates_at_once`, `replay::a_refused_batch_is_not_replayed` |
//! | nothing gets through for `retry_for` | `Unreachable` | `faults::an_unreachable_server_invalidates_after_the_retry_time` |
//! | rows are accepted and nothing is committed for `commit_stall_timeout` | surface: `CommitStalled`, naming the rows. Replay: opens again once | `faults::commits_that_stall_end_in_an_error_that_names_the_rows`, `replay::a_second_stall_surfaces_and_names_the_rows` |
//! | the server restarts and loses its buffer, or somebody opens the channel and goes | surface: `Fenced`. Replay: what was accepted and lost is sent again | `replay::rows_that_were_accepted_and_lost_by_the_server_are_sent_again` |
//! | a status that is old, or odd once | not believed: asked again after a second | `protocol::polls::one_odd_answer_is_not_believed` |
//! | the channel is missing from the statuses | `Gone` after three answers in a row | `protocol::polls::a_channel_missing_from_three_answers_is_gone` |
//! | the server rejects rows | receipts of the window say so; it goes on. Never sent again | `rejects::rejected_rows_fail_their_own_receipts_and_no_others`, `replay::rows_committed_with_rejects_are_never_sent_again` |
//! | an earlier holder's rows are accepted and not committed at the open | waits, then fails or discards, as [`OnUncommitted`](crate::OnUncommitted) says | `protocol::open::an_earlier_holders_rows_are_waited_for` |
//! | the server is slower than the rows | appends wait for memory; the budget holds | `memory::a_stalled_server_makes_appends_wait_and_the_budget_holds`, `replay::the_budget_holds_for_a_hundred_channels_of_a_server_that_stalls_and_all_of_it_comes_back` |
//! | a future of this crate is dropped before it is done | no row is lost or doubled | `cancel::whatever_is_given_up_wherever_rows_land_once` |
//! | a channel is dropped | it drains in the background | `ends::a_dropped_channel_drains_and_frees_its_name`, `replay::a_dropped_channel_is_replayed_in_the_background` |
//! | a close cannot have its commits in time | it says what is not committed, by state | `ends::close_keeps_its_deadline_and_lists_what_is_not_committed` |
//!
//! # Surface or replay
//!
//! [`Recovery::Surface`](crate::Recovery), the default, holds a row until it is accepted. If the channel is invalidated the
//! caller reopens it and appends again from the committed token, so the caller needs a source to read again. Take it if
//! there is one, for then nothing is held twice; [`ingest::run`](crate::ingest) does the reopening.
//!
//! [`Recovery::Replay`](crate::Recovery) holds a row until it is committed, and reopens by itself. Take it if rows come from
//! where they cannot be asked for again, a socket say, or if the code that appends cannot go back. It does not protect from
//! the loss of this process, nor from what ends the channel all the same: then the rows it held are given up, and the
//! receipts and the close say which.
//!
//! Both leave to the caller what nobody can mend by trying again: another writer who stays, a batch refused for good,
//! credentials that are refused, a server out of reach for `retry_for`.
//!
//! # How large the memory budget
//!
//! With surface it holds the open batches (uncompressed: rate × `max_client_lag`) and what waits to be sent. The default of
//! 128 MiB is enough for a handful of channels at Snowflake's 20 MB/s each.
//!
//! With replay it also holds what waits for its commit, compressed:
//!
//! ```text
//! budget  ≥  sum over channels of  rate × (max_client_lag + slow commit) ÷ compression
//! ```
//!
//! A channel at 20 MB/s, a lag of 1 s, commits that take 7 s at worst and rows that compress 3.5 times need some 45 MiB. If
//! it is too small nothing is lost, but the budget sets the pace; a warning says so once.
//!
//! # Names of channels
//!
//! A channel's name is the identity of its committed token, so it has to be the same after a restart and different for each
//! instance that runs at the same time. Good: the partition (`orders-3`), the ordinal of a stateful set (`orders-pod-0`), the
//! tenant. Bad: a process id or a random number, which never resumes; the bare service name in a deployment of two, who
//! then fence each other.
