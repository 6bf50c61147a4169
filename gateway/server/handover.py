"""What the front and the Flask application hand to each other, as keys of the WSGI environment.

No client can set them: what comes from a header is named HTTP_*.
"""

from __future__ import annotations

from flask import request

FRONT = "hippocamp.front"
"""Present where the front serves: a view that would wait for a job leaves a held answer under FOLLOW."""
HEAD_ONLY = "hippocamp.head_only"
"""Present while a request is admitted from its head: its body has not been taken."""
SITE = "hippocamp.site"
"""The caller's site, set by Flask once the caller is known."""
ALLOWANCE = "hippocamp.allowance"
"""Where the site's rate stood when this request was counted; carried from the head's pass to the call."""
ARRIVAL = "hippocamp.arrival"
"""The id under which a STOW-RS request on its way is known to the inbox; carried from the head's pass too."""
BODY = "hippocamp.body"
"""The spooled body (gateway.uploads.spool.Sent) of a request whose body is large."""
FOLLOW = "hippocamp.follow"
"""A Stream or a Wait (gateway.server.held_answers), left by the view."""


def behind_front() -> bool:
    """Whether the front serves the present request, so that no view may wait."""
    return FRONT in request.environ


def head_only() -> bool:
    """Whether only the head of the present request is looked at."""
    return HEAD_ONLY in request.environ
