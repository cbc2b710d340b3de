"""What calls used, booked once and for good: settle.py is the use case, booking.py what a report is booked as.

group_commit.py makes one transaction of what is reported at once, telling.py has Redis know of it, expiry.py books the
holds of calls nobody reported.
"""
