"""Measurements, run by hand: `python -m tests.load.tree`. They print figures and assert nothing."""
