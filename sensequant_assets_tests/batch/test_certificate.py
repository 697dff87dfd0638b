"""Claims about `sensequant verify-batch`: it names what was changed, and calls nothing verified that it cannot see."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sensequant_assets.batch.briefing import BriefingRecord, brief, write_briefing
from sensequant_assets.batch.certificate import Certificate, Judges, certify, compare_verdicts
from sensequant_assets.batch.comparing import Found
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.inspection import Inspection
from sensequant_assets.batch.promotion import Places
from sensequant_assets.batch.recorded import Shelf, told_of
from sensequant_assets.errors import UsageError
from sensequant_assets.market.market import Market
from sensequant_assets.models.champions import ChampionStore
from sensequant_assets.models.sealed import read_sealed
from sensequant_assets.models.store import ModelStore
from sensequant_assets.report.briefing import briefing_paths
from sensequant_assets.report.facts import read_report
from sensequant_assets.report.page import default_path, write_page
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.auditing import audit
from sensequant_assets.telemetry.journal import utc_now
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.running import Home, sample_bars, spoil, write_universe

SYMBOLS = ("AAPL", "IBM", "MSFT")
FLIPS = 8


@dataclass
class Case:
    """A data directory with one evaluated batch, and what is verified of it."""

    home: Home
    batch: str

    @cached_property
    def telemetry(self) -> TelemetryStore:
        return self.home.telemetry

    @property
    def models(self) -> ModelStore:
        return ModelStore(self.home.data / "models", "three")

    @cached_property
    def subject(self) -> Subject:
        return Subject.of_batch(self.telemetry, self.batch)

    def certificate(self) -> Certificate:
        return certify(self.telemetry, self.batch, self.models, "standard", lambda *_: None)

    def market(self) -> Market:
        found = Found()
        market = self.shelf(found).market(told_of(self.telemetry, self.subject))
        assert market is not None, found
        return market

    def files(self) -> Found:
        found = Found()
        Inspection(self.telemetry, self.subject, self.models, found).files(lambda *_: None)
        return found

    def numbers(self, market: Market) -> Found:
        found = Found()
        inspection = Inspection(self.telemetry, self.subject, self.models, found)
        inspection.files(lambda *_: None)
        inspection.numbers(market, told_of(self.telemetry, self.subject), lambda *_: None)
        return found

    def tables(self, market: Market) -> Found:
        found = Found()
        self.shelf(found).tables(told_of(self.telemetry, self.subject), market, lambda *_: None)
        return found

    def shards(self) -> Found:
        audited = audit(self.telemetry, self.batch)
        return Found([*audited.differences], [*audited.missing], [*audited.remarks])

    def judges(self, found: Found) -> Judges:
        return Judges(self.telemetry, self.subject, self.models, "standard", self.shelf(found), found, lambda *_: None)

    def brief(self, market: Market) -> dict[str, Any]:
        places = Places(self.models, ChampionStore(self.home.data / "champions", "three"), self.telemetry)
        return brief(self.subject, market, places, settings=read_settings(), at=utc_now())

    def shelf(self, found: Found) -> Shelf:
        return Shelf(self.telemetry, self.subject, "standard", found)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A batch of three symbols in three windows, whose pools teach them, evaluated."""
    directory = tmp_path_factory.mktemp("certificate")
    variables = {
        "SENSEQUANT_UNIVERSE": str(write_universe(directory / "three.csv", SYMBOLS)),
        "SENSEQUANT_BARS": str(sample_bars(directory / "csv", SYMBOLS, until="2010-10-29")),
        "SENSEQUANT_START": "2009-01-01",
        "SENSEQUANT_END": "2010-06-25",
        "TEACHER_SCOPE": "pool",
        "TEACHER_MIN_CHILD_SAMPLES": "20",
        "STUDENT_MIN_CHILD_SAMPLES": "20",
    }
    home = Home(directory, variables)
    finished = home.backfill()
    assert finished.code == 0, finished.err
    evaluated = home.run("evaluate")
    assert evaluated.code == 0, evaluated.err
    return Case(home, finished.json["batch_id"])


@pytest.fixture
def case(whole: Case, tmp_path: Path) -> Case:
    """A copy that may be changed, whose sources are those of the whole."""
    shutil.copytree(whole.home.data, tmp_path / "data")
    return Case(Home(tmp_path, whole.home.variables), whole.batch)


@pytest.fixture(scope="module")
def market(whole: Case) -> Market:
    return whole.market()


def edit(case: Case, sql: str) -> None:
    """Change rows of telemetry behind the back of the shards."""
    with duckdb.connect(case.home.telemetry.database) as connection:
        connection.execute(sql)


def test_an_unchanged_batch_is_verified_by_its_data_directory_alone(whole: Case, tmp_path: Path) -> None:
    shutil.copytree(whole.home.data, tmp_path / "data")
    stranger = Home(tmp_path)
    finished = stranger.run("verify-batch", whole.batch, "--json")
    assert finished.code == 0, finished.err + finished.out
    found = finished.json
    assert (found["verified"], found["differences"], found["unverifiable"]) == (True, [], [])
    compared = found["checked"]
    assert (compared["teachers"], compared["students"], compared["pools"]) == (9, 9, 3)
    assert compared["rows of window_runs"] == 18
    assert compared["tables of bars"] == compared["tables of features"] == 3
    assert compared["predictions"] > 9 * 100
    assert compared["scores"] >= 6
    assert compared["numbers"] > 1000
    assert any("trained again" in line for line in found["not_covered"])


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("files", "models/*/teacher/*/*"),
        ("files", "models/*/student/*/*"),
        ("files", "models/*/pool/*"),
        ("files", "models/*/shared_student/*"),
        ("tables", "bars/*/*.parquet"),
        ("tables", "features/*/*.parquet"),
        ("shards", "telemetry/archive/*/*.zst"),
    ],
)
def test_one_changed_bit_of_any_file_is_named(case: Case, market: Market, kind: str, pattern: str) -> None:
    look: Callable[[], Found] = {
        "files": case.files, "tables": lambda: case.tables(market), "shards": case.shards
    }[kind]  # fmt: skip
    paths, rng = sorted(case.home.data.glob(pattern)), random.Random(pattern)  # noqa: S311  # a seed, no secret
    with case.telemetry.session():
        assert not look().differences
        for _ in range(FLIPS):
            path = rng.choice(paths)
            written = path.read_bytes()
            at, bit = rng.randrange(len(written)), 1 << rng.randrange(8)
            path.write_bytes(written[:at] + bytes([written[at] ^ bit]) + written[at + 1 :])
            found = look()
            path.write_bytes(written)
            # A pool's soft targets lie beside its record, which names both.
            name = path.name if kind == "tables" else path.name.split(".")[0] if kind == "files" else ""
            # What holds nothing, such as the name of the library that wrote a table, changes no fact, and is told.
            told = found.differences if kind == "files" else [*found.differences, *found.remarks]
            assert any(name in line for line in told), (path, at, bit, found)


def test_a_cell_of_telemetry_is_named_by_table_key_and_column(case: Case) -> None:
    edit(case, "UPDATE window_runs SET test_rows = 7 WHERE model = 'teacher' AND symbol = 'IBM' AND attempt = 1")
    found = case.shards().differences
    assert len(found) == 3
    for line, window in zip(sorted(found), ("2009-01-01", "2009-06-30", "2009-12-27"), strict=True):
        assert f"model teacher, symbol IBM, window_start {window}" in line
        assert "column test_rows: telemetry.duckdb has 7, the shards have" in line


def test_what_rows_and_shards_tell_alike_is_computed_again_and_named(case: Case, market: Market) -> None:
    edit(
        case,
        "UPDATE window_runs SET metrics = json_merge_patch(metrics, '{\"test_brier\": 0.125}') "
        "WHERE model = 'student' AND symbol = 'AAPL' AND window_start = '2009-06-30'",
    )
    edit(case, "UPDATE verdicts SET trained = 8 WHERE model = 'teacher'")
    differences = case.numbers(market).differences
    assert any("student AAPL 2009-06-30), metrics, test_brier: 0.125 is kept" in line for line in differences)
    assert all("AAPL 2009-06-30" in line for line in differences)
    found = Found()
    compare_verdicts(case.telemetry, case.batch, found)
    (line,) = found.differences
    assert line.startswith("verdicts")
    assert "trained: 8 is kept, and 9" in line


def test_a_record_that_was_sealed_again_with_another_prediction_is_named(case: Case, market: Market) -> None:
    stored = case.models.read("teacher", "MSFT", "2009-06-30")
    assert stored is not None
    unseen = [*stored.record.unseen]
    unseen[3] = 0.5
    record = stored.record.model_copy(update={"unseen": unseen})
    stored.path.with_name("2009-06-30.json").write_bytes(record.sealed())
    (found,) = case.numbers(market).differences
    assert "teacher/MSFT/2009-06-30" in found
    assert "1 of" in found
    assert "the record has 0.5 of row 3" in found


def test_a_score_of_an_evaluation_is_computed_again(case: Case) -> None:
    edit(
        case,
        'UPDATE evaluations SET findings = json_merge_patch(findings, \'{"head": {"blocks": 99}}\')',
    )
    found = Found()
    case.judges(found).evaluation()
    (line,) = found.differences
    assert "head.blocks: 99 is kept" in line


def test_later_bars_and_a_later_batch_take_nothing_from_an_earlier_one(case: Case, tmp_path: Path) -> None:
    later = sample_bars(tmp_path / "csv", SYMBOLS, until="2010-12-31")
    finished = case.home.backfill(SENSEQUANT_BARS=str(later))
    assert finished.code == 0, finished.err
    assert finished.json["teacher"]["reused"] == 9
    found = case.certificate()
    assert found.verified, found
    assert any("judged again by a later batch" in line for line in found.remarks)


def test_bars_that_are_gone_leave_nothing_verified(case: Case, tmp_path: Path) -> None:
    shutil.rmtree(case.home.data / "bars")
    sources, told = tmp_path / "csv", told_of(case.telemetry, case.subject)
    shutil.copytree(case.home.variables["SENSEQUANT_BARS"], sources)
    settings = told.settings.model_copy(update={"bars": str(sources)})
    found = Found()
    assert case.shelf(found).market(replace(told, settings=settings)) is not None
    assert not found.unverifiable, "where they came from they are still"
    spoil(sources / "IBM.csv", 700)
    assert case.shelf(found).market(replace(told, settings=settings)) is None
    (line,) = found.unverifiable
    assert "The bars that were read of 1 symbol are not in" in line
    assert "IBM" in line


def test_what_has_no_bars_any_longer_is_not_verified(case: Case) -> None:
    shutil.rmtree(case.home.data / "bars")
    edit(case, "UPDATE events SET data = replace(data::VARCHAR, '/csv', '/gone') WHERE kind = 'bars'")
    found = case.certificate()
    assert any("are not in" in line and "/gone" in line for line in found.unverifiable)
    assert all(line.startswith("events") for line in found.differences)


def test_a_model_that_is_gone_and_shards_that_are_pruned_cannot_be_verified(case: Case) -> None:
    (case.home.data / "models/three/teacher/IBM/2009-01-01.json").unlink()
    shutil.rmtree(case.home.data / "telemetry/archive")
    finished = case.home.run("verify-batch", case.batch)
    assert finished.code == 2, finished.err
    assert "The teacher IBM 2009-01-01 is not on disk any longer." in finished.err
    assert "no longer kept" in finished.err


def test_a_damaged_database_is_named(case: Case) -> None:
    database = case.home.telemetry.database
    written = bytearray(database.read_bytes())
    for at in range(3 * 4096 + 64, len(written), 4096):
        written[at] ^= 1
    database.write_bytes(written)
    finished = case.home.run("verify-batch", case.batch)
    assert finished.code == 1
    assert "telemetry.duckdb is damaged" in finished.err


def test_a_briefing_stands_on_one_batch_and_is_verified_with_it(case: Case) -> None:
    finished = case.home.run("briefing", case.batch)
    assert finished.code == 0, finished.err
    assert finished.out.startswith(f"Do not promote batch {case.batch}")
    page, text, record = briefing_paths(case.home.data, case.batch)
    assert finished.out.splitlines()[1:] == [str(page), str(text)]
    assert "do not promote" in page.read_text()
    assert "at least 500 dates" in text.read_text()
    assert f'href="{page.name}"' not in page.read_text()
    certificate = case.certificate()
    assert certificate.verified, certificate
    assert certificate.checked["briefings"] == 1
    for file in (page, text, record):
        written = file.read_bytes()
        file.write_bytes(written.replace(b"500", b"501", 1))
        found = Found()
        case.judges(found).briefing()
        file.write_bytes(written)
        assert any(str(file) in line for line in found.differences), (file, found)
    # A number that page, text and record tell alike is computed again.
    kept = read_sealed(record, BriefingRecord)
    assert kept is not None
    rule = kept.facts["promotion"] | {"passed": True}  # type: ignore[operator]  # a dict
    write_briefing({**kept.facts, "promotion": rule}, case.home.data)
    found = Found()
    case.judges(found).briefing()
    (line,) = found.differences
    assert "promotion.passed: True is kept, and False comes of it again" in line
    # A twin that is pruned, or of other code, shows nothing of a band that was told.
    write_briefing({**kept.facts, "noise": ["A band."]}, case.home.data)
    found = Found()
    case.judges(found).briefing()
    assert not found.differences
    assert "noise twin is gone" in found.unverifiable[0]


def test_the_report_leads_to_its_briefing(case: Case) -> None:
    page = briefing_paths(case.home.data, case.batch)[0]
    page.parent.mkdir(exist_ok=True)
    page.write_text("a briefing")
    report = read_report(case.telemetry, case.batch)
    written = write_page(report, default_path(case.home.data, case.batch)).read_text()
    assert f'<a href="{page.name}">Briefing</a>' in written
    page.unlink()
    assert ">Briefing</a>" not in write_page(report, default_path(case.home.data, case.batch)).read_text()


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("DELETE FROM evaluations", "Nobody has evaluated batch"),
        ("UPDATE evaluations SET subject_fingerprint = 'another'", "is of other models, costs or code"),
        (
            "INSERT INTO evaluations BY NAME SELECT * REPLACE ('t' AS evaluation, 'x' AS subject_fingerprint, "
            "'{\"portfolio\": {}}' AS findings) FROM evaluations",
            "Backtest t of batch",
        ),
        (
            'UPDATE evaluations SET findings = json_merge_patch(findings, \'{"head": {"rows": 7}}\')',
            "is of 7 rows, and there are",
        ),
    ],
)
def test_a_briefing_of_missing_or_mixed_inputs_is_refused(case: Case, market: Market, sql: str, why: str) -> None:
    edit(case, sql)
    with pytest.raises(UsageError, match=why):
        case.brief(market)


def test_a_briefing_of_a_part_of_a_batch_is_refused(case: Case, market: Market) -> None:
    (case.home.data / "models/three/student/IBM/2009-01-01.json").unlink()
    with pytest.raises(UsageError, match="1 model of batch"):
        case.brief(market)


def test_a_backtest_is_computed_again(case: Case) -> None:
    finished = case.home.run("backtest", case.batch, "--top", "1")
    assert finished.code == 0, finished.err
    found = Found()
    case.judges(found).backtest()
    assert (found.differences, found.unverifiable, found.checked["backtests"]) == ([], [], 1)
    edit(
        case,
        "UPDATE evaluations SET findings = json_merge_patch(findings, '{\"buys\": 7}') "
        "WHERE json_exists(findings, '$.portfolio')",
    )
    found = Found()
    case.judges(found).backtest()
    (line,) = found.differences
    assert "buys: 7 is kept" in line


def test_a_batch_that_is_not_there_is_bad_usage(whole: Case) -> None:
    finished = whole.home.run("verify-batch", "nothing")
    assert finished.code == 2
    assert whole.batch in finished.err
