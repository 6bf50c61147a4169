"""How well hippocampus and ventricles are measured: against manual labels, again, disturbed, and shrunk."""
