"""A study in MLflow as a reader meets it: from the address that `sp-search ui` prints, by clicks."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sp_search.export.mlflow_files import mlflow_files
from tests.browser import MARKS, SHOTS, chromium
from tests.report.studies import draw_report, made_study, write_folder
from tests.tracking.servers import free_port
from tests.tracking.stores import ended_study

pytestmark = MARKS
ROOT = Path(__file__).parents[2]
DOCUMENT = {
    "lm": {"name": "demo"}, "versions": {"python": "3.11.7", "mlflow": "3.17.2"}, "example": "71 12 57",
}  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """What `sp-search ui` prints, while it runs."""
    folder = tmp_path_factory.mktemp("ui")
    study = made_study(12, name="first")
    write_folder(folder / "drawn", study)
    page = draw_report(folder / "drawn", study)
    best = folder / "runs" / "first" / "best"
    best.mkdir(parents=True)
    for name, text in mlflow_files(DOCUMENT).items():
        (best / name).write_text(text)
    ended_study(
        folder / "runs", f"sqlite:///{folder}/runs/mlflow.db", "first", files=page.parent, experiment="sp-search"
    )
    command = [sys.executable, "-m", "sp_search.cli", "ui", f"port={free_port()}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield re.search(r"http://[^ ,]+", server.stdout.readline()).group()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def page(address):
    """The list of runs, open."""
    with chromium() as browser:
        opened = browser.new_page(viewport={"width": 1600, "height": 1200})
        opened.set_default_timeout(40_000)
        for _ in range(100):
            try:
                opened.goto(address)
                break
            except Exception:  # noqa: BLE001, the server is not up yet
                opened.wait_for_timeout(300)
        yield opened


def shot(page, name):
    page.wait_for_timeout(1000)  # what fades in is there
    page.screenshot(path=SHOTS / f"mlflow-{name}.png")


@pytest.mark.long
def test_list_study_report_trial_model_and_registry_are_reached_by_clicks(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    trial = page.get_by_role("link", name="#1 winner · trial 0 · complete at 320")
    trial.wait_for()
    for seen in ("valid_accuracy", "sp_search.state", "COMPLETE"):
        page.get_by_text(seen, exact=True).first.wait_for()
    shot(page, "list")
    trial.click()
    page.get_by_text("Parameters (1)").wait_for()
    shot(page, "trial")
    page.get_by_role("link", name="first", exact=True).click()
    for seen in ("n-grams, without the LM", "tiny train"):
        page.get_by_text(seen).first.wait_for()
    shot(page, "study")
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("report", exact=True).first.click()
    page.get_by_text("index.html", exact=True).first.click()
    page.frame_locator("iframe").get_by_role("heading", name="How the search went").wait_for()
    shot(page, "report")
    page.get_by_role("tab", name="Overview").click()
    page.get_by_role("link", name="best", exact=True).last.click()
    page.wait_for_url("**/models/m-*")
    page.get_by_text("test_accuracy").first.wait_for()
    shot(page, "model")
    page.get_by_role("link", name="sp-search-intent-tiny").first.click()
    for seen in ("champion", "Inputs (1)", "Outputs (3)"):
        page.get_by_text(seen).first.wait_for()
    shot(page, "registry")
    assert [url for url in asked if "//127.0.0.1" not in url and not url.startswith(("data:", "blob:"))] == []
