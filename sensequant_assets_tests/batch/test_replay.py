"""Claims about what another policy would have made of past batches, held against batches that really had it."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sensequant_assets.batch.replay import Policy, Replayed, pasts, replay
from sensequant_assets.batch.rows import Identity
from sensequant_assets.batch.run import Run
from sensequant_assets.batch.trainer import Teachers, Trainer, Training, key_of
from sensequant_assets.core.boosting import Expired
from sensequant_assets.core.lattice import Key, Pair
from sensequant_assets.core.outcome import Outcome
from sensequant_assets.core.parameters import ModelKind, StudentParameters, TeacherParameters
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets.market.market import Market
from sensequant_assets.models.store import ModelStore
from sensequant_assets.settings import read_settings
from sensequant_assets.telemetry.journal import Journal, utc_now
from sensequant_assets.telemetry.questions.failures import Failure
from sensequant_assets.telemetry.store import TelemetryStore
from sensequant_assets.watch.retries import FailedBatch, RetryRule, evaluate_retries
from sensequant_assets_tests.running import Home, how_it_runs, leave, sample_bars, write_universe
from sensequant_assets_tests.telling import W1, W2, verdict, window, write_run

TEACHER = TeacherParameters(scope="symbol", n_estimators=10)
STUDENT = StudentParameters(scope="symbol", n_estimators=5)


class Yard:
    """Batches of two symbols in three windows whose failures are drawn from their seeds, not from their policies.

    Parameters
    ----------
    directory
        Where bars, models and telemetry lie.
    monkeypatch
        Makes windows fail.
    """

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        leave(monkeypatch, directory)
        symbols = ["AAPL", "IBM"]
        self.seed, self.attempt = 0, 1
        self.last: dict[tuple[str, Key], Outcome] = {}
        settings = {"universe": write_universe(directory / "two.csv", symbols), "end": "2010-06-25"}
        self.market = Market.open(
            read_settings(settings | {"bars": str(sample_bars(directory / "bars", symbols))}), TEACHER, STUDENT
        )
        self.keys = self.market.keys()
        self.models = ModelStore(directory / "data" / "models", "two")
        self.telemetry = TelemetryStore(directory / "data" / "telemetry")
        for name in ("teach", "distil"):
            monkeypatch.setattr(Trainer, name, self._failing(getattr(Trainer, name)))

    def _failing(self, real: Callable[..., Outcome | Training]) -> Callable[..., Outcome | Training]:
        def prepare(trainer: Trainer, pair: Pair, *teachers: Teachers, **named: Teachers) -> Outcome | Training:
            prepared = real(trainer, pair, *teachers, **named)
            seed, attempt = f"{self.seed} {real.__name__} {pair.key}", self.attempt
            share, lasting, fails, how = (
                random.Random(text).random()  # noqa: S311  # no secret
                for text in (f"{self.seed}", f"{seed} lasting", f"{seed} {attempt}", f"{seed} {attempt} how")
            )
            if min(lasting * 3, fails) > share * 0.6:
                return prepared
            kind = FailureKind.SINGLE_CLASS if lasting * 3 <= share * 0.6 else FailureKind.TIMEOUT
            error = WindowError(kind, "It was drawn.")
            if how < 0.5 or isinstance(prepared, Outcome):
                raise error

            def fail(expired: Expired) -> Outcome:
                raise error

            return Training(pair, prepared.made_from, fail)

        return prepare

    def run(self, name: str, seed: int, policy: Policy) -> None:
        """A whole batch under a policy: its first run, and attempts again as the sensor asks for them."""
        self.seed, self.last = seed, {}
        self._carry_out(name, 1, self.keys, policy)
        rule = RetryRule({}, policy.retry_limit or 0, 0.0)
        while retries := evaluate_retries([], self._failed(name), rule, utc_now() + timedelta(days=1)).now:
            untried = {key for key in self.keys if ("student", key) not in self.last}
            keys = sorted({*retries[0].keys, *untried})
            self._carry_out(name, retries[0].attempt, keys, replace(policy, stop_early=False))

    def _failed(self, name: str) -> list[FailedBatch]:
        """As telemetry tells it, which would be opened fifty times."""
        failures = [
            Failure(name, *key, self.attempt, utc_now())
            for (_, key), outcome in self.last.items()
            if outcome.failure and outcome.failure.transient
        ]
        return [FailedBatch(name, failures, self.attempt, None)] if failures else []

    def _carry_out(self, name: str, attempt: int, keys: Sequence[Key], policy: Policy) -> None:
        self.attempt, run_id = attempt, f"{name}-{attempt}"
        run = Run(
            market=self.market,
            keys=keys,
            models=("teacher", "student"),
            store=self.models,
            journal=Journal(self.telemetry.shards, batch_id=name, run_id=run_id, clock=utc_now),
            identity=Identity(name, run_id, attempt=attempt),
            teacher=TEACHER,
            student=STUDENT,
            options=how_it_runs(max_failure_rate=policy.max_failure_rate, stop_early=policy.stop_early),
        )

        def tell(model: ModelKind, outcomes: Iterator[Outcome]) -> None:
            self.last |= {(model, key_of(outcome.pair)): outcome for outcome in outcomes}

        list(run.carry_out(tell))


def agreed(told: Replayed, real: Replayed) -> None:
    """A replay holds what really was: what it knows is so, and what it does not is within its bounds."""
    past = real.past
    for name in ("passed", "blocked", "ended_early"):
        assert getattr(told, name) in (None, getattr(past, name)), (name, told, past)
    for name in ("attempts", "retried"):
        least, most = getattr(told.cost, name)
        assert least <= getattr(past.cost, name)[0] <= most, (name, told.cost, past)
    for name in ("failed", "not_attempted"):
        for model, (least, most) in getattr(told, name).items():
            assert least <= getattr(real, name)[model][0] <= most, (name, model, told, past)


def test_a_replay_of_thirty_batches_agrees_with_those_that_really_had_the_other_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = Yard(tmp_path, monkeypatch)
    draw = random.Random(1)  # noqa: S311  # no secret
    for seed in range(30):
        limit = draw.choice([0.1, 0.3, 0.6, 1.0])
        yard.run(f"was-{seed:02d}", seed, Policy(limit, draw.choice([0, 2, 3]), draw.random() < 0.3))
    stored, without = pasts(yard.telemetry)
    assert (len(stored), without) == (30, {})
    # Under its own policy a batch is what it was, to the last attempt.
    for past in stored:
        own = replay(past, Policy())
        assert (own.passed, own.blocked, own.ended_early) == (past.passed, past.blocked, past.ended_early), past
        assert (own.cost.unknown, own.cost.attempts[1]) == ((0, 0), past.cost.attempts[0]), past
    other = Policy(0.3, 2, True)
    would = {past.batch_id: replay(past, other) for past in stored}
    verdicts = [one.passed for one in would.values()]
    assert verdicts.count(None) < 15, "it knows too little to be of use"
    assert min(verdicts.count(True), verdicts.count(False)) > 2
    changed = [name for name, one in would.items() if one.passed is not None and one.passed != one.past.passed]
    bounded = [name for name, one in would.items() if one.passed is None]
    stopping = [name for name, one in would.items() if one.ended_early and name not in changed]
    for name in (chosen := (changed[0], bounded[0], stopping[0])):
        yard.run(name.replace("was", "real"), int(name[-2:]), other)
    for past in pasts(yard.telemetry, 3)[0]:
        agreed(would[past.batch_id.replace("real", "was")], replay(past, Policy()))
    home = Home(tmp_path)
    answer = home.run("replay", "--max-failure-rate", ".3", "--retry-limit", "2", "--last", "3", "--json")
    assert answer.code == 0, answer.err
    assert {one["batch_id"] for one in answer.json["batches"]} == {name.replace("was", "real") for name in chosen}
    assert answer.json["not_replayed"] == {}
    shown = home.run("replay", "--retry-limit", "0", "--last", "1").out
    assert "Of 1 batch " in shown
    assert "unknown" in shown


def test_what_telemetry_cannot_know_is_named_and_nothing_is_made_of_it(tmp_path: Path) -> None:
    store = TelemetryStore(tmp_path / "data" / "telemetry")
    one: dict[str, Any] = {"configuration": {"window_timeout_s": 10.0}, "max_failure_rate": 0.5}
    rows = [
        window("A", W1, "trained", 1, cpu_s=0.5),
        window("A", W2, "failed", 2, failure_kind="timeout", cpu_s=0.5),
        window("B", W1, "failed", 3, failure_kind="single_class", cpu_s=0.5),
    ]
    with write_run(store, rows, batch="teachers", **one) as journal:
        journal.append(verdict(passed=False, trained=1, failed=2, failure_rate=2 / 3))
    write_run(store, rows, batch="killed", status=None).close()
    (past,), without = pasts(store)
    assert (past.batch_id, past.models) == ("teachers", ("teacher",))
    assert list(without) == ["killed"]

    again = replay(past, Policy(retry_limit=2))
    # One attempt that nobody made: it passes, or it does not, within its time limit and what it may take beyond.
    assert (again.passed, again.cost.retried, again.cost.unknown) == (None, (1, 2), (1, 2))
    assert again.failed["teacher"] == (1, 2)
    assert again.cost.attempts == (4, 5)
    assert again.cost.cpu_s == (1.5, 1.5 + 2 * 12.0)
    assert again.policy == Policy(0.5, 2, False)
    lenient = replay(past, Policy(max_failure_rate=0.7))
    assert (lenient.passed, lenient.cost.unknown, lenient.cost.attempts) == (True, (0, 0), (3, 3))


def test_a_replay_without_another_policy_is_refused(tmp_path: Path) -> None:
    answer = Home(tmp_path).run("replay")
    assert answer.code == 2
    assert "Say what is otherwise" in answer.err
