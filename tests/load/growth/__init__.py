"""How cost grows: `python -m tests.load.growth` measures curves and draws them. It needs the extra `load`."""
