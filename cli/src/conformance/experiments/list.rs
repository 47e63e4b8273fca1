//! The list of experiments.

use super::{
    Experiment, channels, errors, evolution, numbers, pipes, probe, rows, tables, timing, values,
    wire,
};

const NONE: Experiment = Experiment {
    id: "",
    question: "",
    meaning: "",
    requests: 0,
    rows: 0,
    needs_statements: false,
    is_opt_in: false,
    setup: &[],
    expectations: &[],
};

const TABLE: &[&str] = &["CREATE TABLE {T} (A NUMBER)"];

/// All experiments, in the order in which they are carried out.
pub(super) const ALL: &[Experiment] = &[
    Experiment {
        id: "E1",
        question: "What do the host name and the token look like?",
        meaning: "clients other than this one may expect a bare text",
        requests: 2,
        ..NONE
    },
    Experiment {
        id: "E2",
        question: "How long does a token live, and does a second one end it?",
        meaning: "when the client fetches the next token",
        requests: 8,
        setup: TABLE,
        expectations: &[("token.life_s", "3600")],
        ..NONE
    },
    Experiment {
        id: "E4",
        question: "What does an elastic append answer, and is the channel there before it?",
        meaning: "what a client may read from the answer, and how it asks for the status of an unused channel",
        requests: 10,
        rows: 1,
        setup: TABLE,
        expectations: &[("elastic.table_path", "200")],
        ..NONE
    },
    Experiment {
        id: "E5",
        question: "What do errors look like?",
        meaning: "which field holds the code",
        requests: 10,
        rows: 1,
        setup: TABLE,
        expectations: &[
            (
                "error.unknown_pipe",
                "404 ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            ),
            (
                "error.unknown_channel",
                "404 ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            ),
            ("error.malformed_open", "400 ERR_INVALID_REQUEST"),
        ],
        ..NONE
    },
    Experiment {
        id: "E6",
        question: "What does the status of a healthy channel with a rejected row look like?",
        meaning: "which words and fields a client reads",
        requests: 10,
        rows: 2,
        setup: TABLE,
        expectations: &[
            ("status.counters", "parsed 2, inserted 1, rejected 1"),
            ("status.error_offset", "\"o1\""),
        ],
        ..NONE
    },
    Experiment {
        id: "E7",
        question: "What happens to a continuation token that was used, skipped or superseded?",
        meaning: "whether a client may repeat a request, and what tells it to reopen the channel",
        requests: 40,
        rows: 10,
        needs_statements: true,
        setup: TABLE,
        expectations: &[
            ("replay.next_token", "the one given out before"),
            ("replay.other_rows", "ignored"),
            ("replay.rows", "1"),
            ("replay.new_request_id", "as a repeated one"),
        ],
        ..NONE
    },
    Experiment {
        id: "E8",
        question: "How long may a body be, and what is a longer one answered?",
        meaning: "how large the client's requests may be",
        requests: 10,
        rows: wire::LONG_BODIES_ROWS,
        setup: &["CREATE TABLE {T} (A VARCHAR(10))"],
        ..NONE
    },
    Experiment {
        id: "E9",
        question: "What becomes of JSON at the edges?",
        meaning: "which rows are rejected, and which requests",
        requests: 120,
        rows: 14,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {T} (A VARCHAR)",
            "CREATE TABLE {TWICE} (A VARCHAR)",
            "CREATE TABLE {TEXT} (A VARCHAR)",
        ],
        expectations: rows::EDGES_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E10",
        question: "Does an explicit null take a column's DEFAULT?",
        meaning: "whether a client must leave out a key to get the default",
        requests: 25,
        rows: 2,
        needs_statements: true,
        setup: &["CREATE TABLE {T} (K NUMBER, A NUMBER DEFAULT 7)"],
        expectations: &[("default.missing_key", "7")],
        ..NONE
    },
    Experiment {
        id: "E11",
        question: "What do columns hold that fill themselves?",
        meaning: "whether numbers come twice, and whether such tables can be streamed into",
        requests: 70,
        rows: 11,
        needs_statements: true,
        expectations: numbers::EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E12",
        question: "Which JSON values does each column type take, and as what?",
        meaning: "which rows are rejected",
        requests: 15,
        rows: 2 * values::CONVERSIONS_COUNT,
        needs_statements: true,
        setup: values::CONVERSIONS_SETUP,
        ..NONE
    },
    Experiment {
        id: "E13",
        question: "Are the digits of numbers kept in VARIANT?",
        meaning: "whether numbers must be sent as text",
        requests: 20,
        rows: 10,
        needs_statements: true,
        setup: &["CREATE TABLE {T} (K NUMBER, V VARIANT)"],
        ..NONE
    },
    Experiment {
        id: "E14",
        question: "In which time zone are times read that name none?",
        meaning: "whether times are off by hours",
        requests: 15,
        rows: 2,
        needs_statements: true,
        setup: &["CREATE TABLE {T} (K NUMBER, N TIMESTAMP_NTZ, L TIMESTAMP_LTZ)"],
        ..NONE
    },
    Experiment {
        id: "E15",
        question: "Which types does schema evolution infer?",
        meaning: "what a table looks like after the first rows",
        requests: 90,
        rows: evolution::KEYS_COUNT,
        needs_statements: true,
        setup: &["CREATE TABLE {T} (K NUMBER) ENABLE_SCHEMA_EVOLUTION = TRUE"],
        expectations: evolution::TYPES_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E16",
        question: "Which keys become columns by schema evolution, and how many?",
        meaning: "which rows invalidate the channel",
        requests: 80,
        rows: 9,
        needs_statements: true,
        setup: &["CREATE TABLE {T} (K NUMBER) ENABLE_SCHEMA_EVOLUTION = TRUE"],
        expectations: evolution::LIMITS_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E17",
        question: "What becomes of a key that the table has no column for?",
        meaning: "whether a typing error is noticed",
        requests: 20,
        rows: 2,
        setup: TABLE,
        expectations: &[("unknown_key.alone", "ignore")],
        ..NONE
    },
    Experiment {
        id: "E18",
        question: "Which statements create a streaming pipe?",
        meaning: "which options a pipe can have",
        requests: 35,
        rows: 2,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {T} (A NUMBER, B VARCHAR)",
            "CREATE TABLE {ONE} (V VARIANT)",
        ],
        expectations: pipes::GRAMMAR_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E19",
        question: "What do the columns hold that a select list leaves out or cannot compute?",
        meaning: "which rows of a pipe with a SELECT are rejected",
        requests: 60,
        rows: 5,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {T} (K NUMBER, W NUMBER, Y NUMBER, D NUMBER DEFAULT 7, I NUMBER AUTOINCREMENT)",
            "CREATE TABLE {STRICT} (K NUMBER, N NUMBER NOT NULL DEFAULT 8)",
        ],
        expectations: pipes::SELECT_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E20",
        question: "Which kinds of tables and columns can be streamed into, and where do the others fail?",
        meaning: "how early a wrong table is noticed",
        requests: 70,
        rows: 8,
        needs_statements: true,
        setup: &["CREATE TABLE {BASE} (A NUMBER)"],
        expectations: tables::KINDS_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E21",
        question: "What does a row do that violates a CHECK?",
        meaning: "whether good rows are lost beside a bad one",
        requests: 10,
        rows: 3,
        needs_statements: true,
        ..NONE
    },
    Experiment {
        id: "E22",
        question: "What does an error table say about rejected rows?",
        meaning: "how a rejected row is found",
        requests: 45,
        rows: 4,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {T} (A NUMBER NOT NULL) ERROR_LOGGING = TRUE",
            "CREATE TABLE {E} (A NUMBER) ERROR_LOGGING = TRUE",
        ],
        expectations: errors::TABLES_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E23",
        question: "Are channels that differ in case the same?",
        meaning: "whether two programs can share a channel without noticing",
        requests: 15,
        rows: 1,
        setup: TABLE,
        expectations: &[
            ("channel.case_in_status", "another channel"),
            ("channel.name_of_255", "200"),
            ("channel.name_with_space", "200"),
        ],
        ..NONE
    },
    Experiment {
        id: "E24",
        question: "Does case matter for pipes in addresses?",
        meaning: "how a client must spell names",
        requests: 12,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {T} (A NUMBER)",
            "CREATE TABLE {lower} (A NUMBER)",
        ],
        expectations: pipes::ADDRESSES_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E25",
        question: "Which offset tokens are stored as they are?",
        meaning: "how long and of what an offset may be",
        requests: 35,
        rows: 5,
        setup: TABLE,
        expectations: &[
            ("offset.of_1000", "stored"),
            ("offset.of_4000", "stored"),
            ("offset.unicode", "stored"),
        ],
        ..NONE
    },
    Experiment {
        id: "E26",
        question: "What do changes of a table do to its open channels?",
        meaning: "whether rows are lost without an error",
        requests: 140,
        rows: 20,
        needs_statements: true,
        setup: &[
            "CREATE TABLE {TRUNCATED} (A NUMBER)",
            "CREATE TABLE {REPLACED} (A NUMBER)",
            "CREATE TABLE {WIDENED} (A NUMBER)",
            "CREATE TABLE {DROPPED} (A NUMBER)",
        ],
        expectations: &[
            ("truncate.append", "200"),
            ("truncate.rows", "1"),
            (
                "replace.status",
                "ERR_CHANNEL_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
            ),
            ("add_column.append", "200"),
            ("add_column.value", "2"),
        ],
        ..NONE
    },
    Experiment {
        id: "E27",
        question: "Can a channel be opened right after its pipe was dropped and created again?",
        meaning: "how long a client must try to open",
        requests: 20,
        rows: 3,
        needs_statements: true,
        setup: TABLE,
        ..NONE
    },
    Experiment {
        id: "E28",
        question: "What does opening a channel do to rows that are not committed?",
        meaning: "whether a second program can make the first one lose rows",
        requests: 15,
        rows: channels::REOPENED_ROWS,
        setup: TABLE,
        expectations: &[
            (
                "open.uncommitted_fails",
                "409 ERR_CHANNEL_HAS_UNCOMMITTED_DATA",
            ),
            ("open.sets_offset", "\"set\""),
        ],
        ..NONE
    },
    Experiment {
        id: "E29",
        question: "What do the lists of channels and pipes show?",
        meaning: "what an operator can see without a client",
        requests: 15,
        rows: 1,
        needs_statements: true,
        setup: TABLE,
        expectations: errors::LISTS_EXPECTED,
        ..NONE
    },
    Experiment {
        id: "E30",
        question: "When do the counters of a channel rise, and do they survive a reopen and a drop?",
        meaning: "how a client counts rejected rows, and what a commit proves",
        requests: 30,
        rows: 2,
        setup: TABLE,
        expectations: &[
            ("counters.after_reopen", "kept"),
            ("counters.after_drop", "zero"),
            ("offset.after_drop", "null"),
        ],
        ..NONE
    },
    Experiment {
        id: "E31",
        question: "How many names may a status request have?",
        meaning: "how many channels a client polls at once",
        requests: 10,
        setup: TABLE,
        expectations: &[
            ("status.no_names", "200"),
            ("status.unknown_name", "absent"),
            ("status.repeated_name", "once"),
            ("status.of_1000_names", "200"),
            (
                "status.of_5000_names",
                "400 ERR_GET_CHANNEL_STATUS_BATCH_TOO_MANY_CHANNELS",
            ),
        ],
        ..NONE
    },
    Experiment {
        id: "E32",
        question: "What is answered when a channel has too many requests?",
        meaning: "how long a client waits",
        requests: 65,
        rows: timing::RATE_ROWS,
        is_opt_in: true,
        setup: TABLE,
        ..NONE
    },
    Experiment {
        id: "E33",
        question: "What do expressions give in queries?",
        meaning: "whether a test's SELECT means the same on the emulator",
        requests: probe::COUNT,
        needs_statements: true,
        ..NONE
    },
    Experiment {
        id: "E34",
        question: "How long does a commit take?",
        meaning: "how soon rows are durable",
        requests: 80,
        rows: 10,
        setup: TABLE,
        ..NONE
    },
    Experiment {
        id: "E35",
        question: "What is an unknown token answered?",
        meaning: "which answers mean that a token must be renewed",
        requests: 2,
        setup: TABLE,
        expectations: &[("login.unknown_token_status", "401")],
        ..NONE
    },
    Experiment {
        id: "E36",
        question: "Which fields does the pipe information have?",
        meaning: "what the official SDK reads",
        requests: 5,
        setup: TABLE,
        expectations: &[("pipe_info.binary_input_format", "BASE64")],
        ..NONE
    },
    Experiment {
        id: "E37",
        question: "Can statements invalidate a channel?",
        meaning: "how an operator stops a writer",
        requests: 6,
        rows: 1,
        needs_statements: true,
        setup: TABLE,
        ..NONE
    },
    Experiment {
        id: "E38",
        question: "When can a committed row be read?",
        meaning: "whether a reader sees what a client calls committed",
        requests: 15,
        rows: 1,
        needs_statements: true,
        setup: TABLE,
        expectations: &[("visible.when_committed", "yes")],
        ..NONE
    },
    Experiment {
        id: "E39",
        question: "Which tokens are good for channels beside one whose scope has the ingest host?",
        meaning: "how a program may log in, and whether it needs the ingest host for more than rows",
        requests: 6,
        setup: TABLE,
        expectations: &[("scope.role_only", "200"), ("open.on_account_host", "200")],
        ..NONE
    },
    Experiment {
        id: "E40",
        question: "How may a body be compressed?",
        meaning: "how large a row may be that compresses well",
        requests: 30,
        rows: 5,
        setup: TABLE,
        expectations: &[("body.frames", "many"), ("body.window_log", "27")],
        ..NONE
    },
];
