"""POST to webhooks: to public addresses only, in bounded time, following and reading nothing."""

import socket
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.connector import AddrInfoType

from service.domain.addresses import may_be_sent_to
from service.governance.alerts import DeliveryError

_TIMEOUT_SECONDS = 10.0
_CONNECTIONS = 20
_USER_AGENT = "llm-governance"


class RefusedAddressError(OSError):
    """The host leads to an address webhooks are not sent to."""


class WebhookSender:
    """The check is of the very address a socket is made for, so that no name can lead elsewhere in between.

    Make it in a running loop.
    """

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow_private = allow_private
        connector = aiohttp.TCPConnector(
            limit=_CONNECTIONS,
            force_close=True,
            use_dns_cache=False,
            resolver=resolver,
            socket_factory=self._make_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": _USER_AGENT},
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            auto_decompress=False,
        )

    async def __call__(self, url: str, body: bytes, *, headers: Mapping[str, str]) -> None:
        """Raises DeliveryError, unless it is answered with a success."""
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                status = response.status
                # What it says is not read, however much it is.
                response.close()
        except TimeoutError as error:
            raise DeliveryError("did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # RuntimeError: uvloop's, for some failures of a socket.
            raise DeliveryError(_reason(error)) from error
        if 300 <= status < 400:
            raise DeliveryError(f"answered {status}: redirects are not followed")
        if not 200 <= status < 300:
            raise DeliveryError(f"answered {status}")

    async def close(self) -> None:
        await self._session.close()

    def _make_socket(self, address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (host, *_) = address
        if not may_be_sent_to(str(host), allow_private=self._allow_private):
            raise RefusedAddressError("not sent to such an address")
        return socket.socket(family, kind, protocol)


def _reason(error: Exception) -> str:
    """In words of our own: those of the library hold the URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return "has no certificate that can be trusted"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "has no address"
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, RefusedAddressError)
        return "is at an address webhooks are not sent to" if refused else "could not be connected to"
    return "did not answer as HTTP has it"
