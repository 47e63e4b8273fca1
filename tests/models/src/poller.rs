//! The crate's alarm of the poller.

#[path = "../../../src/poller/alarm.rs"]
mod alarm;
#[path = "../../../src/poller/rhythm.rs"]
mod rhythm;

pub(crate) use self::alarm::Alarm;
pub(crate) use self::rhythm::Want;

/// Resolves when the alarm is set to an earlier time.
pub(crate) async fn woken(alarm: &Alarm) {
    alarm.moved().await;
}
