"""The report as a browser shows it, from the disk and without a network."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("playwright")
from playwright.sync_api import Browser, sync_playwright

_PAGES = ("index", "table8", "table9", "sweeps", "runs/table9-same-paper-seed0", "runs/table9-broken-paper-seed0")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = (os.environ.get("CHROMIUM"), *map(shutil.which, ("chromium", "google-chrome", "chromium-browser")))
    executable = next(filter(None, found), None)
    if executable is None:
        message = "no Chromium: install it, or name one in the environment variable CHROMIUM"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 980, 1280])
def test_pages_fit_the_screen_and_load_whole(
    browser: Browser, results: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("requestfailed", lambda request: trouble.append(request.url))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else trouble.append(request.url)
    )

    pages = sorted((results / "report").rglob("*.html"))
    assert len(pages) > len(_PAGES)
    for name in pages:
        page.goto(name.as_uri())
        images: list[Any] = page.evaluate("[...document.images].map(one => [one.currentSrc, one.naturalWidth])")
        assert all(natural > 0 for _, natural in images), name
        assert all(source.endswith("-dark.svg") == (scheme == "dark") for source, _ in images if source.endswith("svg"))
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    context.close()

    assert trouble == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(browser: Browser, results: Path, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto((results / "report" / "table9.html").as_uri())

    ratios: dict[str, float] = page.evaluate(_CONTRAST)
    context.close()

    assert len(ratios) > 10
    assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}


def test_on_paper_it_is_light_and_fits(browser: Browser, results: Path) -> None:
    context = browser.new_context(viewport={"width": 720, "height": 1000}, color_scheme="dark")
    page = context.new_page()
    page.emulate_media(media="print", color_scheme="dark")
    page.goto((results / "report" / "table9.html").as_uri())

    sources: list[str] = page.evaluate("[...document.images].map(one => one.currentSrc)")
    assert not any("-dark" in source for source in sources)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    context.close()


# The least ratio of luminances (WCAG 2) between a text and the nearest surface painted behind it, by kind of element.
_CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const channel = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
  };
  const least = {};
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const name = `${element.tagName} ${element.className}`;
    least[name] = Math.min(least[name] ?? 99, ratio);
  }
  return least;
}"""
