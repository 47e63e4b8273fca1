"""Queries over the two tables, generated from a seed: expressions of each type, in every clause."""

import random

NUMBERS = {"T": ["ID", "A", "B"], "U": ["K", "X"]}
TEXTS = {"T": ["S"], "U": ["NAME"]}
DATES = {"T": ["D"], "U": ["SINCE"]}
STAMPS = {"T": ["TS"], "U": []}
TRUTHS = {"T": ["OPEN"], "U": []}
FLOATS = {"T": ["F"], "U": []}
WORDS = ["", "a", "b", "Elk", "elk", "lift 1", "x-y-z", " pad ", "10", "Zulu"]
DAYS = ["2024-02-29", "2025-12-31", "2026-01-01", "2026-01-17"]


class Generator:
    """Draws expressions over the tables that are in scope, each under its alias."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def pick(self, *choices):
        return self.random.choice(choices)()

    def column(self, names, scope):
        found = [f"{alias}.{name}" for alias, table in scope for name in names[table]]
        return self.random.choice(found) if found else None

    def number(self, scope, depth=2):
        """A number of few digits, so that no product leaves 38 of them."""
        r = self.random
        column = self.column(NUMBERS, scope)
        leaf = [
            lambda: column,
            lambda: column,
            lambda: str(r.randint(-20, 20)),
            lambda: f"{r.randint(-99, 99)}.{r.randint(0, 9)}",
        ]
        if depth == 0:
            return self.pick(*leaf)
        n = lambda: self.number(scope, depth - 1)
        t = lambda: self.text(scope, depth - 1)
        return self.pick(
            *leaf,
            lambda: f"({n()} {r.choice('+-')} {n()})",
            lambda: f"({self.number(scope, 0)} * {self.number(scope, 0)})",
            lambda: f"ABS({n()})",
            lambda: f"(- {n()})",
            lambda: f"ROUND({column}, {r.randint(0, 2)})",
            lambda: f"CAST({n()} AS NUMBER(20,{r.randint(0, 3)}))",
            lambda: f"CASE WHEN {self.truth(scope, depth - 1)} THEN {n()} ELSE {n()} END",
            lambda: f"COALESCE({n()}, {n()})",
            lambda: f"NULLIF({n()}, {n()})",
            lambda: f"IFF({self.truth(scope, depth - 1)}, {n()}, {n()})",
            lambda: f"LENGTH({t()})",
            lambda: f"YEAR({self.date(scope, depth - 1)})",
            lambda: f"MONTH({self.date(scope, depth - 1)})",
            lambda: f"DAYOFYEAR({self.date(scope, depth - 1)})",
            lambda: f"DATEDIFF({r.choice(['day', 'month', 'year'])}, {self.date(scope, 0)}, {self.date(scope, depth - 1)})",
            lambda: f"MOD({self.column(NUMBERS, scope)}, {r.randint(2, 9)})",
        )

    def text(self, scope, depth=2):
        r = self.random
        column = self.column(TEXTS, scope)
        leaf = [lambda: column, lambda: column, lambda: "'" + r.choice(WORDS) + "'"]
        if depth == 0:
            return self.pick(*leaf)
        t = lambda: self.text(scope, depth - 1)
        return self.pick(
            *leaf,
            lambda: f"({t()} || {t()})",
            lambda: f"UPPER({t()})",
            lambda: f"LOWER({t()})",
            lambda: f"TRIM({t()})",
            lambda: f"SUBSTR({t()}, {r.randint(1, 4)}, {r.randint(0, 4)})",
            lambda: f"LEFT({t()}, {r.randint(0, 4)})",
            lambda: f"RIGHT({t()}, {r.randint(0, 4)})",
            lambda: f"REPLACE({t()}, 'l', 'LL')",
            lambda: f"REVERSE({t()})",
            lambda: f"LPAD({t()}, {r.randint(0, 6)}, '*')",
            lambda: f"SPLIT_PART({t()}, '-', {r.randint(1, 3)})",
            lambda: f"COALESCE({t()}, {t()})",
            lambda: f"CASE WHEN {self.truth(scope, depth - 1)} THEN {t()} END",
            lambda: f"CAST({self.column(NUMBERS, scope)} AS VARCHAR)",
            lambda: f"CAST({self.date(scope, 0)} AS VARCHAR)",
        )

    def date(self, scope, depth=2):
        r = self.random
        column = self.column(DATES, scope)
        leaf = [lambda: column, lambda: column, lambda: f"'{r.choice(DAYS)}'::DATE"]
        if depth == 0:
            return self.pick(*leaf)
        d = lambda: self.date(scope, depth - 1)
        stamp = self.column(STAMPS, scope)
        return self.pick(
            *leaf,
            lambda: f"DATEADD({r.choice(['day', 'week', 'month', 'year'])}, {r.randint(-9, 9)}, {d()})::DATE",
            lambda: f"DATE_TRUNC('{r.choice(['week', 'month', 'quarter', 'year'])}', {d()})::DATE",
            lambda: f"LAST_DAY({d()})",
            lambda: f"COALESCE({d()}, {d()})",
            lambda: f"{stamp}::DATE" if stamp else d(),
        )

    def stamp(self, scope):
        column = self.column(STAMPS, scope)
        if column is None:
            return None
        r = self.random
        return self.pick(
            lambda: column,
            lambda: f"DATE_TRUNC('{r.choice(['second', 'minute', 'hour', 'day', 'month'])}', {column})",
            lambda: f"DATEADD({r.choice(['second', 'minute', 'hour', 'day'])}, {r.randint(-99, 99)}, {column})",
            lambda: f"'{r.choice(DAYS)} 12:30:00'::TIMESTAMP_NTZ",
        )

    def truth(self, scope, depth=2):
        r = self.random
        column = self.column(TRUTHS, scope)
        operator = r.choice(["=", "<>", "<", "<=", ">", ">="])
        below = max(depth - 1, 0)
        leaf = [
            lambda: f"({self.number(scope, below)} {operator} {self.number(scope, below)})",
            lambda: f"({self.text(scope, below)} {operator} {self.text(scope, below)})",
            lambda: f"({self.date(scope, below)} {operator} {self.date(scope, below)})",
            lambda: f"({self.number(scope, below)} IS {r.choice(['', 'NOT '])}NULL)",
            lambda: f"({self.text(scope, below)} LIKE '{r.choice(['%l%', 'E__', '_', '%', 'x%'])}')",
            lambda: f"({self.text(scope, below)} ILIKE '{r.choice(['%L%', 'e__', 'ELK'])}')",
            lambda: f"({self.number(scope, below)} BETWEEN -5 AND {r.randint(0, 50)})",
            lambda: f"({self.number(scope, below)} {r.choice(['', 'NOT '])}IN (1, 2, {r.randint(0, 30)}, 4.5))",
            lambda: f"({self.text(scope, below)} IN ('a', 'Elk', '10'))",
            lambda: f"({self.number(scope, below)} IS {r.choice(['', 'NOT '])}DISTINCT FROM {self.number(scope, below)})",
            lambda: f"({self.column(NUMBERS, scope)} = '{r.randint(0, 20)}')",
            lambda: column or "(1 = 1)",
        ]
        stamp = self.stamp(scope)
        if stamp is not None:
            leaf.append(lambda: f"({stamp} {operator} {self.stamp(scope)})")
        if self.column(FLOATS, scope):
            leaf.append(lambda: f"({self.column(FLOATS, scope)} {operator} {r.randint(-5, 5)}.5)")
        if depth == 0:
            return self.pick(*leaf)
        t = lambda: self.truth(scope, depth - 1)
        return self.pick(
            *leaf,
            lambda: f"({t()} AND {t()})",
            lambda: f"({t()} OR {t()})",
            lambda: f"(NOT {t()})",
        )

    def any(self, scope, depth=2):
        stamp = self.stamp(scope)
        return self.pick(
            lambda: self.number(scope, depth),
            lambda: self.number(scope, depth),
            lambda: self.text(scope, depth),
            lambda: self.date(scope, depth),
            lambda: self.truth(scope, depth),
            lambda: stamp or self.date(scope, depth),
        )

    def aggregate(self, scope):
        r = self.random
        function = r.choice(["MIN", "MAX"])
        return self.pick(
            lambda: "COUNT(*)",
            lambda: f"COUNT({self.any(scope, 1)})",
            lambda: f"COUNT(DISTINCT {self.any(scope, 1)})",
            lambda: f"SUM({self.number(scope, 1)})",
            lambda: f"{function}({self.number(scope, 1)})",
            lambda: f"{function}({self.text(scope, 1)})",
            lambda: f"{function}({self.date(scope, 1)})",
            lambda: f"COUNT_IF({self.truth(scope, 1)})",
        )

    def source(self):
        """FROM, and what it brings into scope."""
        return self.pick(
            lambda: ("T", [("T", "T")]),
            lambda: ("T", [("T", "T")]),
            lambda: ("U", [("U", "U")]),
            lambda: (
                f"T {self.random.choice(['JOIN', 'LEFT JOIN', 'RIGHT JOIN', 'FULL JOIN'])} U ON T.ID = U.K",
                [("T", "T"), ("U", "U")],
            ),
            lambda: ("T A JOIN T B ON A.A < B.A AND A.S = B.S", [("A", "T"), ("B", "T")]),
            lambda: ("(SELECT * FROM T WHERE ID > 5) T", [("T", "T")]),
        )

    def where(self, scope):
        return f" WHERE {self.truth(scope)}" if self.random.random() < 0.6 else ""

    def rows(self):
        tables, scope = self.source()
        items = [self.any(scope) for _ in range(self.random.randint(1, 4))]
        distinct = "DISTINCT " if self.random.random() < 0.2 else ""
        return f"SELECT {distinct}{', '.join(items)} FROM {tables}{self.where(scope)}"

    def grouped(self):
        tables, scope = self.source()
        keys = [self.any(scope, 1) for _ in range(self.random.randint(0, 2))]
        items = keys + [self.aggregate(scope) for _ in range(self.random.randint(1, 3))]
        query = f"SELECT {', '.join(items)} FROM {tables}{self.where(scope)}"
        if keys:
            positions = ", ".join(str(position + 1) for position in range(len(keys)))
            query += f" GROUP BY {self.random.choice([positions, ', '.join(keys)])}"
            if self.random.random() < 0.3:
                query += f" HAVING COUNT(*) > {self.random.randint(0, 2)}"
        return query

    def sorted(self):
        r = self.random
        scope = [("T", "T")]
        key = self.any(scope, 1)
        direction = r.choice(["", " DESC", " ASC", " NULLS FIRST", " DESC NULLS LAST"])
        query = f"SELECT {self.any(scope)}, T.ID FROM T{self.where(scope)} ORDER BY {key}{direction}, T.ID"
        return query + r.choice(["", f" LIMIT {r.randint(0, 9)}", f" LIMIT 5 OFFSET {r.randint(0, 9)}"])

    def windowed(self):
        r = self.random
        scope = [("T", "T")]
        partition = r.choice(["", f"PARTITION BY {self.any(scope, 1)} "])
        order = f"ORDER BY {self.any(scope, 1)}{r.choice(['', ' DESC'])}, T.ID"
        function = r.choice(
            ["ROW_NUMBER()", "RANK()", f"LAG({self.number(scope, 0)})", "LEAD(T.S, 2)", "COUNT(*)",
             f"SUM({self.number(scope, 0)})", f"FIRST_VALUE({self.text(scope, 0)})", "MAX(T.A)"]
        )
        window = f"{function} OVER ({partition}{order})"
        if r.random() < 0.4:
            window = f"ROW_NUMBER() OVER ({partition}{order})"
            return f"SELECT T.ID, {self.any(scope, 1)} FROM T QUALIFY {window} <= {r.randint(1, 2)}"
        return f"SELECT T.ID, {window} FROM T{self.where(scope)}"

    def combined(self):
        operator = self.random.choice(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
        t, u = [("T", "T")], [("U", "U")]
        columns = self.random.sample(["number", "text", "date"], self.random.randint(1, 3))
        sides = [
            f"SELECT {', '.join(getattr(self, kind)(scope, 1) for kind in columns)} FROM {scope[0][0]}{self.where(scope)}"
            for scope in (t, u)
        ]
        return f" {operator} ".join(sides)

    def nested(self):
        t = [("T", "T")]
        r = self.random
        return self.pick(
            lambda: f"SELECT T.ID FROM T WHERE {self.number(t, 1)} > (SELECT MAX(U.X) FROM U)",
            lambda: f"SELECT T.ID FROM T WHERE T.ID {r.choice(['', 'NOT '])}IN (SELECT U.K FROM U WHERE U.K IS NOT NULL)",
            lambda: f"SELECT T.ID, T.S FROM T WHERE {r.choice(['', 'NOT '])}EXISTS (SELECT 1 FROM U WHERE U.K = T.ID AND {self.truth([('U', 'U')], 1)})",
            lambda: f"WITH Q AS ({self.grouped().replace('SELECT ', 'SELECT 1 AS ONE, ', 1)}) SELECT COUNT(*) FROM Q",
            lambda: f"WITH Q AS (SELECT {self.number(t, 1)} AS N, {self.text(t, 1)} AS W FROM T) SELECT W, SUM(N), MIN(N) FROM Q GROUP BY W",
            lambda: f"SELECT N + 1, W FROM (SELECT {self.number(t)} AS N, {self.text(t)} AS W FROM T) Q WHERE N > 0",
        )

    def query(self):
        return self.pick(
            self.rows, self.rows, self.grouped, self.grouped, self.sorted, self.windowed, self.combined, self.nested
        )
