"""Claims about what a command ends with: its exit code, one sentence, and for a fault a log without secrets."""

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sensequant_assets.cli.faults import describe, without_secrets
from sensequant_assets.cli.main import exit_code_of, main
from sensequant_assets.errors import BrokeOffError, Exit, FailureKind, StoppedError, UsageError, WindowError
from sensequant_assets_tests.running import FEW, Home, finish, leave


@pytest.fixture(autouse=True)
def _away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave(monkeypatch, tmp_path)


def raising(error: BaseException) -> Callable[[], Any]:
    """A command that raises."""

    def command() -> Any:
        raise error

    return command


SAID = {
    UsageError("no"): (2, "sensequant: no"),
    click.UsageError("no such option"): (2, "no such option"),
    click.FileError("f", "cannot be opened"): (2, "cannot be opened"),
    BrokeOffError("it broke off"): (3, "sensequant: it broke off"),
    WindowError(FailureKind.TIMEOUT, "too slow"): (3, "sensequant: too slow"),
    StoppedError("stopped"): (130, "sensequant: stopped"),
    click.Abort(): (130, "sensequant: interrupted."),
    KeyboardInterrupt(): (130, "sensequant: interrupted."),
    BrokenPipeError(): (141, ""),
    KeyError("x"): (3, "sensequant: KeyError: 'x' - a fault of the program or of its machine; its traceback is in "),
    MemoryError(): (3, "sensequant: MemoryError - a fault"),
    OSError(28, "No space left on device"): (3, "sensequant: OSError: [Errno 28] No space left on device - a fault"),
    SystemExit(1): (3, "sensequant: SystemExit: 1 - a fault"),
}


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_each_error_has_its_exit_code_and_one_sentence(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = SAID[error]
    assert exit_code_of(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err if said else not captured.err
    assert "Traceback" not in captured.err


def test_what_a_command_gives_back_is_its_exit_code() -> None:
    assert exit_code_of(lambda: None) == 0
    assert exit_code_of(lambda: Exit.EXCEEDED) == 1


def log_of(said: str) -> Path:
    """The log that a sentence names."""
    return Path(re.findall(r"its traceback is in (\S+\.log)", said)[0])


def test_a_log_in_the_data_directory_holds_the_traceback_for_its_owner_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    exit_code_of(raising(RuntimeError("bang")))
    log = log_of(capsys.readouterr().err)
    assert log.parent == tmp_path / "data" / "faults"
    assert "Traceback (most recent call last)" in log.read_text()
    assert log.read_text().endswith("RuntimeError: bang\n")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


@pytest.mark.parametrize("directory", ["/proc/nowhere", "file", "x" * 5000])
def test_a_log_lies_among_temporary_files_where_the_data_directory_cannot_be_written(
    directory: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", directory)
    exit_code_of(raising(RuntimeError("bang")))
    log = log_of(capsys.readouterr().err)
    assert log.parent == tmp_path / "temporary"
    assert "bang" in log.read_text()


def test_where_no_log_can_be_written_the_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    monkeypatch.setenv("SENSEQUANT_DATA_DIR", "/proc/nowhere")
    assert exit_code_of(raising(RuntimeError("bang"))) == 3
    assert "no file can be written that would hold its traceback" in capsys.readouterr().err


SECRET = {
    "AWS_SECRET_ACCESS_KEY": ("hunter2-swordfish", "hunter2-swordfish"),
    "GITHUB_TOKEN": ("ghp_abcdef", "ghp_abcdef"),
    "SENSEQUANT_WEBHOOK_URL": ("https://hooks.example/T0/B1/topsecret", "T0/B1/topsecret"),
    "sensequant_webhook_url": ("https://hooks.example/T0/B1/topsecret", "/T0/B1/topsecret"),
    "DAGSTER_POSTGRES_URL": ("postgresql://me:pa%24%24word@db/dagster", "pa$$word"),
    "ANY_URL": ("postgresql://me:opensesame@db/dagster", "opensesame"),
}


@pytest.mark.parametrize("where", ["environment", "file"])
@pytest.mark.parametrize("name", SECRET)
def test_no_secret_reaches_the_log_or_the_sentence(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    value, secret = SECRET[name]
    if where == "file":
        (tmp_path / ".env").write_text(f"{name}={value}\n")
    else:
        monkeypatch.setenv(name, value)
    try:
        raise ValueError(f"cannot reach {value}")
    except ValueError as cause:
        error = RuntimeError(f"{secret} is wrong")
        error.__cause__ = cause
    exit_code_of(raising(error))
    said = capsys.readouterr().err
    assert "*** is wrong" in said
    for text in (said, log_of(said).read_text()):
        assert secret not in text
        assert value not in text


def test_what_is_no_secret_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_TOKEN", "1")
    text = "1 of 11 windows, https://example.org/path and user@example.org"
    assert without_secrets(text) == text
    assert without_secrets("redis://:word@host/0") == "redis://:***@host/0"


def test_a_long_message_is_cut_to_a_line() -> None:
    said = describe(ValueError("a\nb" + "c" * 1000))
    assert said.startswith("ValueError: a bccc")
    assert len(said) < 350


def test_a_full_disk_under_the_output_is_a_sentence_with_a_log(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        finished = finish(Home(tmp_path).start("plan", "--json", stdout=full))
    assert finished.code == 3
    assert re.fullmatch(r"sensequant: OSError: .*No space left on device - a fault .*\.log\n", finished.err)
    assert log_of(finished.err).is_file()


def test_a_batch_goes_on_when_nobody_looks_on(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.start("backfill", "--symbols", "AAPL", *FEW) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.readline()
        process.stderr.close()
        process.stdout.close()
        assert process.wait(120) == 0
    assert home.rows("SELECT status FROM batches") == [{"status": "succeeded"}]
    assert len(home.models()) == 16


@pytest.mark.parametrize(
    "arguments",
    [
        ("progress", "--interval", "nan"),
        ("progress", "--interval", "inf"),
        ("prune", "--keep-batches", "1", "--older-than", "nan"),
        ("dev", "--port", "99999"),
        ("dev", "--host", ""),
        ("plan", "--symbols", ","),
        ("plan", "--windows", ""),
        ("query", "SELECT '\udcff'"),
    ],
)
def test_an_option_that_says_nothing_is_bad_usage(arguments: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    named = "SQL" if arguments[0] == "query" else arguments[-2]
    assert f"Invalid value for '{named}': " in refused.output.replace(f"for {named}:", f"for '{named}':")
