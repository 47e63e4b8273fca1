//! The files of a run, and whether the run continues with existing files or starts over.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use snowpipe_connector_support::error_text::with_causes;
use snowpipe_streaming_emulator::DataFile;

use crate::cli::{Args, Only, Until};
use crate::misconfigured::Misconfigured;
use crate::place::{check_database, real_path};
use crate::queue::{Progress, Queue};

const DEFAULT_DIRECTORY: &str = "ski_resort_data";

/// The files of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    pub(crate) queue: PathBuf,
    /// The emulator's tables; not used with a profile.
    pub(crate) landing: PathBuf,
    /// The reports on the landing.
    pub(crate) reports: PathBuf,
    /// Whether the files of a finished run may be deleted to start over: never files named on the command line, and never by a
    /// process with only one of the roles.
    may_start_over: bool,
    /// Whether the reports may be deleted with them. Otherwise they are computed again for the new landing.
    may_delete_reports: bool,
    /// Whether this process generates rows.
    has_generator: bool,
}

/// The state of the files of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// No earlier run: this run starts at step 0.
    Fresh,
    /// A finished run, which was deleted: this run starts at step 0.
    StartedOver,
    /// An unfinished run, which continues at this step.
    Unfinished { next_step: u64 },
    /// A finished run to which this run adds rows: it has a new end in time, or none.
    Extended { next_step: u64 },
    /// A finished run, which is only reconciled again.
    Finished,
}

impl Files {
    /// The files of the command line; the default files are in `directory`.
    pub(crate) fn new(args: &Args, directory: &Path) -> Self {
        let queue = args
            .queue
            .clone()
            .unwrap_or_else(|| directory.join(DEFAULT_DIRECTORY).join("queue.db"));
        let landing = match (&args.landing, &args.queue) {
            (Some(landing), _) => landing.clone(),
            (None, Some(queue)) => queue.with_extension("landing.db"),
            (None, None) => queue.with_file_name("landing.db"),
        };
        let reports = match (&args.reports, &args.landing, &args.queue) {
            (Some(reports), ..) => reports.clone(),
            (None, Some(named), _) | (None, None, Some(named)) => {
                named.with_extension("reports.db")
            }
            (None, None, None) => queue.with_file_name("reports.db"),
        };
        Self {
            queue,
            landing,
            reports,
            may_start_over: args.queue.is_none()
                && args.landing.is_none()
                && args.only == Only::All,
            may_delete_reports: args.reports.is_none(),
            has_generator: matches!(args.only, Only::All | Only::Generator),
        }
    }

    /// Checks the paths before any file is created. Without a landing there are no reports.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured), with the flag to change.
    pub(crate) fn check(&self, is_landing_known: bool) -> Result<()> {
        check_database(&self.queue, "--queue")?;
        if is_landing_known {
            check_database(&self.landing, "--landing")?;
            check_database(&self.reports, "--reports")?;
        }
        Ok(())
    }

    /// Opens the queue. Deletes the files of a finished run before, if that is allowed. The caller holds the locks of all
    /// roles, including the reports'.
    ///
    /// # Errors
    /// If one of the files cannot be used, and [`Misconfigured`](crate::misconfigured::Misconfigured) if an emulator has the
    /// landing open, in which case nothing is deleted.
    pub(crate) fn open(&self, until: Until) -> Result<(Queue, Found)> {
        let queue = Queue::open(&self.queue)?;
        let found = self.find(&queue, until)?;
        if found == Found::Finished && self.may_start_over {
            drop(queue);
            return Ok((self.start_over()?, Found::StartedOver));
        }
        Ok((queue, found))
    }

    /// Deletes all files and creates a new queue.
    fn start_over(&self) -> Result<Queue> {
        // The landing first, because an emulator may have it open. The queue last, because it records that the run is finished
        // and all files may be deleted.
        DataFile::delete(&self.landing).map_err(|error| Misconfigured::new(with_causes(&error)))?;
        if self.may_delete_reports {
            delete_database(&self.reports)?;
        }
        delete_database(&self.queue)?;
        Queue::open(&self.queue)
    }

    /// The state of the earlier run.
    fn find(&self, queue: &Queue, until: Until) -> Result<Found> {
        let Some(Progress { next_step, .. }) = queue.progress()? else {
            return Ok(Found::Fresh);
        };
        let is_finished = queue.is_generated(until)? && queue.queued()? == 0;
        let is_over = matches!(until, Until::Step(_)) || !self.has_generator;
        Ok(match (is_finished, next_step) {
            (true, _) if is_over || self.may_start_over => Found::Finished,
            (true, _) => Found::Extended { next_step },
            (false, 0) => Found::Fresh,
            (false, _) => Found::Unfinished { next_step },
        })
    }
}

/// Deletes a database and its two companion files, after resolving links.
fn delete_database(path: &Path) -> Result<()> {
    let path = real_path(path).with_context(|| format!("cannot find {}", path.display()))?;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error)
                    .with_context(|| format!("cannot delete {}", Path::new(&file).display()));
            }
            _ => {}
        }
    }
    Ok(())
}
