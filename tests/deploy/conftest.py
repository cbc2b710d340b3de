"""Helm comes as a wheel, for most machines."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("helm_python") else ["test_chart.py"]
