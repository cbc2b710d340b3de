"""A real Postgres and a real Valkey as child processes, for `governance dev` and the tests.

`servers.py` and `state.py` are what the rest of the service uses.
"""
