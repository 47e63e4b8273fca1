//! A table of generated people in SQLite. A row depends only on its number.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, Transaction, params};

use crate::dice::Dice;

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

/// Generates people until the table has `count` of them. Without a count, generates [`PEOPLE`] in a new or empty file, and
/// does not change any other file. Returns how many are new.
///
/// A run that is killed while it generates leaves an empty file, or an unfinished transaction that SQLite rolls back when the
/// file is next opened for writing. Therefore each run opens it for writing once.
///
/// # Errors
/// If the file cannot be written or holds another table of that name.
pub(crate) fn generate(path: &Path, count: Option<u32>) -> Result<u32> {
    crate::create_parent(path)?;
    let generate = || -> rusqlite::Result<u32> {
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
    generate().with_context(|| format!("cannot generate people in {}", path.display()))
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(tables, [], |row| Ok(row.get::<_, u64>(0)? == 0))
}

/// Creates the table if it is missing, and inserts people until it has `count` of them. Returns how many are new.
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
        let mut dice = Dice::new(0, row_index.into());
        let is_female = dice.below(2) == 0;
        let user_id = user_id(row_index, &mut dice);
        // Some values are null and some are empty: a copy has to distinguish the two.
        let email =
            (dice.below(50) > 0).then(|| format!("person{row_index}@{}", dice.pick(DOMAINS)));
        let phone = if dice.below(50) == 0 {
            String::new()
        } else {
            phone(&mut dice)
        };
        Self {
            user_id,
            first_name: dice.pick(if is_female { FEMALE } else { MALE }),
            last_name: dice.pick(LAST_NAMES),
            sex: if is_female { "Female" } else { "Male" },
            email,
            phone,
            date_of_birth: format!(
                "{}-{:02}-{:02}",
                1920 + dice.below(90),
                1 + dice.below(12),
                1 + dice.below(28)
            ),
            job_title: dice.pick(JOBS),
        }
    }
}

/// Fifteen hexadecimal digits of either case, different for each row.
fn user_id(row_index: u32, dice: &mut Dice) -> String {
    // Multiplication by an odd number modulo a power of two never maps two numbers to the same one.
    let scrambled =
        u64::from(row_index).wrapping_mul(0x09E3_779B_97F4_A7C1) & 0x0FFF_FFFF_FFFF_FFFF;
    let digits = format!("{scrambled:015x}");
    let random_case = |digit: char| match dice.below(2) {
        0 => digit.to_ascii_uppercase(),
        _ => digit,
    };
    digits.chars().map(random_case).collect()
}

/// A US phone number in one of several common formats.
fn phone(dice: &mut Dice) -> String {
    let area = 200 + dice.below(800);
    let exchange = 200 + dice.below(800);
    let line = dice.below(10_000);
    let number = match dice.below(6) {
        0 => return format!("{area}{exchange}{line:04}"),
        1 => format!("({area}){exchange}-{line:04}"),
        2 => format!("{area}.{exchange}.{line:04}"),
        3 => format!("+1-{area}-{exchange}-{line:04}"),
        4 => format!("001-{area}-{exchange}-{line:04}"),
        _ => format!("{area}-{exchange}-{line:04}"),
    };
    match dice.below(4) {
        0 => format!("{number}x{:03}", dice.below(1_000)),
        1 => format!("{number}x{:05}", dice.below(100_000)),
        _ => number,
    }
}
