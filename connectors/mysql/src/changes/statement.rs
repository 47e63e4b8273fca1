//! What a statement in the log means for the tables. With the row format these are statements about tables, users and
//! transactions. Any other one changed rows that the log does not have.

use std::sync::Arc;

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Token, Tokenizer};

use super::error::{COPY_AGAIN, Stopped};
use crate::schema::Table;

/// The meaning of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    /// It changes no row of the tables.
    Harmless,
    Commit,
    Rollback,
    /// The rows since a savepoint are undone.
    RollbackToSavepoint,
    /// The rows of the tables are not what the log says any more.
    Stops(Stopped),
}

/// A token that is no white space.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// A word or a quoted name, without the quotes.
    Word(String),
    Sign(char),
}

impl Part {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }
}

/// Judges a statement that was executed in the database `schema`.
pub(crate) fn judge(sql: &str, schema: &str, tables: &[Arc<Table>]) -> Statement {
    let parts = parts(sql);
    let Some(first) = parts.first() else {
        return Statement::Harmless;
    };
    let Part::Word(first) = first else {
        return not_a_row(sql);
    };
    let rest = parts.get(1..).unwrap_or_default();
    let starts = |keywords: &[&str]| rest.first().is_some_and(|part| part.is_any(keywords));
    let about = |table: &&Arc<Table>| names(rest, schema).any(|name| name.is(table));
    match first.to_ascii_uppercase().as_str() {
        "COMMIT" => Statement::Commit,
        // The rows of an XA transaction were logged when it was prepared.
        "XA" if starts(&["COMMIT", "ROLLBACK"]) => Statement::Commit,
        "ROLLBACK" if rest.iter().any(|part| part.is("TO")) => Statement::RollbackToSavepoint,
        "ROLLBACK" => Statement::Rollback,
        "SET" if starts(&["STATEMENT"]) => not_a_row(sql),
        "BEGIN" | "START" | "SAVEPOINT" | "RELEASE" | "XA" | "SET" | "GRANT" | "REVOKE"
        | "FLUSH" | "ANALYZE" | "OPTIMIZE" | "REPAIR" | "CHECK" | "INSTALL" | "UNINSTALL" => {
            Statement::Harmless
        }
        "TRUNCATE" => stops_if(tables.iter().find(about), "is emptied by TRUNCATE"),
        "RENAME" if starts(&["TABLE", "TABLES"]) => {
            stops_if(tables.iter().find(about), "is renamed")
        }
        "DROP" if starts(&["TABLE", "TABLES"]) => stops_if(tables.iter().find(about), "is dropped"),
        "DROP" if starts(&["DATABASE", "SCHEMA"]) => {
            let of = |table: &&Arc<Table>| rest.iter().any(|part| part.is(&table.database));
            stops_if(tables.iter().find(of), "is dropped with its database")
        }
        "CREATE" => created(rest, schema, tables),
        "ALTER" => altered(rest, schema, tables),
        "DROP" | "RENAME" => Statement::Harmless,
        _ => not_a_row(sql),
    }
}

fn not_a_row(sql: &str) -> Statement {
    let verb: String = sql
        .trim_start()
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    Statement::Stops(Stopped::new(
        format!(
            "a session with the binlog_format STATEMENT or MIXED logged a statement ({verb} …) instead of its rows"
        ),
        format!("set binlog_format=ROW in every session, and {COPY_AGAIN}"),
    ))
}

fn stops_if(table: Option<&Arc<Table>>, what: &str) -> Statement {
    table.map_or(Statement::Harmless, |table| {
        let problem = format!("the table {}.{} {what}", table.database, table.name);
        Statement::Stops(Stopped::new(problem, COPY_AGAIN))
    })
}

/// CREATE TABLE replaces a table, and so does CREATE OR REPLACE DATABASE with all of a database.
fn created(rest: &[Part], schema: &str, tables: &[Arc<Table>]) -> Statement {
    let mut kind = rest
        .iter()
        .enumerate()
        .filter(|(_, part)| !part.is_any(&["OR", "REPLACE"]));
    let Some((at, kind)) = kind.next() else {
        return Statement::Harmless;
    };
    let after = rest.get(at + 1..).unwrap_or_default();
    if kind.is("TABLE") {
        let name = names(after, schema).find(|name| !["IF", "NOT", "EXISTS"].contains(&name.table));
        let is_it = |table: &&Arc<Table>| name.as_ref().is_some_and(|name| name.is(table));
        return stops_if(tables.iter().find(is_it), "is created again");
    }
    if kind.is_any(&["DATABASE", "SCHEMA"]) && at > 0 {
        let of = |table: &&Arc<Table>| after.iter().any(|part| part.is(&table.database));
        return stops_if(tables.iter().find(of), "is dropped with its database");
    }
    Statement::Harmless
}

/// ALTER TABLE is harmless if every row stays as it is, apart from columns that are null.
fn altered(rest: &[Part], schema: &str, tables: &[Arc<Table>]) -> Statement {
    let Some(at) = rest.iter().position(|part| part.is("TABLE")) else {
        return Statement::Harmless;
    };
    if !rest
        .iter()
        .take(at)
        .all(|part| part.is_any(&["ONLINE", "IGNORE"]))
    {
        return Statement::Harmless;
    }
    let after = rest.get(at + 1..).unwrap_or_default();
    let name = names(after, schema).find(|name| !["IF", "EXISTS"].contains(&name.table));
    let Some(name) = name else {
        return Statement::Harmless;
    };
    let Some(table) = tables.iter().find(|table| name.is(table)) else {
        return Statement::Harmless;
    };
    let clauses = after.get(name.end..).unwrap_or_default();
    if clauses.iter().any(|part| part.is("PARTITION")) || !split(clauses).all(keeps_rows) {
        let what = "is altered in a way that the log does not show row by row";
        return stops_if(Some(table), what);
    }
    Statement::Harmless
}

/// The clauses of an ALTER TABLE, which commas outside of parentheses separate.
fn split(parts: &[Part]) -> impl Iterator<Item = &[Part]> {
    let mut depth = 0_usize;
    parts.split(move |part| {
        match part {
            Part::Sign('(') => depth += 1,
            Part::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *part == Part::Sign(',')
    })
}

fn keeps_rows(clause: &[Part]) -> bool {
    let word =
        |at: usize, keywords: &[&str]| clause.get(at).is_some_and(|part| part.is_any(keywords));
    let has = |keywords: &[&str]| clause.iter().any(|part| part.is_any(keywords));
    if word(0, &["ADD"]) {
        if word(
            1,
            &[
                "INDEX",
                "KEY",
                "UNIQUE",
                "FULLTEXT",
                "SPATIAL",
                "CONSTRAINT",
                "CHECK",
                "FOREIGN",
            ],
        ) {
            // A cascade changes rows without a trace in the log.
            return !has(&["PRIMARY", "CASCADE", "SET"]);
        }
        let follows =
            |at: usize, keyword: &str| clause.get(at + 1).is_some_and(|part| part.is(keyword));
        let fills = |(at, part): (usize, &Part)| {
            part.is_any(&[
                "AS",
                "GENERATED",
                "AUTO_INCREMENT",
                "SERIAL",
                "PRIMARY",
                "PERIOD",
                "SYSTEM",
                "START",
                "END",
            ]) || (part.is("DEFAULT") && !follows(at, "NULL"))
                || (part.is("NOT") && follows(at, "NULL"))
        };
        return !clause.iter().enumerate().any(fills);
    }
    let table_options = [
        "ENGINE",
        "COMMENT",
        "AUTO_INCREMENT",
        "ALGORITHM",
        "LOCK",
        "FORCE",
        "ROW_FORMAT",
        "ENABLE",
        "DISABLE",
    ];
    word(0, &table_options)
        || (word(0, &["DROP"]) && word(1, &["INDEX", "KEY", "CONSTRAINT", "CHECK", "FOREIGN"]))
        || (word(0, &["RENAME", "ALTER"]) && word(1, &["INDEX", "KEY"]))
}

/// A name in a statement, with the database that it belongs to.
struct Name<'a> {
    database: &'a str,
    table: &'a str,
    /// The index after it.
    end: usize,
}

impl Name<'_> {
    /// Databases that ignore the case of names are served as well as those that do not: stopping once too often is safe.
    fn is(&self, table: &Table) -> bool {
        self.table.eq_ignore_ascii_case(&table.name)
            && self.database.eq_ignore_ascii_case(&table.database)
    }
}

/// All words as names; `a.b` is one.
fn names<'a>(parts: &'a [Part], schema: &'a str) -> impl Iterator<Item = Name<'a>> {
    let is_dot = |at: Option<usize>| at.and_then(|at| parts.get(at)) == Some(&Part::Sign('.'));
    parts.iter().enumerate().filter_map(move |(at, part)| {
        let Part::Word(word) = part else { return None };
        if is_dot(at.checked_add(1)) {
            return None;
        }
        let qualifier = is_dot(at.checked_sub(1))
            .then(|| parts.get(at.checked_sub(2)?))
            .flatten();
        let database = match qualifier {
            Some(Part::Word(database)) => database,
            _ => schema,
        };
        Some(Name {
            database,
            table: word,
            end: at + 1,
        })
    })
}

/// A statement that cannot be split stops the run as one that is not known.
fn parts(sql: &str) -> Vec<Part> {
    let tokens = Tokenizer::new(&MySqlDialect {}, sql).tokenize();
    let Ok(tokens) = tokens else {
        return sql
            .split_whitespace()
            .map(|word| Part::Word(word.to_owned()))
            .collect();
    };
    let part = |token: Token| match token {
        Token::Word(word) => Some(Part::Word(word.value)),
        Token::Whitespace(_) | Token::EOF => None,
        Token::LParen => Some(Part::Sign('(')),
        Token::RParen => Some(Part::Sign(')')),
        Token::Comma => Some(Part::Sign(',')),
        Token::Period => Some(Part::Sign('.')),
        _ => Some(Part::Sign('?')),
    };
    tokens.into_iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(sql: &str) -> Statement {
        let table = Table {
            database: "shop".to_owned(),
            name: "people".to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
        };
        judge(sql, "shop", &[Arc::new(table)])
    }

    #[test]
    fn statements_that_change_no_row_of_the_table_pass() {
        for sql in [
            "BEGIN",
            "# Dummy event replacing event type 160 that slave cannot handle.",
            "SAVEPOINT `a`",
            "XA END X'78',X'',1",
            "SET PASSWORD FOR x='y'",
            "grant select on shop.people to a",
            "FLUSH TABLES",
            "OPTIMIZE TABLE people",
            "truncate orders",
            "TRUNCATE TABLE other.people",
            "DROP TABLE IF EXISTS `orders`,`other`.`people` /* generated by server */",
            "DROP TEMPORARY TABLE people",
            "DROP INDEX people ON people",
            "DROP USER people",
            "DROP DATABASE other",
            "RENAME TABLE other.people TO other.old",
            "CREATE TABLE orders LIKE people",
            "CREATE TABLE orders AS SELECT * FROM people",
            "CREATE OR REPLACE VIEW v AS SELECT * FROM people",
            "CREATE TEMPORARY TABLE people (a int)",
            "CREATE DATABASE shop",
            "CREATE DEFINER=`root`@`localhost` TRIGGER x BEFORE INSERT ON people FOR EACH ROW SET @a = 1",
            "CREATE INDEX i ON people(x)",
            "ALTER TABLE orders DROP COLUMN people",
            "ALTER TABLE other.people DROP COLUMN x",
            "ALTER DATABASE shop CHARACTER SET utf8mb4",
            "ALTER USER people",
            "ALTER TABLE people ADD COLUMN city VARCHAR(50)",
            "alter table `shop`.`people` add city varchar(50) default null after `x`, add index (city, x)",
            "ALTER ONLINE TABLE IF EXISTS people ADD COLUMN IF NOT EXISTS c DECIMAL(10,2) NULL, ALGORITHM=INSTANT",
            "ALTER TABLE people ENGINE=InnoDB",
            "ALTER TABLE people DROP INDEX i, DROP FOREIGN KEY f, RENAME INDEX a TO b, COMMENT='drop, column'",
            "ALTER TABLE people ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES orders (a)",
        ] {
            assert_eq!(verdict(sql), Statement::Harmless, "{sql}");
        }
    }

    #[test]
    fn statements_that_change_the_table_stop() {
        for sql in [
            "truncate people",
            "/* why */ TRUNCATE TABLE `shop`.`people`",
            "DROP TABLE `orders`,`people` /* generated by server */",
            "drop table if exists shop.People",
            "DROP DATABASE shop",
            "CREATE OR REPLACE SCHEMA `shop`",
            "RENAME TABLE people TO old",
            "RENAME TABLE new TO shop.people",
            "CREATE TABLE people (a int)",
            "CREATE OR REPLACE TABLE IF NOT EXISTS shop.people (a int)",
            "ALTER TABLE people ADD COLUMN c INT DEFAULT 5",
            "ALTER TABLE people ADD c INT NOT NULL",
            "ALTER TABLE people ADD c INT AS (x + 1)",
            "ALTER TABLE people ADD (a INT, b INT DEFAULT 5)",
            "ALTER TABLE people ADD a INT, DROP COLUMN b",
            "ALTER TABLE people DROP b",
            "ALTER TABLE people MODIFY x BIGINT",
            "ALTER TABLE people CHANGE x y BIGINT",
            "ALTER TABLE people RENAME COLUMN x TO y",
            "ALTER TABLE people RENAME old",
            "ALTER TABLE people DROP PRIMARY KEY, ADD PRIMARY KEY (x)",
            "ALTER TABLE people CONVERT TO CHARACTER SET latin1",
            "ALTER TABLE people DROP PARTITION p0",
            "ALTER TABLE people ENGINE=InnoDB PARTITION BY HASH(a)",
            "ALTER TABLE people ADD SYSTEM VERSIONING",
            "ALTER TABLE people ADD FOREIGN KEY (a) REFERENCES orders (a) ON DELETE CASCADE",
            "ALTER IGNORE TABLE people ADD CONSTRAINT FOREIGN KEY (a) REFERENCES orders (a) ON DELETE SET NULL",
        ] {
            let Statement::Stops(stopped) = verdict(sql) else {
                panic!("{sql}")
            };
            assert!(
                stopped.to_string().contains("shop.people"),
                "{sql}: {stopped}"
            );
            assert!(
                stopped.to_string().contains("--source-id"),
                "{sql}: {stopped}"
            );
        }
    }

    #[test]
    fn statements_instead_of_rows_stop() {
        for sql in [
            "update t set a = 1",
            "INSERT INTO other.t VALUES (1)",
            "/* a comment */ delete from t",
            "REPLACE INTO t VALUES (1)",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "SET STATEMENT max_statement_time=1 FOR UPDATE t SET a = 1",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "call p()",
            "'unterminated",
        ] {
            let Statement::Stops(stopped) = verdict(sql) else {
                panic!("{sql}")
            };
            assert!(
                stopped.to_string().contains("binlog_format=ROW"),
                "{sql}: {stopped}"
            );
        }
    }

    #[test]
    fn ends_of_transactions_are_known() {
        assert_eq!(verdict("COMMIT"), Statement::Commit);
        assert_eq!(verdict("XA COMMIT X'78',X'',1"), Statement::Commit);
        assert_eq!(verdict("ROLLBACK"), Statement::Rollback);
        assert_eq!(verdict("ROLLBACK TO `a`"), Statement::RollbackToSavepoint);
    }
}
