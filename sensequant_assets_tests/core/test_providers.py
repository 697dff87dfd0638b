"""Claims about what features are made of."""

from datetime import date

import numpy as np
import pytest

from sensequant_assets.core.bars import Bars
from sensequant_assets.core.features import FEATURE_NAMES, causal_features
from sensequant_assets.core.providers import STANDARD, Provider, features_of
from sensequant_assets.core.samples import build_samples
from sensequant_assets.core.universe import Listing
from sensequant_assets.errors import FailureKind, WindowError
from sensequant_assets_tests.making import random_walk


def squares(bars: Bars, _: date | None) -> dict[str, np.ndarray]:
    return {"square": bars.close**2}


SQUARES = Provider("squares", squares, "d1")


def test_the_features_of_this_package_are_the_first_provider() -> None:
    bars = random_walk(120, 0)
    found = features_of((STANDARD,), bars, date(2020, 1, 1))
    assert found.names == FEATURE_NAMES
    assert found.table.tobytes() == causal_features(bars, date(2020, 1, 1)).tobytes()
    assert found.table.flags.c_contiguous


def test_columns_stand_in_the_order_of_their_providers() -> None:
    bars = random_walk(120, 0)
    found = features_of((SQUARES, STANDARD), bars, None)
    assert found.names == ("square", *FEATURE_NAMES)
    assert found.table[:, 0].tolist() == (bars.close**2).tolist()


@pytest.mark.parametrize("providers", [(), (Provider("none", lambda _bars, _day: {}),)])
def test_without_a_column_there_is_a_row_a_bar(providers: tuple[Provider, ...]) -> None:
    assert features_of(providers, random_walk(5, 0), None).table.shape == (5, 0)


def test_two_columns_of_one_name_are_refused_in_whatever_case() -> None:
    loud = Provider("loud", lambda bars, _day: {"SQUARE": bars.close})
    with pytest.raises(
        WindowError, match=r"The features squares and loud both have a column SQUARE\. Rename one\."
    ) as why:
        features_of((SQUARES, loud), random_walk(5, 0), None)
    assert why.value.kind is FailureKind.CODE_ERROR


def test_samples_of_another_source_are_others_with_the_same_numbers() -> None:
    bars, listing = random_walk(120, 0), Listing("AAA")
    one, same, other = (
        build_samples(bars, listing, 7, 0.0, providers=(STANDARD, provider))
        for provider in (SQUARES, Provider("squares", squares, "d1"), Provider("squares", squares, "d2"))
    )
    assert one.providers == ("standard", "squares d1")
    assert one.feature_names == other.feature_names == (*FEATURE_NAMES, "square")
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_row_without_a_value_of_every_provider_is_not_used() -> None:
    gaps = Provider("gaps", lambda bars, _day: {"hole": np.where(np.arange(len(bars)) % 2, 1.0, np.nan)})
    bars = random_walk(120, 0)
    standard = build_samples(bars, Listing("AAA"), 7, 0.0).usable
    assert build_samples(bars, Listing("AAA"), 7, 0.0, providers=(STANDARD, gaps)).usable.tolist() == [
        bool(used and bar % 2) for bar, used in enumerate(standard)
    ]
