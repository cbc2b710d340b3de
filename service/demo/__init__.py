"""A made-up deployment: customers, teams, virtual keys and some usage, to look at and to measure with."""
