"""The report in a real browser, Debian's chromium, as a reader sees it. Pictures go to build/shots."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sp_search.prices import OTHER, Prices
from sp_search.search.study.trials import MEASURED
from tests.browser import MARKS, SHOTS, chromium
from tests.report.studies import draw_report, made_study, write_folder

pytestmark = MARKS
WIDTHS = (390, 768, 1280)
DRAWN = "() => document.body.dataset.drawn"
RESIZED = """() => [...document.querySelectorAll(".plot")]
    .every((plot) => Math.abs(plot._fullLayout.width - plot.clientWidth) <= 1)"""


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study of 60 trials that has ended, and its page."""
    runs, study = tmp_path_factory.mktemp("runs"), made_study(60)
    write_folder(runs, study)
    return study, draw_report(runs, study, prices=Prices({OTHER: 2.5}))


class Opened:
    """A page in the browser, with what went wrong in it and what it asked for."""

    def __init__(self, browser, path: Path, width: int = 1280, scheme: str = "light"):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.faults: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(DRAWN)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()


@pytest.fixture(scope="module")
def shown(browser, finished):
    """The page of the ended study, open in one tab for all tests."""
    study, path = finished
    with Opened(browser, path) as opened:
        yield study, opened


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen_and_asks_nobody_for_anything(shown, width, scheme):
    _, opened = shown
    opened.page.set_viewport_size({"width": width, "height": 900})
    opened.page.emulate_media(color_scheme=scheme)
    opened.page.wait_for_function(RESIZED)
    opened.page.screenshot(path=SHOTS / f"report-{width}-{scheme}.png", full_page=True)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.faults == []
    assert [url for url in opened.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    is_dark = opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
    assert is_dark == (scheme == "dark")
    ink = opened.page.evaluate("document.getElementById('plot-curves').layout.font.color")
    assert ink == {"light": "#1c2430", "dark": "#e7ebf0"}[scheme], "the plots follow the reader's setting"


def test_each_plot_has_its_data(shown):
    study, opened = shown
    reports = sum(len(trial.intermediate_values) for trial in study.trials)
    reported = sum(bool(trial.intermediate_values) for trial in study.trials)
    points = opened.page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".plot")].map((plot) => [plot.id.slice(5),
        plot._fullData.flatMap((trace) => [...(trace.y ?? trace.x)]).filter((y) => y !== null).length]))"""
    )
    shapes = opened.page.evaluate("document.querySelectorAll('#plot-curves .scatterlayer .points path').length")
    seed_runs, stops = 6, sum(trial.state.name == "PRUNED" for trial in study.trials)
    measured = sum(len(trial.user_attrs[MEASURED]) for trial in study.trials)
    assert measured > 0
    assert points["curves"] == reports + measured + stops + seed_runs
    assert shapes == points["curves"]
    assert points["against-prompt_length"] == points["against-verbalizer"] == reported
    assert points["timeline"] == len(study.trials) + 2
    assert {
        "methods", "history", "importances", "map", "verbalizers", "stored_bytes", "trained_parameters", "confusions",
    } < points.keys()  # fmt: skip
    assert min(points.values()) > 0
    assert "against-score_end" not in points, "a fixed setting has no plot"


def test_pointing_at_a_curve_shows_the_setting_of_its_trial(shown):
    study, opened = shown
    number = opened.page.evaluate("document.getElementById('plot-curves').data[0].customdata[0]")
    opened.page.evaluate("Plotly.Fx.hover('plot-curves', [{curveNumber: 0, pointNumber: 0}])")
    said = opened.page.locator("#plot-curves .hovertext").text_content()
    assert f"trial {number}, pruned" in said
    assert f"prompt_length {study.trials[number].params['prompt_length']}" in said


def test_the_table_of_trials_sorts_filters_and_keeps_its_head(shown):
    study, opened = shown
    longest = max(trial.params["prompt_length"] for trial in study.trials)
    linear = sum(trial.params["verbalizer"] == "linear" for trial in study.trials)
    head = opened.page.locator("#trials th button", has_text="prompt_length")
    head.click()
    head.click()
    column = opened.page.locator("#trials th").all_text_contents().index("prompt_length")
    rows = opened.page.locator("#trials tbody tr")
    assert rows.first.locator("td").nth(column).text_content() == str(longest)
    opened.page.fill("#filter", "linear")
    assert rows.locator("visible=true").count() == linear
    assert opened.page.text_content("#shown") == f"{linear} of 60 trials"
    opened.page.fill("#filter", "")
    opened.page.select_option("#state", "fail")
    assert "the engine ran out of memory in a layer <12>" in rows.locator("visible=true").first.text_content()
    opened.page.select_option("#state", "")
    opened.page.evaluate("document.querySelector('.tall').scrollTop = 400")
    frame, top = opened.page.locator(".tall").bounding_box(), head.bounding_box()
    assert 0 <= top["y"] - frame["y"] < 10
    heights = opened.page.evaluate("[...document.querySelectorAll('#trials tr')].map((row) => row.offsetHeight)")
    assert max(heights) < 32, "a trial is one line"


def test_on_paper_the_page_is_light_and_no_plot_is_cut_off(shown):
    _, opened = shown
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.emulate_media(color_scheme="dark")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    widths = opened.page.evaluate("[...document.querySelectorAll('.plot')].map((plot) => plot._fullLayout.width)")
    assert max(widths) <= 700, "A4 has that many pixels inside its margins"
    ink = "document.getElementById('plot-curves').layout.font.color"
    assert opened.page.evaluate(ink) == "#1c2430"
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.page.evaluate(ink) == "#e7ebf0"
    opened.page.pdf(path=SHOTS / "report.pdf", format="A4")
    assert (SHOTS / "report.pdf").read_bytes().startswith(b"%PDF")
    assert opened.faults == []


def test_a_running_study_shows_how_far_it_is(browser, tmp_path):
    study = made_study(9, running=4)
    write_folder(tmp_path, study)
    with Opened(browser, draw_report(tmp_path, study), 390) as opened:
        opened.page.screenshot(path=SHOTS / "report-running-390.png", full_page=True)
        assert "Not finished: 9 trials so far" in opened.page.text_content(".state")
        assert "Too few to tell" in opened.page.text_content("body")
        assert opened.faults == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.long
def test_a_report_of_a_thousand_trials_is_below_eight_megabytes_and_draws_every_plot(browser, tmp_path):
    study = made_study(1000)
    write_folder(tmp_path, study)
    path = draw_report(tmp_path, study)
    assert path.stat().st_size < 8 * 10**6
    with Opened(browser, path) as opened:
        assert opened.faults == []
        assert opened.page.locator("#trials tbody tr").count() == 1000
        spent = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        print(f"1,000 trials: {path.stat().st_size:,} bytes, readable after {opened.page.evaluate(spent):.0f} ms")
