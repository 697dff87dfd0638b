"""Answers are rendered whole, for people and for programs."""

import json
from pathlib import Path

import pytest

from sensequant_assets.telemetry.render import render
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets_tests.telling import W1


@pytest.fixture
def store(tmp_path: Path) -> TelemetryStore:
    return TelemetryStore(tmp_path / "telemetry")


def test_an_answer_renders_as_table_json_and_csv(store: TelemetryStore) -> None:
    table = store.query(
        """
        SELECT 'M&M' AS symbol, DATE '2022-01-01' AS window_start, TIMESTAMPTZ '2025-03-01 12:00:00+00' AS ended_at,
               sum(2) AS failed, NULL AS reason, '[bold]x' AS message
        """
    )
    assert render(table, "csv") == (
        "symbol,window_start,ended_at,failed,reason,message\nM&M,2022-01-01,2025-03-01T12:00:00+00:00,2,,[bold]x"
    )
    assert render(table, "json") == (
        '[\n  {\n    "symbol": "M&M",\n    "window_start": "2022-01-01",\n'
        '    "ended_at": "2025-03-01T12:00:00+00:00",\n    "failed": 2,\n    "reason": null,\n'
        '    "message": "[bold]x"\n  }\n]'
    )
    assert render(table, "table").splitlines()[-1].split() == ["M&M", W1, "2025-03-01T12:00:00+00:00", "2", "[bold]x"]


def test_columns_of_one_name_or_an_odd_one_stay_in_their_order(store: TelemetryStore) -> None:
    answer = store.query('SELECT 1 AS a, TIMETZ \'12:00:00+02\' AS a, 2 AS "x, ""y""", ? AS z', [3])
    assert answer.column_names == ["a", "a", 'x, "y"', "z"]
    assert render(answer, "csv").splitlines()[1] == "1,12:00:00+02,2,3"


def test_a_table_of_any_width_is_not_cut(store: TelemetryStore) -> None:
    text = render(store.query("SELECT repeat('x', 5000) AS long, 1 AS last"), "table")
    assert "x" * 5000 in text
    assert render(store.query("SELECT 1 AS one WHERE false"), "json") == "[]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("TIMESTAMP 'infinity'", "infinity"),
        ("TIMESTAMPTZ '-infinity'", "-infinity"),
        ("TIMESTAMP_NS 'infinity'", "infinity"),
        ("DATE 'infinity'", "infinity"),
        ("DATE '290000-01-01'", "290000-01-01"),
        ("TIMESTAMP_S '290000-01-01'", "290000-01-01T00:00:00"),
        ("DATE '0044-03-15 (BC)'", "-043-03-15"),
        ("TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "2020-01-01T00:00:00.123456789"),
        ("INTERVAL '1 year 2 days 3.5 seconds'", "P12M2DT3.5S"),
        ("'nan'::DOUBLE", None),
        ("'-inf'::FLOAT", None),
        ("170141183460469231731687303715884105727::HUGEINT", 170141183460469231731687303715884105727),
        ("340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455"),
        ("{'a b': [1::UHUGEINT], 'c': TIMETZ '12:00:00+02'}", {"a b": ["1"], "c": "12:00:00+02"}),
        ("TIMETZ '12:00:00.5+05:30'", "12:00:00.5+05:30"),
        ("'0101'::BIT", "0101"),
        ("1267650600228229401496703205376::BIGNUM", "1267650600228229401496703205376"),
        ("'UHUGEINT'::ENUM('UHUGEINT')", "UHUGEINT"),
        ("[[TIMESTAMP 'infinity'], NULL]", [["infinity"], None]),
        ("{'a': [DATE 'infinity'], 'b': NULL}", {"a": ["infinity"], "b": None}),
        ("MAP {DATE 'infinity': INTERVAL 1 DAY}", {"infinity": "P0M1DT0S"}),
        ("array_value(1, 2)", [1, 2]),
        ("union_value(x := 1)", 1),
        ("'\\xAA'::BLOB", "b'\\xaa'"),
        ("TIME '12:00:00.5'", "12:00:00.500000"),
    ],
)
def test_whatever_the_database_can_hold_is_shown(store: TelemetryStore, value: str, shown: object) -> None:
    answer = store.query(f"SELECT {value} AS value")
    assert json.loads(render(answer, "json")) == [{"value": shown}]
    for form in ("table", "csv"):
        assert "value" in render(answer, form)
