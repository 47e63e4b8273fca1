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
//! On an [elastic channel](crate::ElasticChannel) there is no committed token. There *accepted* is durable and the last thing
//! a client is told: the rows are in the table seconds later, and those it does not take are counted and in the error table.
//!
//! # Where it is at least once, or less
//!
//! - An elastic channel: a request that goes unanswered is repeated, and nobody recognizes it. Rows of which
//!   [`may_be_duplicated`](crate::Accepted::may_be_duplicated) is true may be there twice, and so may those that are appended
//!   again after an [ambiguous](crate::FailedAppend::is_ambiguous) failure. Rows are in no order.
//! - A source that cannot be read again ([`open_untracked_channel`](crate::StreamingIngestClient::open_untracked_channel)):
//!   what was appended and not committed when the process dies is lost. Rows whose receipt is
//!   [ambiguous](crate::Error::is_ambiguous) and that the caller sends again may be there twice.
//! - [`OnUncommitted::Discard`](crate::OnUncommitted) and `WaitThenDiscard` give up what an earlier holder of the channel
//!   sent. If that was another program, and it cannot read its rows again, they are lost.
//! - Two programs that write to one channel from two sources take it from each other. The loser is told
//!   ([`Fenced`](crate::InvalidationCause::Fenced), [`OffsetConflict`](crate::InvalidationCause::OffsetConflict)); which of
//!   its rows are not in the table its receipts say. If both replay, each opens the channel once more before it gives way,
//!   and both may.
//! - A row the server rejects is committed, and not in the table. The server counts such rows and does not name them:
//!   [`RejectWindow`](crate::RejectWindow) tells between which tokens they are. Never send the window again, for its good
//!   rows are in the table. Dead letters kept by [`ingest::run`](crate::ingest) are those of the window, good ones included,
//!   and a crash in between may hand them over twice.
//! - Two sources that use the same tokens on one channel cannot be told apart by them: the loser may take the winner's
//!   commit for its own. A channel's name belongs to one source.
//! - [`offset_token`](crate::OpenChannel::offset_token) writes the committed token. An open with it that went unanswered and
//!   arrives late sets the token back, and whoever resumes from it sends rows again: use it once, and not while others write.
//! - Tokens do not make the server skip rows. A request with an old token and a new continuation appends its rows again.
//! - A token cannot be committed without rows. Offsets that lead to none, at the end of a source that filters, are read
//!   again after a restart unless the source keeps them itself; [`OpenChannel::offset_token`](crate::OpenChannel::offset_token)
//!   sets a channel's token as it is opened.
//!
//! # Faults
//!
//! *Surface* and *replay* are the two kinds of [`Recovery`](crate::Recovery). Where they do the same it is told once. In the
//! last column, tests of `tests/it` that show it. What a run does with a channel that ends, fault by fault, is told in
//! [`ingest`](crate::ingest#channels-that-end).
//!
//! | What happens | What the client does | Shown by |
//! |---|---|---|
//! | no connection, no name, no TLS | the same bytes again, with backoff | `unsent::a_request_that_never_left_is_sent_again_with_the_same_bytes`, `tls::an_unknown_authority_is_not_trusted`, `bad_input::servers::a_host_without_an_address_is_named` |
//! | the request or its answer is lost, the answer is cut, 408, 5xx | the identical request again: same tokens, same request id, retry count plus one | `protocol::append::an_unclear_answer_means_the_identical_request_again`, `faults::an_answer_lost_after_the_rows_were_applied_is_no_double_where_the_server_knows_the_token` |
//! | no answer at all | a deadline on the attempt, then as above | `protocol::append::no_answer_within_the_deadline_means_again_too` |
//! | the repeated request is called stale | surface: `Ambiguous`; it asks on, and receipts learn what was committed. Replay: opens again, waits up to 120 s for what is uncommitted and never discards it, sends what the token does not cover. It may have been another writer who made it stale: `OffsetConflict` if that one's token is found | `faults::where_the_server_calls_the_replay_stale_the_channel_is_invalidated_and_the_receipt_still_learns_the_truth`, `replay::what_makes_a_channel_reopen_loses_and_doubles_nothing_and_receipts_stay_valid`, `review::after_an_ambiguous_request_another_writers_rows_are_not_discarded` |
//! | the first try arrives after its retry | it is refused as stale, or known as a repetition | `replay::what_makes_a_channel_reopen_loses_and_doubles_nothing_and_receipts_stay_valid` |
//! | another writer opens the channel | surface: `Fenced` at once. Replay: opens again once, discarding nothing; `Fenced` if the other comes back before a commit of ours. | `other_writers::a_second_writer_fences_the_first`, `replay::a_writer_that_comes_back_fences_for_good` |
//! | another writer commits a token of its own, or the token vanishes | `OffsetConflict`, never replayed over | `other_writers::a_token_nobody_here_sent_is_a_conflict`, `replay::another_writers_rows_are_neither_discarded_nor_replayed_over`, `other_writers::a_token_that_vanishes_is_a_conflict_and_nothing_is_sent_again` |
//! | the channel is dropped, or was made anew | dropped: surface `Gone`; replay opens, which makes it anew. Made anew: `OffsetConflict`, never replayed over | `other_writers::over_a_channel_made_anew_nothing_is_sent_again`, `review::rows_that_may_have_been_committed_before_the_channel_was_dropped_are_not_sent_again` |
//! | the server asks for a reopen (`ERR_CHANNEL_MUST_BE_REOPENED`, a row sequence gap, a stale pipe cache) | surface: `MustReopen`. Replay: opens again, three times at most without a commit in between | `protocol::polls::an_unhealthy_status_invalidates`, `replay::a_code_that_asks_for_a_reopen_again_and_again_surfaces` |
//! | an idle channel is invalidated | a heartbeat every 30 s notices | `faults::an_idle_channel_learns_of_its_end_by_the_heartbeat`, `replay::an_idle_channel_is_open_again_before_the_next_append` |
//! | 404 without a code | host and token are asked for anew, and the request is repeated, three times; then `Gone` | `protocol::append::a_bare_404_is_healed_and_one_that_stays_is_not`, `moved::a_404_without_a_code_is_healed_at_the_second_host_without_a_reopen` |
//! | 410: the pipe moved to another host | the host is asked for anew. Surface: `Gone`, and the reopen finds it there. Replay: opens again there | `moved::a_channel_that_surfaces_is_reopened_at_the_second_host`, `moved::a_channel_that_replays_goes_on_at_the_second_host_by_itself` |
//! | the token expired or was revoked (401) | one new token for all who wait, and the request is repeated | `protocol::append::a_refused_token_is_replaced_within_the_attempt` |
//! | credentials or rights are refused again and again | `Unauthorized` | `protocol::append::credentials_and_rights_refused_again_and_again_invalidate`, `replay::a_refused_batch_is_not_replayed` |
//! | the account host hangs | calls go on with a token while it is valid, and a fetch goes on when the call that needed it gives up | `auth_bounds::a_token_endpoint_that_hangs_stops_nothing_while_the_token_is_valid`, `auth_bounds::a_token_that_takes_longer_than_a_poll_waits_is_had_all_the_same` |
//! | the account host refuses, and not because of credentials or rights: 302, 404, 409 and their like | the request did not go out: again, with backoff, for `retry_for` | `auth_bounds::a_refusal_of_the_account_host_is_not_one_of_the_rows`, `auth_bounds::a_refusal_of_the_account_host_is_not_one_of_elastic_rows` |
//! | 429 | again, not before the server's delay | `faults::a_throttled_request_waits_as_long_as_the_server_asks`, `patience::a_server_that_asks_for_an_hour_does_not_stretch_the_retry_time` |
//! | 413 | the limit is halved, the batch cut at a row's or a unit's edge | `splitting::what_the_server_finds_too_large_is_cut_and_the_limit_is_learned` |
//! | any other 4xx | `Rejected`: the batch is neither skipped nor sent again | `protocol::append::a_refusal_for_good_invalidates_at_once`, `faults::a_batch_refused_for_good_is_neither_skipped_nor_sent_again`, `faults::a_batch_refused_for_good_ends_a_run_that_has_released_what_went_before` |
//! | nothing gets through for `retry_for` | `Unreachable` | `faults::an_unreachable_server_invalidates_after_the_retry_time` |
//! | rows are accepted, and every status call fails: an outage of the status call, of the account host or of everything | the status call is repeated, at least once a second. After `retry_for` without a status: `Unreachable`, or `Unauthorized` if the credentials or rights are refused; the error names the last failure | `outages::a_steady_stream_rides_out_an_outage_shorter_than_the_retry_time`, `outages::an_outage_longer_than_the_retry_time_is_called_one`, `outages::a_run_rides_out_an_outage_shorter_than_the_retry_time` |
//! | the status call is answered 429 | no status call before the server's delay, but one when `retry_for` is over | `faults::a_throttled_status_is_asked_for_again_when_the_server_says_so`, `faults::a_status_that_is_put_off_for_an_hour_is_asked_for_within_the_retry_time` |
//! | rows are accepted, and statuses show for `commit_stall_timeout` that nothing is committed; time without answers does not count | surface: `CommitStalled`, naming the rows. Replay: opens again once | `faults::commits_that_stall_end_in_an_error_that_names_the_rows`, `replay::a_second_stall_surfaces_and_names_the_rows`, `outages::time_without_statuses_does_not_count_as_a_stall` |
//! | the server restarts and loses its buffer, or somebody opens the channel and goes | surface: `MustReopen`, or `Fenced`; the caller appends again from the committed token. Replay: what was accepted and lost is sent again | `other_writers::rows_that_somebody_who_opens_and_goes_has_discarded_are_appended_again_by_their_caller`, `replay::rows_that_were_accepted_and_lost_by_the_server_are_sent_again` |
//! | a status is old, or odd once | it changes nothing; see [below](#statuses-that-lag) | `lagging::a_status_from_before_the_open_is_no_conflict`, `lagging::a_status_from_before_the_first_commit_is_no_conflict`, `lagging::the_code_of_a_status_from_before_the_reopen_does_not_invalidate`, `lagging::the_code_of_a_status_with_an_old_token_does_not_invalidate`, `protocol::polls::one_odd_answer_is_not_believed` |
//! | an odd status stays | after at most 30 s it is believed; see [below](#statuses-that-lag) | `lagging::a_token_of_another_writer_is_a_conflict_when_no_replica_lags_so_far`, `lagging::a_code_that_stays_after_an_open_is_believed_when_no_replica_lags_so_far`, `lagging::after_a_commit_a_code_is_believed_at_once` |
//! | the channel is missing from the statuses | `Gone` after three answers in a row, not earlier than 30 s after the open | `lagging::a_channel_missing_from_three_answers_is_gone`, `lagging::a_replica_that_does_not_know_a_new_channel_yet_is_no_loss_of_it` |
//! | a text offset is made of digits | it is compared as text, from the source to the check of the tokens: `"10"` may come before `"9"` | `ingest::texts_made_of_digits_are_offsets_in_the_order_of_texts` |
//! | an open is answered without a status | that is not taken for "nothing committed": the status is asked for when no replica lags behind the open any more, with the patience of the open | `opening::an_open_answer_without_a_status_means_that_the_status_is_asked_for` |
//! | the channel was created under its name in another case | the open finds it, and from then on it is followed by the name the server gave it | `opening::a_channel_opened_in_another_case_is_followed_by_the_servers_name` |
//! | a run opens a channel, and its status cannot be had | it is asked for again, with the patience of the open | `ingest_recovery::a_status_call_that_fails_after_an_open_is_given_the_patience_of_the_open` |
//! | a run's source cannot keep dead letters | it is asked again, with pauses that grow. Meanwhile the run follows its channels and releases nothing; after [`source_patience`](crate::ingest::Run::source_patience) it ends as [`ErrorKind::Source`](crate::ErrorKind::Source) | `ingest_rejects::dead_letters_that_cannot_be_kept_end_the_run_after_the_source_patience`, `ingest_rejects::channels_are_followed_while_dead_letters_cannot_be_kept` |
//! | a run's source cannot wait for rows | the same; that a channel is opened again meanwhile is no success of the source | `ingest_recovery::a_reopened_channel_does_not_prolong_the_patience_with_a_source_that_cannot_wait` |
//! | a channel with rejects is dropped and made anew | its rejects count from 0, however many the source remembers | `ingest_rejects::rejects_of_a_channel_made_anew_are_kept_though_the_source_remembers_more` |
//! | the server rejects rows | receipts of the window say so; it goes on. Never sent again | `rejects::rejected_rows_fail_their_own_receipts_and_no_others`, `replay::rows_committed_with_rejects_are_never_sent_again` |
//! | the same with `isolate_rejects` | smaller requests for a while, so that the next window is narrower | `replay::after_a_reject_requests_are_smaller_if_asked_for_and_windows_narrower` |
//! | an earlier holder's rows are accepted and not committed at the open | waits, then fails or discards, as [`OnUncommitted`](crate::OnUncommitted) says | `protocol::open::an_earlier_holders_rows_are_waited_for` |
//! | the server is slower than the rows | appends wait for memory; the budget holds | `memory::a_stalled_server_makes_appends_wait_and_the_budget_holds`, `replay::the_budget_holds_for_a_hundred_channels_of_a_server_that_stalls_and_all_of_it_comes_back` |
//! | the same for `append_timeout`, if there is one | `Backpressure`: of rows with a token each the first may be in, and [`last_appended`](crate::Channel::last_appended) says which | `memory::an_append_timeout_is_backpressure_with_nothing_appended` |
//! | a future of this crate is dropped before it is done | no row is lost or doubled | `cancel::whatever_is_given_up_wherever_rows_land_once`, `cancel::an_untracked_append_that_is_given_up_leaves_its_first_rows_and_none_twice`, `cancel::a_client_whose_close_is_given_up_goes_on` |
//! | a channel is dropped | it drains in the background | `ends::a_dropped_channel_drains_and_frees_its_name`, `replay::a_dropped_channel_is_replayed_in_the_background` |
//! | the last handle of the client is dropped | `ClientClosed` for its channels and their receipts: nothing drains | `ends::the_last_handle_takes_the_channels_with_it` |
//! | the process is killed and started again | what it held is lost. The channel's next open waits for what was accepted, and the source is read on from the committed token | `ingest::a_crash_at_any_moment_loses_and_doubles_nothing`, `ingest_recovery::a_first_open_waits_for_what_an_earlier_run_sent_and_then_sends_it_again`, `cancel::a_job_that_is_given_up_is_finished_by_its_next_run` |
//! | a close cannot have its commits in time | it says what is not committed, by state: `Timeout`, or what invalidated the channel if it was being opened again | `ends::close_keeps_its_deadline_and_lists_what_is_not_committed`, `other_writers::a_close_that_runs_out_of_time_in_a_reopen_names_the_other_writer` |
//!
//! And on an elastic channel:
//!
//! | What happens | What the client does | Shown by |
//! |---|---|---|
//! | no connection, no name, no TLS; 429 | the same bytes again, with backoff and not before the server's delay; after a 429 one request at a time, and gradually more | `elastic::flow::what_the_server_did_not_carry_out_is_repeated_without_doubt`, `elastic::flow::after_a_429_requests_go_one_by_one_for_a_while_and_not_before_the_delay` |
//! | the request or its answer is lost, the answer is cut, no answer, 408, 5xx | the identical request again, with the same id; its rows may be there twice, and the acknowledgement says so | `elastic::flow::an_unanswered_request_is_repeated_and_said_to_be_possibly_there_twice`, `elastic::wire::an_unclear_answer_means_the_identical_request_again` |
//! | 401, 403, 410, 404 without a code | token or host are asked for anew, and the request is repeated, three times; then the rows are handed back | `elastic::failures::refusals_that_do_not_pass_come_back_after_a_few_tries` |
//! | 413 | the limit is halved, the batch cut at a row's edge, each piece with an id of its own; one row that is too large alone is handed back | `elastic::flow::what_the_server_finds_too_large_is_cut_and_the_limit_is_learned`, `elastic::failures::one_row_too_large_for_the_server_comes_back_alone` |
//! | any other 4xx | the rows of that batch are handed back; the others go on | `elastic::failures::a_batch_refused_for_good_comes_back_and_the_others_go_on`, `elastic::wire::a_refusal_for_good_is_not_repeated` |
//! | nothing gets through for `retry_for` | the rows are handed back as `Unreachable` | `elastic::failures::an_unreachable_server_ends_in_rows_handed_back_after_the_retry_time` |
//! | nobody waits for what failed | appends are refused until a checkpoint has told of it | `elastic::failures::a_failure_nobody_waits_for_goes_to_the_next_checkpoint_and_stops_appends_until_then`, `elastic::failures::an_acknowledgement_dropped_unread_gives_its_failure_back` |
//! | rows that were handed back are not taken | they stay part of the memory budget; when they use it up, appends fail with `Backpressure` instead of waiting | `elastic::failures::rows_handed_back_are_charged_until_they_are_taken`, `elastic::failures::untaken_failures_end_appends_before_they_fill_the_memory` |
//! | the server is slower than the rows | appends wait for memory, of which acknowledgements have their share | `elastic::flow::a_stalled_server_makes_appends_wait_and_the_budget_holds` |
//! | the server restarts and loses its buffer | nothing: what was accepted is durable | `elastic::ends::what_was_accepted_outlives_a_server_that_loses_its_buffer` |
//! | the last clone is dropped | it drains in the background | `elastic::ends::a_dropped_channel_goes_on_in_the_background` |
//! | the last handle of the client is dropped | `ClientClosed`: rows without an outcome are handed back | `elastic::ends::the_last_handle_of_the_client_hands_everything_back` |
//! | a close cannot be done in time | what has no outcome is handed back as `Timeout` | `elastic::ends::a_close_keeps_its_deadline_and_hands_back_the_rest` |
//! | all of these in any order | no acknowledged row is missing, and none is there twice without having been said to be | `sim::elastic::acknowledged_rows_are_there_and_twice_only_where_that_was_said` |
//!
//! # Statuses that lag
//!
//! A status may come from a replica of the server that lags. The client assumes a lag of at most 30 seconds, and judges a
//! status by its token and by when it was asked for:
//!
//! - The token is the end of a request that is not known to be committed: its rows, and all before them, are committed.
//! - The token is the last one known to be committed: the status is believed, rejects included. Only a code that is not
//!   healthy may be from before the open. It is believed if a commit was seen since the open, or if the status was asked for
//!   30 s after the open or later. Until then the client asks again each second.
//! - The token was committed before the last one (of the last 4,096 that ended requests since the open, 256 at rest): the
//!   status is older than one already seen. It changes nothing, whatever else it says.
//! - Any other token, none where there was one, or another creation time of the channel: the client asks again after a second.
//!   The same answer twice in a row is an [`OffsetConflict`](crate::InvalidationCause::OffsetConflict), unless it may be an
//!   older state: one from before the open, if the second answer was asked for less than 30 s after it; one from before the
//!   first token of a channel that had none at its open, if the second answer has none and was asked for less than 30 s after
//!   the first token was seen. A later creation time is never an older state.
//! - The channel is missing: after three answers in a row it is [`Gone`](crate::InvalidationCause::Gone), if the third was asked
//!   for 30 s after the open or later.
//!
//! The answer to an open is the server's own and never doubted; if it has no status, one that is asked for 30 s later is taken
//! for it. Appends do not wait for any of this: a channel that another writer has opened refuses the next append at once.
//!
//! # Deadlines
//!
//! Whatever waits for the server has an end; only an append that waits for memory has none unless it is given one.
//!
//! | What | How long | Set by |
//! |---|---|---|
//! | a connection, with name and TLS | 10 s | [`connect_timeout`](crate::HttpTransportBuilder::connect_timeout) |
//! | one network call | 60 s | [`attempt_timeout`](crate::ClientBuilder::attempt_timeout) |
//! | a question for the committed tokens | 15 s, then it is asked again | |
//! | a batch, with all its tries | 10 min | [`retry_for`](crate::ClientBuilder::retry_for) |
//! | accepted rows without any status | 10 min | [`retry_for`](crate::ClientBuilder::retry_for) |
//! | accepted rows whose statuses show no commit | 120 s | [`commit_stall_timeout`](crate::ClientBuilder::commit_stall_timeout) |
//! | what was sent, once the channel is invalidated | 30 s | [`settle_timeout`](crate::ClientBuilder::settle_timeout) |
//! | an open, or the status a run asks for after it, against a server in trouble | 60 s | |
//! | an open, for what an earlier holder has not committed | 120 s | [`on_uncommitted`](crate::ClientBuilder::on_uncommitted) |
//! | a close, or a dropped channel that drains, elastic or not | 60 s | [`close_timeout`](crate::ClientBuilder::close_timeout) |
//! | an append that waits for memory | for ever | [`append_timeout`](crate::ClientBuilder::append_timeout) |
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
//! # Short jobs
//!
//! A job or a function that ends must not end with rows in memory.
//! [`send_once`](crate::StreamingIngestClient::send_once) opens a channel, appends, waits for the commits and closes; run
//! again with the same rows and offsets it sends what is missing.
//!
//! # Rows that are rejected
//!
//! A window is as wide as the requests that committed together, thousands of rows in a fast stream.
//! [`isolate_rejects`](crate::ClientBuilder::isolate_rejects) makes requests smaller after a reject and lets them grow again
//! slowly: rejected rows come in company, and the next window tells more exactly where. The first stays wide, and throughput
//! falls for a while. Take it if somebody looks at the windows, and leave it off if they are only counted.
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
