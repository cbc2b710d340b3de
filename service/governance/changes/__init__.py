"""Changes of the configuration: each one transaction of the rows, the audit entry and the answer kept for a retry.

run.py runs a change, change.py is what it works with, edit.py makes, edits and removes one entity, limits.py writes
budgets and rate limits; the other modules hold the changes of one kind of entity each.
"""
