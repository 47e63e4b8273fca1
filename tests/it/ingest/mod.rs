//! Runs of a source: one program with `run`, several with `group`, jobs with `send_once`.

mod batch_jobs;
mod failing_shards;
mod group;
mod group_options;
mod group_rejects;
mod group_rig;
mod recovery;
mod reject_counts;
pub mod rejects;
mod run;
mod shards;
