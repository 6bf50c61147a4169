"""What `hippocamp-admin doctor` asks of Prometheus: what it cannot scrape, and which alerts fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from operators.doctor.checks import Finding, Verdict


def prometheus_checks(url: str) -> Iterator[Finding]:
    """One finding a target that is down and an alert that fires; one good one each when there is none."""
    try:
        with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1", timeout=10) as http:
            targets = _ask(http, "/targets")["activeTargets"]
            alerts = _ask(http, "/alerts")["alerts"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        advice = "Start Prometheus, or mend HIPPOCAMP_PROMETHEUS_URL: nobody watches"
        yield Finding("prometheus", Verdict.BAD, f"{url}: {type(error).__name__}: {error}", advice)
        return
    yield from _targets(targets)
    yield from _alerts(alerts)


def _ask(http: httpx.Client, path: str) -> Any:
    return http.get(path).raise_for_status().json()["data"]


def _targets(targets: list[dict[str, Any]]) -> Iterator[Finding]:
    down = [target for target in targets if target["health"] != "up"]
    for target in down:
        shown = (
            f"{target['labels']['job']} at {target['scrapeUrl']}: {target['lastError'] or target['health']}"
        )
        yield Finding("scraped", Verdict.BAD, shown, "Start it, or open the way from Prometheus to it")
    if not targets:
        advice = "Its scrape_configs name nobody that is there: see deploy/prometheus/prometheus.yml"
        yield Finding("scraped", Verdict.BAD, "Prometheus knows of no target", advice)
    elif not down:
        yield Finding("scraped", Verdict.GOOD, f"all {len(targets)} targets")


def _alerts(alerts: list[dict[str, Any]]) -> Iterator[Finding]:
    firing = [alert for alert in alerts if alert["state"] == "firing"]
    for alert in firing:
        labels, about = alert["labels"], alert["annotations"]
        verdict = Verdict.BAD if labels.get("severity") == "critical" else Verdict.ODD
        shown = f"{labels['alertname']}: {about.get('summary', '')}"
        yield Finding("alert", verdict, shown, about.get("runbook", "See docs/how-to/respond-to-alerts.md"))
    if not firing:
        yield Finding("alerts", Verdict.GOOD, "none fires")
