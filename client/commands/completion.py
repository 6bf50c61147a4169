"""`hippocamp completion`: the script that teaches a shell to complete the command."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script: eval "$(hippocamp completion bash)"."""
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"No completion is known for {shell}")
    click.echo(found(ctx.find_root().command, {}, "hippocamp", "_HIPPOCAMP_COMPLETE").source())
