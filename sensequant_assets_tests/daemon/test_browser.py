"""Claims about what a person sees and clicks: headless Chromium in the UI of `sensequant dev`, and on the report.

Screenshots lie in `test-output/` at the root, or in the directory that `SENSEQUANT_TEST_OUTPUT` names.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import hypot
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets_tests.making import market_with_an_edge
from sensequant_assets_tests.running import DEADLINE_S, Home, Ui, corrupt, sample_bars, ui, until, write_universe

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; the extra `dev` has it")
from playwright.sync_api import BrowserContext, Locator, Page, Request, Route, expect, sync_playwright

CHROMIUM = os.environ.get("SENSEQUANT_TEST_CHROMIUM") or shutil.which("chromium")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no `chromium` on the path and none named in SENSEQUANT_TEST_CHROMIUM"
)

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
OUTPUT = Path(os.environ.get("SENSEQUANT_TEST_OUTPUT") or Path(__file__).parents[2] / "test-output")
SYMBOLS = ("AAPL", "FB", "IBM", "MSFT")
WINDOWS = ("2009-01-01", "2009-06-30")
GROUPS = {
    "market": ("bars", "features"),
    "pools": ("pooled_teachers", "shared_students"),
    "models": ("teacher_models", "student_models"),
    "judging": ("walk_forward", "backtest"),
    "serving": ("champions", "predictions", "outcomes", "monitoring"),
}
ARROWS = {
    ("universe", "bars"), ("bars", "features"), ("features", "pooled_teachers"), ("features", "teacher_models"),
    ("pooled_teachers", "teacher_models"),
    ("pooled_teachers", "shared_students"), ("teacher_models", "student_models"), ("teacher_models", "walk_forward"),
    ("student_models", "walk_forward"), ("walk_forward", "champions"), ("walk_forward", "backtest"),
    ("champions", "predictions"), ("features", "predictions"), ("predictions", "outcomes"), ("outcomes", "monitoring"),
}  # fmt: skip
ENDS_OF_ARROW = """path => [0, path.getTotalLength()].map(at => {
    const point = path.getPointAtLength(at).matrixTransform(path.getScreenCTM())
    return [point.x, point.y]
})"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"
Run = dict[str, Any]
"""What Dagster tells of a run."""
SLOW = {"offline": False, "latency": 2000, "downloadThroughput": -1, "uploadThroughput": -1}
SOON_MS, LATE_MS = 60_000, DEADLINE_S * 1000
"""How long a page, and what waits for the daemon, may take before a test gives up on it; far more than they need."""


@dataclass(frozen=True)
class Person:
    """Somebody with a browser."""

    page: Page
    url: str

    def go(self, place: str) -> None:
        """Open a place of the navigation bar."""
        if not self.page.url.startswith(self.url):
            self.page.goto(self.url)
        # A title above the page may be a link of the same words.
        self.page.get_by_role("link").filter(has_text=re.compile(f"^{place}$")).first.click()

    def open_asset(self, name: str, tab: str = "Overview") -> None:
        """Open a tab of an asset's page."""
        self.go("Catalog")
        self.page.get_by_role("link", name=name).click()
        self.page.get_by_role("tab", name=tab).click()

    def open_partition(self, symbol: str, window: str) -> None:
        """Open a partition in the grid of the teachers."""
        self.open_asset("teacher_models", "Partitions")
        # The windows stand in the selection above the grid too.
        self.text(symbol).last.click()
        self.text(window).last.click()
        expect(self.text(f"{symbol}|{window}")).to_be_visible()

    def open_check(self) -> None:
        """Open the page of the teachers' check."""
        self.open_asset("teacher_models", "Checks")
        expect(self.text("Latest execution")).to_be_visible()

    def text(self, words: str | re.Pattern[str]) -> Locator:
        """What shows exactly these words."""
        return self.page.get_by_text(words, exact=True).filter(visible=True)

    def button(self, words: str) -> Locator:
        """The button of these words; icons add to the names of some."""
        return self.page.get_by_role("button").filter(has_text=re.compile(f"^{re.escape(words)}$"))

    def row(self, label: str) -> Locator:
        """The row of a table of metadata."""
        # The last one, for a table may lie in a row of another.
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=label, exact=True)).last

    def shoot(self, name: str) -> None:
        """Keep what is seen."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=OUTPUT / f"{name}.png", animations="disabled")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    directory = tmp_path_factory.mktemp("browser")
    corrupt(sample_bars(directory / "bars", SYMBOLS) / "IBM.csv")
    write_universe(directory / "universe.csv", SYMBOLS)
    few = {"TEACHER_N_ESTIMATORS": "10", "STUDENT_N_ESTIMATORS": "5"}
    # A pool of two symbols has few rows.
    splitting = {"TEACHER_MIN_CHILD_SAMPLES": "20", "STUDENT_MIN_CHILD_SAMPLES": "20"}
    return Home(directory, {"TEACHER_SCOPE": "pool", **few, **splitting})


@pytest.fixture(scope="module")
def running(home: Home) -> Iterator[Ui]:
    market = ("--universe", "universe.csv", "--bars", "bars", "--end", "2009-12-27")
    # One of three attempted windows fails in each run.
    with ui(home, *market, BATCH_TRAINING_MAX_FAILURE_RATE="0.4") as started:
        yield started


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    expect.set_options(timeout=SOON_MS)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("chromium"), executable_path=CHROMIUM, args=list(ARGUMENTS)
        )
        context.set_default_timeout(SOON_MS)
        yield context
        context.close()


@pytest.fixture
def page(browser: BrowserContext) -> Iterator[Page]:
    page = browser.new_page()
    page.set_viewport_size({"width": 1400, "height": 900})
    yield page
    page.close()


@pytest.fixture
def person(page: Page, running: Ui) -> Person:
    return Person(page, f"http://127.0.0.1:{running.port}")


@pytest.fixture(scope="module")
def covered(browser: BrowserContext, running: Ui) -> str:
    """Launch the universe and a backfill of the whole lattice by clicking, and return its id when it has ended."""
    page = browser.new_page()
    page.set_viewport_size({"width": 1400, "height": 900})
    person = Person(page, f"http://127.0.0.1:{running.port}")
    # What is launched most simply: one asset without partitions, by one click.
    person.open_asset("universe")
    person.button("Materialize").click()
    expect(person.page.get_by_text("Launched run")).to_be_visible()
    # The first and only run. A page that is open looks again after 15 seconds, one that is opened at once.
    until(lambda: "SUCCESS" in str(running.ask(RUNS)), "the end of the run")
    person.go("Runs")
    expect(person.text("Success").first).to_be_visible()

    person.go("Lineage")
    in_graph(page, "models").click(button="right")
    page.get_by_role("menuitem", name="Materialize assets (2)").click()
    # The dialog opens before it knows the partitions, which shows on a slow network.
    network = page.context.new_cdp_session(page)
    network.send("Network.emulateNetworkConditions", SLOW)
    # Features are materialized by the runs of the models.
    person.button("Confirm").click()
    dialog = page.get_by_role("dialog")
    until(partial(choose_all, dialog), "the keys of all partitions")
    network.detach()
    person.shoot("backfill_dialog")
    dialog.get_by_role("button", name="Launch backfill").click()
    created = page.get_by_text("Created backfill")
    expect(created).to_be_visible()
    person.text("View").last.click()
    expect(page).to_have_url(re.compile("/runs/b/"))
    for asset in ("teacher_models", "student_models"):
        # Targeted, in progress, succeeded, failed.
        counts = re.compile(rf"{asset}\s+100% completed\s+8\s+0\s+6\s+2(?!\d)")
        expect(page.locator("body")).to_contain_text(counts, use_inner_text=True, timeout=LATE_MS)
    person.shoot("backfill")
    backfill = page.url.rpartition("/")[2]
    page.close()
    return backfill


def choose_all(dialog: Locator) -> bool:
    """Choose all keys of both dimensions, and say whether the dialog has them: "All" takes what is loaded by then."""
    choices = dialog.get_by_role("button", name="All", exact=True)
    expect(choices).to_have_count(2)
    for choice in choices.all():
        choice.click()
    return dialog.get_by_text("8 partitions").is_visible()


def in_graph(page: Page, name: str) -> Locator:
    """A node or group of the asset graph."""
    return page.locator("foreignObject").get_by_text(name, exact=True).filter(visible=True).first


def switch_on(person: Person, sensor: str) -> None:
    """Click the switch on a sensor's page."""
    person.go("Automation")
    person.page.get_by_role("link", name=sensor).click()
    expect(person.text("Latest tick")).to_be_visible()
    switch = person.page.get_by_role("checkbox")
    expect(switch).not_to_be_checked()
    # The switch is what is drawn around the checkbox.
    switch.locator("xpath=..").click()
    expect(switch).to_be_checked()


def launch(person: Person, running: Ui, click: Locator) -> Run:
    """Click on what launches a run, and wait until that has ended."""
    before = len(runs(running))
    click.click()
    found: Run = until(lambda: ended(running, before), "the end of the run")
    return found


def ended(running: Ui, before: int) -> Run | None:
    """The newest run, if there were fewer before and it has ended."""
    found = runs(running)
    return found[0] if len(found) > before and found[0]["status"] in ("SUCCESS", "FAILURE") else None


def runs(running: Ui) -> list[Run]:
    """All runs, newest first."""
    found: list[Run] = running.ask(RUNS)["runsOrError"]["results"]
    return found


def test_the_graph_shows_twelve_assets_in_five_groups_and_what_feeds_what(covered: str, person: Person) -> None:
    page = person.page
    page.set_viewport_size({"width": 1800, "height": 900})
    person.go("Lineage")
    for group, members in GROUPS.items():
        in_graph(page, group).click()
        expect(page).to_have_url(re.compile(f"expanded=.*{group}"))
        # What lies outside the view is not drawn; a reload brings the whole graph into it.
        page.reload()
        for member in members:
            expect(in_graph(page, member)).to_be_visible()
    names = sorted({name for arrow in ARROWS for name in arrow})
    boxes = {
        name: box
        for name in names
        if (box := in_graph(page, name).locator("xpath=ancestor::*[local-name()='foreignObject']").bounding_box())
    }
    assert sorted(boxes) == names

    def nearest(side: float, x: float, y: float) -> str:
        """The node whose left (0) or right (1) edge has its middle nearest to a point."""
        return min(
            names,
            key=lambda name: hypot(
                boxes[name]["x"] + side * boxes[name]["width"] - x, boxes[name]["y"] + boxes[name]["height"] / 2 - y
            ),
        )

    drawn = set()
    for arrow in page.locator("path[marker-end]").all():
        start, end = arrow.evaluate(ENDS_OF_ARROW)
        drawn.add((nearest(1, *start), nearest(0, *end)))
    person.shoot("graph")
    assert drawn == ARROWS


def test_a_backfill_launched_by_clicking_counts_exactly_the_failed_windows_as_failed(
    covered: str, home: Home, person: Person
) -> None:
    person.go("Runs")
    expect(person.page.get_by_role("link", name=covered)).to_be_visible()
    expect(person.text("8 partitions")).to_be_visible()
    failed = home.rows("SELECT symbol FROM window_runs WHERE backfill_id = ? AND outcome = 'failed'", covered)
    # A teacher and its student in each window.
    assert [one["symbol"] for one in failed] == ["IBM"] * 2 * len(WINDOWS)


def test_the_grid_shows_symbols_beside_windows_and_counts_what_is_missing(covered: str, person: Person) -> None:
    person.open_asset("teacher_models", "Partitions")
    for key in (*SYMBOLS, *WINDOWS):
        expect(person.text(key).last).to_be_visible()
    expect(person.text("Materialized (6)")).to_be_visible()
    expect(person.text("Missing (2)")).to_be_visible()
    expect(person.text("Failed (0)")).to_be_visible()
    person.shoot("grid")


def test_a_trained_partition_shows_its_metrics_and_where_its_model_lies(
    covered: str, home: Home, person: Person
) -> None:
    person.open_partition("AAPL", "2009-06-30")
    expect(person.row("status")).to_contain_text("trained")
    for metric in ("test_auc", "test_brier", "oof_auc"):
        expect(person.row(metric)).to_contain_text(re.compile(r"0\.\d+"))
    expect(person.row("largest_tree")).to_contain_text(re.compile(r"\d+ of 15 leaves asked, depth \d of 6"))
    model = person.row("model")
    expect(model).to_contain_text("teacher/AAPL/2009-06-30")
    person.shoot("partition_trained")
    shown = re.search(r"/\S+", model.inner_text())
    assert shown is not None
    assert Path(shown.group()).is_file()


def test_a_failed_partition_says_why_and_what_to_do(covered: str, person: Person) -> None:
    person.open_partition("IBM", "2009-06-30")
    person.page.get_by_text("View all historical events").click()
    person.page.get_by_role("dialog").get_by_text("IBM|2009-06-30", exact=True).click()
    expect(person.row("cause")).to_contain_text("corrupt_bars")
    expect(person.row("error")).to_contain_text("IBM: close is not positive (close is -1.0).")
    expect(person.row("what_to_do")).to_contain_text("Correct the named row")
    person.shoot("partition_failed")


def test_a_skipped_partition_shows_its_reason(covered: str, person: Person) -> None:
    person.open_partition("FB", "2009-06-30")
    expect(person.row("status")).to_contain_text("skipped")
    expect(person.row("reason")).to_contain_text("pre_listing")
    expect(person.row("why")).to_contain_text("FB trades from 2012-05-18")
    person.shoot("partition_skipped")


def test_the_launchpad_shows_the_defaults_of_the_resources(running: Ui, person: Person) -> None:
    person.go("Jobs")
    person.page.get_by_role("link", name="training").click()
    person.page.get_by_role("button", name="Materialize all").locator("xpath=following::button[1]").click()
    person.page.get_by_role("menuitem", name="Open launchpad").click()
    editor = person.page.get_by_role("dialog").filter(has_text="Launchpad (configure assets)")
    expect(editor).to_contain_text("max_failure_rate: 0.4")
    expect(editor).to_contain_text("window_days: 180")
    # The editor draws the lines in its view alone.
    editor.get_by_text("learning_rate:").first.hover()
    person.page.mouse.wheel(0, 2000)
    expect(editor).to_contain_text("num_leaves: 15")
    expect(editor).to_contain_text("n_estimators: 10")
    person.shoot("launchpad")


def test_a_sensor_switched_on_by_clicking_names_the_corrupt_file_and_one_that_is_on_judges_the_batch(
    covered: str, home: Home, running: Ui, person: Person
) -> None:
    page = person.page
    switch_on(person, "new_bars")
    # The switch shows at once what the server does a moment later.
    until(partial(running.is_on, "new_bars"), "the switch")
    until(partial(running.ticks, "new_bars"), "a tick of new_bars")
    page.reload()
    # The page names the latest tick above the table of ticks too.
    tick = page.get_by_role("row").filter(has_text="Failure").filter(has_text="View logs")
    expect(tick).to_be_visible()
    tick.get_by_text("View", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("IBM.csv, row 100 and")
    person.shoot("sensor_new_bars")

    page.goto(person.url)
    until(
        partial(home.rows, "FROM verdicts WHERE batch_id = ? AND run_id = ''", covered),
        "the verdict on the whole batch",
    )
    person.go("Automation")
    page.get_by_role("link", name="batch_failure_rate").click()
    expect(page.get_by_role("checkbox")).to_be_checked()
    expect(page.get_by_role("row").filter(has_text="0 runs requested").first).to_be_visible()
    person.shoot("sensor_batch_failure_rate")
    person.open_check()
    expect(page.get_by_text(f"Batch {covered}, all runs: 2 of 6 attempted teachers failed")).to_be_visible()
    expect(person.text("Passed")).to_be_visible()
    failed = person.row("failed_windows").get_by_role("row").filter(has_text="IBM")
    expect(failed).to_contain_text(f"{WINDOWS[0]} and 1 more window")
    expect(failed).to_contain_text("corrupt_bars")
    expect(person.row("what_to_do")).to_contain_text("Correct the named row")
    expect(person.row("failure_rate")).to_contain_text("0.333")
    expect(person.row("max_failure_rate")).to_contain_text("0.4")
    person.shoot("check")


def test_the_report_opens_offline_and_fits_a_phone_and_a_desk(covered: str, home: Home, page: Page) -> None:
    finished = home.run("report", "--batch", covered)
    assert finished.code == 0, finished.err
    file = Path(finished.out.strip())
    asked: list[str] = []

    def refuse(route: Route, request: Request) -> None:
        if request.url.startswith("file:"):
            route.continue_()
        else:
            asked.append(request.url)
            route.abort()

    page.route("**/*", refuse)
    for width in (390, 1400):
        page.set_viewport_size({"width": width, "height": 850})
        page.goto(file.as_uri())
        heading = page.get_by_role("heading", name="Outcomes by symbol and window")
        heading.evaluate("heading => heading.scrollIntoView()")
        person = Person(page, "")
        for symbol in SYMBOLS:
            # Its row of the heat map, which begins below the heading.
            row = page.get_by_role("row").filter(has_text=re.compile(rf"^\s*{symbol}\s*[TRSF-]\s*[TRSF-]\s*$")).first
            expect(row).to_be_in_viewport()
            box = row.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        person.shoot(f"report_{width}")
        OUTPUT.joinpath(f"report_{width}_whole.png").write_bytes(page.screenshot(full_page=True))
    assert asked == []


def test_a_batch_that_shows_too_little_is_refused_on_the_page_of_its_run_in_numbers(
    covered: str, running: Ui, person: Person
) -> None:
    person.open_asset("champions")
    person.button("Materialize").click()
    refused = launch(person, running, person.button("Confirm"))
    assert refused["status"] == "FAILURE"
    person.page.goto(f"{person.url}/runs/{refused['runId']}")
    said = person.page.get_by_text("is not promoted:").first
    expect(said).to_contain_text(re.compile(r"rank IC .* on [\d,]+ rows of \d+ dates"))
    person.shoot("champions_refused")


def test_a_person_promotes_a_batch_and_has_its_champion_predict_a_date(page: Page, tmp_path: Path) -> None:
    home = Home(tmp_path, market_with_an_edge(tmp_path / "market"))
    finished = home.run("backfill", "--json")
    assert finished.code == 0, finished.err
    batch = finished.json["batch_id"]
    with ui(home) as running:
        person = Person(page, f"http://127.0.0.1:{running.port}")
        person.open_asset("champions")
        person.button("Materialize").click()
        # No window has to be judged by the asset before: the promotion judges the batch itself.
        assert launch(person, running, person.button("Confirm"))["status"] == "SUCCESS"
        page.reload()
        expect(person.row("batch")).to_contain_text(batch)
        person.shoot("champions")

        person.open_asset("predictions")
        page.get_by_role("button").filter(has_text=re.compile("^Materialize")).first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Latest", exact=True).click()
        predicted = launch(person, running, dialog.get_by_role("button", name=re.compile("^Launch")))
        assert predicted["status"] == "SUCCESS"
        (day,) = (tag["value"] for tag in predicted["tags"] if tag["key"] == "dagster/partition")
        person.open_asset("predictions", "Partitions")
        person.text(day).last.click()
        expect(person.row("champion")).to_contain_text(f"champion 1, batch {batch}")
        person.shoot("predictions")
        for row in home.rows("FROM predictions"):
            shown = person.row(row["symbol"])
            expect(shown).to_contain_text(row["flags"])
            expect(shown).to_contain_text(str(round(row["p"], 4)))
        page.get_by_text("[Show Markdown]").click()
        link = page.get_by_role("dialog").get_by_role("link").first
        key = link.inner_text()
        link.click()
        expect(person.row("status")).to_contain_text(re.compile("trained|reused"))
        assert home.rows("FROM window_runs WHERE model = 'student' AND symbol || '|' || window_start = ?", key)
        expect(person.row("model")).to_contain_text(f"student/{key.replace('|', '/')}")
        person.shoot("model_of_a_prediction")
