"""May this call be made? authorize.py is the use case; decide.py asks the live counters, degraded.py does without."""
