"""The limits on the path of an entity: where each stands, and what that number is made of.

`path.py` finds them, `counted.py` reads both stores, `report.py` puts them together.
"""
