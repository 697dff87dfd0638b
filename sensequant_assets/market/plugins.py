"""Features as plug-ins: providers that settings name, loaded, and tested before anything is made of what they say."""

import importlib.metadata
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sensequant_assets.core.bars import Bars, Floats
from sensequant_assets.core.providers import STANDARD, Features, Provider, features_of
from sensequant_assets.errors import FailureKind, UsageError, WindowError
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.text import brief

GROUP = "sensequant.features"
"""Entry points of this group are providers, by their names."""

_SUFFIX = ".py"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_TAKEN = ("time", "forward_return", "label")
"""Other columns of the table of features."""

_BARS = {"daily": 600, "intraday": 400}
"""Bars of the histories that plug-ins are tested on: more than two years of days, and ten sessions."""


def providers_of(features: str) -> tuple[Provider, ...]:
    """The providers of features that a setting names, each tested on synthetic bars once in a process.

    Parameters
    ----------
    features
        Separated by commas: `standard`, names of entry points of the group `sensequant.features`, and functions of
        Python files as `path/to/file.py:function`.

    Raises
    ------
    UsageError
        One is not there, cannot be loaded, or is not what a provider must be: it knows the future, says something else
        the second time, or what it returns is no mapping from names to one finite or missing number a bar.
    """
    chosen = tuple(_provider(each.strip()) for each in features.split(","))
    try:
        for bars in _histories() if chosen != (STANDARD,) else ():
            features_of(chosen, bars, None)
    except WindowError as error:
        raise UsageError(str(error)) from error
    return chosen


def _provider(named: str) -> Provider:
    if named == STANDARD.name:
        return STANDARD
    path, colon, function = named.rpartition(":")
    if colon and path.endswith(_SUFFIX):
        try:
            source = read_regular(Path(path)).decode()
        except (OSError, ValueError) as error:
            raise UsageError(f"The features {brief(named)} cannot be read: {reason(error)}.") from error
        return _of_file(path, function, source)
    return _of_entry_point(named)


@lru_cache(maxsize=16)
def _of_file(path: str, function: str, source: str) -> Provider:
    """A function of a file, by its source: other source is another provider."""
    name, digest = f"{Path(path).name}:{function}", _digest(source)
    module = ModuleType(f"sensequant_features_{digest}")
    module.__file__ = path
    # Classes of the module look there for their names.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # a plug-in is code
    except (Exception, SystemExit) as error:
        raise _refused(name, f"cannot be loaded: {_told(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        there = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        raise _refused(name, f"cannot be loaded: {path} has no function {brief(function)}; it has {there or 'none'}")
    return _tested(name, found, digest)


def _of_entry_point(named: str) -> Provider:
    points = importlib.metadata.entry_points(group=GROUP)
    found = {_distribution(point): point for point in points if point.name == named}
    if not found:
        there = ", ".join([STANDARD.name, *sorted(points.names)])
        raise UsageError(
            f"SENSEQUANT_FEATURES names {brief(named) or 'nothing'!r}, which no provider has. There are: {there}. "
            "A function of a file is named as path/to/file.py:function."
        )
    if len(found) > 1:
        raise _refused(named, f"are in more than one distribution: {', '.join(sorted(found))}. Uninstall all but one")
    ((distribution, point),) = found.items()
    return _installed(point, distribution)


def _distribution(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else ""


@lru_cache(maxsize=16)
def _installed(point: importlib.metadata.EntryPoint, distribution: str) -> Provider:
    """A function of an installed distribution, by its version and the source of the function's module."""
    try:
        function = point.load()
        source = inspect.getsource(sys.modules[function.__module__])
    except (Exception, SystemExit) as error:
        raise _refused(point.name, f"cannot be loaded: {_told(error)}") from error
    return _tested(point.name, function, _digest(f"{distribution}\n{point.value}\n{source}"))


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A function of somebody else's, held to what a provider must be.

    Attributes
    ----------
    name
        As errors name it.
    function
        From bars to columns by name.
    names
        Of the columns, of daily (False) and intraday (True) bars, as far as they are known.
    """

    name: str
    function: Any
    names: dict[bool, tuple[str, ...]] = field(default_factory=dict)

    def __call__(self, bars: Bars, _: date | None) -> Mapping[str, Floats]:
        known = self.names.get(bars.intraday)
        if known is not None and not len(bars):
            return {name: np.empty(0) for name in known}
        try:
            # What it divides by zero is seen in what it returns, and what it is given is read by others after it.
            with np.errstate(all="ignore"):
                said = self.function(_read_only(bars))
        except (Exception, SystemExit) as error:
            raise self.refused(f"fail on {_of(bars)}: {_told(error)}") from error
        columns = self._columns(said, bars)
        if known is not None and set(columns) != set(known):
            raise self.refused(f"have other columns on {_of(bars)}: {', '.join(columns)} and not {', '.join(known)}")
        return columns if known is None else {name: columns[name] for name in known}

    def _columns(self, said: object, bars: Bars) -> dict[str, Floats]:
        if not isinstance(said, Mapping):
            raise self.refused(f"return a {type(said).__name__}, not a mapping from names to columns")
        return {self._name(name): self._column(name, values, bars) for name, values in said.items()}

    def _name(self, name: object) -> str:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.lower() in _TAKEN:
            taken = ", ".join(_TAKEN)
            raise self.refused(
                f"name a column {brief(str(name))!r}: a name is a letter and up to 63 letters, digits and underscores, "
                f"and none of {taken}"
            )
        return name

    def _column(self, name: str, values: object, bars: Bars) -> Floats:
        column = np.asarray(values)
        if column.shape != (len(bars),):
            raise self.refused(f"return column {name} of shape {column.shape} for {len(bars)} bars")
        if column.dtype.kind not in "fiub":
            raise self.refused(f"return column {name} of type {column.dtype}, which is no number")
        numbers = column.astype(np.float64)
        if np.isinf(numbers).any():
            at = int(np.argmax(np.isinf(numbers)))
            raise self.refused(
                f"return an infinity in column {name}, at bar {at} of {_of(bars)}; NaN is a missing value"
            )
        return numbers

    def refused(self, why: str) -> WindowError:
        """An error of kind `code_error` that names the plug-in."""
        return WindowError(FailureKind.CODE_ERROR, f"The features {self.name} {why}.")


def _tested(name: str, function: Any, digest: str) -> Provider:
    """A plug-in that has passed what can be tested without a market; `UsageError` where it has not."""
    from sensequant_assets.core.judging.leaks import features_know_no_future

    plugin = _Plugin(name, function)
    try:
        for bars in _histories():
            first, again = _table(plugin, bars), _table(plugin, bars)
            if not np.array_equal(first.table, again.table, equal_nan=True):
                raise plugin.refused(f"say something else of {_of(bars)} when they are asked again")
            plugin.names[bars.intraday] = first.names
            found = features_know_no_future(lambda other: _table(plugin, other).table, [bars], first.names)
            if not found.passed:
                raise plugin.refused(f"know the future: {found.message.removesuffix('.')}")
    except WindowError as error:
        raise UsageError(str(error)) from error
    return Provider(name, plugin, digest)


def _table(plugin: _Plugin, bars: Bars) -> Features:
    return features_of([Provider(plugin.name, plugin)], bars, None)


@cache
def _histories() -> tuple[Bars, ...]:
    """Synthetic bars, daily and of five minutes, some of them without trade."""
    daily, intraday = _BARS.values()
    days = np.datetime64("2020-01-01", "s") + np.arange(daily) * np.timedelta64(86_400, "s")
    sessions, minutes = np.arange(intraday) // 40, np.arange(intraday) % 40 * 5 + 555
    times = (
        np.datetime64("2024-03-04", "s") + sessions * np.timedelta64(86_400, "s") + minutes * np.timedelta64(60, "s")
    )
    return _walk(days, 0), _walk(times, 1)


def _walk(time: np.ndarray[Any, np.dtype[np.datetime64]], seed: int) -> Bars:
    rng, count = np.random.default_rng(seed), len(time)
    still = rng.random(count) < 0.03
    close = 100 * np.exp(np.cumsum(np.where(still, 0.0, rng.normal(0, 0.02, count))))
    opened = np.concatenate([close[:1], close[:-1]])
    spread = np.where(still, 1.0, 1 + rng.random(count) / 50)
    volume = np.where(still, 0.0, rng.integers(1_000, 9_000, count))
    high, low = np.maximum(opened, close) * spread, np.minimum(opened, close) / spread
    return Bars("TEST", time, opened, high, low, close, volume)


def _read_only(bars: Bars) -> Bars:
    views = {name: getattr(bars, name).view() for name in ("time", "open", "high", "low", "close", "volume")}
    for view in views.values():
        view.flags.writeable = False
    return replace(bars, **views)


def _of(bars: Bars) -> str:
    return f"{len(bars)} {'intraday' if bars.intraday else 'daily'} bars of {bars.symbol}"


def _refused(name: str, why: str) -> UsageError:
    return UsageError(f"The features {name} {why}.")


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()).removesuffix('.')}".removesuffix(": ")
