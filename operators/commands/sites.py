"""`hippocamp-admin sites ...` for operators: sites, their keys and quotas, written straight into Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import click

from jobstore import keys
from operators.audited import noted

if TYPE_CHECKING:
    import redis

    from jobstore.api_keys import ApiKey
    from jobstore.sites import Site

SCOPES = ("submit", "read", "admin")
_Function = Callable[..., Any]


def _quotas(command: _Function) -> _Function:
    """The options that `add` and `change` share; one that is not given changes nothing."""
    for name, kind, about in (
        ("--allow-contrast", bool, "Whether a contrast-enhanced T1 is read when there is no plain one."),
        ("--webhook-allow", str, "Networks its webhooks may reach although not public, as CIDR,CIDR."),
        (
            "--quarantine-days",
            click.FloatRange(min=0),
            "Days that the upload of a poisoned job is kept; by default not at all.",
        ),
        (
            "--retention-days",
            click.FloatRange(min=0),
            "Days that a job is kept; 0: always.",
        ),
        ("--requests-per-second", click.FloatRange(min=0), "Sustained rate; 0: any."),
        ("--reading-cpu", click.FloatRange(min=0), "CPU seconds a second to read its uploads; 0: any."),
        ("--most-kept", click.IntRange(min=0), "Jobs that are kept at a time; 0: any."),
        ("--most-deliveries", click.IntRange(min=0), "Webhook deliveries that may be owed; 0: any."),
        ("--most-bytes", click.IntRange(min=0), "Bytes of uploads that may wait; 0: any."),
        ("--most-waiting", click.IntRange(min=0), "Jobs that may wait; 0: any."),
        ("--weight", click.FloatRange(0.01, 100), "Share of the turns when several sites wait."),
    ):
        command = click.option(name, type=kind, default=None, help=about)(command)
    return command


@click.group()
@click.option(
    "--redis", "address", envvar="HIPPOCAMP_REDIS_URL", default="redis://127.0.0.1:6390/0", show_default=True
)
@click.pass_context
def sites(ctx: click.Context, address: str) -> None:
    """Sites and their API keys (for operators: talks to Redis, not to the API)."""
    from runtime.redis_connections import connect

    ctx.obj = connect(address)


@sites.command()
@click.argument("name")
@_quotas
@click.pass_obj
def add(client: redis.Redis, /, name: str, **quotas: Any) -> None:
    """Configure a site and print its first key, with every scope. Keys are needed from now on."""
    from jobstore import sites as store

    with noted(client, "sites.add", site=name, about=_told(quotas)):
        if store.find(client, name):
            raise click.ClickException(f"There is a site {name}; `hippocamp-admin sites change` changes it")
        store.save(client, _with(store.Site(name=name), quotas))
        _issue(client, name, SCOPES)


@sites.command()
@click.argument("name")
@_quotas
@click.pass_obj
def change(client: redis.Redis, /, name: str, **quotas: Any) -> None:
    """Change a site's share, quotas or retention."""
    from jobstore import sites as store

    with noted(client, "sites.change", site=name, about=_told(quotas)):
        store.save(client, _with(_site(client, name), quotas))


@sites.command(name="list")
@click.pass_obj
def list_sites(client: redis.Redis) -> None:
    """One line a site: name, state, weight, jobs waiting."""
    from jobstore import sites as store

    for site in store.list_all(client):
        waiting = cast("str | None", client.hget(keys.count(site.name), "queued")) or "0"
        state = "enabled" if site.enabled else "disabled"
        click.echo(f"{site.name:24} {state:9} weight {site.weight:<6g} waiting {waiting}")


@sites.command()
@click.argument("name")
@click.pass_obj
def show(client: redis.Redis, name: str) -> None:
    """A site's settings and its keys; secrets are not stored, so they cannot be shown."""
    from jobstore import api_keys

    for field, value in asdict(_site(client, name)).items():
        click.echo(f"{field:20} {value}")
    for key in api_keys.list_all(client, name):
        click.echo(f"key {key.prefix:40} {' '.join(sorted(key.scopes)):18} {_standing(key)}")


@sites.command()
@click.argument("name")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=SCOPES, show_default=True
)
@click.pass_obj
def key(client: redis.Redis, name: str, scopes: tuple[str, ...]) -> None:
    """Issue one more key for a site."""
    with noted(client, "sites.key", site=name, about=" ".join(scopes)):
        _issue(client, _site(client, name).name, scopes)


@sites.command()
@click.argument("prefix")
@click.option("--overlap-hours", default=24.0, show_default=True, help="How long the old key stays good.")
@click.pass_obj
def rotate(client: redis.Redis, prefix: str, overlap_hours: float) -> None:
    """Replace a key by a new one with the same scopes."""
    from jobstore import api_keys

    old = _key(client, prefix)
    with noted(client, "sites.rotate", site=old.site, about=prefix):
        text, _ = api_keys.rotate(client, old, now_ms=_now_ms(), overlap_seconds=overlap_hours * 3600)
        click.echo(text)


@sites.command()
@click.argument("what")
@click.pass_obj
def disable(client: redis.Redis, what: str) -> None:
    """End a key (hk_...) or a whole site; what waits already is still worked off."""
    from jobstore import api_keys
    from jobstore import sites as store

    if what.startswith("hk_"):
        key = _key(client, what)
        with noted(client, "sites.disable", site=key.site, about=what):
            api_keys.disable(client, key)
        return
    with noted(client, "sites.disable", site=what):
        store.save(client, replace(_site(client, what), enabled=False))


@sites.command()
@click.argument("name")
@click.pass_obj
def enable(client: redis.Redis, name: str) -> None:
    """Let a disabled site in again."""
    from jobstore import sites as store

    with noted(client, "sites.enable", site=name):
        store.save(client, replace(_site(client, name), enabled=True))


def _told(quotas: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(quotas.items()) if value is not None)


def _with(site: Site, quotas: dict[str, Any]) -> Site:
    given = {name: value for name, value in quotas.items() if value is not None}
    for what in ("retention", "quarantine"):
        if f"{what}_days" in given:
            given[f"{what}_seconds"] = int(given.pop(f"{what}_days") * 86400)
    if "webhook_allow" in given:
        given["webhook_allow"] = tuple(text for text in given["webhook_allow"].split(",") if text)
    return replace(site, **given)


def _issue(client: redis.Redis, name: str, scopes: tuple[str, ...]) -> None:
    from jobstore import api_keys

    text, _ = api_keys.issue(client, name, (api_keys.Scope(one) for one in scopes), now_ms=_now_ms())
    click.echo(text)
    click.echo("Keep it: it is shown this once.", err=True)


def _site(client: redis.Redis, name: str) -> Site:
    from jobstore import sites as store

    found = store.find(client, name)
    if found is None:
        raise click.ClickException(f"There is no site {name!r}")
    return found


def _key(client: redis.Redis, prefix: str) -> ApiKey:
    from jobstore import api_keys

    found = api_keys.find(client, prefix)
    if found is None:
        raise click.ClickException(f"There is no key {prefix!r}")
    return found


def _standing(key: ApiKey) -> str:
    if key.disabled:
        return "disabled"
    if key.until_ms is None:
        return "in force"
    ends = datetime.fromtimestamp(key.until_ms / 1000, tz=UTC).isoformat(timespec="minutes")
    return f"until {ends}" if key.in_force(_now_ms()) else f"ended {ends}"


def _now_ms() -> int:
    return int(time.time() * 1000)
