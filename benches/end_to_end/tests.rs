//! Tests that the checks of the end-to-end bench can fail: the sink must find rows that are lost, repeated or changed, and the
//! comparison must find statistics that contradict each other. The bench has no test harness, so its parts are compiled here
//! again.

#![expect(dead_code, reason = "what measures is not used here")]
#![expect(clippy::expect_used, clippy::float_cmp, reason = "tests may panic")]

mod figures;
mod floor;
mod job;
mod lab;
mod machine;
mod official;
mod official_tests;
mod process;
mod report;
#[path = "../../examples/ski_resort/resorts.rs"]
mod resorts;
mod rows;
mod sink;
mod sink_tests;
mod usage;
