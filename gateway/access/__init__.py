"""Who calls and what they may do: API keys, OpenID Connect, sessions, scopes, rates, audit."""
