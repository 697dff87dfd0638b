"""Settings from the environment and `.env`, read once; a wrong value names its variable and its bounds."""

import difflib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import AliasChoices, AliasGenerator, BaseModel, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sensequant_assets.core.lattice import Recipe
from sensequant_assets.core.parameters import BoosterParameters, StudentParameters, TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.replacing import replacing
from sensequant_assets.sources.sample import SAMPLE

PROJECT = Path(__file__).resolve().parent.parent

DOTENV = Path(".env")
"""Where variables stand that the environment does not have."""

_PLAIN_VARIABLES = {
    "open_windows": "OPEN_WINDOWS",
    "max_failure_rate": "BATCH_TRAINING_MAX_FAILURE_RATE",
    "retry_limit": "PARALLEL_RETRY_LIMIT",
    "stalled_after_min": "STALLED_AFTER_MIN",
}
"""Variables by field that need no `SENSEQUANT_`, and are read with it too."""

_Model = TypeVar("_Model", bound=BaseModel)
_Parameters = TypeVar("_Parameters", bound=BaseSettings)


def variable_of_setting(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return _PLAIN_VARIABLES.get(field, f"SENSEQUANT_{field.upper()}")


def _spellings(field: str) -> AliasChoices:
    return AliasChoices(*dict.fromkeys([variable_of_setting(field), f"SENSEQUANT_{field.upper()}"]))


def _timezone(name: str | None) -> str | None:
    if name is not None:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, no name at all, a directory of zones
            raise ValueError(name) from None
    return name


class MarketSettings(Recipe):
    """Which lattice there is: universe, bars and windows, and how bars become rows.

    Each field is an option of the command line and stands in the Launchpad; `market.json` keeps those of the last batch
    for the UI.
    """

    universe: Path = Field(
        PROJECT / "data" / "universes" / "sample.csv", description="Universe file: symbol, name, listing_date."
    )
    bars: str = Field(SAMPLE, description="File or directory of bars, or 'sample' for the embedded ones.")
    timezone: str | None = Field(None, description="Exchange time zone of zoned bars, such as Asia/Kolkata.")
    start: date = Field(date(2009, 1, 1), description="First day of the first window.")
    end: date = Field(date(2012, 12, 11), description="Day after the last window.")
    window_days: int = Field(180, ge=1, le=3650, description="Calendar days a window.")

    _known_timezone = field_validator("timezone")(_timezone)

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
        alias_generator=AliasGenerator(validation_alias=_spellings),
        env_prefix="SENSEQUANT_",
        env_file=DOTENV,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    data_dir: Path = Field(Path("data"), description="Models, telemetry and Dagster's home lie below it.")
    workers: int = Field(0, ge=0, le=1024, description="Windows trained at once; 0 is the number of cores.")
    run_size: int = Field(0, ge=0, description="Most windows a run of a UI backfill; 0 is no limit.")
    window_timeout_s: float = Field(600, gt=0, description="Seconds after which a window fails.")
    max_failure_rate: float = Field(0.15, ge=0, le=1, description="Greatest share of attempted windows that may fail.")
    retry_limit: int = Field(
        3,
        ge=0,
        le=10,
        description="Most attempts at a window in one batch, the first included; the retry sensor makes the others.",
    )
    retry_backoff_s: float = Field(60, gt=0, description="Seconds before the second attempt; doubled for each further.")
    stalled_after_min: float = Field(
        30, gt=0, description="Minutes without a sign of life after which a running batch is stalled."
    )
    run_start_limit_s: float = Field(
        180, gt=0, description="Seconds after which a started run without a telemetry record is taken for dead."
    )
    sensor_interval_s: int = Field(30, ge=5, le=86_400, description="Seconds between two looks of a sensor, at least.")
    nightly_cron: str = Field("30 18 * * 1-5", description="When the schedule `nightly` retrains the open windows.")
    weekly_cron: str = Field("0 3 * * 0", description="When the schedule `weekly` retrains the whole lattice.")
    schedule_timezone: str = Field("UTC", description="Time zone of the schedules.")
    webhook_url: SecretStr | None = Field(None, description="Where sensors post what a person must know; a secret.")

    _known_schedule_timezone = field_validator("schedule_timezone")(_timezone)

    @property
    def worker_count(self) -> int:
        """Windows trained at once: `workers`, or the cores this process may use."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or usable

    @property
    def dagster_home(self) -> Path:
        """Directory of the Dagster instance, absolute."""
        return (self.data_dir / "dagster").resolve()

    @property
    def market_file(self) -> Path:
        """File that keeps the lattice of the last batch."""
        return self.data_dir / "market.json"


SECRETS = frozenset(
    spelling
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
    for spelling in (variable_of_setting(name), f"SENSEQUANT_{name.upper()}")
)
"""Variables whose values are shown nowhere."""


class _TeacherEnvironment(TeacherParameters, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TEACHER_", env_file=DOTENV, extra="ignore", frozen=True)


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
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = _validated(Settings, given, variable_of_setting)
    if not remembered or not settings.market_file.is_file():
        return settings
    try:
        kept = json.loads(settings.market_file.read_text())
    except ValueError as error:
        raise UsageError(
            f"{settings.market_file} cannot be read: {error}. Delete it; the next batch writes it."
        ) from error
    kept = {
        name: kept[name]
        for name in MarketSettings.model_fields
        if name in kept and name not in settings.model_fields_set
    }
    return _validated(Settings, kept | given, variable_of_setting)


def read_market(values: Mapping[str, Any]) -> MarketSettings:
    """The market of these values by field name, and of nothing else; a wrong one is told as for `read_settings`."""
    return _validated(MarketSettings, values, variable_of_setting)


def read_teacher(overrides: Mapping[str, Any] | None = None) -> TeacherParameters:
    """Teacher parameters of the environment (`TEACHER_*`) and `.env`, with overrides by field name."""
    return _read_parameters(_TeacherEnvironment, overrides)


def read_student(overrides: Mapping[str, Any] | None = None) -> StudentParameters:
    """Student parameters of the environment (`STUDENT_*`) and `.env`, with overrides by field name."""
    return _read_parameters(_StudentEnvironment, overrides)


def parse_overrides(texts: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Sort `--param K=V` texts into teacher and student overrides.

    Parameters
    ----------
    texts
        `TEACHER_NUM_LEAVES=31`, `STUDENT_N_ESTIMATORS=80`; a name without prefix is the teacher's.

    Raises
    ------
    UsageError
        No `=`, or a name that neither model has.
    """
    found: dict[str, dict[str, str]] = {"teacher": {}, "student": {}}
    models: dict[str, type[BoosterParameters]] = {"teacher": TeacherParameters, "student": StudentParameters}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise UsageError(f"--param {text} has no value; write for example --param TEACHER_NUM_LEAVES=31.")
        plain = name.strip().lower().replace(".", "_")
        model, field = "teacher", plain
        for prefix in models:
            if plain.startswith(f"{prefix}_"):
                model, field = prefix, plain.removeprefix(f"{prefix}_")
        _refuse_unknown(f"--param {name}", field, models[model].model_fields)
        found[model][field] = value.strip()
    return found["teacher"], found["student"]


def _read_parameters(model: type[_Parameters], overrides: Mapping[str, Any] | None) -> _Parameters:
    prefix = model.model_config["env_prefix"]
    for name in {*os.environ, *dotenv_values(DOTENV)}:
        if name.upper().startswith(prefix):
            _refuse_unknown(name, name.upper().removeprefix(prefix).lower(), model.model_fields)
    return _validated(model, dict(overrides or {}), lambda field: f"{prefix}{field.upper()}")


def _refuse_unknown(shown: str, field: str, known: Iterable[str]) -> None:
    known = tuple(known)
    if field not in known:
        near = difflib.get_close_matches(field, known, n=1)
        hint = f"Did you mean {near[0].upper()}? " if near else ""
        raise UsageError(f"{shown} is no parameter. {hint}There are: {', '.join(name.upper() for name in known)}.")


def _validated(model: type[_Model], given: Mapping[str, Any], variable: Callable[[str], str]) -> _Model:
    try:
        return model(**given)
    except ValidationError as error:
        raise UsageError(" ".join(_sentence(model, found, variable) for found in error.errors())) from None


def _sentence(model: type[BaseModel], found: Mapping[str, Any], variable: Callable[[str], str]) -> str:
    location = str(found["loc"][0]) if found["loc"] else ""
    aliases = {str(variable(name)): name for name in model.model_fields}
    field = aliases.get(location, location)
    bounds = describe_bounds(model, field)
    return f"{variable(field)}={found['input']} is not allowed: it must be {bounds}."


def describe_default(model: type[BaseModel], field: str) -> str:
    """A field's default as text, a path of the project as seen from there; empty where there is none."""
    default = model.model_fields[field].default
    if isinstance(default, Path) and default.is_absolute():
        default = default.relative_to(PROJECT)
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def describe_bounds(model: type[BaseModel], field: str) -> str:
    """What values a field takes, in words: `a whole number in [2, 1024]`."""
    info = model.model_fields[field]
    limits: dict[str, Any] = {}
    for constraint in info.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(constraint, name):
                limits[name] = getattr(constraint, name)
    choices = getattr(info.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(choices)
    kinds: dict[Any, str] = {
        int: "a whole number", float: "a number", bool: "true or false", date: "a date like 2022-01-01",
        str | None: "a time zone like Asia/Kolkata",
    }  # fmt: skip
    kind = kinds.get(info.annotation, "valid")
    if not limits:
        return kind
    low = f"[{limits['ge']}" if "ge" in limits else f"({limits.get('gt', '-inf')}"
    high = f"{limits['le']}]" if "le" in limits else f"{limits.get('lt', 'inf')})"
    return f"{kind} in {low}, {high}"


def remember_market(settings: Settings) -> None:
    """Keep which lattice the last batch had, so that the UI shows the same one."""
    file = settings.market_file
    with replacing(file) as temporary:
        temporary.write_text(json.dumps(absolute_market(settings.market), indent=1))


def absolute_market(market: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a market with paths that mean the same in every directory."""
    paths = {name: str(Path(market[name]).resolve()) for name in ("universe", "bars") if market[name] != SAMPLE}
    return {**market, **paths}


def environment(settings: Settings) -> Mapping[str, str]:
    """The market of settings as environment variables, for a process that reads them anew."""
    variables = {"SENSEQUANT_DATA_DIR": str(settings.data_dir.resolve())}
    for name, value in absolute_market(settings.market).items():
        if value is not None:
            variables[variable_of_setting(name)] = str(value)
    return variables
