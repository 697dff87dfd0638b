"""Claims about where a teacher is trained when the machine may choose."""

import pytest

from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.core.placement import choose, size_of

AUTO = TeacherParameters(device_type="auto", num_leaves=15, min_child_samples=100, auto_gpu_from=600_000)


def unasked() -> str:
    raise AssertionError("nobody looks for a GPU")


def test_too_few_rows_are_the_cpus_and_nobody_looks_for_a_gpu() -> None:
    choice = choose(AUTO, 39_999, unasked)
    assert not choice.gpu
    assert choice.why == "39,999 rows x 15 leaves = 599,985, below TEACHER_AUTO_GPU_FROM=600000."


def test_rows_enough_are_a_gpus_where_there_is_one() -> None:
    choice = choose(AUTO, 40_000, lambda: "cuda 0 (Acme)")
    assert choice.gpu
    assert choice.why == (
        "40,000 rows x 15 leaves = 600,000, at least TEACHER_AUTO_GPU_FROM=600000, and there is cuda 0 (Acme)."
    )


def test_rows_enough_are_the_cpus_where_there_is_no_gpu() -> None:
    choice = choose(AUTO, 40_000, lambda: "")
    assert not choice.gpu
    assert choice.why.endswith("enough for a GPU, and there is none that LightGBM can use.")


@pytest.mark.parametrize(("rows", "leaves"), [(118, 1), (1_000, 10), (100_000, 15)])
def test_leaves_are_those_that_the_rows_can_make(rows: int, leaves: int) -> None:
    assert size_of(AUTO, rows) == rows * leaves


def test_a_tree_has_no_more_leaves_than_its_depth_allows() -> None:
    assert size_of(AUTO.model_copy(update={"max_depth": 3}), 100_000) == 800_000
