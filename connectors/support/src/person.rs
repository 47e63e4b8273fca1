//! Generated people, as in the table `people_100k` of the pipeline from MySQL. A person depends only on a number.

use crate::dice::Dice;

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

/// A person. Fields are columns of the table.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the columns say what they are")]
pub struct Person {
    pub user_id: String,
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub sex: &'static str,
    pub email: Option<String>,
    pub phone: Option<String>,
    pub date_of_birth: String,
    pub job_title: &'static str,
}

impl Person {
    /// The person of a number. Another seed gives other people.
    pub fn numbered(seed: u64, row_index: u32) -> Self {
        let mut dice = Dice::new(seed, row_index.into());
        let is_female = dice.below(2) == 0;
        let user_id = user_id(row_index, &mut dice);
        // Some values are null and some are empty: a copy has to distinguish the two.
        let email =
            (dice.below(50) > 0).then(|| format!("person{row_index}@{}", dice.pick(DOMAINS)));
        let phone = match dice.below(400) {
            0 => None,
            1 => Some(String::new()),
            _ => Some(phone(&mut dice)),
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

/// A phone number in one of the forms of older versions of Faker, which take any digits: a sixth has the prefix `001`, and so
/// eleven digits.
fn phone(dice: &mut Dice) -> String {
    let area = dice.below(1_000);
    let exchange = dice.below(1_000);
    let line = dice.below(10_000);
    let number = match dice.below(6) {
        0 => return format!("{area:03}{exchange:03}{line:04}"),
        1 => format!("({area:03}){exchange:03}-{line:04}"),
        2 => format!("{area:03}.{exchange:03}.{line:04}"),
        3 => format!("+1-{area:03}-{exchange:03}-{line:04}"),
        4 => format!("001-{area:03}-{exchange:03}-{line:04}"),
        _ => format!("{area:03}-{exchange:03}-{line:04}"),
    };
    match dice.below(4) {
        0 => format!("{number}x{:03}", dice.below(1_000)),
        1 => format!("{number}x{:05}", dice.below(100_000)),
        _ => number,
    }
}
