"""The `hippocamp` command: its options for every subcommand, and how an error becomes an exit status."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import click

from client.commands import batch, completion, jobs, model, results, submit, webhook
from client.context import Session
from client.errors import ClientError
from client.exchange import RetryPolicy
from client.exit_codes import Exit, exit_of
from client.version import VERSION


class Program(click.Group):
    """Turns what goes wrong into one line on stderr and a documented exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            click.echo(f"{ctx.info_name}: {error}", err=True)
            ctx.exit(exit_of(error))
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)
        except (FileNotFoundError, ValueError) as error:
            click.echo(f"{ctx.info_name}: {error}", err=True)
            ctx.exit(Exit.USAGE)


def service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the service is, for every program that speaks to it; `ctx.obj` becomes a Session."""

    @click.option("--url", envvar="HIPPOCAMP_URL", default="", help="Address of the service.")
    @click.option(
        "--key", envvar="HIPPOCAMP_API_KEY", default="", help="API key; better given by the variable."
    )
    @click.option(
        "--timeout", default=60.0, show_default=True, help="Seconds of silence before a try counts as lost."
    )
    @click.option(
        "--retries", default=6, show_default=True, help="Tries after the first; waits honour Retry-After."
    )
    @click.pass_context
    @functools.wraps(command)
    def run(ctx: click.Context, url: str, key: str, timeout: float, retries: int) -> None:
        ctx.obj = Session(url, key, timeout, RetryPolicy(retries=retries))
        command()

    return run


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@service_options
def main() -> None:
    """Brain MRI in, a stage of Alzheimer's disease out. Research use only; not for diagnosis.

    HIPPOCAMP_URL and HIPPOCAMP_API_KEY name the service; HTTPS_PROXY and NO_PROXY are honoured.
    """


_COMMANDS: tuple[Callable[..., Any], ...] = (
    submit.submit,
    batch.batch,
    results.result,
    results.watch,
    results.report,
    results.overlay,
    jobs.jobs,
    jobs.cancel,
    jobs.erase,
    webhook.webhook,
    model.model,
    completion.completion,
)
click.version_option(VERSION)(main)
for _command in _COMMANDS:
    main.add_command(_command)  # type: ignore[arg-type]

if __name__ == "__main__":
    sys.exit(main())
