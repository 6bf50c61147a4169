"""`hippocamp model`: which models answer, and what each is for."""

from __future__ import annotations

import click
from rich.console import Console
from rich.markdown import Markdown

from client.context import Session, put_json


@click.group()
def model() -> None:
    """Which models answer, and their cards."""


@model.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a model.")
@click.pass_obj
def list_(session: Session, *, as_json: bool) -> None:
    """Every model that answers or has answered; the one in service first."""
    with session.client() as client:
        for one in client.get("/v1/models").json()["models"]:
            if as_json:
                put_json(one)
            else:
                click.echo(one["digest"] + ("  in service" if one["in_service"] else ""))


@model.command()
@click.argument("name", default="hippocamp", metavar="[DIGEST]")
@click.option("--json", "as_json", is_flag=True, help="The card as data.")
@click.pass_obj
def card(session: Session, *, name: str, as_json: bool) -> None:
    """What a model is for, what it was measured on, where it fails; default: the one in service."""
    with session.client() as client:
        found = client.get(f"/v1/models/{name}/card").json()
    if as_json:
        put_json(found)
    else:
        Console(width=100).print(Markdown(found["markdown"]))
        click.echo(f"digest {found['digest']}" + (", in service" if found["in_service"] else ""))
