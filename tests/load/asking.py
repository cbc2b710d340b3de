"""Single requests of a scenario, outside of what is measured."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import msgspec

from tests.load.bench import Service
from tests.load.bodies import AUTHORIZE, authorize_body
from tests.load.wrk import LoadError

_SECONDS = 60


def get(service: Service, path: str) -> bytes:
    return _ask(service, path, None)


def post(service: Service, path: str, body: Any) -> bytes:
    return _ask(service, path, msgspec.json.encode(body))


def allowed_answer(service: Service, value: str) -> bytes:
    """What an authorize is answered. Raises LoadError when it is not allowed: then refusals would be measured."""
    answer = post(service, AUTHORIZE, authorize_body(value, uuid4().hex))
    if not msgspec.json.decode(answer)["allowed"]:
        raise LoadError(f"the call was not allowed: {answer[:500]!r}")
    return answer


def values_of(service: Service) -> Sequence[str]:
    """The virtual keys of the service's deployment."""
    return service.values.read_text().split() if service.values else ()


def _ask(service: Service, path: str, body: bytes | None) -> bytes:
    headers = {"Content-Type": "application/json"}
    if service.token:
        headers["Authorization"] = f"Bearer {service.token}"
    request = urllib.request.Request(service.url + path, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answer: bytes = response.read()
    except urllib.error.HTTPError as error:
        raise LoadError(f"{path} answered {error.code}: {error.read()[:500]!r}") from error
    return answer
