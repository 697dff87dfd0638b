"""Claims about the choice of an engine; none starts one."""

import socket
from pathlib import Path

import pytest

from sensequant_assets.batch.engines.engine import Local, opened_engine, require_engine
from sensequant_assets.core.parameters import TeacherParameters
from sensequant_assets.errors import UsageError
from sensequant_assets.settings import read_settings
from sensequant_assets_tests.running import FEW, Home, free_port, leave

TEACHER = TeacherParameters()


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, tmp_path)


def test_without_a_word_threads_of_this_process_train() -> None:
    require_engine(read_settings(), TEACHER)
    with opened_engine(read_settings(), 3) as engine:
        assert engine == Local(3)
        assert engine.call(lambda expired: expired(), lambda: True) is True
        assert (engine.name, engine.far_cpu_s, engine.losses) == ("local", 0.0, ())


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'sensequant-assets\[ray\]'.*SENSEQUANT_ENGINE=local"):
        require_engine(read_settings({"engine": "ray"}), TEACHER)


def test_a_cluster_trains_on_no_gpu() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with pytest.raises(UsageError, match="Set TEACHER_DEVICE_TYPE=cpu"):
        require_engine(read_settings({"engine": "ray"}), TeacherParameters(device_type="gpu"))


def test_an_address_at_which_somebody_answers_is_taken() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_engine(
            read_settings({"engine": "ray", "engine_address": f"127.0.0.1:{server.getsockname()[1]}"}), TEACHER
        )


def test_a_batch_ends_with_2_before_any_window_where_nobody_answers(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    address = f"127.0.0.1:{free_port()}"
    asked = {"SENSEQUANT_ENGINE": "ray", "SENSEQUANT_ENGINE_ADDRESS": address}
    refused = Home(tmp_path).run("backfill", *FEW, **asked)
    assert refused.code == 2
    assert refused.err == (
        f"sensequant: No Ray cluster can be reached at SENSEQUANT_ENGINE_ADDRESS={address}: connection refused. Start "
        "one with `ray start --head --port=6379`, join it on this machine with "
        f"`ray start --address={address}`, or leave the address out to start one here.\n"
    )
    assert not (tmp_path / "data" / "models").exists()
