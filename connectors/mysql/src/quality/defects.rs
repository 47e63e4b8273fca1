//! Defects of a customer's values that no comparison with the source shows, because the source has them too.

use jiff::civil::Date;
use serde::Serialize;

use super::gold::Customer;
use super::phone;

const MAX_EMAIL: usize = 254;
const MAX_LOCAL_PART: usize = 64;
const MAX_LABEL: usize = 63;
/// The digits of a number in the United States, and one that does not belong to it.
const DIGITS_OF_DEFECT: usize = 11;

/// How many rows have a defect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Defects {
    /// E-mail addresses that cannot be one, the empty text among them. NULL is not counted.
    pub(crate) malformed_emails: u64,
    /// Phone numbers whose national number has 11 digits, as it happens to those that are written with 001.
    pub(crate) phones_of_11_digits: u64,
    /// Phones without a phone number: the gold table has ten zeros for them. NULL is counted.
    pub(crate) not_phones: u64,
    /// Dates of birth after the day of the check.
    pub(crate) future_births: u64,
    /// Dates of birth that are not a date, such as 0000-00-00. NULL is not counted.
    pub(crate) not_dates: u64,
}

/// What the defects are called, in the order of [`Defects::counts`].
pub(super) const NAMES: [&str; 5] = [
    "malformed e-mail addresses",
    "phone numbers of 11 digits",
    "phones without a number",
    "dates of birth in the future",
    "dates of birth that are no date",
];

impl Defects {
    /// How many there are of each.
    pub(super) fn counts(&self) -> [u64; NAMES.len()] {
        [
            self.malformed_emails,
            self.phones_of_11_digits,
            self.not_phones,
            self.future_births,
            self.not_dates,
        ]
    }

    /// Counts the defects of a row whose phone number is, by the phone rule, `national`.
    pub(crate) fn add(&mut self, row: &Customer, national: &str, today: Date) {
        let email = row.email.as_deref();
        self.malformed_emails += u64::from(email.is_some_and(|email| !is_email(email)));
        self.phones_of_11_digits += u64::from(national.len() == DIGITS_OF_DEFECT);
        self.not_phones += u64::from(national == phone::NOT_A_NUMBER);
        let birth = row.birth();
        self.future_births += u64::from(birth.is_some_and(|date| date > today));
        self.not_dates += u64::from(row.date_of_birth.is_some() && birth.is_none());
    }
}

/// Whether a text can be an e-mail address: a local part without spaces, and a domain of at least two labels. Quoted local
/// parts and addresses of hosts are not accepted: they are not what a customer has.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let is_local =
        |character: char| character.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(character);
    let is_label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|character| character.is_alphanumeric() || character == '-')
    };
    text.len() <= MAX_EMAIL
        && (1..=MAX_LOCAL_PART).contains(&local.len())
        && local.chars().all(is_local)
        && local.split('.').all(|part| !part.is_empty())
        && domain.contains('.')
        && domain.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::{Customer, Defects, is_email};

    #[test]
    fn addresses() {
        for good in [
            "zoë.müller+1@example.org",
            "o'brien@mail.example.co.uk",
            "a@b-c.de",
            "王@例え.jp",
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "@",
            "a",
            "a@",
            "@b.de",
            "a@b",
            "a b@c.de",
            "a@b@c.de",
            ".a@b.de",
            "a.@b.de",
            "a..b@c.de",
            "a@b..de",
            "a@.de",
            "a@b.de.",
            "a@-b.de",
            "a@b-.de",
            "a@b_c.de",
            "a@b.de ",
            "a@b.de\n",
            "<a@b.de>",
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
        let local = "a".repeat(65);
        assert!(!is_email(&format!("{local}@b.de")));
        assert!(is_email(&format!("{}@b.de", &local[1..])));
        assert!(!is_email(&format!("a@{}.de", "b".repeat(64))));
    }

    #[test]
    fn each_defect_is_counted_and_null_only_where_it_is_one() {
        let mut defects = Defects::default();
        let today = date(2025, 6, 30);
        let add = |defects: &mut Defects, email: Option<&str>, national, birth: Option<&str>| {
            let row = Customer {
                email: email.map(str::to_owned),
                date_of_birth: birth.map(str::to_owned),
                ..Customer::default()
            };
            defects.add(&row, national, today);
        };
        add(&mut defects, None, "3604235286", None);
        add(
            &mut defects,
            Some("a@b.de"),
            "360423528",
            Some("2025-06-30"),
        );
        assert_eq!(defects, Defects::default());
        add(&mut defects, Some(""), "13604235286", Some("2025-07-01"));
        add(&mut defects, Some("a@b"), "0000000000", Some("0000-00-00"));
        let expected = Defects {
            malformed_emails: 2,
            phones_of_11_digits: 1,
            not_phones: 1,
            future_births: 1,
            not_dates: 1,
        };
        assert_eq!(defects, expected);
    }
}
