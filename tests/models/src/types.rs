//! The crate's errors and reports.

#[path = "../../../src/types/close_report.rs"]
pub(crate) mod close_report;
#[path = "../../../src/types/error.rs"]
pub(crate) mod error;
pub(crate) use crate::stubs::offset;
#[path = "../../../src/types/job_report.rs"]
pub(crate) mod job_report;
#[path = "../../../src/types/reject_window.rs"]
pub(crate) mod reject_window;
#[path = "../../../src/types/secret.rs"]
pub(crate) mod secret;
/// The models give up no rows.
pub(crate) mod uncommitted_rows {
    #[derive(Debug, Clone, Default)]
    pub struct UncommittedRows;
}
