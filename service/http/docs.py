"""A page to browse the API with: Swagger UI, whole from this service, so that it works without internet."""

from functools import lru_cache
from importlib.metadata import distribution
from pathlib import Path

from aiohttp import hdrs, web

from service.http.contract import Contract, Route
from service.http.errors import not_found
from service.http.parameters import path_id

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LLM governance API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
});
"""
# Swagger UI sets styles on elements and draws its icons from data URLs; nothing comes from or goes to elsewhere.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_KEPT = {hdrs.CACHE_CONTROL: "public, max-age=86400"}
# What the page loads: the library's file, and its type. The library is not imported: that would hold all three of its
# bundles in memory.
_FILES = {
    "swagger-ui.js": ("offapi/swagger_bundle.js", "text/javascript"),
    "swagger-ui.css": ("offapi/swagger_style.css", "text/css"),
}


async def docs(_request: web.Request) -> web.Response:
    return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)


async def docs_asset(request: web.Request) -> web.StreamResponse:
    """What the page is made of; a browser may keep it for a day."""
    name = path_id(request, "asset")
    if name == "start.js":
        return web.Response(text=_START, content_type="text/javascript", headers=_HEADERS)
    if name not in _FILES:
        raise not_found("No such part of the page")
    file, media_type = _FILES[name]
    response = web.FileResponse(_library_file(file), headers=_HEADERS | _KEPT)
    response.content_type = media_type
    return response


@lru_cache
def _library_file(file: str) -> Path:
    return Path(str(distribution("offapi").locate_file(file)))


_PAGE_CONTRACT = Contract(says="Browse the API", media_types=("text/html",))
_ASSET_CONTRACT = Contract(says="Read a part of that page", media_types=("text/javascript", "text/css"))
ROUTES = (
    Route("GET", "/docs", "open", docs, _PAGE_CONTRACT),
    Route("GET", "/docs/{asset}", "open", docs_asset, _ASSET_CONTRACT),
)
