//! `CONVERT_TIMEZONE`.

use jiff::tz::TimeZone;
use rusqlite::types::Value;

use super::arguments::text;
use super::moments::{self, Form};
use super::raised::Raised;
use super::scalars::Scalar;

/// Functions that are NULL where an argument is.
pub(super) const STRICT: &[Scalar] = &[
    // `f(TIMESTAMP_NTZ, source, target)`
    ("sf_convert_zone", 3, |c| {
        let (source, target) = (zone(text(c, 1)?)?, zone(text(c, 2)?)?);
        let wall = moments::wall(text(c, 0)?)?;
        let instant = source.to_ambiguous_timestamp(wall).unambiguous();
        let instant = instant.map_err(|_| {
            Raised::unsupported(format!("{wall} in a time zone that skips or repeats it"))
        })?;
        moments::show(target.to_datetime(instant), Form::Ntz).map(Value::Text)
    }),
    // `f(TIMESTAMP_LTZ, target)`
    ("sf_to_zone", 2, |c| {
        let utc = moments::wall(text(c, 0)?)?;
        let far = || Raised::unsupported(format!("{utc} in a time zone"));
        let instant = TimeZone::UTC.to_timestamp(utc).map_err(|_| far())?;
        let offset = zone(text(c, 1)?)?.to_offset(instant);
        let seconds = offset.seconds();
        if seconds % 60 != 0 {
            return Err(far());
        }
        let wall = moments::show(offset.to_datetime(instant), Form::Ntz)?;
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
        let shown = format!("{wall} {sign}{:02}:{:02}", minutes / 60, minutes % 60);
        Ok(Value::Text(shown))
    }),
];

/// The zone of a name of the IANA database, whose case matters.
fn zone(name: &str) -> Result<TimeZone, Raised> {
    let found = TimeZone::get(name).ok();
    found
        .filter(|zone| zone.iana_name() == Some(name))
        .ok_or_else(|| Raised::unsupported(format!("the time zone '{name}'")))
}
