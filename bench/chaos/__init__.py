"""Faults against a whole running system, and a ledger that says what was lost or done twice."""
