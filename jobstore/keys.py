"""Every Redis key of the system: what it is called, its type, what it holds. No other Python builds one.

The Lua scripts write the same names; tests/architecture compares them with this file, and the rights that
deploy/redis/users.py gives.
"""

from __future__ import annotations

PREFIX = "hc"


def _key(head: str, *parts: str) -> str:
    return ":".join((PREFIX, head, *parts))


PACE = _key("pace")
"""Hash: stage -> smoothed ms that one job holds a slot."""

DEADLINES = _key("deadlines")
"""Sorted set: ids with a deadline (ms)."""

DEPTH = _key("depth")
"""Hash: stage -> waiting ids, "later" ones included."""

TOTALS = _key("totals")
"""Hash: event -> how often it happened, for the exporter."""

SITES = _key("sites")
"""Set: names of the sites that were seen."""

CONFIGURED = _key("configured")
"""String: there has been a site, so nobody is served without a key."""

UPLOADS_IN_USE = _key("uploads_in_use")
"""Set: uploads that jobs which have not ended still need."""

ORPHANED_UPLOADS = _key("orphaned_uploads")
"""Sorted set: uploads that no job names, score = the round that found them."""

ORPHAN_ROUNDS = _key("orphan_rounds")
"""String: rounds of looking for orphaned uploads."""

WITHDRAWN = _key("withdrawn")
"""Sorted set: uploads that no record may name any more, score = their number; 100,000 of them."""

WITHDRAWALS = _key("withdrawals")
"""String: how many uploads were ever withdrawn."""

PENDING_DELETIONS = _key("pending_deletions")
"""List: blobs nobody needs any more."""

OPERATOR_EVENTS_TAKEN = _key("operator_events", "taken")
"""String that expires: a gateway is taking them over."""

SWEEP = _key("sweep")
"""Sorted set: folders of erased content to be deleted again (ms)."""

ARTIFACT_PREFIXES = _key("artifact_prefixes")
"""String: how many artifact prefixes there have been; none comes back."""

QUARANTINE = _key("quarantine")
"""Sorted set: dead-lettered jobs whose upload is kept for a second look, score = until when (ms)."""

STALE_RESULTS = _key("stale_results")
"""List: names of cached results that are to be deleted from the cache's server."""

DRAINED = _key("drained")
"""Hash: "stage:<stage>" or "host:<host>" -> since when (ms) its workers claim nothing."""

WORKERS = _key("workers")
"""Hash: pool -> what heartbeats.py writes: where it runs, its stages and slots."""

DEPLOYED = _key("deployed")
"""Hash: the pipeline and model in service."""

CARDS = _key("cards")
"""Hash: model digest -> its card."""

CARDS_TOLD = _key("cards", "told")
"""Sorted set: model digests, score = when the card was last published (s)."""

OPERATOR_EVENTS = _key("operator_events")
"""List: what operators did, on its way into the audit log."""


def record(record_id: str) -> str:
    """Hash: the only truth about a job or a webhook delivery."""
    return _key("rec", record_id)


def waiting(stage: str, site: str) -> str:
    """Sorted set: waiting ids, score = priority class, then age."""
    return _key("wait", stage, site)


def longer(stage: str) -> str:
    """Hash: n -> sites with n or more waiting ids, and sums of them, for queue positions."""
    return _key("longer", stage)


def turns(stage: str) -> str:
    """Sorted set: sites with waiting work, score = virtual time of their next turn."""
    return _key("turn", stage)


def virtual_time(stage: str) -> str:
    """String: virtual time of the turn served last."""
    return _key("vtime", stage)


def owed(stage: str) -> str:
    """Hash: site -> virtual time before which it has had its share."""
    return _key("owed", stage)


def leases(stage: str) -> str:
    """Sorted set: claimed ids, score = when the lease ends (ms)."""
    return _key("lease", stage)


def later(stage: str) -> str:
    """Sorted set: ids that may not start before score (ms)."""
    return _key("later", stage)


def claims(question: str) -> str:
    """List: what a question for work was given, "id fence", while its answer may be lost."""
    return _key("claims", question)


def done(site: str) -> str:
    """Hash: stage -> records of this site that came through it."""
    return _key("done", site)


def count(site: str) -> str:
    """Hash: state -> jobs of this site in it."""
    return _key("count", site)


def jobs_of_site(site: str) -> str:
    """Sorted set: job ids of this site by creation (ms)."""
    return _key("jobs", site)


def held_bytes(site: str) -> str:
    """String: bytes of uploads whose jobs have not ended."""
    return _key("bytes", site)


def site(site: str) -> str:
    """Hash: what sites.py configures: weight, most_waiting, most_bytes, ...."""
    return _key("site", site)


def reading(site: str) -> str:
    """String: time (ms) until which reading the site's uploads is paid for."""
    return _key("reading", site)


def batch(batch_id: str) -> str:
    """Hash: what batches.py writes: site, created_ms, description, expected."""
    return _key("batch", batch_id)


def batches_unused(site: str) -> str:
    """Sorted set: batches that no job has named yet, by creation (s)."""
    return _key("batches_unused", site)


def count_of_batch(batch_id: str) -> str:
    """Hash: state -> jobs of this batch in it."""
    return _key("count_of", batch_id)


def jobs_of_batch(batch_id: str) -> str:
    """Sorted set: job ids of this batch by creation (ms)."""
    return _key("jobs_of", batch_id)


def content(site: str, digest: str) -> str:
    """Set: jobs that hold these bytes; their artifact prefix and results are shared."""
    return _key("content", site, digest)


def cached_names(site: str, digest: str) -> str:
    """Hash: cache key -> name of the cached result for these bytes."""
    return _key("cached_names", site, digest)


def cached_result(*parts: str) -> str:
    """String with a TTL, on the cache's server: a finished result."""
    return _key("cache", *parts)


def deliveries(site: str) -> str:
    """Sorted set: webhook deliveries of the site by creation (ms)."""
    return _key("deliveries", site)


def deliveries_of_job(job_id: str) -> str:
    """Set: deliveries a job owes or owed."""
    return _key("deliveries_of", job_id)


def deliveries_owed(site: str) -> str:
    """String: webhook deliveries of the site that have not ended."""
    return _key("deliveries_owed", site)


def endpoints(site: str) -> str:
    """Hash: webhook endpoint id -> JSON."""
    return _key("endpoints", site)


def endpoints_off(site: str) -> str:
    """Hash: webhook endpoint id -> why it gets nothing now."""
    return _key("endpoints_off", site)


def resting(endpoint_id: str) -> str:
    """String: the endpoint gets nothing until it expires."""
    return _key("resting", endpoint_id)


def failures(endpoint_id: str) -> str:
    """String: failures of the endpoint in a row."""
    return _key("failures", endpoint_id)


def health(*parts: str) -> str:
    """String: when a part last showed that it works (s); and why it failed."""
    return _key("health", *parts)


def canary(what: str) -> str:
    """String: the canary inference was asked for, or pulses."""
    return _key("canary", what)


def asked(server: str) -> str:
    """String: requests that a replica of the model server has now."""
    return _key("asked", server)


def retention(what: str) -> str:
    """String: retention was looked at a while ago."""
    return _key("retention", what)


def api_key(prefix: str) -> str:
    """Hash: an API key, as a slow hash of its secret."""
    return _key("key", prefix)


def api_keys_of(site: str) -> str:
    """Set: prefixes of the site's API keys."""
    return _key("keys", site)


def rate(site: str) -> str:
    """String: the site's request allowance."""
    return _key("rate", site)


def session(digest: str) -> str:
    """Hash: a web session, by the hash of its cookie."""
    return _key("session", digest)


def sessions(digest: str) -> str:
    """Sorted set: sessions of one owner."""
    return _key("sessions", digest)


def login(digest: str) -> str:
    """String: a login at the provider that has begun."""
    return _key("login", digest)


def logins(digest: str) -> str:
    """Sorted set: logins begun from one address."""
    return _key("logins", digest)


def ticket(upload_id: str) -> str:
    """Hash: a ticket for a direct upload."""
    return _key("upload", upload_id)


def tickets(site: str) -> str:
    """Sorted set: open tickets of a site."""
    return _key("uploads", site)


def load(scope: str) -> str:
    """String: the load figures that the operations page shows, kept for a moment."""
    return _key("load", scope)


def inbox(*parts: str) -> str:
    """The index of the inbox (inbox.py): studies, series, instances, chunks, who holds what, what is due."""
    return _key("inbox", *parts)
