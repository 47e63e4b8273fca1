"""A page in Chromium, and what the test wants to know of it."""

import json
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 60_000

# What is shown differs from what is expected: [name, shown, expected] each.
DIFFERENCES = """([expected, only]) => {
  const shown = new Map();
  for (const element of document.querySelectorAll("[data-metric]")) {
    if (element.checkVisibility()) {
      const name = element.dataset.metric;
      shown.set(name, [...(shown.get(name) ?? []), element.textContent]);
    }
  }
  const differences = [];
  for (const [name, texts] of shown) {
    if (only && !(name in expected)) continue;
    for (const text of texts) {
      if (text !== expected[name]) differences.push([name, text, expected[name] ?? "nothing checks it"]);
    }
  }
  for (const [name, text] of Object.entries(expected)) {
    if (!shown.has(name)) differences.push([name, "not on the page", text]);
  }
  return differences;
}"""

# Digits outside of elements that are checked. Dates and hours that head a row, names and sentences may have some.
UNCHECKED = """() => {
  const allowed = "[data-metric], th, .tip p, .channel-name, #target, #stale, code, .notice, .choice, script";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (/[0-9]/.test(data) && parentElement.checkVisibility() && !parentElement.closest(allowed)) found.push(data.trim());
  }
  return found;
}"""


class Page:
    """A page whose errors are remembered."""

    def __init__(self, context, url):
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.url = url
        self.errors = []
        self.page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        self.page.on("console", self.on_console)
        self.page.on("requestfailed", self.on_failed)
        self.page.on("response", self.on_response)
        self.page.on("request", self.on_request)

    def another(self):
        """A tab beside it."""
        return Page(self.page.context, self.url)

    def on_console(self, message):
        if message.type in ("error", "warning"):
            self.errors.append(f"console: {message.text}")

    def on_failed(self, request):
        # The stream of the view before ends with the view.
        if request.failure != "net::ERR_ABORTED":
            self.errors.append(f"request: {request.url} {request.failure}")

    def on_response(self, response):
        if response.status >= 400:
            self.errors.append(f"answer: {response.url} {response.status}")

    def on_request(self, request):
        if not request.url.startswith(self.url):
            self.errors.append(f"a request to elsewhere: {request.url}")

    def check_errors(self):
        assert not self.errors, "\n".join(self.errors)

    def open(self, address):
        """Opens the page anew, at the view that the address says."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{address}")
        self.settle()

    def settle(self):
        self.wait("() => document.querySelector('main').getAttribute('aria-busy') === 'false'")
        self.wait("() => document.querySelector('#connection').textContent === 'live'")

    def wait(self, condition, argument=None, seconds=None):
        timeout = PATIENCE_MS if seconds is None else seconds * 1000
        return self.page.wait_for_function(condition, arg=argument, timeout=timeout)

    def answer(self, pipeline, report, address=""):
        """Opens the page with these snapshots in place of the program's own; after them the program is silent."""
        events = [(name, data) for name, data in [("pipeline", pipeline), ("report", report)] if data]
        body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
        self.page.route("**/events?*", lambda route: route.fulfill(content_type="text/event-stream", body=body))
        self.page.goto(self.url + address)

    def open_details(self):
        self.page.evaluate("() => document.querySelectorAll('details').forEach(details => { details.open = true; })")

    def expect(self, expected, what, only=False):
        """
        Waits until the page shows exactly this, with `only` whatever else it shows; answers with how many numbers it was.
        """
        self.open_details()
        expected = [expected, only]
        try:
            self.wait(f"expected => ({DIFFERENCES})(expected).length === 0", expected)
        except Late:
            differences = self.page.evaluate(DIFFERENCES, expected)
            lines = [f"  {name}: shown {shown!r}, expected {text!r}" for name, shown, text in differences[:40]]
            raise AssertionError(f"{what}: {len(differences)} differences\n" + "\n".join(lines)) from None
        unchecked = self.page.evaluate(UNCHECKED)
        assert not unchecked, f"{what}: numbers that have no name: {unchecked}"
        return len(expected[0])

    def number(self, metric):
        text = self.page.locator(f'[data-metric="{metric}"]').text_content()
        return int(text.replace(",", "")) if text and text[0].isdigit() else 0

    def wait_for_more(self, metric, than, seconds=60):
        self.wait(
            """([metric, than]) => {
              const text = document.querySelector(`[data-metric="${metric}"]`)?.textContent ?? "";
              return Number(text.replaceAll(",", "")) > than;
            }""",
            [metric, than],
            seconds,
        )

    def wait_for_text(self, selector, text, seconds=None):
        self.wait(
            "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)", [selector, text], seconds
        )

    def choose(self, group, name):
        """With the mouse."""
        self.page.get_by_role("group", name=group, exact=True).get_by_text(name, exact=True).click()

    def wait_to_fit(self):
        """Waits until nothing is wider than the page: a chart follows a change of the width after it is drawn."""
        self.wait("() => document.scrollingElement.scrollWidth <= document.documentElement.clientWidth")

    def overflow(self):
        return self.page.evaluate("() => document.scrollingElement.scrollWidth - document.documentElement.clientWidth")

    def obstacles(self):
        """What axe finds that would keep somebody out, or be in the way."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{violation['id']} ({violation['impact']}): {node['html']} {node.get('failureSummary', '')}"
            for violation in found
            for node in violation["nodes"][:3]
        ]

    def picture(self, path):
        # Two frames: one in which the charts are drawn, one in which that is seen.
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.page.screenshot(path=path, full_page=True)


class Browser:
    """Chromium, until the end of a `with` block."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.playwright = sync_playwright().start()
        self.chromium = self.playwright.chromium.launch(executable_path=self.path, args=ARGUMENTS)
        return self

    def __exit__(self, *_):
        self.chromium.close()
        self.playwright.stop()

    @contextmanager
    def page(self, url, width=1280, height=900, scheme="light"):
        # Bars that are still growing would be half-way on a picture.
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", locale="de-DE"
        )
        try:
            yield Page(context, url)
        finally:
            context.close()
