//! For those who come from the official SDK: each thing it has, and what there is here.
//!
//! "Official" is the SDK for Python, Java and Node.js, version 1.9.1. Its names are those of the Python package; Java and
//! Node.js have the same in their own case (`openChannel`, `appendRows`). They are from the "Snowpipe Streaming
//! high-performance SDK" pages, or observed of the official SDK 1.9.1.
//!
//! # What is different
//!
//! - **Waiting is an `await`.** An append waits for memory instead of raising `ReceiverSaturated`, and a commit is awaited
//!   on a [`Receipt`](crate::Receipt) instead of asked for every second.
//! - **Committed rows that were rejected are an error**, [`RowsRejected`](crate::ErrorKind::RowsRejected), and not a counter
//!   that somebody may look at.
//! - **Nothing is discarded by an open** unless [`OnUncommitted`](crate::OnUncommitted) says so.
//! - **Everything that waits for the server has a deadline**, and a dropped channel drains.
//! - **Rows go inline only**, in requests of at most 4 MB. The official SDK uploads files to a stage when a flush holds 1 MiB
//!   or more.
//!
//! # Client
//!
//! | Official | Here |
//! |---|---|
//! | `StreamingIngestClient` | [`StreamingIngestClient::builder`](crate::StreamingIngestClient::builder); in Java `SnowflakeStreamingIngestClientFactory.builder`, in Node.js `createClient` |
//! | `StreamingIngestClient.from_table` | [`StreamingIngestClient::for_table`](crate::StreamingIngestClient::for_table), or [`PipePath::for_table`](crate::PipePath::for_table); in Java `tableBuilder`, in Node.js `createTableClient` |
//! | `StreamingIngestClient.open_channel` | [`open_channel`](crate::StreamingIngestClient::open_channel), with [`offset_token`](crate::OpenChannel::offset_token) |
//! | `StreamingIngestClient.get_elastic_channel` | [`elastic_channel`](crate::StreamingIngestClient::elastic_channel) |
//! | `StreamingIngestClient.drop_channel` | [`drop_channel`](crate::StreamingIngestClient::drop_channel), which leaves a channel alone whose rows are not committed |
//! | `StreamingIngestClient.get_channel_statuses` | [`channel_statuses`](crate::StreamingIngestClient::channel_statuses), fresh from the server |
//! | `StreamingIngestClient.get_latest_committed_offset_tokens` | [`latest_committed_offset_tokens`](crate::StreamingIngestClient::latest_committed_offset_tokens) |
//! | `StreamingIngestClient.initiate_flush` | [`initiate_flush`](crate::StreamingIngestClient::initiate_flush) |
//! | `StreamingIngestClient.wait_for_flush` | [`wait_for_flush`](crate::StreamingIngestClient::wait_for_flush); for a timeout, `tokio::time::timeout` around it |
//! | `StreamingIngestClient.close` | [`close`](crate::StreamingIngestClient::close), which waits for commits |
//! | `StreamingIngestClient.is_closed` | Not needed: `close` takes the client. Handles that are left get [`ClientClosed`](crate::ErrorKind::ClientClosed) |
//! | `StreamingIngestClient.db_name`, `StreamingIngestClient.schema_name`, `StreamingIngestClient.pipe_name` | [`pipe`](crate::StreamingIngestClient::pipe) |
//! | `StreamingIngestClient.client_name` | Not needed: it names the client in the official SDK's own metrics and telemetry |
//! | `__version__` | The version of the crate, which is in the user agent |
//!
//! # Channel
//!
//! | Official | Here |
//! |---|---|
//! | `StreamingIngestChannel` | [`Channel`](crate::Channel): tracked with offset tokens, untracked without |
//! | `StreamingIngestChannel.append_row` | [`append_row`](crate::Channel::append_row) |
//! | `StreamingIngestChannel.append_rows` | [`append_rows`](crate::Channel::append_rows) with `first..` for a token a row, or with a pair of tokens; [`append_batch`](crate::Channel::append_batch) for rows that are bytes |
//! | `StreamingIngestChannel.get_latest_committed_offset_token` | [`latest_committed_offset_token`](crate::Channel::latest_committed_offset_token), or [`commits`](crate::Channel::commits) to watch it |
//! | `StreamingIngestChannel.get_channel_status` | [`status`](crate::Channel::status) |
//! | `StreamingIngestChannel.wait_for_commit` | [`Receipt::committed`](crate::Receipt::committed), [`wait_for_commit`](crate::Channel::wait_for_commit) |
//! | `StreamingIngestChannel.initiate_flush` | [`initiate_flush`](crate::Channel::initiate_flush) |
//! | `StreamingIngestChannel.wait_for_flush` | [`wait_for_flush`](crate::Channel::wait_for_flush) |
//! | `StreamingIngestChannel.close` | [`close`](crate::Channel::close), which waits for commits and reports; to drop as well, [`drop_channel`](crate::StreamingIngestClient::drop_channel) after it |
//! | `StreamingIngestChannel.is_closed` | Not needed: `close` takes the channel. [`invalidated`](crate::Channel::invalidated) tells of the other end |
//! | `StreamingIngestChannel.channel_name` | [`name`](crate::Channel::name) |
//! | `StreamingIngestChannel.db_name`, `StreamingIngestChannel.schema_name`, `StreamingIngestChannel.pipe_name` | [`pipe`](crate::StreamingIngestClient::pipe) of the client |
//!
//! # Elastic channel
//!
//! | Official | Here |
//! |---|---|
//! | `StreamingIngestElasticChannel` | [`ElasticChannel`](crate::ElasticChannel) |
//! | `StreamingIngestElasticChannel.append_row`, `StreamingIngestElasticChannel.append_row_with_wait` | [`append_row`](crate::ElasticChannel::append_row): the tag is the append token, and what it returns can be awaited or dropped |
//! | `StreamingIngestElasticChannel.append_rows`, `StreamingIngestElasticChannel.append_rows_with_wait` | [`append_rows`](crate::ElasticChannel::append_rows) |
//! | `StreamingIngestElasticChannel.set_success_handler`, `ChannelSuccessHandler`, `SuccessDetail` | [`Ack`](crate::Ack) resolves to [`Accepted`](crate::Accepted); a handler is a task that awaits it |
//! | `StreamingIngestElasticChannel.set_error_handler`, `ChannelErrorHandler`, `ErrorDetail` | [`FailedAppend`](crate::FailedAppend), which hands back the rows and the tag |
//! | `StreamingIngestElasticChannel.initiate_flush` | [`initiate_flush`](crate::ElasticChannel::initiate_flush) |
//! | `StreamingIngestElasticChannel.wait_for_flush` | [`wait_for_flush`](crate::ElasticChannel::wait_for_flush); [`checkpoint`](crate::ElasticChannel::checkpoint) says what failed as well |
//! | `StreamingIngestElasticChannel.get_channel_status` | [`channel_status`](crate::ElasticChannel::channel_status) |
//! | `StreamingIngestElasticChannel.is_closed` | [`is_closed`](crate::ElasticChannel::is_closed) |
//! | `StreamingIngestElasticChannel.channel_name` | Not needed: it is always `ELASTIC` |
//! | `StreamingIngestElasticChannel.db_name`, `StreamingIngestElasticChannel.schema_name`, `StreamingIngestElasticChannel.pipe_name` | [`pipe`](crate::StreamingIngestClient::pipe) of the client |
//!
//! # Status
//!
//! | Official | Here |
//! |---|---|
//! | `ChannelStatus` | [`ChannelStatus`](crate::ChannelStatus) |
//! | `ChannelStatus.database_name`, `ChannelStatus.schema_name`, `ChannelStatus.pipe_name`, `ChannelStatus.channel_name` | [`database_name`](crate::ChannelStatus::database_name), [`schema_name`](crate::ChannelStatus::schema_name), [`pipe_name`](crate::ChannelStatus::pipe_name), [`channel_name`](crate::ChannelStatus::channel_name) |
//! | `ChannelStatus.status_code` | [`status_code`](crate::ChannelStatus::status_code), [`is_healthy`](crate::ChannelStatus::is_healthy) |
//! | `ChannelStatus.latest_committed_offset_token`, `ChannelStatus.latest_offset_token` | [`latest_committed_offset_token`](crate::ChannelStatus::latest_committed_offset_token) |
//! | `ChannelStatus.created_on` | [`created_on_ms`](crate::ChannelStatus::created_on_ms) |
//! | `ChannelStatus.rows_inserted_count`, `ChannelStatus.rows_parsed_count`, `ChannelStatus.rows_error_count` | [`rows_inserted_count`](crate::ChannelStatus::rows_inserted_count), [`rows_parsed_count`](crate::ChannelStatus::rows_parsed_count), [`rows_error_count`](crate::ChannelStatus::rows_error_count) |
//! | `ChannelStatus.last_error_message`, `ChannelStatus.last_error_timestamp`, `ChannelStatus.last_error_offset_token_upper_bound` | [`last_error_message`](crate::ChannelStatus::last_error_message), [`last_error_timestamp_ms`](crate::ChannelStatus::last_error_timestamp_ms), [`last_error_offset_token_upper_bound`](crate::ChannelStatus::last_error_offset_token_upper_bound) |
//! | `ChannelStatus.server_avg_processing_latency` | [`server_avg_processing_latency`](crate::ChannelStatus::server_avg_processing_latency) |
//! | `ChannelStatus.last_refreshed_on` | Not needed: a status is asked for when you ask, and not served from a cache |
//! | `ChannelStatus.from_py_status` | Not needed: it is the seam between Python and the official SDK's core |
//!
//! # Errors
//!
//! | Official | Here |
//! |---|---|
//! | `StreamingIngestError` | [`Error`](crate::Error) |
//! | `StreamingIngestError.error_code` | [`kind`](crate::Error::kind) for the program, [`code`](crate::Error::code) for the server's own |
//! | `StreamingIngestError.message` | its `Display` |
//! | `StreamingIngestError.http_status_code`, `StreamingIngestError.http_status_name` | [`http_status`](crate::Error::http_status): the server's, and nothing where no server answered |
//! | `CONFIG_ERROR`, `INVALID_ARGUMENT`, `INVALID_REQUEST` | [`Config`](crate::ErrorKind::Config), [`InvalidRow`](crate::ErrorKind::InvalidRow), [`InvalidOffset`](crate::ErrorKind::InvalidOffset), [`TooLarge`](crate::ErrorKind::TooLarge); an empty append is no error |
//! | `AUTH_TOKEN_ERROR`, `SF_API_AUTH_ERROR` | [`Authentication`](crate::ErrorKind::Authentication), [`Forbidden`](crate::ErrorKind::Forbidden) |
//! | `CHANNEL_NOT_FOUND`, `SF_API_NOT_FOUND_ERROR` | [`NotFound`](crate::ErrorKind::NotFound); a name that is missing from the statuses is just absent |
//! | `CHANNEL_ALREADY_EXISTS` | [`ChannelAlreadyOpen`](crate::ErrorKind::ChannelAlreadyOpen) |
//! | `ELASTIC_CHANNEL_RESERVED_NAME`, `CANNOT_DROP_ELASTIC_CHANNEL` | [`Config`](crate::ErrorKind::Config) |
//! | `CHANNEL_WAIT_FOR_FLUSH_TIMEOUT`, `CLIENT_WAIT_FOR_FLUSH_TIMEOUT` | the timeout is yours, put around the future; of a close, [`Timeout`](crate::ErrorKind::Timeout) with a [`close_report`](crate::Error::close_report) |
//! | `CLOSED_CHANNEL_ERROR`, `CLOSED_ELASTIC_CHANNEL_ERROR`, `CHANNEL_CLOSED_BY_USER` | [`ChannelClosed`](crate::ErrorKind::ChannelClosed) |
//! | `CLOSED_CLIENT_ERROR`, `INVALID_CLIENT_ERROR` | [`ClientClosed`](crate::ErrorKind::ClientClosed). A client is not invalidated: it finds host and token anew |
//! | `INVALID_CHANNEL_ERROR` | [`Invalidated`](crate::ErrorKind::Invalidated) with its [cause](crate::InvalidationCause) |
//! | `SF_API_PIPE_FAILED_OVER_ERROR` | Not one here: the client finds the new host, and channels are reopened there |
//! | `RECEIVER_SATURATED`, `MEMORY_THRESHOLD_EXCEEDED`, `MEMORY_THRESHOLD_EXCEEDED_IN_CONTAINER` | an append waits; [`Backpressure`](crate::ErrorKind::Backpressure) after [`append_timeout`](crate::ClientBuilder::append_timeout) |
//! | `SF_API_USER_ERROR`, `HTTP_CLIENT_NON_RETRYABLE_ERROR` | [`Refused`](crate::ErrorKind::Refused) |
//! | `SF_API_INTERNAL_SERVER_ERROR` | [`Server`](crate::ErrorKind::Server) |
//! | `SF_API_UNEXPECTED_BEHAVIOR_ERROR` | [`Protocol`](crate::ErrorKind::Protocol) |
//! | `HTTP_RETRYABLE_CLIENT_ERROR`, `HTTP_RETRIES_EXHAUSTED_ERROR` | [`Unreachable`](crate::ErrorKind::Unreachable), [`Timeout`](crate::ErrorKind::Timeout), [`Throttled`](crate::ErrorKind::Throttled) |
//! | `CLOSE_ALL_CHANNELS_FAILED_ERROR` | [`close`](crate::StreamingIngestClient::close) fails with the first channel's own error |
//! | `FILE_UPLOAD_ERROR` | Not one here: no files are uploaded |
//! | `FATAL`, `NON_FATAL`, `MUTEX_LOCK_FAILED`, `INPUT_CHANNEL_CLOSED`, `OUTPUT_CHANNEL_CLOSED`, `NOT_IMPLEMENTED` | Not here: they tell of the official SDK's inside |
//!
//! # Settings
//!
//! A [`Profile`](crate::Profile) reads these from `profile.json`, a properties file or the environment. What tunes the client
//! is on the [`ClientBuilder`](crate::ClientBuilder), typed. Names that are not documented were observed of the official SDK
//! 1.9.1.
//!
//! | Official | Here |
//! |---|---|
//! | `account`, `user`, `role`, `url`, `scheme`, `host`, `port` | the same in a [`Profile`](crate::Profile) |
//! | `authorization_type` | the same |
//! | `private_key`, `private_key_file`, `private_key_passphrase` | the same; PKCS#1 and DER as well |
//! | `oauth_client_id`, `oauth_client_secret`, `oauth_refresh_token`, `oauth_token_endpoint`, `oauth_scope`, `oauth_include_scope` | the same |
//! | `personal_access_token` | the same |
//! | `spcs_token_path`, `SNOWFLAKE_SPCS_TOKEN_PATH` | the same |
//! | `spcs_service_token_path` | Not here: what it is for is not documented |
//! | `application`, `SS_APPLICATION` | the same |
//! | `SSL_CERT_FILE`, `SSL_CERT_DIR` | the same, and [`add_root_certificate_pem`](crate::HttpTransportBuilder::add_root_certificate_pem) |
//! | `replace_underscore_with_dash_in_host` | Not needed: done for hosts that Snowflake derives from the account, and not for private links |
//! | `encode_streaming_url_components` | Not needed: names and tokens are always percent-encoded |
//! | `data_header_overrides` | Not here: put a [`Transport`](crate::Transport) of your own around [`HttpTransport`](crate::HttpTransport) |
//! | `http11_disable_connection_reuse` | [`pool_idle_timeout`](crate::HttpTransportBuilder::pool_idle_timeout) of zero |
//! | `max_append_request_buffer_duration_ms` | [`max_client_lag`](crate::ClientBuilder::max_client_lag) |
//! | `max_append_request_size_mb`, `max_rowset_payload_size_mb`, `target_rowset_payload_size_mb` | [`max_request_bytes`](crate::ClientBuilder::max_request_bytes) |
//! | `max_inflight_rows_per_channel`, `max_inflight_megabytes_per_channel` | [`channel_memory`](crate::ClientBuilder::channel_memory), in bytes |
//! | `mem_throttle_threshold_percentage`, `mem_throttle_threshold_mb_by_process`, `mem_throttle_by_process`, `mem_throttle_by_system`, `mem_throttle_by_pod`, `skip_mem_throttle_if_available_mb`, `SS_CHECK_KUBECTL_MEMORY`, `SS_PROCESS_INFO_REFRESH_DURATION_MS` | [`memory_budget`](crate::ClientBuilder::memory_budget): what the client may hold is set, and not guessed from what the process uses |
//! | `max_outstanding_snowflake_requests` | one for each named channel; of an elastic channel, [`elastic_requests`](crate::ClientBuilder::elastic_requests) |
//! | `mgmt_http_timeout_seconds`, `data_http_timeout_seconds` | [`attempt_timeout`](crate::ClientBuilder::attempt_timeout) |
//! | `mgmt_retry_total_backoff_seconds`, `data_retry_total_backoff_seconds` | [`retry_for`](crate::ClientBuilder::retry_for) |
//! | `mgmt_retry_initial_backoff_seconds`, `mgmt_retry_backoff_multiplier`, `mgmt_retry_max_backoff_seconds`, `mgmt_retry_jitter_ratio`, `data_retry_initial_backoff_seconds`, `data_retry_backoff_multiplier`, `data_retry_max_backoff_seconds`, `data_retry_jitter_ratio` | Not here: the backoff is fixed, and the server's delay goes before it |
//! | `open_channel_409_retry_total_backoff_seconds` | [`on_uncommitted`](crate::ClientBuilder::on_uncommitted) |
//! | `misclassified_404_retry_total_backoff_seconds`, `treat_misclassified_404_as_500` | Not here: a 404 without a code makes the client look for its host anew, three times |
//! | `non_scoped_auth_failure_retry_total_backoff_seconds`, `auth_refresh_buffer_duration_seconds`, `oauth_access_token_default_expires_in_seconds` | Not here: tokens are renewed in the last tenth of their life, five minutes before its end at most |
//! | `channel_status_cache_refresh_interval_seconds` | Not needed: there is no cache |
//! | `pipe_info_refresh_buffer_duration_seconds` | Not needed: the pipe's stage is not used |
//! | `max_buffered_kb_for_rowset_mode`, `num_failure_before_forcing_file_mode`, `force_file_mode_seconds`, `ignore_switch_to_file_mode`, `target_buffer_file_size_mb`, `file_upload_timeout_seconds` | Not here: rows go inline only. A row must fit into a request of 4 MB |
//! | `enable_rowset_compression` | Not here: bodies are always compressed, with zstd |
//! | `enable_telemetry_reporting`, `telemetry_reporting_interval_seconds`, `telemetry_flush_timeout_seconds` | Not here: nothing is reported to Snowflake behind your back |
//! | `binary_input_format` | Not here: put binary into rows as base64 for a default pipe, as the pipe says for others |
//! | `parameter_overrides` | the [`ClientBuilder`](crate::ClientBuilder) |
//! | `SS_LOG_LEVEL`, `SS_LOG_TARGET` | events of `tracing`: your subscriber decides |
//! | `SS_ENABLE_METRICS`, `SS_METRICS_PORT`, `SS_METRICS_IP` | [`metrics`](crate::StreamingIngestClient::metrics), as numbers or [for Prometheus](crate::Metrics::to_prometheus); no port is opened, show them where your other metrics are |
//!
//! # What goes over the wire
//!
//! | Official | Here |
//! |---|---|
//! | `GET /v2/streaming/hostname` | the same |
//! | `POST /oauth/token` | the same |
//! | `POST /oauth/token-request` | the same, for OAuth |
//! | `PUT …/channels/{channel}` | the same |
//! | `POST …/channels/{channel}/rows` | the same |
//! | `POST …/channels/ELASTIC/rows` | the same; for a table's default pipe `POST …/tables/{table}/rows`, which makes the pipe |
//! | `POST …:bulk-channel-status` | the same |
//! | `DELETE …/channels/{channel}` | the same |
//! | `POST …:pipe-info` | Not sent: what it answers is for uploads. An open or an elastic append makes the default pipe as well |
//! | `POST …/channels/{channel}/filebuffer` | Not sent: rows go inline only |
//! | `POST /telemetry/send/sessionless` | Not sent: nothing is reported to Snowflake behind your back |
