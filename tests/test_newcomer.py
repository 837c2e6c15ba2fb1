"""The way of a newcomer: the demonstration, its report, the service, a file by curl and the same file on the page."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from unalike import demo, load
from unalike.modalities.table import Table

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `unalike demo` writes, of its table alone and after three steps of training."""
    folder = tmp_path_factory.mktemp("newcomer") / "demo"
    default = Table.branches

    def hurried(self: Any) -> Any:
        return tuple(
            branch if branch.training is None else replace(branch, training=replace(branch.training, steps=3))
            for branch in default(self)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "branches", hurried)
        folder.mkdir()
        demo._run_case(demo.breast_cancer(), folder, 0, Console(file=io.StringIO()))
    return folder


@pytest.fixture(scope="module")
def url(place: Path) -> Iterator[str]:
    """Of `unalike serve` with the model of the demonstration, a process of its own."""
    command = [sys.executable, "-c", "from unalike.cli import main; main()", "serve"]
    process = subprocess.Popen(  # noqa: S603
        [*command, str(place / "breast-cancer.unalike"), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://\S+?(?=;)", line)
    assert found is not None, line
    yield found[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 143
    process.stdout.close()


class Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def test_from_the_demonstration_to_the_page(place: Path, url: str) -> None:
    file = place / "breast-cancer-test.csv"
    wanted = load(place / "breast-cancer.unalike").detect(file)
    alarms = int(wanted.is_anomaly.sum())
    report = (place / "breast-cancer.html").read_text(encoding="utf-8")
    assert str(alarms) in " ".join(Text(report).found)
    answer = _posted(url, file)
    assert answer["anomalies"] == alarms
    assert [row["is_anomaly"] for row in answer["decisions"]] == wanted.is_anomaly.tolist()
    np.testing.assert_allclose([row["score"] for row in answer["decisions"]], wanted.scores, rtol=1e-5)
    if not CHROMIUM.exists():
        pytest.skip("there is no Chromium: the report and the page were not looked at")
    _seen(place / "breast-cancer.html", url, file, alarms, len(wanted))


def _posted(url: str, file: Path) -> Any:
    """The answer to `curl -F file=@FILE`, or where there is no curl, to the same form."""
    curl = shutil.which("curl")
    if curl is None:
        import httpx

        return httpx.post(f"{url}/detect", files={"file": (file.name, file.read_bytes())}).json()
    command = [curl, "-s", "-F", f"file=@{file}", f"{url}/detect"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)  # noqa: S603


def _seen(report: Path, url: str, file: Path, alarms: int, n: int) -> None:
    """Report and page in a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(report.as_uri())
        assert page.locator("#anomalies").is_visible()
        assert page.locator("#scores svg").count() >= 1
        page.goto(url)
        page.wait_for_selector("#input:not([hidden])")
        page.set_input_files("#files", [str(file)])
        page.wait_for_selector("#results:not([hidden])")
        assert page.inner_text("#summary").startswith(f"{alarms} of {n} ")
        browser.close()
    assert wrong == []
