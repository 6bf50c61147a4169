"""The web pages: templates, style and scripts that call the API."""
