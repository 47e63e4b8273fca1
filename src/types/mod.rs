//! The public vocabulary, without behaviour: errors, offset tokens, pipe paths, statuses, reports.

pub(crate) mod channel_status;
pub(crate) mod close_report;
pub(crate) mod error;
pub(crate) mod job_report;
pub(crate) mod offset;
pub(crate) mod pipe;
pub(crate) mod reject_window;
pub(crate) mod secret;
pub(crate) mod sql_names;
pub(crate) mod uncommitted_rows;
pub(crate) mod workload_identity;
