//! The sessions of connectors: what their tokens stand for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};

use crate::catalog::binary::hex;
use crate::messages::answer::{Answer, Refusal};

/// How many sessions there are at a time. A login beyond it ends the oldest one, because programs that are killed leave theirs open.
const MOST_SESSIONS: usize = 1_000;

/// How many answers a session remembers, for requests that come once more. Each is short.
const MOST_ANSWERED: usize = 16;
/// The longest id of a request that is remembered: connectors send UUIDs.
const MOST_ID: usize = 64;

/// The database and schema that a session is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) database: Option<String>,
    pub(crate) schema: Option<String>,
}

/// The sessions that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// Oldest first.
    sessions: VecDeque<Session>,
    /// How many there were.
    begun: u64,
}

struct Session {
    token: String,
    names: Names,
    /// Whether it wanted transactions, which it was refused.
    wants_transactions: bool,
    /// The last answers to statements that changed something, by the id of the request.
    answered: VecDeque<(String, Answer)>,
}

/// A session without what lets others into it.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// A session that began.
pub(crate) struct Begun {
    pub(crate) number: u64,
    pub(crate) token: String,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session.
    pub(crate) fn begin(&self, names: Names) -> Result<Begun, Refusal> {
        let token = new_token()?;
        let mut open = self.open();
        open.begun += 1;
        if open.sessions.len() == MOST_SESSIONS {
            open.sessions.pop_front();
        }
        open.sessions.push_back(Session {
            token: token.clone(),
            names,
            wants_transactions: false,
            answered: VecDeque::new(),
        });
        Ok(Begun {
            number: open.begun,
            token,
        })
    }

    /// The database and schema of the session of a request, if it has one.
    pub(crate) fn names(&self, headers: &HeaderMap) -> Option<Names> {
        let token = token(headers)?;
        let open = self.open();
        let mut found = open.sessions.iter().filter(|known| known.token == token);
        found.next().map(|session| session.names.clone())
    }

    /// Notes that the session of a request was refused transactions. The connectors ignore that where they set AUTOCOMMIT.
    pub(crate) fn refuse_transactions(&self, headers: &HeaderMap) {
        let token = token(headers);
        let mut open = self.open();
        let mut sessions = open.sessions.iter_mut();
        if let Some(session) = sessions.find(|known| Some(known.token.as_str()) == token) {
            session.wants_transactions = true;
        }
    }

    /// Whether the session of a request was refused transactions.
    pub(crate) fn wants_transactions(&self, headers: &HeaderMap) -> bool {
        let token = token(headers);
        let open = self.open();
        let mut sessions = open.sessions.iter();
        let found = sessions.find(|known| Some(known.token.as_str()) == token);
        found.is_some_and(|session| session.wants_transactions)
    }

    /// The answer to a request that was carried out before.
    pub(crate) fn answered(&self, headers: &HeaderMap, id: &str) -> Option<Answer> {
        let token = token(headers)?;
        let open = self.open();
        let session = open.sessions.iter().find(|known| known.token == token)?;
        let mut answers = session.answered.iter();
        let (_, answer) = answers.find(|(known, _)| known == id)?;
        Some(answer.clone())
    }

    /// Notes what the statement of a request has come to.
    pub(crate) fn settle(
        &self,
        headers: &HeaderMap,
        names: Names,
        id: Option<String>,
        answer: &Answer,
    ) {
        let Some(token) = token(headers) else {
            return;
        };
        let mut open = self.open();
        let mut sessions = open.sessions.iter_mut();
        let Some(session) = sessions.find(|known| known.token == token) else {
            return;
        };
        session.names = names;
        if let Some(id) = id.filter(|id| id.len() <= MOST_ID) {
            session.answered.push_back((id, answer.clone()));
            if session.answered.len() > MOST_ANSWERED {
                session.answered.pop_front();
            }
        }
    }

    /// Ends the session of a request.
    pub(crate) fn end(&self, headers: &HeaderMap) {
        if let Some(token) = token(headers) {
            self.open().sessions.retain(|known| known.token != token);
        }
    }
}

/// The token in `Authorization: Snowflake Token="…"`.
fn token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Snowflake Token=\"")?.strip_suffix('"')
}

fn new_token() -> Result<String, Refusal> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "000603",
            "The system gives no random bytes for a session.",
        )
    })?;
    Ok(hex(&bytes, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(token: &str) -> HeaderMap {
        let value = format!("Snowflake Token=\"{token}\"");
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let sessions = Sessions::default();
        let begin = || sessions.begin(Names::default()).unwrap().token;
        let (first, second) = (begin(), begin());
        assert_ne!(first, second);
        for _ in 2..=MOST_SESSIONS {
            begin();
        }
        assert_eq!(sessions.names(&headers(&first)), None);
        assert_eq!(sessions.names(&headers(&second)), Some(Names::default()));
        sessions.end(&headers(&second));
        assert_eq!(sessions.names(&headers(&second)), None);
    }

    #[test]
    fn a_token_is_not_shown() {
        let sessions = Sessions::default();
        let begun = sessions.begin(Names::default()).unwrap();
        assert!(!format!("{sessions:?}").contains(&begun.token));
    }
}
