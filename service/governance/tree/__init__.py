"""`GET customers`: the whole tree as JSON, with the usage of this moment.

read.py is the use case; build.py and limits.py make a tenant's template from its rows, template.py fills it in, and
cache.py keeps what can be used again.
"""
