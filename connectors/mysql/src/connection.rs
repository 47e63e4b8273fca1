//! Connections to the database: where it is, who connects, and what an error means for the program.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// A page is read by its key, so an answer that takes longer will not come.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
/// Dates with a time zone come in that of the session, and definitions of tables are quoted as its mode says.
const SESSION: &str = "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES'";
/// Where a password may be instead of the URL.
pub const PASSWORD: &str = "MARIADB_PASSWORD";

/// A database, and the credentials for it.
#[derive(Clone)]
pub struct Database {
    opts: Opts,
    name: String,
}

/// Without the password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(&self.name).finish()
    }
}

/// An error of the database or of the connection to it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The text includes the cause, which is therefore not a source of the error.
    #[error("{}; {}", described(.0), remedy(.0))]
    Database(mysql_async::Error),
    /// No connection in this time.
    #[error("the database did not accept a connection within {} s", .0.as_secs())]
    NotConnected(Duration),
    /// No answer to a statement in this time.
    #[error("the database did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
}

impl From<mysql_async::Error> for DatabaseError {
    fn from(error: mysql_async::Error) -> Self {
        Self::Database(error)
    }
}

impl Database {
    /// Reads `mysql://user@host:port/database`. The password is that of the URL, of the file, or of the environment. With a
    /// file of certificates the connection uses TLS, and only they are trusted.
    ///
    /// # Errors
    /// If the address is not complete, or a file cannot be read. No error contains the address, which may have a password.
    pub fn new(url: &str, password: Option<&Path>, ca: Option<&Path>) -> Result<Self> {
        let form = "write it as mysql://USER@HOST:PORT/DATABASE";
        let Ok(given) = Opts::from_url(url) else {
            bail!("the address of the database is not valid: {form}");
        };
        let name = given.db_name().map(str::to_owned);
        let name = name.with_context(|| format!("the address names no database: {form}"))?;
        let mut opts = OptsBuilder::from_opts(given.clone())
            // The driver would change from TCP to a socket that the server names.
            .prefer_socket(false)
            .init(vec![SESSION]);
        if let Some(path) = password {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read the password in {}", path.display()))?;
            opts = opts.pass(Some(text.trim_end_matches(['\r', '\n'])));
        } else if given.pass().is_none()
            && let Ok(password) = std::env::var(PASSWORD)
        {
            opts = opts.pass(Some(password));
        }
        if let Some(path) = ca {
            let certificates = fs::read(path)
                .with_context(|| format!("cannot read the certificates in {}", path.display()))?;
            let tls = SslOpts::default()
                .with_root_certs(vec![certificates.into()])
                .with_disable_built_in_roots(true);
            opts = opts.ssl_opts(tls);
        }
        Ok(Self {
            opts: opts.into(),
            name,
        })
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the address is that of loopback.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.opts.ip_or_hostname();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let address = address.parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// What the driver connects with, password included.
    pub fn opts(&self) -> Opts {
        self.opts.clone()
    }

    /// Connects once.
    ///
    /// # Errors
    /// If the database does not answer, or refuses.
    pub async fn connect(&self) -> Result<Conn, DatabaseError> {
        match timeout(CONNECT_TIMEOUT, Conn::new(self.opts())).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(DatabaseError::NotConnected(CONNECT_TIMEOUT)),
        }
    }
}

/// The address without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.opts.ip_or_hostname(), self.opts.tcp_port());
        write!(f, "{} on {host}:{port}", self.name)
    }
}

/// Waits for the answer to a query, for a limited time.
///
/// # Errors
/// If the query fails, or there is no answer.
pub async fn answered<T>(
    query: impl Future<Output = mysql_async::Result<T>>,
) -> Result<T, DatabaseError> {
    match timeout(QUERY_TIMEOUT, query).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(DatabaseError::NoAnswer(QUERY_TIMEOUT)),
    }
}

/// Codes of the server that a person has to do something about, and what.
const REMEDIES: [(u16, &str); 9] = [
    (1044, "grant the user SELECT on the database"),
    (
        1045,
        "check the user, and the password in the address, --password-file or MARIADB_PASSWORD",
    ),
    (1049, "check the name of the database in the address"),
    (1054, "a column is gone: start the program again"),
    (1142, "grant the user SELECT on the table"),
    (1143, "grant the user SELECT on the columns"),
    (1146, "check the name of the table"),
    (1227, "grant the user the privilege"),
    (1698, "create a user that logs in with a password"),
];

/// The text of an error without the driver's names for its kinds.
fn described(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(error) => error.to_string(),
        mysql_async::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn remedy(error: &mysql_async::Error) -> &'static str {
    let mysql_async::Error::Server(error) = error else {
        return "check that the database runs and can be reached";
    };
    let known = REMEDIES.iter().find(|(code, _)| *code == error.code);
    match (known, error.code) {
        (Some((_, remedy)), _) => remedy,
        (None, 1040 | 1203 | 1226) => "allow the user more connections, or use fewer --channels",
        _ => "see the server's manual for the code",
    }
}

impl DatabaseError {
    /// Whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Database(mysql_async::Error::Server(error)) => {
                !REMEDIES.iter().any(|(code, _)| *code == error.code)
            }
            Self::Database(mysql_async::Error::Url(_)) => false,
            Self::Database(_) | Self::NotConnected(_) | Self::NoAnswer(_) => true,
        }
    }
}

/// Whether another attempt of what failed may succeed.
pub fn is_temporary(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|error| error.downcast_ref::<DatabaseError>())
        .any(DatabaseError::is_temporary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let database = Database::new("mysql://cdc:secret@db.example.com:3307/shop", None, None);
        assert_eq!(database.unwrap().to_string(), "shop on db.example.com:3307");
    }

    #[test]
    fn only_loopback_is_on_this_machine() {
        for (host, is_here) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("10.0.0.7", false),
            ("localhost.example.com", false),
        ] {
            let database = Database::new(&format!("mysql://cdc@{host}:3306/shop"), None, None);
            assert_eq!(database.unwrap().is_on_this_machine(), is_here, "{host}");
        }
    }

    #[test]
    fn an_error_about_an_address_does_not_contain_it() {
        for url in [
            "mysql://cdc:secret@db.example.com:99999/shop",
            "http://cdc:secret@db.example.com/shop",
            "mysql://cdc:secret@db.example.com",
            "mysql://cdc:secret@db.example.com/shop?secret=1",
            "secret",
        ] {
            let error = Database::new(url, None, None).err().unwrap();
            let text = format!("{error:?} {error:#}");
            assert!(
                !text.contains("secret") && text.contains("USER@HOST"),
                "{text}"
            );
        }
    }
}
