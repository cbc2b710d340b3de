"""Which virtual key a request comes with: the headers gateways and clients send it in."""

from aiohttp import hdrs, web

from service.domain.sealing import VIRTUAL_KEY_PREFIX
from service.http.errors import ApiError, bad_request

_OWN_HEADER = "x-bf-vk"
# Of others a virtual key is told from another credential by its prefix.
_SHARED_HEADERS = (hdrs.AUTHORIZATION, "x-api-key", "x-goog-api-key", "api-key")
_BEARER = "bearer "
_LONGEST_VALUE = 255


def presented_virtual_key(request: web.Request) -> str:
    """The first there is, in the order of Bifrost's documentation. Raises ApiError 401 when there is none."""
    own = _header(request, _OWN_HEADER)
    if own:
        return own
    for name in _SHARED_HEADERS:
        value = _header(request, name)
        if value[: len(_BEARER)].lower() == _BEARER:
            value = value[len(_BEARER) :].strip()
        if value.lower().startswith(VIRTUAL_KEY_PREFIX):
            return value
    named = ", ".join((_OWN_HEADER, "Authorization: Bearer", *_SHARED_HEADERS[1:]))
    raise ApiError(401, f"Missing virtual key. Send it in one of: {named}")


def _header(request: web.Request, name: str) -> str:
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise bad_request(f"The header '{name}' is given more than once")
    value = values[0].strip() if values else ""
    return value if len(value) <= _LONGEST_VALUE else ""
