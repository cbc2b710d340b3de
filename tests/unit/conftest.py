"""How properties are tried here: on a busy machine a slow example says nothing about the code."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
