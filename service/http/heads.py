"""What the head of every answer says."""

from aiohttp import hdrs, web

HEADERS_OF_ALL = {
    # Answers hold virtual keys and live numbers: nobody on the way may keep them, unless they say that they hold none.
    hdrs.CACHE_CONTROL: "no-store",
    "X-Content-Type-Options": "nosniff",
    hdrs.SERVER: "governance",
}


def complete_head(response: web.StreamResponse) -> None:
    """Add what is missing, before the head is sent: a handler that sends it itself asks for this."""
    if hdrs.SERVER in response.headers:
        return
    for name, value in HEADERS_OF_ALL.items():
        response.headers.setdefault(name, value)
