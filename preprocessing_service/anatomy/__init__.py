"""Volumes of hippocampus, amygdala and ventricles from a prepared head; knows no queue, store or web."""
