"""The page in a real browser: nothing loaded, no error, no overflow, light and dark, phone and desk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unalike import Branch, Detector, thresholds, write_report

CHROMIUM = Path("/usr/bin/chromium")
sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Long names of columns and rows, 40 columns, an anomaly, labels."""
    rng = np.random.default_rng(0)
    columns = [f"a rather long name of a column, number {number}" for number in range(38)]
    columns += ["<script>document.title='broken'</script>", "x" * 90]
    train, X = (pd.DataFrame(rng.normal(size=(n, 40)), columns=columns) for n in (150, 60))
    X.iloc[:4, 38] += 30.0
    X.index = [f"{row} with-a-name-that-has-no-place-to-break-{'y' * 60}" for row in range(60)]
    branches = [
        Branch(name="contrast", encoder="mlp", objective="simclr", scorer="knn"),
        Branch(name="raw", encoder="raw-table", scorer="knn"),
    ]
    threshold = thresholds.Conformal(false_alarm_rate=0.1)
    detector = Detector("table", branches=branches, threshold=threshold, training={"epochs": 1}).fit(train)
    path = tmp_path_factory.mktemp("report") / "page.html"
    return write_report(detector, X, path, labels=(np.arange(60) < 4).astype(int), title="<script>x</script>", shown=3)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_asks_for_nothing(browser, page, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, offline=True)
    tab = context.new_page()
    said, asked = [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.title() == "<script>x</script>"
    assert tab.locator("script").count() == 0
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) > 380
    assert light == (scheme == "light")
    # Text of charts must be read on a phone too.
    assert tab.evaluate("document.querySelector('#scores svg text').getBoundingClientRect().height") >= 9
    context.close()
