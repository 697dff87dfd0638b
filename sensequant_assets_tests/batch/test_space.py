"""Claims about what may be tuned, and what is refused before anything starts."""

from pathlib import Path

import pytest

from sensequant_assets.batch.space import DEFAULT, Candidate, read_space
from sensequant_assets.core.parameters import StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.running import leave


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("num_leaves=15:255:log", "TEACHER_NUM_LEAVES=15:255:log"),
        ("TEACHER_SUBSAMPLE=0.5:1", "TEACHER_SUBSAMPLE=0.5:1"),
        ("student_max_depth=2:4", "STUDENT_MAX_DEPTH=2:4"),
        ("TEACHER_POOL_HISTORY=all|2|4", "TEACHER_POOL_HISTORY=all|2|4"),
        ("SENSEQUANT_LABEL=threshold|cross_sectional", "SENSEQUANT_LABEL=threshold|cross_sectional"),
        ("SENSEQUANT_HORIZON=5:10", "SENSEQUANT_HORIZON=5:10"),
        ("SENSEQUANT_FEATURES=standard|standard,own.py:mine", "SENSEQUANT_FEATURES=standard|standard,own.py:mine"),
    ],
)
def test_a_space_is_read_as_it_is_written(text: str, read: str) -> None:
    (axis,) = read_space([text], "pool")
    assert str(axis) == read


@pytest.mark.parametrize("scope", ["pool", "symbol"])
def test_the_space_of_a_scope_holds_what_the_scope_has_by_default(scope: str) -> None:
    axes = read_space((), "pool" if scope == "pool" else "symbol")
    assert [str(axis) for axis in axes] == [*DEFAULT["pool" if scope == "pool" else "symbol"]]
    teacher, student = TeacherParameters(scope="pool"), StudentParameters(scope="pool")
    for axis in axes if scope == "pool" else ():
        assert axis.holds(getattr(teacher if axis.owner == "teacher" else student, axis.field)), axis


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["num_leaves"], "has no values"),
        (["nonsense=1:2"], "is no parameter"),
        (["num_leaves=9:3"], "is no range"),
        (["num_leaves=3:9:linear"], "is no range"),
        (["num_leaves=x:y"], "is no range"),
        (["num_leaves=1:9"], "TEACHER_NUM_LEAVES=1 is not allowed"),
        (["learning_rate=0.01:3"], "TEACHER_LEARNING_RATE=3.0 is not allowed"),
        (["early_stopping_rounds=0:9:log"], "must begin above 0"),
        (["seed=1:9"], "cannot be tuned"),
        (["TEACHER_SCOPE=pool|symbol"], "cannot be tuned"),
        (["SENSEQUANT_BARS=a|b"], "cannot be tuned. Of the settings there are"),
        (["SENSEQUANT_LABEL=threshold|magic"], "SENSEQUANT_LABEL=magic is not allowed"),
        (["SENSEQUANT_LABEL=threshold"], "two different values"),
        (["num_leaves=3:9", "TEACHER_NUM_LEAVES=4:8"], "stands in the space twice"),
    ],
)
def test_a_space_that_nothing_can_be_drawn_from_is_refused_in_a_sentence(texts: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_space(texts, "pool")


def test_a_point_has_what_it_is_given_and_else_what_its_base_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    base = Candidate(read_settings(), TeacherParameters(scope="symbol"), StudentParameters(scope="symbol"))
    leaves, label = read_space(["num_leaves=3:9", "SENSEQUANT_LABEL=threshold|cross_sectional"], "symbol")
    point = base.at({leaves: 5, label: "cross_sectional"}, ({"max_depth": "4"}, {"n_estimators": "7"}))
    assert (point.teacher.num_leaves, point.teacher.max_depth, point.student.n_estimators) == (5, 4, 7)
    assert (point.settings.label, base.settings.label) == ("cross_sectional", "threshold")
    assert (point.of(leaves), point.of(label)) == (5, "cross_sectional")
