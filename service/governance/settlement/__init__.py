"""What calls used, booked once and for good: settle.py is the use case, group_commit.py makes one transaction of what
is reported at once, expiry.py books the holds of calls nobody reported.
"""
