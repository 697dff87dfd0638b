"""Settings from the environment and `.env`, read once; a wrong value names its variable and its bounds."""

import difflib
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, Self, TypeVar, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from sensequant_assets.core.judging.periods import read_periods
from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import BoosterParameters, ModelKind, Scope, StudentParameters, TeacherParameters
from sensequant_assets.core.providers import STANDARD
from sensequant_assets.core.quality.rules import Reaction
from sensequant_assets.core.universe import universe_name
from sensequant_assets.core.windows import Window, build_windows
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import replacing
from sensequant_assets.sources.buckets import cache_of, is_address, looks_like_address, without_password
from sensequant_assets.sources.regular import read_regular, reason
from sensequant_assets.sources.sample import EMBEDDED, SAMPLE
from sensequant_assets.text import brief
from sensequant_assets.watch.cron import is_cron

PROJECT = Path(__file__).resolve().parent.parent

DOTENV = Path(".env")
"""Where variables stand that the environment does not have."""

FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2200, 1, 1)
"""Bounds of a market's days, beyond which a date is a slip, and a span of days may have no end that can be written."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Today = Literal["today"]
"""What an end is that moves with the days."""
TODAY: Today = "today"

MODELS_DIR, TELEMETRY_DIR, NOISE_DIR, CHAMPIONS_DIR = "models", "telemetry", "noise", "champions"
PROFILES_DIR = "profiles"
TUNING_DIR, PRESETS_DIR = "tuning", "presets"
"""Names of directories below the data directory."""

_PREFIX = "SENSEQUANT_"

_PLAIN_VARIABLES = {
    "open_windows": "OPEN_WINDOWS",
    "bars_on_hole": "BARS_ON_HOLE",
    "bars_on_corporate_action": "BARS_ON_CORPORATE_ACTION",
    "max_failure_rate": "BATCH_TRAINING_MAX_FAILURE_RATE",
    "retry_limit": "PARALLEL_RETRY_LIMIT",
    "stalled_after_min": "STALLED_AFTER_MIN",
}
"""Variables by field that need no `SENSEQUANT_`, and are read with it too."""

_LONGEST = 4095
_FORGET = "Delete it; the next batch writes it."

_Model = TypeVar("_Model", bound=BaseModel)
_Parameters = TypeVar("_Parameters", bound=BaseSettings)


def variable_of_setting(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return _PLAIN_VARIABLES.get(field, f"{_PREFIX}{field.upper()}")


def _spellings(field: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([variable_of_setting(field), f"{_PREFIX}{field.upper()}"]))


def _timezone(name: str | None) -> str | None:
    if name is not None:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, no name at all, a directory of zones
            raise ValueError(name) from None
    return name


def _text(value: object) -> object:
    # Text that says nothing is left out, not given; no name of a file is longer or has the character that ends one; and
    # what is no UTF-8 cannot be written down.
    if isinstance(value, str) and (not value.strip() or len(value) > _LONGEST or "\0" in value or not _is_utf8(value)):
        raise ValueError
    return value


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _spelled_day(value: object) -> object:
    # As a number 20240105 would be seconds after 1970.
    if not isinstance(value, date) and not (isinstance(value, str) and _DAY.fullmatch(value)):
        raise ValueError(value)
    return value


def _spelled_end(value: object) -> object:
    return value if value == TODAY else _spelled_day(value)


def _spelled_past(value: object) -> object:
    return None if value is None else _spelled_day(value)


def _day(day: date | Today | None) -> date | Today | None:
    if day is not None and day != TODAY and not FIRST_DAY <= day <= LAST_DAY:
        raise ValueError(day)
    return day


def _cron(line: str) -> str:
    if not is_cron(line):
        raise ValueError(line)
    return line


def _periods(text: str) -> str:
    read_periods(text)
    return text


_OWNER = re.compile(r"team:[\w.-]+( [\w.-]+)*|[A-Za-z0-9_][A-Za-z0-9._%+-]*@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}")
"""What Dagster takes for an owner, less what cannot be read on a page."""


def _owners(owners: str | None) -> str | None:
    if owners is not None and not all(_OWNER.fullmatch(each.strip()) for each in owners.split(",")):
        raise ValueError(owners)
    return owners


def _web_address(url: SecretStr | None) -> SecretStr | None:
    if url is not None:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError
    return url


def _file_system(url: str | None) -> str | None:
    if url is not None and not is_address(url):
        raise ValueError
    return url and url.rstrip("/")


def _no_address(path: object) -> object:
    # As a path it would be a directory of this one, in which all is missing that lies there.
    if looks_like_address(str(path)):
        raise ValueError
    return path


def _bars(place: str) -> str:
    return place.rstrip("/") if is_address(place) else str(_no_address(place))


def _host_and_port(address: str | None) -> str | None:
    if address is not None:
        parts = urlsplit(f"//{address}")
        if not parts.hostname or not parts.port or parts.netloc != address or parts.username is not None:
            raise ValueError
    return address


def today(timezone: str | None = None) -> date:
    """The day that it is in a time zone, or else in UTC."""
    return datetime.now(ZoneInfo(timezone) if timezone else UTC).date()


def _printable(secret: SecretStr | None) -> SecretStr | None:
    # No header of a question has anything else.
    if secret is not None and not (secret.get_secret_value().isascii() and secret.get_secret_value().isprintable()):
        raise ValueError
    return secret


class MarketSettings(Recipe):
    """Which lattice there is: universe, bars and windows, and how bars become rows.

    Each field is an option of the command line and stands in the Launchpad; `market.json` keeps those of the last batch
    for the UI.
    """

    universe: Path = Field(EMBEDDED / f"{SAMPLE}.csv", description="Universe file: symbol, name, listing_date.")
    bars: str = Field(
        SAMPLE, description="File or directory of bars, here or at an address, or 'sample' for the embedded ones."
    )
    timezone: str | None = Field(None, description="Exchange time zone of zoned bars, such as Asia/Kolkata.")
    calendar: str | None = Field(
        None,
        description="Exchange calendar that shows which days all bars lack, such as XBOM; needs exchange_calendars.",
    )
    bars_on_hole: Reaction = Field("flag", description="What becomes of windows that read a hole in their bars.")
    bars_on_corporate_action: Reaction = Field(
        "flag", description="What becomes of windows that read a step of prices, such as a split that nobody took out."
    )
    adjust: Literal["given", "detected"] = Field(
        "given",
        description="By which corporate actions bars are adjusted: those of a file, or also those that are found.",
    )
    corporate_actions: str | None = Field(
        None, description="CSV file of corporate actions by which bars are adjusted: symbol, ex_date, factor."
    )
    symbol_changes: str | None = Field(
        None,
        description="CSV file of renamed symbols: old symbol, new symbol, date; NSE's symbolchange.csv is one.",
    )
    as_of: date | None = Field(
        None, description="Day on which all is taken as it was known then: later bars, listings and renames are undone."
    )
    start: date = Field(date(2009, 1, 1), description="First day of the first window.")
    end: date | Today = Field(
        date(2012, 12, 11), description="Day after the last window; today is the day on which a batch begins."
    )
    window_days: int = Field(180, ge=1, le=3650, description="Calendar days a window.")

    _spelled_text = field_validator("*", mode="before")(_text)
    _spelled_start = field_validator("start", mode="before")(_spelled_day)
    _spelled_past = field_validator("as_of", mode="before")(_spelled_past)
    _spelled_last = field_validator("end", mode="before")(_spelled_end)
    _bars_place = field_validator("bars")(_bars)
    _bounded_days = field_validator("start", "end", "as_of")(_day)
    _known_timezone = field_validator("timezone")(_timezone)

    @property
    def universe_name(self) -> str:
        """Name of the universe; `UsageError` if its file's stem is none."""
        return universe_name(self.universe.stem)

    @property
    def rolls(self) -> bool:
        """Whether the end moves with the days."""
        return self.end == TODAY

    @property
    def windows(self) -> tuple[Window, ...]:
        """The windows as of this moment; `UsageError` if none fits."""
        return build_windows(self.start, self.until, self.window_days)

    @property
    def until(self) -> date:
        """The day after the last window; of an end that rolls, the day as of which all is taken.

        That is this very day, in the exchange's time zone or else in UTC, unless an earlier one is asked for.
        """
        return (self.as_of or today(self.timezone)) if self.end == TODAY else self.end

    def dated(self, recorded: str | None = None) -> Self:
        """The same with an end that stays: its own, or for one that rolls the one on record, else this very day."""
        if not self.rolls:
            return self
        day = self.until if recorded is None else _day(date.fromisoformat(recorded))
        return self.model_copy(update={"end": day})

    @property
    def recipe(self) -> Recipe:
        """How bars become labelled rows."""
        return Recipe.model_construct(**{name: getattr(self, name) for name in Recipe.model_fields})

    @property
    def market(self) -> dict[str, Any]:
        """The settings that say which lattice there is, as JSON values."""
        return self.model_dump(mode="json", include=set(MarketSettings.model_fields))


class Settings(MarketSettings, BaseSettings):
    """Where things are, which lattice there is, and how a batch runs (environment: `SENSEQUANT_*`)."""

    model_config = SettingsConfigDict(
        alias_generator=AliasGenerator(validation_alias=lambda field: AliasChoices(*_spellings(field))),
        env_prefix=_PREFIX,
        env_file=DOTENV,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    data_dir: Path = Field(
        Path("data"),
        description="Models, telemetry and Dagster's home lie below it. Of an address it is a cache on this disk, and "
        "SENSEQUANT_REMOTE that address.",
    )
    features: str = Field(
        STANDARD.name,
        description="Providers of features: standard, names of entry points, and functions of Python files.",
    )
    workers: int = Field(0, ge=0, le=1024, description="Windows trained at once; 0 is the number of cores.")
    engine: Literal["local", "ray"] = Field(
        "local", description="Who trains: threads of this process, or a Ray cluster (extra `ray`)."
    )
    engine_address: str | None = Field(
        None, description="Address of the Ray cluster, such as 10.0.0.5:6379; without one it is started here."
    )
    remote: str | None = Field(
        None,
        description="Address of a copy of models, champions and journals, such as s3://bucket/name, from which others "
        "go on.",
    )
    run_size: int = Field(0, ge=0, le=1_000_000, description="Most windows a run of a UI backfill; 0 is no limit.")
    partition_by: Literal["pair", "block"] = Field(
        "pair", description="What a partition of the models is in Dagster: a pair, or a window of a block of symbols."
    )
    block_size: int = Field(
        100,
        ge=2,
        le=1000,
        description="Symbols a block, where `SENSEQUANT_PARTITION_BY` is block; its last has the rest.",
    )
    window_timeout_s: float = Field(600, gt=0, le=604_800, description="Seconds after which a window fails.")
    max_failure_rate: float = Field(0.15, ge=0, le=1, description="Greatest share of attempted windows that may fail.")
    allow_shrink: bool = Field(
        False,
        description="Let the universe lose symbols that have models, more than a tenth of its symbols, or codes by "
        "which a vendor was asked.",
    )
    stop_early: bool = Field(
        False, description="End a batch as soon as it is certain that more windows fail than allowed."
    )
    device_fallback: bool = Field(
        False, description="Let the CPU train the teachers that no device can, and say so of each."
    )
    retry_limit: int = Field(
        3,
        ge=0,
        le=10,
        description="Most attempts at a window in one batch, the first included; the retry sensor makes the others.",
    )
    retry_backoff_s: float = Field(
        60, gt=0, le=86_400, description="Seconds before the second attempt; doubled for each further."
    )
    stalled_after_min: float = Field(
        30, gt=0, le=525_600, description="Minutes without a sign of life after which a running batch is stalled."
    )
    run_start_limit_s: float = Field(
        180,
        gt=0,
        le=604_800,
        description="Seconds after which a started run without a telemetry record is taken for dead.",
    )
    sensor_interval_s: int = Field(30, ge=5, le=86_400, description="Seconds between two looks of a sensor, at least.")
    cost_bp: float = Field(
        25, ge=0, le=10_000, description="Costs of a round trip that evaluations take off returns, in basis points."
    )
    top: int = Field(
        10, ge=1, le=10_000, description="Symbols that a backtest buys at a time: those with the highest probability."
    )
    price_band: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share by which a price can move from its last close, as 20 % on NSE: a backtest buys and sells "
        "nothing at such a limit. 0 is none.",
    )
    stress_periods: str = Field(
        "crash of 2008: 2008-09-01/2009-03-09, downgrade of 2011: 2011-07-25/2011-10-04, crash of March 2020: "
        "2020-02-19/2020-04-09, rate shock of 2022: 2022-01-03/2022-10-14, Adani report: 2023-01-24/2023-02-28, Indian "
        "election: 2024-06-03/2024-06-04, carry unwind: 2024-08-01/2024-08-07, tariffs: 2025-04-02/2025-04-11",
        description="Periods of the past in which a stress test looks at predictions.",
    )
    stress_max_drawdown: float = Field(
        0.2, ge=0, le=1, description="Deepest fall of the portfolio with which it passes a period of a stress test."
    )
    stress_min_answered: float = Field(
        0.9, ge=0, le=1, description="Least share of the symbols that have a prediction under a shock of a stress test."
    )
    stress_max_change: float = Field(
        0.1, ge=0, le=1, description="Change of a probability by a shock that a stress test allows without a flag."
    )
    noise_windows: int = Field(
        250,
        ge=0,
        le=100_000,
        description="Windows that the noise twin of an evaluation has, about; with 0 there is none, and no noise band.",
    )
    nightly_cron: str = Field("30 18 * * 1-5", description="When the schedule `nightly` retrains the open windows.")
    weekly_cron: str = Field("0 3 * * 0", description="When the schedule `weekly` retrains the whole lattice.")
    predict_cron: str = Field(
        "0 19 * * 1-5", description="When the schedule `daily_predictions` lets the champion predict."
    )
    on_degraded: Literal["alert", "rollback"] = Field(
        "alert", description="What monitoring does about a champion that is surely worse than at its promotion."
    )
    prune_cron: str = Field("0 4 * * *", description="When the schedule `prune` removes what old batches leave behind.")
    prune_keep_batches: int = Field(
        50, ge=1, le=1_000_000, description="So many of the newest batches it leaves as they are, whatever their age."
    )
    prune_older_than_d: float = Field(
        30, ge=0, le=36_500, description="Days that a batch is left as it is after its last sign of life."
    )
    schedule_timezone: str = Field("UTC", description="Time zone of the schedules.")
    owners: str | None = Field(
        None, description="Who owns the assets, as the UI shows and filters by, separated by commas."
    )
    webhook_url: SecretStr | None = Field(
        None, description="Where sensors, and `backfill --notify`, post what a person must know; a secret."
    )
    vendor_url: SecretStr | None = Field(
        None, description="Address that `ingest` asks in place of the vendor's, such as a mirror's; a secret."
    )
    vendor_pause_s: float = Field(
        0.7, ge=0, le=3600, description="Seconds between two questions to a vendor, at least."
    )
    breeze_key: SecretStr | None = Field(None, description="Key of the application by which Breeze is asked; a secret.")
    breeze_session: SecretStr | None = Field(
        None, description="Session of the day, as Breeze gives it after a login; a secret."
    )

    _spelled_settings = field_validator("*", mode="before")(_text)
    _known_schedule_timezone = field_validator("schedule_timezone")(_timezone)
    _coming = field_validator("nightly_cron", "weekly_cron", "predict_cron", "prune_cron")(_cron)
    _known_periods = field_validator("stress_periods")(_periods)
    _known_owners = field_validator("owners")(_owners)
    _sayable = field_validator("breeze_key", "breeze_session")(_printable)
    _addresses = field_validator("webhook_url", "vendor_url")(_web_address)
    _remote_address = field_validator("remote")(_file_system)
    _local = field_validator("data_dir", mode="before")(_no_address)
    _reachable = field_validator("engine_address")(_host_and_port)

    @model_validator(mode="before")
    @classmethod
    def _kept_here(cls, given: Any) -> Any:
        """Of a data directory at an address a cache on this disk, of which that address is the copy."""
        names = {
            field: [name for name in (*_spellings(field), field) if given.get(name) is not None]
            for field in ("data_dir", "remote")
        }
        if not names["data_dir"] or not is_address(address := str(given[names["data_dir"][0]])):
            return given
        address = address.rstrip("/")
        if others := {str(given[name]).rstrip("/") for name in names["remote"]} - {address}:
            raise UsageError(
                f"SENSEQUANT_DATA_DIR={address} and SENSEQUANT_REMOTE={without_password(others.pop())} name two copies "
                "of one data directory. Unset SENSEQUANT_REMOTE, or give SENSEQUANT_DATA_DIR a path on this disk."
            )
        taken = {*names["data_dir"], *names["remote"]}
        return {name: value for name, value in given.items() if name not in taken} | {
            "data_dir": cache_of(address, "data"),
            "remote": address,
        }

    @property
    def is_cache(self) -> bool:
        """Whether the data directory is what is kept here of an address."""
        return self.remote is not None and self.data_dir == cache_of(self.remote, "data")

    @property
    def worker_count(self) -> int:
        """Windows trained at once: `workers`, or the cores this process may use."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or usable

    @property
    def symbols_a_partition(self) -> int:
        """Symbols that share a partition of the models; 0 where each pair has its own."""
        return self.block_size if self.partition_by == "block" else 0

    @property
    def owner_names(self) -> tuple[str, ...]:
        """Who owns the assets, each once; nobody unless it is told."""
        return tuple(dict.fromkeys(each.strip() for each in (self.owners or "").split(",") if each))

    @property
    def dagster_home(self) -> Path:
        """Directory of the Dagster instance, absolute."""
        return self.data_dir.resolve() / "dagster"

    @property
    def models_dir(self) -> Path:
        """Directory of the models of all universes."""
        return self.data_dir / MODELS_DIR

    @property
    def telemetry_dir(self) -> Path:
        """Directory of the telemetry."""
        return self.data_dir / TELEMETRY_DIR

    @property
    def noise_dir(self) -> Path:
        """Directory of the noise twins."""
        return self.data_dir / NOISE_DIR

    @property
    def champions_dir(self) -> Path:
        """Directory of the champions of all universes."""
        return self.data_dir / CHAMPIONS_DIR

    @property
    def profiles_dir(self) -> Path:
        """Directory of what profiles train, and of their noise twins."""
        return self.data_dir / PROFILES_DIR

    @property
    def tuning_dir(self) -> Path:
        """Directory of the studies of `sensequant tune`."""
        return self.data_dir / TUNING_DIR

    @property
    def presets_dir(self) -> Path:
        """Directory of the presets that they end with."""
        return self.data_dir / PRESETS_DIR

    @property
    def market_file(self) -> Path:
        """File that keeps the lattice of the last batch."""
        return self.data_dir / "market.json"


_VARIABLES = tuple(dict.fromkeys(choice for name in Settings.model_fields for choice in _spellings(name)))
_OTHERS = ("SENSEQUANT_TEST_CHROMIUM", "SENSEQUANT_TEST_OUTPUT")
"""Variables of that prefix that are no settings: what tests read."""

SECRETS = frozenset(
    spelling
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
    for spelling in _spellings(name)
)
"""Variables whose values are shown nowhere."""


def _also_spelled(short: str, variable: str, model: type[BaseModel], field: str) -> Any:
    """A field of parameters that has a second variable, without their prefix."""
    spelled = copy(model.model_fields[field])
    spelled.validation_alias = AliasChoices(variable, short)
    return spelled


class _TeacherEnvironment(TeacherParameters, BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="TEACHER_", env_file=DOTENV, extra="ignore", frozen=True, populate_by_name=True
    )

    pool_history: str = _also_spelled("POOL_HISTORY", "TEACHER_POOL_HISTORY", TeacherParameters, "pool_history")
    early_life: Literal["pool", "separate"] = _also_spelled(
        "EARLY_LIFE", "TEACHER_EARLY_LIFE", TeacherParameters, "early_life"
    )


class _TeacherScope(BaseSettings):
    """What students need to know of their teachers."""

    model_config = SettingsConfigDict(env_prefix="TEACHER_", env_file=DOTENV, extra="ignore")

    scope: Scope = TeacherParameters.model_fields["scope"].default


class _StudentEnvironment(StudentParameters, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="STUDENT_", env_file=DOTENV, extra="ignore", frozen=True)


def read_settings(overrides: Mapping[str, Any] | None = None, *, remembered: bool = False) -> Settings:
    """Settings of the environment and `.env`.

    Parameters
    ----------
    overrides
        By field name; they win over the environment. None values are passed over.
    remembered
        Whether the lattice of the last batch stands where neither overrides nor environment say anything: the UI
        then shows what the command line trained.

    Raises
    ------
    UsageError
        Names variable, value and bounds.
    """
    for name in _variables():
        if name.upper().startswith(_PREFIX) and name.upper() not in _OTHERS:
            _refuse_unknown(name, "setting", name.upper(), _VARIABLES)
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = _validated(Settings, given, variable_of_setting)
    kept = _last_market(settings.market_file) if remembered else {}
    return (
        _validated(Settings, kept | settings.model_dump(exclude_unset=True), variable_of_setting) if kept else settings
    )


def _last_market(file: Path) -> dict[str, Any]:
    """The market of the last batch by field name, each as it is written there; nothing before the first batch."""
    if not os.path.isdir(file.parent):  # noqa: PTH112  # a path's own method raises where a name is too long
        return {}
    try:
        kept = json.loads(read_regular(file))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else reason(error)
        raise UsageError(f"{file} cannot be read: {why}. {_FORGET}") from error
    if not isinstance(kept, dict):
        raise UsageError(f"{file} holds no market, which is an object of settings. {_FORGET}")
    kept = {name: kept[name] for name in MarketSettings.model_fields if name in kept}
    try:
        _validated(MarketSettings, kept, lambda field: f"{file}: {field}")
    except UsageError as error:
        raise UsageError(f"{error} {_FORGET}") from None
    return kept


def read_market(values: Mapping[str, Any]) -> MarketSettings:
    """The market of these values by field name, and of nothing else; a wrong one is told as for `read_settings`."""
    return _validated(MarketSettings, values, variable_of_setting)


def read_teacher(overrides: Mapping[str, Any] | None = None) -> TeacherParameters:
    """Teacher parameters of the environment (`TEACHER_*`) and `.env`, with overrides by field name."""
    return _read_parameters(_TeacherEnvironment, overrides)


def read_student(overrides: Mapping[str, Any] | None = None, scope: Scope | None = None) -> StudentParameters:
    """Student parameters of the environment (`STUDENT_*`) and `.env`, with overrides by field name.

    `scope` is that of their teachers, by default the environment's: students share it where nothing is said of theirs.
    """
    student = _read_parameters(_StudentEnvironment, overrides)
    if "scope" in student.model_fields_set:
        return student
    shared = scope or _validated(_TeacherScope, {}, lambda _: "TEACHER_SCOPE").scope
    return _read_parameters(_StudentEnvironment, {**(overrides or {}), "scope": shared})


def read_parameters(model: type[_Model], values: Mapping[str, Any]) -> _Model:
    """The parameters of these values by field name, and of nothing else; a wrong one is told as for `read_settings`."""
    family = "TEACHER" if issubclass(model, TeacherParameters) else "STUDENT"
    return _validated(model, values, lambda field: f"{family}_{field.upper()}")


def parse_overrides(texts: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Sort `--param K=V` texts into teacher and student overrides.

    Parameters
    ----------
    texts
        `TEACHER_NUM_LEAVES=31`, `STUDENT_N_ESTIMATORS=80`.

    Raises
    ------
    UsageError
        No `=`, a name that does not say whose it is, or one that its model does not have.
    """
    found: dict[str, dict[str, str]] = {"teacher": {}, "student": {}}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--param {text} has no value; write for example --param TEACHER_NUM_LEAVES=31.")
        plain = _plain(name)
        if plain.partition("_")[0] not in found:
            raise UsageError(
                f"--param {text} does not say whose it is; write TEACHER_{plain.upper()}={value} or "
                f"STUDENT_{plain.upper()}={value}."
            )
        model, field = parameter_named(name, "--param")
        found[model][field] = value.strip()
    return found["teacher"], found["student"]


def parameter_named(name: str, option: str) -> tuple[ModelKind, str]:
    """The model and field of a parameter as a person spells it; a name without prefix is the teacher's.

    Raises
    ------
    UsageError
        Neither model has it; `option` is where it was given.
    """
    models: dict[ModelKind, type[BoosterParameters]] = {"teacher": TeacherParameters, "student": StudentParameters}
    plain = _plain(name)
    model: ModelKind = "student" if plain.startswith("student_") else "teacher"
    field = plain.removeprefix(f"{model}_")
    _refuse_unknown(f"{option} {name}", "parameter", field.upper(), _upper(models[model]))
    return model, field


def _plain(name: str) -> str:
    return name.strip().lower().replace(".", "_")


def _read_parameters(model: type[_Parameters], overrides: Mapping[str, Any] | None) -> _Parameters:
    prefix = model.model_config["env_prefix"]
    for name in _variables():
        if name.upper().startswith(prefix):
            _refuse_unknown(name, "parameter", name.upper().removeprefix(prefix), _upper(model))
    return _validated(model, dict(overrides or {}), lambda field: f"{prefix}{field.upper()}")


def is_setting(variable: str) -> bool:
    """Whether an environment variable is a setting or a parameter, known or not."""
    name = variable.upper()
    shorts = ("POOL_HISTORY", "EARLY_LIFE", *_PLAIN_VARIABLES.values())
    return name.startswith((_PREFIX, "TEACHER_", "STUDENT_")) or name in shorts


def _variables() -> set[str]:
    """Names of the variables of the environment and `.env`.

    Raises
    ------
    UsageError
        `.env` cannot be read.
    """
    try:
        # A directory of that name is somebody's virtual environment.
        text = "" if DOTENV.is_dir() else read_regular(DOTENV).decode()
    except FileNotFoundError:
        text = ""
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{DOTENV.absolute()} cannot be read: {reason(error)}. It holds NAME=value lines in UTF-8."
        ) from error
    return {*os.environ, *dotenv_values(stream=io.StringIO(text))}


def _upper(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(name.upper() for name in model.model_fields)


def _refuse_unknown(shown: str, what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"{shown} is no {what}. {hint}There are: {', '.join(known)}.")


def _validated(model: type[_Model], given: Mapping[str, Any], variable: Callable[[str], str]) -> _Model:
    try:
        return model(**given)
    except ValidationError as error:
        # A value of several kinds is wrong once for each of them.
        sentences = dict.fromkeys(_sentence(model, found, variable) for found in error.errors())
        raise UsageError(" ".join(sentences)) from None


def _sentence(model: type[BaseModel], found: Mapping[str, Any], variable: Callable[[str], str]) -> str:
    location = str(found["loc"][0]) if found["loc"] else ""
    aliases = {str(variable(name)): name for name in model.model_fields}
    field = aliases.get(location, location)
    bounds = describe_bounds(model, field)
    value = "***" if variable(field) in SECRETS else brief(without_password(str(found["input"])))
    return f"{variable(field)}={value} is not allowed: it must be {bounds}."


def describe_default(model: type[BaseModel], field: str) -> str:
    """A field's default as text, a path of the project as seen from there; empty where there is none."""
    default = model.model_fields[field].default
    if isinstance(default, Path) and default.is_absolute():
        default = default.relative_to(PROJECT)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


_A_DAY = f"a date like 2022-01-01 in [{FIRST_DAY}, {LAST_DAY}]"
_WORDS = {
    "bars": f"a path, an address like s3://bucket/name, or {SAMPLE}",
    "data_dir": "a path or an address like s3://bucket/name",
    "timezone": "a time zone like Asia/Kolkata",
    "calendar": "a calendar like XBOM",
    "corporate_actions": "a path",
    "end": f"{_A_DAY}, or {TODAY}",
    "symbol_changes": "a path",
    "as_of": _A_DAY,
    "schedule_timezone": "a time zone like Asia/Kolkata",
    "nightly_cron": "a cron line like 30 18 * * 1-5",
    "weekly_cron": "a cron line like 30 18 * * 1-5",
    "predict_cron": "a cron line like 30 18 * * 1-5",
    "prune_cron": "a cron line like 30 18 * * 1-5",
    "pool_history": "all, or a whole number in [1, 9999]",
    "gpu_device_ids": "all, or whole numbers in [0, 7] separated by commas",
    "features": "names and file.py:function, separated by commas",
    "stress_periods": "NAME: FIRST/LAST, separated by commas",
    "owners": "team:name or e-mail addresses, separated by commas",
    "engine_address": "host:port",
    "remote": "an address like s3://bucket/name",
    "webhook_url": "an http or https address",
    "vendor_url": "an http or https address",
    "breeze_key": "printable ASCII",
    "breeze_session": "printable ASCII",
}
"""What text a field takes, where its type does not say so."""


def describe_bounds(model: type[BaseModel], field: str) -> str:
    """What values a field takes, in words: `a whole number in [2, 1024]`."""
    return bounds_in_words(field, model.model_fields[field])


def bounds_in_words(field: str, info: FieldInfo) -> str:
    """What values a field of this name takes, likewise."""
    limits: dict[str, Any] = {}
    for constraint in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(constraint, name):
                limits[name] = getattr(constraint, name)
    choices = getattr(info.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(choices)
    kinds: dict[Any, str] = {
        int: "a whole number", float: "a number", bool: "true or false", Path: "a path",
        date: _A_DAY,
    }  # fmt: skip
    kind = _WORDS.get(field) or kinds[info.annotation]
    if not limits:
        return kind
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits.get('gt', '-inf')}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits.get('lt', 'inf')})"
    return f"{kind} in {low}, {high}"


_WRITTEN = (
    ".", "bars", "features", MODELS_DIR, TELEMETRY_DIR, f"{TELEMETRY_DIR}/shards", "dagster", "dagster/history",
    "dagster/history/runs", "dagster/schedules",
)  # fmt: skip
"""Directories below the data directory that a batch writes to, where they are there already."""


def prepare_data_dir(settings: Settings) -> None:
    """Make the data directory, and see that files can be written in it and in the directories that it has.

    Raises
    ------
    UsageError
        They cannot.
    """
    directory = settings.data_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name in _WRITTEN:
            directory = settings.data_dir / name
            if directory.exists():
                with TemporaryFile(dir=directory):
                    pass
    except OSError as error:
        why = "it is no directory" if isinstance(error, (FileExistsError, NotADirectoryError)) else reason(error)
        raise UsageError(
            f"Nothing can be written in {directory}: {why}. Mend that, or give another data directory with "
            "SENSEQUANT_DATA_DIR."
        ) from error


def remember_market(settings: Settings) -> None:
    """Keep which lattice the last batch had, so that the UI shows the same one; an error is as of `read_settings`.

    An earlier day is asked for anew each time: no schedule is to go on with it.
    """
    file = settings.market_file
    try:
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(absolute_market(settings.market | {"as_of": None}), indent=1))
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {reason(error)}. {_FORGET}") from error


_PATHS = ("universe", "bars", "corporate_actions", "symbol_changes")


def absolute_market(market: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a market with paths that mean the same in every directory."""
    return {**market, **{name: _absolute(market[name]) for name in _PATHS if market[name] not in (None, SAMPLE)}}


def _absolute(place: str) -> str:
    return place if is_address(place) else str(Path(place).resolve())


def environment(settings: Settings) -> Mapping[str, str]:
    """The market of settings as environment variables, for a process that reads them anew."""
    variables = {"SENSEQUANT_DATA_DIR": str(settings.data_dir.resolve())}
    if settings.remote is not None:
        variables["SENSEQUANT_REMOTE"] = settings.remote
    for name, value in absolute_market(settings.market).items():
        if value is not None:
            variables[variable_of_setting(name)] = str(value)
    return variables
