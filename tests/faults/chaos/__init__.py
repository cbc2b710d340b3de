"""Chaos: calls under way while everything breaks, then the books are read.

`python -m tests.faults.chaos --seed 1 --seconds 60 --workers 3` strikes workers, Redis, Postgres and the
configuration by a plan that the seed decides, lets things calm down, and compares what gateways were told with the
ledger, its totals, and Redis. run.py is the story; plan.py says what breaks when, traffic.py what gateways do, books.py
what has to hold.
"""
