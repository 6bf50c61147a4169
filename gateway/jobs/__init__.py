"""Jobs and batches as the API shows them: view, list, events, long polling."""
