"""Claims about where servers listen."""

import pytest
from click.testing import CliRunner

from sensequant_assets.cli.addresses import listening, url_of, warn_if_open
from sensequant_assets.cli.main import main
from sensequant_assets.errors import UsageError


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_port_that_is_taken_is_told_before_anything_starts(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        refused = CliRunner().invoke(main, [command, "--port", str(port)])
    assert refused.exit_code == 2
    assert f"Nobody can listen on 127.0.0.1, port {port}: Address already in use. Give another" in refused.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1", "\udcff.example"])
def test_a_host_that_is_none_is_named(host):
    with pytest.raises(UsageError, match="Nobody can listen on "):
        listening(host, 0)


def test_who_may_come_in_is_told_where_that_is_everybody(capsys):
    for host, told in (("127.0.0.1", False), ("::1", False), ("0.0.0.0", True)):  # noqa: S104  # the case itself
        with listening(host, 0) as listener:
            warn_if_open(listener, "train")
            assert capsys.readouterr().err == (
                f"Everybody who reaches {url_of(listener)} can train: there is no password.\n" if told else ""
            )


def test_an_option_that_the_ui_would_not_obey_is_refused():
    refused = CliRunner().invoke(main, ["dev", "--symbols", "TCS"])
    assert (refused.exit_code, "No such option '--symbols'" in refused.output) == (2, True)
