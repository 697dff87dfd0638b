"""`sensequant completion`: the Tab key knows commands and options."""

from pathlib import Path

import click
from click.shell_completion import get_completion_class

from sensequant_assets.cli.console import say
from sensequant_assets.errors import UsageError
from sensequant_assets.sources.regular import read_regular, reason

_VARIABLE = "_SENSEQUANT_COMPLETE"
_STARTS = {
    "bash": (".bashrc", f'eval "$({_VARIABLE}=bash_source sensequant)"'),
    "zsh": (".zshrc", f'eval "$({_VARIABLE}=zsh_source sensequant)"'),
    "fish": (".config/fish/completions/sensequant.fish", f"{_VARIABLE}=fish_source sensequant | source"),
}
"""What each shell reads when it starts, below the home directory, and the line that makes it complete."""


@click.command()
@click.argument("shell", type=click.Choice(list(_STARTS)))
@click.option("--install", is_flag=True, help="Add it to what the shell reads when it starts, once.")
@click.pass_context
def completion(context: click.Context, shell: str, install: bool) -> None:
    """Let the Tab key complete commands and options of `sensequant`.

    \b
    eval "$(sensequant completion bash)"     in this shell
    sensequant completion bash --install     in every new one
    """
    if install:
        return _install(shell)
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(f"click knows no completion for {shell}.")
    for line in made(context.find_root().command, {}, "sensequant", _VARIABLE).source().splitlines():
        say(line)
    return None


def _install(shell: str) -> None:
    name, line = _STARTS[shell]
    file = Path.home() / name
    try:
        try:
            before = read_regular(file).decode()
        except FileNotFoundError:
            before = ""
        if line in before.splitlines():
            say(f"{file} has it already.")
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        # One write at its end leaves the file's mode, its link and its other lines alone.
        with file.open("a") as end:
            end.write(f"{'' if not before or before.endswith(chr(10)) else chr(10)}{line}\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be changed: {reason(error)}. Add this line by hand: {line}") from error
    say(f"{file} has it; a new shell completes.")
