"""The HTTP face: uploads, jobs, results, pictures and pages; no torch, and no work a worker should do."""
