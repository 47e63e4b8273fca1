//! Which files a run uses, and whether it goes on with them or starts over.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use snowpipe_streaming::emulator::DataFile;

use crate::cli::{Args, Only, Until};
use crate::error_text::with_causes;
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
    /// Whether a finished run's files may be deleted to start over: never those that somebody named, and never
    /// by a process that has only one of the roles.
    may_start_over: bool,
    /// Whether the reports may go with them. Those that stay are made anew when they find another landing.
    may_delete_reports: bool,
    /// Whether this process generates rows.
    has_generator: bool,
}

/// What became of the files that were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing that counts: the run begins at step 0.
    Fresh,
    /// A finished run, which was deleted: the next one begins at step 0.
    StartedOver,
    /// An unfinished run, which goes on at this step.
    Unfinished { next_step: u64 },
    /// A finished run, to which this one adds: its end is a time from now on, or none.
    Extended { next_step: u64 },
    /// A finished run: only its reconciliation is left to do.
    Finished,
}

impl Files {
    /// The files that the command line asks for, under `directory` where it does not say.
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

    /// Finds out, before anything is made, whether files can be at these places. Without a landing there are no reports.
    ///
    /// # Errors
    /// [`Misconfigured`](crate::misconfigured::Misconfigured), with the flag that names another place.
    pub(crate) fn check(&self, is_landing_known: bool) -> Result<()> {
        check_database(&self.queue, "--queue")?;
        if is_landing_known {
            check_database(&self.landing, "--landing")?;
            check_database(&self.reports, "--reports")?;
        }
        Ok(())
    }

    /// Opens the queue, after deleting a finished run's files if that is allowed. Needs the locks of the roles, that of the
    /// reports included.
    ///
    /// # Errors
    /// If one of the files cannot be used, and [`Misconfigured`](crate::misconfigured::Misconfigured) if an emulator has the
    /// landing open that would be deleted; nothing was deleted then.
    pub(crate) fn open(&self, until: Until) -> Result<(Queue, Found)> {
        let queue = Queue::open(&self.queue)?;
        let found = self.find(&queue, until)?;
        if found == Found::Finished && self.may_start_over {
            drop(queue);
            return Ok((self.start_over()?, Found::StartedOver));
        }
        Ok((queue, found))
    }

    /// Deletes all files, and makes the queue again.
    fn start_over(&self) -> Result<Queue> {
        // The landing first: an emulator may have it open. The queue last: as long as it is there, it says that the run is
        // finished and that all may go.
        DataFile::delete(&self.landing).map_err(|error| Misconfigured::new(with_causes(&error)))?;
        if self.may_delete_reports {
            delete_database(&self.reports)?;
        }
        delete_database(&self.queue)?;
        Queue::open(&self.queue)
    }

    /// How far the generator and the streamer have come.
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

/// Deletes a database and the two files it keeps beside itself, where a link leads.
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
