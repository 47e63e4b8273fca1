//! The time zone of the account, in which the pipes read times without an offset.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

#[cfg(feature = "server")]
use super::tables::{Catalog, Mapping, Pipe};

/// The account's `TIMEZONE`: UTC by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AccountZone(Option<&'static TimeZone>);

impl AccountZone {
    #[cfg(any(test, feature = "server"))]
    pub(crate) const UTC: Self = Self(None);

    /// The zone of an IANA name, such as `America/Los_Angeles`; none if there is no such zone.
    #[cfg(feature = "server")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        use std::collections::BTreeMap;
        use std::sync::{Mutex, PoisonError};

        // Zones are named in the rules of every value, which are copied: each is made once and lives on.
        static KNOWN: Mutex<BTreeMap<String, &'static TimeZone>> = Mutex::new(BTreeMap::new());

        let found = TimeZone::get(name).ok()?;
        if found == TimeZone::UTC || name == "Etc/UTC" {
            return Some(Self::UTC);
        }
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = known
            .entry(name.to_owned())
            .or_insert_with(|| Box::leak(Box::new(found)));
        Some(Self(Some(kept)))
    }

    /// The IANA name.
    #[cfg(feature = "server")]
    pub(crate) fn name(self) -> &'static str {
        self.0.and_then(TimeZone::iana_name).unwrap_or("UTC")
    }

    #[cfg(feature = "server")]
    pub(crate) fn is_utc(self) -> bool {
        self.0.is_none()
    }

    /// The wall clock at an instant that is a wall clock in UTC, and its seconds east of UTC.
    pub(super) fn at(self, utc: DateTime) -> Option<(DateTime, i32)> {
        let Some(zone) = self.0 else {
            return Some((utc, 0));
        };
        let instant = Offset::UTC.to_timestamp(utc).ok()?;
        let offset = zone.to_offset(instant);
        Some((offset.to_datetime(instant), offset.seconds()))
    }

    /// The seconds east of UTC of a wall clock. One that the zone skips or has twice is read with the offset that it had before.
    pub(super) fn offset_of(self, wall: DateTime) -> i32 {
        let Some(zone) = self.0 else {
            return 0;
        };
        let (AmbiguousOffset::Unambiguous { offset }
        | AmbiguousOffset::Gap { before: offset, .. }
        | AmbiguousOffset::Fold { before: offset, .. }) =
            zone.to_ambiguous_timestamp(wall).offset();
        offset.seconds()
    }
}

#[cfg(feature = "server")]
impl Catalog {
    /// The same catalog with the account's `TIMEZONE`, by its IANA name: the zone in which the pipes read integers and texts without an
    /// offset as timestamps, and in which `DEFAULT CURRENT_TIMESTAMP()` is a wall clock. UTC by default; an account's is
    /// `America/Los_Angeles` until it is changed.
    ///
    /// # Errors
    ///
    /// There is no such zone, or the catalog has an expression of dates or times, which is computed in UTC.
    pub fn with_timezone(mut self, name: &str) -> Result<Self, String> {
        let zone = AccountZone::named(name);
        self.rules.zone = zone.ok_or_else(|| format!("there is no time zone {name:?}"))?;
        let needs_utc = self.in_utc();
        match needs_utc.filter(|_| !self.rules.zone.is_utc()) {
            Some(what) => Err(format!(
                "{what} computes dates or times, which the emulator does in UTC: leave {name} out"
            )),
            None => Ok(self),
        }
    }

    /// A pipe or a column that is computed in UTC, if there is one.
    fn in_utc(&self) -> Option<String> {
        let of_time = |pipe: &&Pipe| match &pipe.mapping {
            Mapping::Transform(transform) => transform.is_of_time(),
            _ => false,
        };
        if let Some(pipe) = self.pipes().find(of_time) {
            return Some(format!("pipe {}", pipe.name.name));
        }
        self.tables().find_map(|table| {
            let column = table
                .columns
                .iter()
                .find(|column| column.has_default_in_utc())?;
            Some(format!("column {} of {}", column.name, table.name.name))
        })
    }

    /// The account's time zone.
    pub(crate) fn zone(&self) -> AccountZone {
        self.rules.zone
    }
}
