"""aiohttp: routes, what every request passes through, and one module per resource."""
