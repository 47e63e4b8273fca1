//! Regular expressions with the results that their pages in Snowflake's documentation show, and what is refused of them.

use super::function_tests::refuses;
use super::meaning_tests::computes;

#[test]
fn regular_expressions_find_what_the_documentation_shows() {
    computes(&[
        ("REGEXP_COUNT('snow', 'SNOW', 1, 'c')", "0"),
        ("REGEXP_COUNT('snow', 'SNOW', 1, 'i')", "1"),
        (
            "REGEXP_COUNT('It was the best of times, it was the worst of times', '\\\\bwas\\\\b', 1)",
            "2",
        ),
        ("REGEXP_COUNT('Excelence', 'e', 1, 'i')", "4"),
        (
            "REGEXP_COUNT(',abc,def,ghi,jkl,', '[[:punct:]][[:alnum:]]+[[:punct:]]', 1, 'i')",
            "2",
        ),
        (
            "REGEXP_COUNT(',abc,,def,,ghi,,jkl,', '[[:punct:]][[:alnum:]]+[[:punct:]]', 1, 'i')",
            "4",
        ),
        (
            "REGEXP_COUNT('ER-6842,LG-230,LG-150,ER-3379,ER-6210', '\\\\bER-[0-9]{4}')",
            "3",
        ),
        (
            "REGEXP_SUBSTR('Release 24', 'Release\\\\W+(\\\\d+)', 1, 1, 'e')",
            "24",
        ),
        (
            "REGEXP_SUBSTR('Customers - (NY)','\\\\([[:alnum:]]+\\\\)')",
            "(NY)",
        ),
        (
            "REGEXP_SUBSTR('Customers - (NY)',$$\\([[:alnum:]]+\\)$$)",
            "(NY)",
        ),
        (
            "REGEXP_SUBSTR('It was the best of times, it was the worst of times.', 'the\\\\W+\\\\w+', 1, 2)",
            "the worst",
        ),
        (
            "REGEXP_SUBSTR('A thespian theater is nearby.', 'the\\\\W+\\\\w+')",
            "NULL",
        ),
        (
            "REGEXP_SUBSTR('A MAN A PLAN A CANAL', 'A\\\\W+(\\\\w+)', 1, 3, 'e', 1)",
            "CANAL",
        ),
        (
            "REGEXP_SUBSTR('A MAN A PLAN A CANAL', 'A\\\\W+(\\\\w+)', 1, 4, 'e', 1)",
            "NULL",
        ),
        (
            "REGEXP_SUBSTR('A MAN A PLAN A CANAL', 'A\\\\W+(\\\\w)(\\\\w)(\\\\w)', 1, 1, 'e', 3)",
            "N",
        ),
        (
            "REGEXP_SUBSTR('Hellooo World', '\\\\b\\\\S*o\\\\S*\\\\b', 3)",
            "llooo",
        ),
        (
            "REGEXP_SUBSTR('PACK MY BOX WITH FIVE DOZEN LIQUOR JUGS', '\\\\b\\\\S*o\\\\S*\\\\b', 3, 3, 'i')",
            "LIQUOR",
        ),
        (
            "REGEXP_SUBSTR('Hellooo World', '(H\\\\S*o\\\\S*\\\\b).*', 1, 1, '')",
            "Hellooo World",
        ),
        (
            "REGEXP_SUBSTR('[10/Jan/2018:16:55:36 -0800]', '([\\\\w:\\/]+\\\\s[+\\-]\\\\d{4})')",
            "10/Jan/2018:16:55:36 -0800",
        ),
        (
            "REGEXP_INSTR('nevermore1, nevermore2, nevermore3.', 'nevermore\\\\d', 5)",
            "13",
        ),
        (
            "REGEXP_INSTR('nevermore1, nevermore2, nevermore3.', 'nevermore\\\\d', 1, 3, 1)",
            "35",
        ),
        (
            "REGEXP_INSTR('nevermore1, nevermore2, nevermore3.', 'nevermore', 1, 4)",
            "0",
        ),
        (
            "REGEXP_INSTR('In    the   string   the   extra   spaces  are   redundant.', 'the\\\\W+(\\\\w+)', 1, 2, 0, '', 1)",
            "28",
        ),
        (
            "REGEXP_INSTR('It was the best of times, it was the worst of times', '[[:alpha:]]{2,}st', 15, 1)",
            "38",
        ),
    ]);
}

#[test]
fn regular_expressions_match_whole_texts() {
    computes(&[
        ("REGEXP_LIKE('San Francisco', 'san.*', 'i')", "true"),
        (
            "REGEXP_LIKE('San Luis Obispo', '\\\\w+\\\\s\\\\w+')",
            "false",
        ),
        (
            "RLIKE('800-456-7891', $$[2-9]\\d{2}-\\d{3}-\\d{4}$$)",
            "true",
        ),
        (
            "RLIKE('jsmith@email.com', '\\\\w+@[a-zA-Z_]+\\\\.[a-zA-Z]{2,3}')",
            "true",
        ),
        ("REGEXP_LIKE('Sn\\\\ow', '.*(\\\\.|\\\\\\\\).*')", "true"),
        ("REGEXP_LIKE('', '')", "true"),
        ("REGEXP_LIKE('a\nb', 'a.b')", "false"),
        ("REGEXP_LIKE('a\nb', 'a.b', 's')", "true"),
        ("'San Francisco' REGEXP 'San* [fF].*'", "true"),
        ("'Santa Clara' REGEXP 'San\\\\b.*'", "false"),
        ("'San Jose' NOT RLIKE 'San.* [fF].*'", "true"),
        ("RLIKE('a', NULL)", "NULL"),
    ]);
}

#[test]
fn regular_expressions_replace_what_the_documentation_shows() {
    computes(&[
        (
            "REGEXP_REPLACE('Customers - (NY)','\\\\(|\\\\)','')",
            "Customers - NY",
        ),
        (
            "REGEXP_REPLACE('It was the best of times', '( ){1,}', '')",
            "Itwasthebestoftimes",
        ),
        (
            "REGEXP_REPLACE('best of times, worst of times', 'times', 'days', 1, 2)",
            "best of times, worst of days",
        ),
        (
            "REGEXP_REPLACE('firstname middlename lastname', '(.*) (.*) (.*)', '\\\\3, \\\\1 \\\\2')",
            "lastname, firstname middlename",
        ),
        (
            "REGEXP_REPLACE('When I am cold, I am bold.', '(.old)', $$very \\1$$)",
            "When I am very cold, I am very bold.",
        ),
        (
            "REGEXP_REPLACE('Hellooo World', '()', '*')",
            "*H*e*l*l*o*o*o* *W*o*r*l*d*",
        ),
        (
            "REGEXP_REPLACE('PACK MY BOX', '[aeiou]', '', 1, 0, 'i')",
            "PCK MY BX",
        ),
        (
            "REGEXP_REPLACE('How are you doing today?', '\\\\b(\\\\S*)o(\\\\S*)\\\\b')",
            " are   ?",
        ),
        (
            "REGEXP_REPLACE('Hellooo World', '\\\\b(\\\\S*)o(\\\\S*)\\\\b', '\\\\2@@\\\\1')",
            "@@Helloo rld@@W",
        ),
        (
            "REGEXP_REPLACE('Hellooo World', '\\\\b(\\\\S*)o(\\\\S*)\\\\b', '\\\\2@@\\\\1', 3)",
            "He@@lloo rld@@W",
        ),
        (
            "REGEXP_REPLACE('How are you doing today?', '\\\\b(\\\\S*)o(\\\\S*)\\\\b', '\\\\2@@\\\\1', 3, 3)",
            "How are you doing day@@t?",
        ),
        (
            "REGEXP_REPLACE('gr\u{fc}n', '.', '<\\\\0>', 3)",
            "gr<\u{fc}><n>",
        ),
        ("REGEXP_REPLACE('abc', '', 'x')", "abc"),
        ("REGEXP_REPLACE('abc', 'b', NULL)", "NULL"),
    ]);
}

#[test]
fn regular_expressions_are_refused_where_their_match_is_not_documented() {
    refuses(&[
        ("REGEXP_SUBSTR('abcd', 'ab|abc')", "could be 'ab' or 'abc'"),
        ("REGEXP_REPLACE('abc', '.*', 'x')", "empty match"),
        ("REGEXP_SUBSTR('abc', 'b*?')", "lazy"),
        ("REGEXP_SUBSTR('abc', '(?i)B')", "(?"),
        ("REGEXP_SUBSTR('abc', '(b)', 1, 1, 'e', 2)", "group 2 of 1"),
        ("REGEXP_SUBSTR('abc', 'b', 1, 1, 'x')", "parameter"),
        ("REGEXP_SUBSTR('abc', '^b', 2)", "^ in a search"),
        ("REGEXP_SUBSTR('abc', 'b', 9)", "position 9"),
        ("REGEXP_SUBSTR('abc', 'b', 1, 0)", "occurrence"),
        ("REGEXP_INSTR('abc', 'b', 1, 1, 2)", "option"),
        ("REGEXP_REPLACE('abc', '(x)|b', '\\\\1')", "with |"),
        ("REGEXP_REPLACE('abc', '(x)?b', '\\\\1')", "group 1"),
        (
            "REGEXP_SUBSTR('abcd', '(a|ab)(c|bcd)(d*)', 1, 1, 'e', 1)",
            "with |",
        ),
        ("REGEXP_SUBSTR('abab', '((a)b)+', 1, 1, 'e')", "repeated"),
        ("REGEXP_SUBSTR('abc', '\\\\Bc', 2)", "\\B in a search"),
        ("REGEXP_REPLACE('abc', 'b', '\\\\1')", "replacement"),
        ("REGEXP_REPLACE('abc', 'b', '\\\\\\\\')", "replacement"),
        (
            "REGEXP_REPLACE('a', '()()()()()()()()()()', 'x')",
            "10 groups",
        ),
        ("REGEXP_LIKE('a\nb', 'a', 'm')", "several lines"),
        ("REGEXP_LIKE('a\u{a0}b', 'a\\\\sb')", "character"),
        ("REGEXP_LIKE('\u{e9}', '[[:alpha:]]')", "character"),
        ("REGEXP_COUNT('a', '(a')", "missing )"),
        (
            "REGEXP_LIKE('a', '(((a{1000}){1000}){1000})')",
            "regular expression",
        ),
        ("REGEXP_COUNT(REPEAT('a', 8000000), '[^b]{100}')", "states"),
        ("REGEXP_COUNT('a', 'a', 1, 'c', 1)", "arguments"),
    ]);
}
