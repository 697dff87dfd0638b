"""Claims about Dagster's home: a file of it that cannot be used is named, with the way back, and the way works."""

import os
import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
import yaml

from sensequant_assets.defs.home import (
    DAGSTER_YAML,
    POSTGRES_YAML,
    naming_damage,
    open_instance,
    prepare_home,
    project_yaml,
)
from sensequant_assets.defs.partitions import add_symbols, symbol_partitions
from sensequant_assets.errors import BrokeOffError, UsageError
from sensequant_assets.settings import PROJECT, read_settings
from sensequant_assets_tests.running import leave, within

SYMBOLS = symbol_partitions("five")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that has been used."""
    with pytest.MonkeyPatch.context() as patch:
        leave(patch, tmp_path_factory.mktemp("home"))
        home = prepare_home(read_settings())
        use(home)
        return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it."""
    leave(monkeypatch, tmp_path)
    shutil.copytree(made, tmp_path / "data" / "dagster")
    return prepare_home(read_settings())


def use(home: Path, symbol: str = "AAPL") -> None:
    """Open a home and write to it, as every batch does."""
    with within(60), naming_damage(home), open_instance(home, capture_output=False) as instance:
        add_symbols(instance, SYMBOLS, [symbol])


UNFIT_YAML = {
    "a: [": "while parsing a flow node",
    "- a": "to parse to dictionary",
    "42": "to parse to dictionary",
    "\0": "special characters are not allowed",
    "nonsense: 1": 'unexpected config entry "nonsense"',
    "telemetry: 5": "root:telemetry must be dict",
    "event_log_storage: {module: no.such, class: X}": "Couldn't import module no.such",
    "event_log_storage: {module: sensequant_assets.storage.sqlite, class: X}": "Couldn't find class X",
    "event_log_storage: {module: sensequant_assets.storage.sqlite}": 'Missing required config entry "class"',
    "event_log_storage: {module: pathlib, class: Path}": "class Path in module pathlib",
    "instance_class: {module: pathlib, class: Path}": "has no attribute 'config_schema'",
    "storage: {sqlite: {base_dir: /dev/null/x}}": "Not a directory",
    "storage: {}": "loading dagster storage",
    "storage: {postgres: {postgres_url: {env: NOWHERE_SET}}}": '"NOWHERE_SET" which is not set',
    "concurrency: {pools: {granularity: run, default_limit: -1}}": "pools > default_limit",
    f"a: {'[' * 5000}": "maximum recursion depth",
}


@pytest.mark.parametrize("yaml", UNFIT_YAML, ids=lambda yaml: yaml[:50])
def test_a_dagster_yaml_that_cannot_be_used_is_named_in_a_sentence(home: Path, yaml: str) -> None:
    (home / "dagster.yaml").write_text(yaml)
    with pytest.raises(UsageError) as caught:
        use(home)
    said = str(caught.value)
    assert said.startswith(f"{home}/dagster.yaml cannot be used: ")
    assert UNFIT_YAML[yaml] in said
    assert said.endswith(". Correct it, or delete it to have a new one.")
    assert "Stack Trace" not in said
    assert said.isprintable()


@pytest.mark.parametrize("kind", ["bytes", "directory", "pipe"])
def test_a_dagster_yaml_that_is_no_text_file_is_named_without_waiting(home: Path, kind: str) -> None:
    yaml = home / "dagster.yaml"
    yaml.unlink()
    if kind == "bytes":
        yaml.write_bytes(b"# \xff\n")
    else:
        (Path.mkdir if kind == "directory" else os.mkfifo)(yaml)
    with pytest.raises(
        UsageError, match=r"/dagster\.yaml (cannot be used: 'utf-8' codec|is no regular file\. Correct)"
    ):
        use(home)


def test_an_error_that_is_not_of_dagsters_files_stays_what_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert (home / "dagster.yaml").read_text() == DAGSTER_YAML
    monkeypatch.setattr("dagster.DagsterInstance.local_temp", full)
    with pytest.raises(OSError, match="No space left"):
        use(home)


def garbage(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(20_000))  # noqa: S311  # nothing secret


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def headless(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def rotten(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:4096] + random.Random(2).randbytes(len(content) - 4096))  # noqa: S311  # nothing secret


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("damage", [garbage, cut, headless, rotten, directory, pipe])
@pytest.mark.parametrize("name", ["schedules/schedules.db", "history/runs.db", "history/runs/index.db"])
def test_a_damaged_database_is_named_and_moved_away_it_is_made_anew(
    home: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(home / name)
    with pytest.raises(UsageError) as caught:
        use(home)
    assert str(caught.value).startswith(f"{home / name} is damaged: ")
    assert "Move it away: Dagster makes a new one" in str(caught.value)
    (home / name).rename(home / "away")
    use(home)


@pytest.mark.parametrize("name", ["schedules/schedules.db", "history/runs.db", "history/runs/index.db"])
@pytest.mark.parametrize("table", ["jobs", "runs", "event_logs", "alembic_version"])
def test_a_sound_database_of_another_program_is_named_where_it_cannot_serve(home: Path, name: str, table: str) -> None:
    (home / name).unlink()
    with closing(sqlite3.connect(home / name)) as connection:
        connection.execute(f"CREATE TABLE {table} (x)")
    own = {"schedules/schedules.db": "jobs", "history/runs.db": "runs", "history/runs/index.db": "event_logs"}[name]
    if table not in (own, "alembic_version"):
        # Dagster makes its tables beside the other's.
        ask(home)
        return
    with pytest.raises(UsageError) as caught:
        ask(home)
    assert str(caught.value).startswith(f"{home / name} is damaged: it is another program's, without a column ")
    (home / name).unlink()
    ask(home)


def ask(home: Path) -> None:
    """Read each of a home's databases."""
    with naming_damage(home), open_instance(home, capture_output=False) as instance:
        assert instance.get_runs(limit=1) == []
        assert instance.all_instigator_state() == []
        assert not instance.fetch_materializations(dg.AssetKey("x"), limit=1).records


@pytest.mark.parametrize("kind", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
@pytest.mark.parametrize("name", ["opening.lock", "history/runs/making.lock"])
def test_a_lock_that_is_no_regular_file_is_named_without_waiting(
    home: Path, name: str, kind: Callable[[Path], None]
) -> None:
    (home / name).unlink()
    kind(home / name)
    with pytest.raises(UsageError) as caught:
        use(home)
    assert str(caught.value).startswith(f"{home / name} cannot be locked: ")
    assert str(caught.value).endswith("Remove it; it is made anew.")
    (home / name).rename(home / "away")
    use(home)


def spoil_and_use(home: Path) -> None:
    """Damage a database of an open home, and go on."""
    with open_instance(home, capture_output=False) as instance, naming_damage(home, BrokeOffError):
        garbage(home / "history" / "runs" / "index.db")
        add_symbols(instance, SYMBOLS, ["IBM"])


def test_a_database_that_is_damaged_while_it_is_used_breaks_off(home: Path) -> None:
    with pytest.raises(BrokeOffError, match=r"index\.db is damaged"):
        spoil_and_use(home)


@pytest.mark.parametrize("kind", ["file", "pipe", "loop"])
def test_a_home_that_is_no_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    leave(monkeypatch, tmp_path)
    (tmp_path / "data").mkdir()
    home = tmp_path / "data" / "dagster"
    if kind == "file":
        home.write_text("")
    elif kind == "pipe":
        os.mkfifo(home)
    else:
        home.symlink_to(home)
    with pytest.raises(UsageError, match=r"data/dagster"):
        prepare_home(read_settings())


def test_dagster_finds_the_same_home_where_nobody_names_one() -> None:
    assert (PROJECT / "dagster.yaml").read_text() == project_yaml()
    said = yaml.safe_load(project_yaml())
    paths = [part["config"]["base_dir"] for part in said.values() if "base_dir" in part.get("config", {})]
    assert len(paths) == 5
    assert {tuple(Path(path).parts[:2]) for path in paths} == {("data", "dagster")}


def test_a_new_home_is_in_postgresql_where_a_variable_names_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(monkeypatch, tmp_path)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql://nobody@127.0.0.1:1/none")
    written = prepare_home(read_settings()) / "dagster.yaml"
    assert written.read_text() == POSTGRES_YAML
    monkeypatch.delenv("DAGSTER_POSTGRES_URL")
    prepare_home(read_settings())
    assert written.read_text() == POSTGRES_YAML, "it is written once"


def test_the_docs_name_postgresql_as_a_new_home_does() -> None:
    (block,) = re.findall(r"```yaml\n(storage:.*?)```", (PROJECT / "docs" / "operating.md").read_text(), re.DOTALL)
    assert block in POSTGRES_YAML
    sqlite = re.sub(r"^event_log_storage:\n(?:  .*\n)+", lambda _: block, DAGSTER_YAML, flags=re.MULTILINE)
    assert sqlite == POSTGRES_YAML
