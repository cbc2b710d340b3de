"""Configuration as a file: stored.py reads entities as entries, export.py writes a file of them, load.py imports one:
prune.py takes away what a file no longer has, apply.py makes and edits by the use cases of kinds.py."""
