"""The use cases: what the stores' truth and the live counters say together."""
