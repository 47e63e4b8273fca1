"""An emulator for the comparison: started, filled with rows and asked over the SQL API."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request

TOKEN = "oracle"


class Emulator:
    """A `snowpipe-emulator` process on a free port, with the tables of a DDL script."""

    def __init__(self, program, ddl_file):
        self.process = subprocess.Popen(
            [program, "--listen", "127.0.0.1:0", "--ddl", ddl_file, "--access-token", TOKEN],
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError("the emulator has not started")
        self.url = line[0]

    def close(self):
        self.process.terminate()
        self.process.wait(30)

    def request(self, method, path, body=None, token=TOKEN, content_type="application/json"):
        """Sends a request and returns the status and the body."""
        headers = {
            "Accept": "application/json",
            "Content-Type": content_type,
            "Authorization": f"Bearer {token}",
            "X-Snowflake-Authorization-Token-Type": (
                "PROGRAMMATIC_ACCESS_TOKEN" if token == TOKEN else "OAUTH"
            ),
        }
        data = body.encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode()

    def land(self, database, schema, table, rows):
        """Streams rows through the table's default pipe and waits until they are committed."""
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token_type": "programmatic_access_token",
            "scope": urllib.parse.urlsplit(self.url).hostname,
        }
        status, scoped = self.request(
            "POST",
            "/oauth/token",
            urllib.parse.urlencode(form),
            content_type="application/x-www-form-urlencoded",
        )
        assert status == 200, scoped
        pipe = f"databases/{database}/schemas/{schema}/pipes/{table}-STREAMING/channels/c"
        status, opened = self.request("PUT", f"/v2/streaming/{pipe}", "{}", scoped)
        assert status == 200, opened
        token = urllib.parse.quote(json.loads(opened)["next_continuation_token"])
        status, answer = self.request(
            "POST",
            f"/v2/streaming/data/{pipe}/rows?continuationToken={token}&offsetToken=1",
            "".join(json.dumps(row) + "\n" for row in rows),
            scoped,
            "application/x-ndjson",
        )
        assert status == 200, answer
        name = f"{database}.{schema}.{table}"
        status, answer = self.request("GET", f"/_emulator/wait?table={name}&rows={len(rows)}")
        assert status == 200, answer

    def query(self, statement, database, schema):
        """The answer of the SQL API to a statement."""
        body = {"statement": statement, "database": database, "schema": schema}
        status, answer = self.request("POST", "/api/v2/statements", json.dumps(body))
        return status, json.loads(answer)
