//! The stream of events from a place in the log on, with the place of each event, on a connection that is known to be alive.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use mysql_async::binlog::EventType;
use mysql_async::binlog::events::{Event, RotateEvent, TableMapEvent};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Opts, OptsBuilder, Row};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{COPY_AGAIN, ChangesError, Stopped};
use super::place::{FIRST, Place, Start, parse_name};
use super::preflight::server_id;

/// How long connecting and asking for the log may take.
const CONNECT: Duration = Duration::from_secs(30);
/// A connection is dead after so many silent heartbeat periods.
const SILENT_PERIODS: u32 = 3;
/// The longest event, which the server's format allows: both images of a row that is as long as permitted.
const MAX_EVENT: usize = 1 << 30;
/// An event that the server made up for this connection. It is not in the file.
const ARTIFICIAL: u16 = 0x20;

/// An event with the place where it begins.
pub(super) struct Placed {
    pub(super) begin: Place,
    pub(super) event: Event,
}

/// An event, unless it only says where the log is.
pub(super) type Received = Option<Placed>;

pub(super) struct Log {
    stream: BinlogStream,
    base: String,
    /// The end of the last event.
    place: Place,
    /// Events before this place are passed over.
    wanted: Option<Place>,
    is_first_event: bool,
    silence: Duration,
    /// Since when a wait for the next event lasts. Waits are cancelled and begun again.
    waiting_since: Option<Instant>,
}

/// How the log is read. Not `Debug`, because the options contain the password.
pub(super) struct Connection {
    pub(super) opts: Opts,
    /// The reader's own id, which no other reader and no server has.
    pub(super) reader_id: u32,
    pub(super) heartbeat: Duration,
}

impl Log {
    /// Asks the server for its log from the beginning of a transaction on.
    pub(super) async fn open(
        connection: &Connection,
        start: &Start,
        from: Place,
    ) -> Result<Self, ChangesError> {
        let opened = timeout(CONNECT, Self::request(connection, start, from)).await;
        let opened = opened.map_err(|_| ChangesError::Late(CONNECT))?;
        opened.map_err(|error| error.at(from))
    }

    async fn request(
        connection: &Connection,
        start: &Start,
        from: Place,
    ) -> Result<Self, ChangesError> {
        let opts =
            OptsBuilder::from_opts(connection.opts.clone()).max_allowed_packet(Some(MAX_EVENT));
        let mut conn = Conn::new(opts).await?;
        let found = server_id(&mut conn).await?;
        if found != start.server_id {
            let problem = format!(
                "this is the server {found}, the changes were followed on the server {}",
                start.server_id
            );
            return Err(
                Stopped::new(problem, format!("connect to that one, or {COPY_AGAIN}")).into(),
            );
        }
        let name = start.file_name(from.file);
        is_there(&mut conn, &name, from).await?;
        // Transactions begin with their own events instead of statements that stand for them.
        conn.query_drop("SET @mariadb_slave_capability=4").await?;
        let period = connection.heartbeat.as_nanos();
        conn.query_drop(format!("SET @master_heartbeat_period={period}"))
            .await?;
        // A reader that waits for commits must not lose a long transaction's place.
        conn.query_drop("SET SESSION net_write_timeout=600").await?;
        // The protocol has 32 bits for a position. Behind them, the file is read from its beginning.
        let is_far = u32::try_from(from.position).is_err();
        let position = if is_far { FIRST } else { from.position };
        let request = BinlogStreamRequest::new(connection.reader_id)
            .with_filename(name.as_bytes())
            .with_pos(position);
        Ok(Self {
            stream: conn
                .get_binlog_stream(request)
                .await
                .map_err(ChangesError::of_request)?,
            base: start.base.clone(),
            place: Place { position, ..from },
            wanted: Some(from),
            is_first_event: true,
            silence: connection.heartbeat.saturating_mul(SILENT_PERIODS),
            waiting_since: None,
        })
    }

    /// The end of the last event that was read.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn table_map(&self, table_id: u64) -> Option<&TableMapEvent<'static>> {
        self.stream.get_tme(table_id)
    }

    /// The next event, if it has arrived.
    pub(super) fn try_next(&mut self) -> Option<Result<Received, ChangesError>> {
        let event = self.stream.next().now_or_never()?;
        Some(self.received(event))
    }

    /// Waits for the next event; Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, ChangesError> {
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        match timeout_at(since + self.silence, self.stream.next()).await {
            Ok(event) => self.received(event),
            Err(_) => Err(ChangesError::Late(self.silence)),
        }
    }

    fn received(
        &mut self,
        event: Option<mysql_async::Result<Event>>,
    ) -> Result<Received, ChangesError> {
        self.waiting_since = None;
        let event = event.ok_or(ChangesError::Closed)?;
        let event = event.map_err(|error| ChangesError::of_request(error).at(self.place))?;
        let is_first = std::mem::replace(&mut self.is_first_event, false);
        let header = event.header();
        let is_rotate = header.event_type_raw() == EventType::ROTATE_EVENT as u8;
        let is_heartbeat = header.event_type_raw() == EventType::HEARTBEAT_EVENT as u8;
        if is_heartbeat || header.log_pos() == 0 || header.flags_raw() & ARTIFICIAL != 0 {
            // The first event of a stream names the file that was asked for, and its checksum is read as a part of the name.
            if is_rotate && !is_first {
                self.rotate(&event)?;
            }
            return Ok(None);
        }
        let end = self
            .place
            .after_event(header.event_size(), header.log_pos());
        let size = u64::from(header.event_size());
        let begin = Place {
            position: end.position.saturating_sub(size),
            ..end
        };
        self.place = end;
        if let Some(wanted) = self.wanted {
            if begin < wanted && end <= wanted {
                return Ok(None);
            }
            if begin.file == wanted.file && begin != wanted && !is_rotate {
                return Err(misplaced(wanted).into());
            }
            self.wanted = None;
        }
        if is_rotate {
            self.rotate(&event)?;
            return Ok(None);
        }
        Ok(Some(Placed { begin, event }))
    }

    fn rotate(&mut self, event: &Event) -> Result<(), ChangesError> {
        let rotate = event.read_event::<RotateEvent<'_>>().map_err(unreadable)?;
        let name = rotate.name();
        let Some((_, file)) = parse_name(&name).filter(|(base, _)| *base == self.base) else {
            let problem = format!(
                "the log continues in {name:?}, which is no file of {}",
                self.base
            );
            return Err(Stopped::new(problem, COPY_AGAIN).at(self.place).into());
        };
        if file != self.place.file {
            self.place = Place {
                file,
                position: FIRST,
            };
        }
        Ok(())
    }
}

pub(super) fn unreadable(error: std::io::Error) -> ChangesError {
    ChangesError::Connection(error.into())
}

fn misplaced(wanted: Place) -> Stopped {
    let problem = "no event begins here: the log is not the one that was followed";
    Stopped::new(problem, COPY_AGAIN).at(wanted)
}

/// Whether the server still has the file, and whether it is long enough.
async fn is_there(conn: &mut Conn, name: &str, from: Place) -> Result<(), ChangesError> {
    let files: Vec<Row> = conn.query("SHOW BINARY LOGS").await?;
    let length = files.iter().find_map(|row| {
        let is_it = row.get::<String, _>(0)? == name;
        is_it.then(|| row.get::<u64, _>(1))?
    });
    let problem = match length {
        Some(length) if from.position <= length => return Ok(()),
        Some(length) => format!(
            "{name} ends at {length}, before the place that was followed: the log was reset or lost its end"
        ),
        None => format!("{name} is not in the server's log any more: it was purged"),
    };
    Err(Stopped::new(problem, COPY_AGAIN).at(from).into())
}
