"""Measurements beside something else on the same cores: `python -m tests.load --all`. They assert nothing.

__main__.py is the command, scenarios/ THE table of what is measured beside what; sides/ are the programs that run,
bench.py starts them when a scenario asks; wrk.py and open_loop.py make the load; figures.py computes, report.py shows.
"""
