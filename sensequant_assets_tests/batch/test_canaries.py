"""Claims about canaries that are trained beside a batch."""

from pathlib import Path

import pytest

from sensequant_assets.batch import canaries as canaries_module
from sensequant_assets.batch.canaries import SYMBOLS, WINDOWS, canaries_of
from sensequant_assets.batch.evaluation import Subject
from sensequant_assets.batch.noise import Options
from sensequant_assets.core.judging.canaries import Canaries
from sensequant_assets.core.judging.noise import Band, Noise
from sensequant_assets.core.parameters import MODELS
from sensequant_assets.telemetry.questions.batches import batch_summary
from sensequant_assets.telemetry.questions.events import latest_canaries
from sensequant_assets_tests.batch.test_pools import STUDENT, TEACHER, PooledShop
from sensequant_assets_tests.batch.test_pools import WINDOWS as TESTED
from sensequant_assets_tests.running import leave

NOISE = Noise({model: {"rank_ic": Band(-2.0, 2.0, 768)} for model in MODELS}, 4)
HOW = Options(windows=9, workers=2, timeout_s=60)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PooledShop:
    leave(monkeypatch, tmp_path)
    return PooledShop(tmp_path)


def sung(shop: PooledShop, batch: str = "one", noise: Noise | None = NOISE) -> Canaries | None:
    subject = Subject(batch, shop.settings, TEACHER, STUDENT)
    return canaries_of(subject, shop.market(), TESTED, noise, HOW, shop.telemetry)


def test_canaries_are_trained_once_a_batch_and_are_none_of_its_windows_pools_or_models(
    shop: PooledShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.run()
    before = batch_summary(shop.telemetry, "one"), shop.telemetry.query("FROM window_runs").to_pylist()
    files = sorted((shop.directory / "models").rglob("*"))
    found = sung(shop)
    assert found is not None
    assert found.windows == found.planted == SYMBOLS * WINDOWS * len(MODELS)
    assert found.found, "four symbols in a pool show an edge as plain as this"
    assert (batch_summary(shop.telemetry, "one"), shop.telemetry.query("FROM window_runs").to_pylist()) == before
    assert sorted((shop.directory / "models").rglob("*")) == files
    assert latest_canaries(shop.telemetry, batch_id="one") == [found.as_json()]
    assert latest_canaries(shop.telemetry, universe="three", most=9) == [found.as_json()]
    assert latest_canaries(shop.telemetry, universe="other") == []
    monkeypatch.delattr(canaries_module, "synthetic_bars")
    assert sung(shop) == found


def test_without_a_noise_band_or_a_batch_no_canary_is_trained(shop: PooledShop) -> None:
    assert sung(shop, noise=None) is None
    assert sung(shop, batch="") is None
