"""The consumer of the infer stage: a batch of jobs, one request to the model server, a result each."""
