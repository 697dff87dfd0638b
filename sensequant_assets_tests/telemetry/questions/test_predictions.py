"""Claims about what was predicted: it is written once."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sensequant_assets.telemetry.questions.predictions import predictions_of
from sensequant_assets.telemetry.records import Prediction
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import NOON, journal_of

BAR = np.datetime64("2025-12-11", "s")


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def predicted(symbol: str = "A", **fields: Any) -> Prediction:
    told: dict[str, Any] = {"time": BAR, "model": "champion", "trees_fingerprint": "t", "p_raw": 0.5}
    return Prediction(symbol=symbol, **told | fields)


def tell(store: TelemetryStore, rows: Sequence[Prediction], hours: int, batch: str = "b") -> None:
    with journal_of(store, batch, "", at=NOON + timedelta(hours=hours)) as told:
        told.append_many(rows)


def test_what_was_predicted_first_stays_in_whatever_order_it_is_taken_in(store: TelemetryStore) -> None:
    tell(store, [predicted(p_raw=0.25), predicted(p_raw=0.75)], hours=1)
    store.ingest()
    tell(store, [predicted(p_raw=0.125)], hours=2, batch="c")
    tell(store, [predicted("B", p_raw=0.125), predicted(model="unproven"), predicted(trees_fingerprint="u")], hours=3)
    found = predictions_of(store, [predicted(), predicted("B"), predicted("C")])
    assert {key[:3]: row.p_raw for key, row in found.items()} == {
        ("A", BAR, "champion"): 0.25, ("B", BAR, "champion"): 0.125, ("A", BAR, "unproven"): 0.5,
    }  # fmt: skip
    assert found["A", BAR, "champion", "t"].made_at == NOON + timedelta(hours=1)


def test_nothing_is_asked_of_nothing(store: TelemetryStore) -> None:
    assert predictions_of(store, []) == {}
    assert predictions_of(store, [predicted()]) == {}
