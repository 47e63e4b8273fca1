//! Where to read a partition, given what is committed and what the log still has.

use crate::cli::OnGap;

/// The offsets that a partition has: from `low`, and below `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watermarks {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) next: i64,
    /// How many offsets before it are gone, and were never read.
    pub(crate) missing: i64,
}

/// Why a partition cannot be read from where it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misplaced {
    #[error(
        "the offsets {wanted} to {} were not read and are gone from the log, whose first offset is {low}: they were deleted by \
         the topic's retention; start again with --on-gap continue to continue without them",
        low - 1
    )]
    Gap { wanted: i64, low: i64 },
    #[error(
        "the next offset to read is {wanted}, but the log ends at {high}: it was truncated, or the topic was created again, or \
         this is another cluster; find out what the table has, and use another --source-id to read the log from its beginning"
    )]
    Beyond { wanted: i64, high: i64 },
}

/// Compares the wanted offset with the log. Without one, reading begins with the log.
pub(crate) fn place(
    wanted: Option<i64>,
    log: Watermarks,
    on_gap: OnGap,
) -> Result<Place, Misplaced> {
    let Watermarks { low, high } = log;
    let wanted = wanted.unwrap_or(low);
    if wanted > high {
        return Err(Misplaced::Beyond { wanted, high });
    }
    if wanted >= low {
        return Ok(Place {
            next: wanted,
            missing: 0,
        });
    }
    match on_gap {
        OnGap::Stop => Err(Misplaced::Gap { wanted, low }),
        OnGap::Continue => Ok(Place {
            next: low,
            missing: low - wanted,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Watermarks = Watermarks { low: 10, high: 20 };

    #[test]
    fn reading_continues_after_the_committed_offset() {
        for wanted in [10, 15, 20] {
            let place = place(Some(wanted), LOG, OnGap::Stop);
            let expected = Place {
                next: wanted,
                missing: 0,
            };
            assert_eq!(place, Ok(expected));
        }
    }

    #[test]
    fn a_new_partition_is_read_from_the_beginning_of_its_log() {
        let expected = Place {
            next: 10,
            missing: 0,
        };
        assert_eq!(place(None, LOG, OnGap::Stop), Ok(expected));
    }

    #[test]
    fn a_gap_stops_the_partition_unless_it_is_allowed() {
        let gap = place(Some(4), LOG, OnGap::Stop);
        assert_eq!(gap, Err(Misplaced::Gap { wanted: 4, low: 10 }));
        let text = gap.map_err(|gap| gap.to_string()).err();
        assert!(text.is_some_and(|text| text.contains("offsets 4 to 9")));
        let expected = Place {
            next: 10,
            missing: 6,
        };
        assert_eq!(place(Some(4), LOG, OnGap::Continue), Ok(expected));
    }

    #[test]
    fn a_log_that_is_too_short_is_never_read() {
        for on_gap in [OnGap::Stop, OnGap::Continue] {
            let beyond = Misplaced::Beyond {
                wanted: 21,
                high: 20,
            };
            assert_eq!(place(Some(21), LOG, on_gap), Err(beyond));
        }
    }
}
