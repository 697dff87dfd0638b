"""Claims about noise twins that are trained beside a batch and kept."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sensequant_assets.batch import noise as noise_module
from sensequant_assets.batch.evaluation import Subject, gather
from sensequant_assets.batch.noise import Options, kept_noise, noise_key, noise_of, noise_of_batch, window_scores
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.judging import noise as judging
from sensequant_assets.core.judging.noise import Noise, WindowScore
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.core.pool import Pooled, PoolRows, train_pool
from sensequant_assets.market.market import Market
from sensequant_assets.models.noise import NoisePart, NoiseStore
from sensequant_assets.settings import Settings
from sensequant_assets_tests.batch.test_pools import (
    SEPARATE,
    STUDENT,
    SYMBOLS,
    TEACHER,
    WINDOWS,
    PooledShop,
    trade_from_spring,
)
from sensequant_assets_tests.making import QUICK_STUDENT, QUICK_TEACHER
from sensequant_assets_tests.running import leave

WANTED = Options(windows=20, workers=2, timeout_s=60)
ONE_ROUND = Options(windows=9, workers=2, timeout_s=60)


class TwinShop(PooledShop):
    """A shop whose market has a noise twin."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.twins = NoiseStore(directory / "noise", "three")

    def noise(
        self,
        teacher: TeacherParameters = TEACHER,
        student: StudentParameters = STUDENT,
        options: Options = WANTED,
        settings: Settings | None = None,
    ) -> Noise | None:
        settings = settings or self.settings
        market = Market.open(settings, teacher, student)
        return noise_of(Subject("", settings, teacher, student), market, self.twins, options)

    def parts(self, teacher: TeacherParameters = TEACHER, student: StudentParameters = STUDENT) -> Sequence[NoisePart]:
        record = self.twins.find(noise_key(self.settings, teacher, student))
        return [] if record is None else record.parts


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TwinShop:
    leave(monkeypatch, tmp_path)
    monkeypatch.setattr(judging, "FEWEST_WINDOWS", 15)
    return TwinShop(tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Windows of twins as they are trained."""
    found: list[tuple[int, str]] = []
    judged = noise_module._judged

    def watched(part: noise_module.Part, scores: object) -> NoisePart:
        found.append((part.seed, part.window))
        return judged(part, scores)  # type: ignore[arg-type]

    monkeypatch.setattr(noise_module, "_judged", watched)
    return found


def windows_of(part: NoisePart) -> int:
    return len(part.deviations["teacher"]["auc"])


def test_a_small_lattice_is_trained_on_other_coins_until_its_twin_has_windows_enough(shop: TwinShop) -> None:
    noise = shop.noise()
    assert noise is not None
    band = noise.band("teacher")
    assert band is not None
    # Three symbols in three windows are nine; the third round is the first to reach twenty.
    assert [len({part.seed for part in shop.parts() if part.window == window}) for window in WINDOWS] == [3, 3, 3]
    assert 20 <= band.windows <= 3 * 9
    assert noise.twins == 3 * len(WINDOWS)
    assert -4 < band.low < 0 < band.high < 4
    assert noise.band("student") is not None


def test_what_is_kept_is_not_trained_again_and_other_bars_train_the_windows_that_have_them(
    shop: TwinShop, trained: list[tuple[int, str]]
) -> None:
    first = shop.noise(options=ONE_ROUND)
    assert len(trained) == 3
    assert first is None, "nine windows are too few for a band"
    shop.noise(options=ONE_ROUND)
    assert len(trained) == 3
    bars = next(shop.bars.glob("IBM*"))
    lines = bars.read_text().splitlines(keepends=True)
    # The last days are test rows of the last window alone.
    bars.write_text("".join(lines[: next(n for n, line in enumerate(lines) if "2010-12-0" in line)]))
    shop.noise(options=ONE_ROUND)
    assert [window for _, window in trained[3:]] == [WINDOWS[-1]]
    # Another parameter is another twin, in a file of its own.
    shop.noise(teacher=TEACHER.model_copy(update={"seed": 8}), options=ONE_ROUND)
    assert len(list((shop.directory / "noise" / "three").iterdir())) == 2


def test_a_twin_has_pools_of_young_symbols_where_its_market_has(
    shop: TwinShop, trained: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    trade_from_spring(shop)
    pools: list[int] = []

    def counted(rows: PoolRows, parameters: TeacherParameters, expired: Expired) -> Pooled:
        pools.append(len(rows.label))
        return train_pool(rows, parameters, expired)

    monkeypatch.setattr(noise_module, "train_pool", counted)

    shop.noise(teacher=SEPARATE, options=ONE_ROUND)

    market = shop.market(SEPARATE)
    # In the last window nobody is young.
    assert [pool.name for pool in market.pools_in(WINDOWS[:1])] == [WINDOWS[0], f"{WINDOWS[0]}-early"]
    assert (len(pools), len(trained)) == (5, 3)
    assert sorted(pools) == sorted(pool.rows for pool in market.pools.values())
    assert [windows_of(part) for part in shop.parts(SEPARATE)] == [3, 3, 3]


def test_a_damaged_twin_is_trained_again_and_none_is_read(shop: TwinShop, trained: list[tuple[int, str]]) -> None:
    shop.noise(options=ONE_ROUND)
    key = noise_key(shop.settings, TEACHER, STUDENT)
    path = shop.twins.path(key)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert shop.twins.find(key) is None
    assert kept_noise(shop.twins, key) is None
    shop.noise(options=ONE_ROUND)
    assert len(trained) == 6
    assert path.read_bytes() == whole, "the same coins give the same twin"


@pytest.mark.parametrize(
    ("teacher", "student"),
    [(QUICK_TEACHER, QUICK_STUDENT), (TEACHER, STUDENT.model_copy(update={"scope": "symbol"}))],
    ids=["symbol", "pool for teachers alone"],
)
def test_a_twin_is_trained_by_the_scopes_of_its_market(
    shop: TwinShop, teacher: TeacherParameters, student: StudentParameters
) -> None:
    shop.noise(teacher, student, ONE_ROUND)
    parts = shop.parts(teacher, student)
    assert sum(map(windows_of, parts)) == len(SYMBOLS) * len(WINDOWS)
    by_model = {
        model: [value for part in parts for value in part.deviations[model]["auc"]] for model in ("teacher", "student")
    }
    assert by_model["teacher"] != by_model["student"]


def test_of_a_large_lattice_without_pools_a_sample_is_trained_over_all_its_windows(shop: TwinShop) -> None:
    shop.noise(QUICK_TEACHER, QUICK_STUDENT, Options(5, 2, 60))
    parts = shop.parts(QUICK_TEACHER, QUICK_STUDENT)
    assert sum(map(windows_of, parts)) == 5
    assert {part.window for part in parts} == set(WINDOWS)


def test_a_twin_is_in_no_batch_no_model_and_no_telemetry_and_a_batch_finds_it_by_its_market(shop: TwinShop) -> None:
    shop.run()
    before = shop.telemetry.query("FROM window_runs"), sorted((shop.directory / "models").rglob("*"))
    assert noise_of_batch(shop.telemetry, "one") is None
    noise = shop.noise()
    assert (shop.telemetry.query("FROM window_runs"), sorted((shop.directory / "models").rglob("*"))) == before
    # The run of this shop told telemetry no settings, so that nobody knows its market.
    assert noise_of_batch(shop.telemetry, "one") is None
    assert kept_noise(shop.twins, noise_key(shop.settings, TEACHER, STUDENT)) == noise
    assert kept_noise(shop.twins, noise_key(shop.settings, TEACHER, STUDENT, ("standard", "mine 1"))) is None
    # Where none is wanted, what is there still serves.
    assert shop.noise(options=Options(0, 2, 60)) == noise


def test_windows_of_a_batch_are_judged_as_those_of_its_twin(shop: TwinShop) -> None:
    shop.run()
    market = shop.market()
    gathered = gather(Subject("", shop.settings, TEACHER, STUDENT), market, shop.store)
    scores = window_scores(gathered)
    assert {model: len(found) for model, found in scores.items()} == {"teacher": 9, "student": 9}
    rows = gathered.rows
    own = (rows.symbol == 1) & (rows.window == 2)
    (teacher,) = (one.raw for one in gathered.forecasts if one.name == "teacher")
    expected = WindowScore.of(
        rows.label[own], teacher[own], rows.forward_return[own], np.arange(own.sum()), rows.horizon
    )
    assert scores["teacher"][5] == expected
    record = shop.store.find("teacher", SYMBOLS[1], WINDOWS[2])
    assert record is not None
    assert record.record.metrics["test_auc"] == expected.auc
    assert record.record.metrics["test_design_effect"] == expected.design_effect
