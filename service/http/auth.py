"""Who asks, and may they? Each route declares its scope; this holds every request to it."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from service.domain.access import ANYONE, TRUSTED_GATEWAY, Principal, RouteScope
from service.governance.access import Gatekeeper
from service.http.errors import ApiError, bad_request
from service.http.networks import TRUSTED_NETWORKS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# Absent where authentication is off.
GATEKEEPER = web.AppKey("gatekeeper", Gatekeeper)
# By handler: what the table of routes asks for.
ROUTE_SCOPES = web.AppKey("route_scopes", Mapping[Handler, RouteScope])
PRINCIPAL = web.RequestKey("principal", Principal)

# Handlers of `virtual_key` routes look at the key themselves.
_WITHOUT_TOKEN = ("open", "virtual_key")
_SCHEME = "bearer "
# Authorization is the client's where a gateway asks what becomes of its request.
GATEWAY_TOKEN = "x-governance-token"  # noqa: S105  # a header's name


@web.middleware
async def authorize_principal(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers 401 to who does not say, or wrongly, who they are, and 403 to whom the route is not for.

    A path or method the table does not have is answered as such to anyone.
    """
    scope = request.app[ROUTE_SCOPES].get(request.match_info.handler)
    if scope is None or scope in _WITHOUT_TOKEN:
        return await handler(request)
    gatekeeper = request.app.get(GATEKEEPER)
    identify = _identify_gateway if scope == "forward_auth" else _identify
    principal = ANYONE if gatekeeper is None else await identify(request, gatekeeper)
    if not principal.may(scope):
        raise ApiError(403, f"This needs a token of scope '{scope}'; yours has '{principal.scope}'")
    request[PRINCIPAL] = principal
    return await handler(request)


async def _identify(request: web.Request, gatekeeper: Gatekeeper) -> Principal:
    presented = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(presented) > 1:
        # Another reader on the way may take the other one.
        raise bad_request("The header 'Authorization' is given more than once")
    if not presented or not presented[0].lower().startswith(_SCHEME):
        raise _unauthorized("An API token is needed: Authorization: Bearer …")
    principal = await gatekeeper.identify(presented[0][len(_SCHEME) :].strip())
    if principal is None:
        raise _unauthorized("The API token is unknown, expired or revoked")
    return principal


async def _identify_gateway(request: web.Request, gatekeeper: Gatekeeper) -> Principal:
    """By its token, else by where it asks from."""
    presented = request.headers.getall(GATEWAY_TOKEN, [])
    if len(presented) > 1:
        raise bad_request(f"The header '{GATEWAY_TOKEN}' is given more than once")
    token = presented[0].strip() if presented else ""
    if not token:
        if request.app[TRUSTED_NETWORKS].hold(request.remote):
            return TRUSTED_GATEWAY
        raise ApiError(401, f"Only gateways may ask this: {GATEWAY_TOKEN}, with a token of scope 'gateway'")
    principal = await gatekeeper.identify(token)
    if principal is None:
        raise ApiError(401, f"The token in {GATEWAY_TOKEN} is unknown, expired or revoked")
    return principal


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, message, headers={"WWW-Authenticate": "Bearer"})
