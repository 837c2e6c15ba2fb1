"""The page in a real browser, and the way of a newcomer: fit, serve, curl, page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.service.parts import KINDS, files

from unalike import load
from unalike.service import new_key

CHROMIUM = "/usr/bin/chromium"
needs_browser = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="there is no Chromium")


class Serving:
    """`unalike serve` as a process of its own."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-c", "from unalike.cli import main; main()", "serve", *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(  # noqa: S603
            [*command, "--port", "0"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://\S+?(?=;)", line)
        assert found is not None, line
        self.url = found[0]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def serving(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and key of a service of all four models."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    key = new_key(keys, "page")
    served = Serving(*(place / f"{kind}.unalike" for kind in KINDS), "--key-file", keys)
    yield served.url, key
    assert served.end() == 143


def test_a_newcomer_posts_a_file_with_curl(serving: tuple[str, str], place: Path) -> None:
    url, key = serving
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")

    def posted(*arguments: str) -> Any:
        command = [curl, "-s", f"{url}/detect", *arguments]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603

    sent = ("-F", "model=table", "-F", f"file=@{place / 'rows.csv'}")
    assert "key" in posted(*sent)["detail"]
    answer = posted("-H", f"Authorization: Bearer {key}", *sent)
    wanted = load(place / "table.unalike").detect(place / "rows.csv")
    assert [row["is_anomaly"] for row in answer["decisions"]] == wanted.is_anomaly.tolist()
    np.testing.assert_allclose([row["score"] for row in answer["decisions"]], wanted.scores, rtol=1e-5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, serving: tuple[str, str]) -> Iterator[Any]:
    """The page at the width of a phone, opened with the key."""
    opened = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda told: wrong.append(told.text) if "Content Security Policy" in told.text else None)
    opened.on("request", lambda asked: None if asked.url.startswith((serving[0], "blob:", "data:"))
              else wrong.append(f"asked {asked.url}"))  # fmt: skip
    opened.goto(serving[0])
    opened.wait_for_selector("#key-section:not([hidden])")
    opened.fill("#key", serving[1])
    opened.press("#key", "Enter")
    opened.wait_for_selector("#input:not([hidden])")
    yield opened
    opened.close()
    assert wrong == []


def judged(page: Any, kind: str, chosen: list[Any]) -> None:
    page.select_option("#model", kind)
    page.wait_for_function("kind => state.model && state.model.name === kind", arg=kind)
    page.set_input_files("#files", chosen)
    page.wait_for_selector("#results:not([hidden])")


@needs_browser
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_judged_and_explained_on_the_page(page: Any, place: Path, kind: str) -> None:
    judged(page, kind, files(place, kind))
    wanted = load(place / f"{kind}.unalike").detect(files(place, kind) if kind == "image" else files(place, kind)[0])
    n = int(wanted.is_anomaly.sum())
    assert page.inner_text("#summary").startswith(f"{n} of {len(wanted)} ")
    alarms = len(wanted.events()) if kind == "series" else n
    assert page.locator("#list .badge.anomaly").count() == alarms
    page.locator("#list button").first.click()
    page.wait_for_selector(".why")
    why = page.locator(".why").first
    if kind == "table":
        assert why.locator("tbody tr").first.locator("td").all_inner_texts()[1:3] == ["a", "30"]
    if kind == "image":
        assert why.locator("canvas").count() == 1
    if kind == "text":
        assert why.locator("mark").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@needs_browser
def test_the_slider_shows_what_would_change(page: Any, place: Path) -> None:
    judged(page, "table", files(place, "table"))
    wanted = load(place / "table.unalike").detect(place / "rows.csv")
    assert "as now" in page.inner_text("#what-if")
    for at in (0, 200, 1000):
        page.evaluate("at => { $('slider').value = at; $('slider').dispatchEvent(new Event('input')); }", at)
        limit = page.evaluate("state.limit")
        n = int((wanted.scores > limit).sum())
        told = page.inner_text("#what-if")
        assert f"{n} of {len(wanted)} would be anomalies" in told
        more = int(((wanted.scores > limit) & ~wanted.is_anomaly).sum())
        assert (f"{more} row" in told and "more" in told) == (more > 0)
        assert page.locator("#list .badge.anomaly").count() == n
    assert page.inner_text("#summary").startswith("1 of 12 ")
    page.click("#reset")
    assert "as now" in page.inner_text("#what-if")


@needs_browser
def test_a_dropped_file_is_judged(page: Any, place: Path) -> None:
    page.select_option("#model", "table")
    page.wait_for_function("() => state.model && state.model.name === 'table'")
    drop = """text => {
        const carried = new DataTransfer();
        carried.items.add(new File([text], "dropped.csv", { type: "text/csv" }));
        $("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
    }"""
    page.evaluate(drop, (place / "rows.csv").read_text(encoding="utf-8"))
    page.wait_for_selector("#results:not([hidden])")
    assert "dropped.csv" in page.inner_text("#source")


@needs_browser
def test_what_stands_in_a_file_is_no_html(page: Any) -> None:
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    name = "<b>name.txt"
    judged(page, "text", [{"name": name, "mimeType": "text/plain", "buffer": f"{evil}\nplease send".encode()}])
    assert evil in page.inner_text("#list")
    assert name in page.inner_text("#source")
    assert page.locator("#results script, #list .name img, #results b").count() == 0


@needs_browser
def test_mistakes_are_told_on_the_page(page: Any) -> None:
    page.select_option("#model", "table")
    page.wait_for_function("() => state.model && state.model.name === 'table'")
    page.set_input_files("#files", [{"name": "x.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}])
    page.wait_for_selector("#status.wrong")
    assert "columns of `fit`" in page.inner_text("#status")
