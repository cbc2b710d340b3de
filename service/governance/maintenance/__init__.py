"""What keeps a deployment's tables small: partitions made ahead and dropped, what is old deleted, in small steps.

Everything here may be done again, stopped anywhere, and run while the service is in full use.
"""
