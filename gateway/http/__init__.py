"""How HTTP is spoken: problem+json, the declaration of each call, the OpenAPI document."""
