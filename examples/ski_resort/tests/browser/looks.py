"""What the page looks like: pictures, no overflow, nothing that keeps somebody out."""

from pathlib import Path

from PIL import Image

README_VIEWS = {"network": "network/today", "resort": "resort/Vail", "pipeline": "pipeline"}
VIEWS = {"network": "network/week", "resort": "resort/Vail", "pipeline": "pipeline"}
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
SCHEMES = ["light", "dark"]
README_SECONDS = 300
README_BYTES = 200_000


def check(browser, url, directory):
    for size, (width, height) in SIZES.items():
        for scheme in SCHEMES:
            with browser.page(url, width, height, scheme) as page:
                for name, address in VIEWS.items():
                    page.open(address)
                    look(page, directory, f"{name}-{size}-{scheme}")
                    page.open_details()
                    assert page.overflow() <= 0, f"{name} overflows with its tables open on a {size}"
                page.check_errors()


def check_empty(browser, url, directory):
    for size, (width, height) in SIZES.items():
        with browser.page(url, width, height) as page:
            page.open("network/today")
            look(page, directory, f"empty-{size}")


def look(page, directory, name):
    assert page.overflow() <= 0, f"{name} is {page.overflow()} pixels too wide"
    obstacles = page.obstacles()
    assert not obstacles, f"{name}:\n" + "\n".join(obstacles)
    if directory:
        directory.mkdir(parents=True, exist_ok=True)
        page.picture(directory / f"{name}.png")


def readme(page, directory: Path):
    """Pictures of a day that is under way, with others before it."""
    directory.mkdir(exist_ok=True)
    page.open(README_VIEWS["network"])
    page.wait_for_text('[data-metric="header.reporting_time"]', "12:00", README_SECONDS)
    for name, address in README_VIEWS.items():
        page.open(address)
        path = directory / f"{name}.png"
        page.picture(path)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
        assert path.stat().st_size < README_BYTES, path
