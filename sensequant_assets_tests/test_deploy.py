"""Claims about the files of a deployment: they say the same of a service, and nothing of them is open or secret."""

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from sensequant_assets import __version__
from sensequant_assets.defs.home import EVENT_BATCH_SIZE, POSTGRES_URL
from sensequant_assets.settings import PROJECT

DEPLOY = PROJECT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
HELM: dict[str, Any] = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text())
(CODE,) = HELM["dagster-user-deployments"]["deployments"]
UNITS = {path.stem.removeprefix("sensequant-"): path for path in (DEPLOY / "systemd").glob("*.service")}
OURS = {name: told for name, told in COMPOSE["services"].items() if name != "postgres"}


def unit(name: str) -> dict[str, str]:
    """The section `Service` of a unit."""
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd's names have capitals
    parser.read(UNITS[name])
    return dict(parser["Service"])


@pytest.mark.parametrize("name", OURS)
def test_a_unit_of_systemd_starts_what_compose_starts(name: str) -> None:
    # Within a container every address is its own; on a machine, loopback.
    command = " ".join(OURS[name]["command"]).replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    assert unit(name)["ExecStart"] == f"/opt/sensequant/.venv/bin/{command}"


def test_compose_runs_no_service_as_root_and_lets_it_write_only_where_it_must() -> None:
    assert re.search(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)
    for told in OURS.values():
        assert "user" not in told
        assert (told["read_only"], told["cap_drop"]) == (True, ["ALL"])
        assert told["security_opt"] == ["no-new-privileges:true"]
        assert told["volumes"] == ["data:/var/lib/sensequant"]


def test_compose_listens_on_loopback_alone() -> None:
    published = {name: told["ports"] for name, told in COMPOSE["services"].items() if "ports" in told}
    assert published == {"webserver": ["127.0.0.1:3000:3000"]}


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_of_systemd_is_shut_in(name: str) -> None:
    told = unit(name)
    for key in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "RestrictNamespaces"):
        assert told[key] == "yes"
    assert (told["ProtectSystem"], told["CapabilityBoundingSet"], told["User"]) == ("strict", "", "sensequant")
    assert told["EnvironmentFile"] == "/etc/sensequant/environment"


def test_no_file_of_the_deployment_holds_a_password() -> None:
    for path in filter(Path.is_file, DEPLOY.rglob("*")):
        found = re.findall(r"://\w+:([^@\s]+)@", path.read_text())
        assert set(found) <= {"${POSTGRES_PASSWORD:?set it in the environment}", "secret"}, path
    assert all(line.startswith("#") for line in environment() if "secret" in line)


def environment() -> list[str]:
    return (DEPLOY / "systemd" / "environment").read_text().splitlines()


def test_all_that_the_image_copies_is_there_and_goes_to_docker() -> None:
    sent = [line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert sorted(sent) == sorted(copied)
    assert all((PROJECT / name).exists() for name in copied)


def test_events_go_in_batches_of_one_size_everywhere() -> None:
    said = [
        *re.findall(r"DAGSTER_EVENT_BATCH_SIZE=(\d+)", DOCKERFILE),
        *re.findall(r"DAGSTER_EVENT_BATCH_SIZE=(\d+)", "\n".join(environment())),
        *(each["value"] for each in CODE["env"] if each["name"] == "DAGSTER_EVENT_BATCH_SIZE"),
    ]
    assert said == [str(EVENT_BATCH_SIZE)] * 3


def test_the_chart_is_of_the_pinned_dagster_and_the_image_of_this_version() -> None:
    (pinned,) = re.findall(r"^dagster==(.*)$", (PROJECT / "constraints.txt").read_text(), re.MULTILINE)
    assert f"--version {pinned} " in (DEPLOY / "helm-values.yaml").read_text()
    assert CODE["image"]["tag"] == __version__


def test_pods_run_as_the_user_of_the_image_on_its_volume() -> None:
    (user,) = re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)
    assert CODE["podSecurityContext"] == {
        "runAsNonRoot": True, "runAsUser": int(user), "runAsGroup": int(user), "fsGroup": int(user)
    }  # fmt: skip
    # The chart gives runs the deployment's environment, secrets, volumes and resources, and not its security.
    assert CODE["includeConfigInLaunchedRuns"] == {"enabled": True}
    runs = HELM["runLauncher"]["config"]["k8sRunLauncher"]["runK8sConfig"]
    assert runs["podSpecConfig"]["securityContext"] == CODE["podSecurityContext"]
    assert runs["containerConfig"]["securityContext"] == CODE["securityContext"]
    (volume,) = re.findall(r"^VOLUME (.*)$", DOCKERFILE, re.MULTILINE)
    assert {"name": "data", "mountPath": volume} in CODE["volumeMounts"]


def test_the_database_has_one_variable() -> None:
    assert POSTGRES_URL in COMPOSE["services"]["code"]["environment"]
    assert any(line.startswith(f"#{POSTGRES_URL}=") for line in environment())


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((), "there is no"),
        (("python",), "there is no C++ compiler"),
        (("python", "c++"), "there is no nvcc"),
        (("python", "c++", "nvcc"), "there is no nccl.h"),
    ],
)
def test_lightgbm_with_cuda_is_not_begun_without_what_it_needs_which_is_named(
    tmp_path: Path, there: tuple[str, ...], said: str
) -> None:
    for name in there:
        tool = tmp_path / name
        # Neither compiles: a compiler that is there and finds no header.
        tool.write_text("#!/bin/sh\nexit 1\n")
        tool.chmod(0o755)
    for name in ("dirname", "sh"):
        (tmp_path / name).symlink_to(str(which(name)))
    done = subprocess.run(
        [DEPLOY / "build_lightgbm_cuda.sh"],
        env={"PATH": str(tmp_path), "PYTHON": "python"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"build_lightgbm_cuda.sh: {said}")
    assert done.stderr.count("\n") == 1
