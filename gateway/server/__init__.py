"""The server: uvicorn's processes, a front that waits for clients, and Flask in a few threads."""
