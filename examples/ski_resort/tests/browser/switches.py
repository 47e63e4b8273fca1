"""Ways to get about: mouse, keyboard, addresses; and numbers that change while somebody is there."""

# The name of what has the focus, and whether that can be seen.
FOCUS = """() => {
  const element = document.activeElement;
  const seen = element.matches("input") ? element.nextElementSibling : element;
  const { outlineStyle, outlineWidth } = getComputedStyle(seen);
  const name = element.value ?? element.textContent.trim();
  return [name, outlineStyle !== "none" && parseFloat(outlineWidth) > 0];
}"""


def check(page, reports):
    by_mouse(page, reports)
    by_keyboard(page, reports)
    by_address(page)
    under_the_pointer(page, reports)


def by_mouse(page, reports):
    page.open("network/today")
    page.choose("Period", "Month to date")
    arrives(page, "#network/month", '[data-metric="network.range"]', reports.network("month")["network.range"])
    page.page.get_by_role("link", name="Mountain operations").click()
    arrives(page, "#resort", "#resort-title", reports.resorts()[0])
    page.choose("Resort", "Vail")
    arrives(page, "#resort/Vail", "#resort-title", "Vail")
    rides = reports.resort("Vail")["resort.now.rides"]
    page.wait_for_text('[data-metric="resort.now.rides"]', rides)
    page.page.go_back()
    arrives(page, "#resort", "#resort-title", reports.resorts()[0])


def by_keyboard(page, reports):
    page.open("network/today")
    press(page, "Tab", "Skip to the numbers")
    press(page, "Enter")
    assert page.page.evaluate("document.activeElement.id") == "content"
    page.open("network/today")
    for name in ["Skip to the numbers", "Network", "Mountain operations", "Pipeline"]:
        press(page, "Tab", name)
    press(page, "Enter")
    arrives(page, "#pipeline", "#pipeline-title", "Pipeline")
    page.open("network/today")
    for name in ["Skip to the numbers", "Network", "Mountain operations", "Pipeline", "today"]:
        press(page, "Tab", name)
    for period in ["week", "month", "today"]:
        press(page, "ArrowRight", period)
        arrives(page, f"#network/{period}", '[data-metric="network.range"]', reports.network(period)["network.range"])
        assert focus(page) == [period, True]
    page.page.get_by_role("group", name="What the bars show").get_by_role("radio", checked=True).focus()
    press(page, "ArrowRight", "revenue")
    first = reports.resorts()[0]
    page.wait_for_text("#bars .value", reports.network("today")[f"network.bars.{first}.revenue"])
    page.open("resort")
    page.page.get_by_role("group", name="Resort", exact=True).get_by_role("radio", checked=True).focus()
    for resort in reports.resorts()[1:]:
        press(page, "ArrowDown", resort)
        page.wait_for_text("#resort-title", resort)
        page.wait_for_text('[data-metric="resort.daily.revenue"]', reports.resort(resort)["resort.daily.revenue"])
        assert focus(page) == [resort, True]


def by_address(page):
    for address, selector, text in [
        ("resort/Beaver%20Creek", "#resort-title", "Beaver Creek"),
        ("pipeline", "#pipeline-title", "Pipeline"),
        ("nonsense", "#network-title", "Network overview"),
        ("network/nonsense", "#network-title", "Network overview"),
    ]:
        page.open(address)
        page.wait_for_text(selector, text)
        assert page.page.locator(selector).is_visible(), address


def under_the_pointer(page, reports):
    page.open("network/week")
    page.open_details()
    page.page.locator("#trend .u-over").hover()
    page.wait("() => document.querySelector('#trend .tip')?.checkVisibility()")
    tip = page.page.locator("#trend .tip [data-metric]")
    expected = reports.network("week")
    assert tip.count() == len(reports.resorts())
    for value in tip.all():
        assert value.text_content() == expected[value.get_attribute("data-metric")]


def check_growth(page):
    """Numbers grow in place: focus, scroll position and choice stay, and no element is replaced."""
    page.choose("What the bars show", "Lift rides")
    page.page.get_by_role("group", name="What the bars show").get_by_role("radio", checked=True).focus()
    page.page.evaluate("""() => {
      scrollTo(0, 100);
      document.querySelectorAll("[data-metric]").forEach(element => { element.wasThere = true; });
    }""")
    for _ in range(2):
        page.wait_for_more("network.rides", page.number("network.rides"))
    assert focus(page)[0] == "rides"
    assert page.page.evaluate("scrollY") == 100
    assert page.page.evaluate("document.querySelector('[data-metric=\"network.rides\"]').wasThere")
    assert page.page.evaluate("document.querySelector('#bars .value').wasThere")


def check_tabs(page):
    """A browser opens six connections to a server, so more tabs than that must not hold one each."""
    tabs = [page]
    while len(tabs) < 8:
        is_hidden(tabs[-1], True)
        tabs.append(page.another())
        tabs[-1].open("network/today")
    is_hidden(tabs[-1], True)
    shown = page.number("network.rides")
    is_hidden(page, False)
    page.wait_for_more("network.rides", shown)
    for tab in tabs[1:]:
        tab.check_errors()
        tab.page.close()


def is_hidden(page, hidden):
    """Says so to the page: without a window Chromium shows all tabs at once."""
    page.page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def press(page, key, name=None):
    page.page.keyboard.press(key)
    if name is not None:
        found = focus(page)
        assert found == [name, True], f"{key} leads to {found} and not to {name}"


def focus(page):
    return page.page.evaluate(FOCUS)


def arrives(page, address, selector, text):
    page.wait("address => location.hash === address", address)
    page.settle()
    page.wait_for_text(selector, text)
    assert page.page.locator(selector).first.is_visible()
