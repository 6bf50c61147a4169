"""Events of the audit log as FHIR R4 AuditEvent resources (https://hl7.org/fhir/R4/auditevent.html)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ACTIONS = {
    "submit": "C", "add": "C", "store": "C", "cancel": "U", "rotate": "U", "replay": "U",
    "erase": "D", "remove": "D", "key": "C", "change": "U", "disable": "U", "enable": "U", "retry": "U",
    "release": "U", "drop": "D", "drain": "U", "resume": "U",
}  # fmt: skip
"""Last part of a route's name -> C(reate), U(pdate) or D(elete); everything else reads."""

_TYPE = {
    "system": "http://terminology.hl7.org/CodeSystem/audit-event-type",
    "code": "rest",
    "display": "RESTful Operation",
}


def to_fhir(event: Mapping[str, Any]) -> dict[str, Any]:
    """One resource. The agent is a key's prefix, never a person; the entity is the job's id."""
    outcome = int(event["outcome"])
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "type": _TYPE,
        "subtype": [{"display": event["what"]}],
        "action": _ACTIONS.get(str(event["what"]).rpartition(".")[2], "R"),
        "recorded": event["at"],
        "outcome": "0" if outcome < 400 else "4" if outcome < 500 else "8",
        "outcomeDesc": f"HTTP {outcome}",
        "agent": [
            {
                "who": {"identifier": {"value": event["who"] or "nobody"}},
                "requestor": True,
                **({"network": {"address": event["where"], "type": "2"}} if event["where"] else {}),
            }
        ],
        "source": {"observer": {"display": "Hippocamp gateway"}},
    }
    if event["site"]:
        resource["source"]["site"] = event["site"]
    entity: dict[str, Any] = {}
    if event["job"]:
        entity["what"] = {"identifier": {"value": event["job"]}}
    if event.get("about"):
        entity["description"] = event["about"]
    if entity:
        resource["entity"] = [entity]
    return resource


def to_fhir_json(event: Mapping[str, Any]) -> str:
    """The resource on one line."""
    return json.dumps(to_fhir(event))
