//! A table of people in SQLite, made up where there is none. A row depends on its number alone.

use std::path::Path;

use anyhow::{Context, Result};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::Rng;
use rusqlite::{Connection, Transaction, params};

/// How many people a new table has.
pub(crate) const PEOPLE: u32 = 100_000;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS PEOPLE_100K (
        ROW_INDEX INTEGER PRIMARY KEY,
        USER_ID TEXT NOT NULL UNIQUE,
        FIRST_NAME TEXT,
        LAST_NAME TEXT,
        SEX TEXT,
        EMAIL TEXT,
        PHONE TEXT,
        DATE_OF_BIRTH TEXT,
        JOB_TITLE TEXT
    )";

const FEMALE: &[&str] = &["Amara", "Chloé", "Ingrid", "Lucía", "Mei", "Nadia", "Zoë"];
const MALE: &[&str] = &["Ahmed", "Björn", "Diego", "Ivan", "Kofi", "Liam", "Minh"];
const LAST_NAMES: &[&str] = &[
    "Andersen", "Garcia", "Kovač", "Müller", "Nguyễn", "O'Brien", "Okafor", "Smith", "Tanaka", "王",
];
const JOBS: &[&str] = &[
    "Actuary",
    "Baker",
    "Chemist, analytical",
    "Engineer \"on call\"",
    "Nurse",
    "Surveyor",
    "Teacher",
];
const DOMAINS: &[&str] = &["example.com", "example.net", "example.org"];

/// Makes people until the table has `count` of them. Without a count, makes [`PEOPLE`] in a file that is new or empty, and
/// leaves any other file alone. Returns how many are new.
///
/// A run that is killed meanwhile leaves an empty file, or changes of a transaction that SQLite takes back when the file is
/// opened for writing: so each run opens it for writing once.
///
/// # Errors
/// When the file cannot be written or holds another table of that name.
pub(crate) fn make(path: &Path, count: Option<u32>) -> Result<u32> {
    crate::make_directory_of(path)?;
    let make = || -> rusqlite::Result<u32> {
        let mut connection = Connection::open(path)?;
        let count = match count {
            Some(count) => count,
            None if is_empty(&connection)? => PEOPLE,
            None => return Ok(0),
        };
        let transaction = connection.transaction()?;
        let new = fill(&transaction, count)?;
        transaction.commit()?;
        Ok(new)
    };
    make().with_context(|| format!("cannot make people in {}", path.display()))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(tables, [], |row| Ok(row.get::<_, u64>(0)? == 0))
}

/// Makes the table if it is not there, and people until it has `count` of them. Returns how many are new.
pub(crate) fn fill(transaction: &Transaction<'_>, count: u32) -> rusqlite::Result<u32> {
    transaction.execute(TABLE, [])?;
    let last: u32 = transaction.query_row(
        "SELECT coalesce(max(ROW_INDEX), 0) FROM PEOPLE_100K",
        [],
        |row| row.get(0),
    )?;
    let mut insert =
        transaction.prepare("INSERT INTO PEOPLE_100K VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for row_index in last + 1..=count {
        let person = Person::numbered(row_index);
        insert.execute(params![
            row_index,
            person.user_id,
            person.first_name,
            person.last_name,
            person.sex,
            person.email,
            person.phone,
            person.date_of_birth,
            person.job_title,
        ])?;
    }
    Ok(count.saturating_sub(last))
}

/// One row.
#[derive(Debug, PartialEq, Eq)]
struct Person {
    user_id: String,
    first_name: &'static str,
    last_name: &'static str,
    sex: &'static str,
    email: Option<String>,
    phone: String,
    date_of_birth: String,
    job_title: &'static str,
}

impl Person {
    fn numbered(row_index: u32) -> Self {
        let mut chance = Chance::new(row_index);
        let is_female = chance.below(2) == 0;
        let user_id = user_id(row_index, &mut chance);
        // Nothing and an empty text are two things, and a copy has to keep them apart.
        let email =
            (chance.below(50) > 0).then(|| format!("person{row_index}@{}", chance.pick(DOMAINS)));
        let phone = if chance.below(50) == 0 {
            String::new()
        } else {
            phone(&mut chance)
        };
        Self {
            user_id,
            first_name: chance.pick(if is_female { FEMALE } else { MALE }),
            last_name: chance.pick(LAST_NAMES),
            sex: if is_female { "Female" } else { "Male" },
            email,
            phone,
            date_of_birth: format!(
                "{}-{:02}-{:02}",
                1920 + chance.below(90),
                1 + chance.below(12),
                1 + chance.below(28)
            ),
            job_title: chance.pick(JOBS),
        }
    }
}

/// Fifteen hexadecimal digits of either case, different for each row.
fn user_id(row_index: u32, chance: &mut Chance) -> String {
    // To multiply by an odd number modulo a power of two maps no two numbers to the same one.
    let scrambled =
        u64::from(row_index).wrapping_mul(0x09E3_779B_97F4_A7C1) & 0x0FFF_FFFF_FFFF_FFFF;
    let digits = format!("{scrambled:015x}");
    let of_either_case = |digit: char| match chance.below(2) {
        0 => digit.to_ascii_uppercase(),
        _ => digit,
    };
    digits.chars().map(of_either_case).collect()
}

/// A US number in one of the ways people write it.
fn phone(chance: &mut Chance) -> String {
    let area = 200 + chance.below(800);
    let exchange = 200 + chance.below(800);
    let line = chance.below(10_000);
    let number = match chance.below(6) {
        0 => return format!("{area}{exchange}{line:04}"),
        1 => format!("({area}){exchange}-{line:04}"),
        2 => format!("{area}.{exchange}.{line:04}"),
        3 => format!("+1-{area}-{exchange}-{line:04}"),
        4 => format!("001-{area}-{exchange}-{line:04}"),
        _ => format!("{area}-{exchange}-{line:04}"),
    };
    match chance.below(4) {
        0 => format!("{number}x{:03}", chance.below(1_000)),
        1 => format!("{number}x{:05}", chance.below(100_000)),
        _ => number,
    }
}

/// Chance that is the same for a row in every run and on every machine.
struct Chance(Pcg64);

impl Chance {
    fn new(row_index: u32) -> Self {
        Self(Pcg64::new(u128::from(row_index) << 64, 0))
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0.
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        let index = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from.get(index).copied().unwrap_or_default()
    }
}
