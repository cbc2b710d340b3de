"""Configuration as a file, in the layout of Bifrost's config.json.

entries.py is what stands in its sections, read.py and check.py find every fault of a file, own.py gives limits to their
owners, complete.py adds what a file leaves as it is, compare.py says what differs, inputs.py is what the use cases are
given.
"""
