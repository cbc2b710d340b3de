"""Which virtual key a call comes with: the headers gateways and clients send it in, by Bifrost's documentation."""

from collections.abc import Mapping

from service.domain.sealing import VIRTUAL_KEY_PREFIX

OWN_HEADER = "x-bf-vk"
# Of others a virtual key is told from another credential by its prefix.
SHARED_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
LONGEST_VALUE = 255
_BEARER = "bearer "


def virtual_key_in(headers: Mapping[str, str]) -> str | None:
    """The first there is; names of `headers` are in lower case."""
    own = headers.get(OWN_HEADER, "").strip()
    if own and len(own) <= LONGEST_VALUE:
        return own
    for name in SHARED_HEADERS:
        value = headers.get(name, "").strip()
        if value[: len(_BEARER)].lower() == _BEARER:
            value = value[len(_BEARER) :].strip()
        if len(value) <= LONGEST_VALUE and value.lower().startswith(VIRTUAL_KEY_PREFIX):
            return value
    return None
