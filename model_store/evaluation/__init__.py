"""Measurements of a trained or released model."""
