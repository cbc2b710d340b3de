"""`GET customers`: the whole tree as JSON, with the usage of this moment.

read.py is the use case. load.py takes tenants from a snapshot, and tenant.py makes their templates, in bounded parts
(parts.py), of what build.py and limits.py make of rows; fill.py fills them in, cache.py keeps what can be used again,
and ahead.py asks Redis early. Single entities are made by the same builders: shown.py, entities.py.
"""
