"""Claims about the student."""

import numpy as np
import pytest

from sensequant_assets.core.boosting import effective_parameters
from sensequant_assets.core.judging.metrics import correlation
from sensequant_assets.core.parameters import StudentParameters
from sensequant_assets.core.student import train_student
from sensequant_assets.core.teacher import predict
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import QUICK_STUDENT, random_walk, samples_of

ROWS = np.arange(60, 160)
SAMPLES = samples_of(random_walk(200, 0))


def test_a_student_learns_its_teachers_probabilities_and_not_the_labels():
    # Soft targets that say the opposite of the labels, and never zero or one.
    soft = 0.8 - 0.6 * SAMPLES.label[ROWS]
    student = train_student(SAMPLES, ROWS, soft, StudentParameters(scope="symbol"))
    said = predict(student, SAMPLES.features[ROWS])
    assert correlation(said, soft) > 0.7
    assert said.min() > 0.1
    assert said.max() < 0.9


def test_the_mean_of_a_student_is_the_mean_of_its_soft_targets():
    soft = np.linspace(0.1, 0.3, 100)
    student = train_student(SAMPLES, ROWS, soft, StudentParameters(scope="symbol"))
    assert predict(student, SAMPLES.features[ROWS]).mean() == pytest.approx(0.2, abs=0.005)


def test_a_student_has_no_more_trees_and_leaves_than_asked():
    text = train_student(SAMPLES, ROWS, np.linspace(0.1, 0.9, 100), QUICK_STUDENT).model_to_string()
    assert text.count("\nTree=") == 5
    assert max(int(line.split("=")[1]) for line in text.splitlines() if line.startswith("num_leaves=")) <= 4
    assert effective_parameters(text)["objective"] == "cross_entropy"


def test_twice_the_same_soft_targets_give_the_same_bytes():
    soft = np.linspace(0.1, 0.9, 100)
    texts = {train_student(SAMPLES, ROWS, soft, QUICK_STUDENT).model_to_string() for _ in range(2)}
    assert len(texts) == 1


def test_an_expired_deadline_is_a_timeout():
    with pytest.raises(WindowError) as caught:
        train_student(SAMPLES, ROWS, np.full(100, 0.5), QUICK_STUDENT, expired=lambda: True)
    assert caught.value.kind is FailureKind.TIMEOUT
