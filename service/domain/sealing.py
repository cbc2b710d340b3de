"""Secrets at rest: sealed with AES-256-GCM, looked up by a keyed hash.

The one deployment key is never used itself: HKDF derives a key per purpose, so that a hash made for one purpose can
never stand in for another.
"""

import base64
import binascii
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
_FORMAT = b"\x01"
_NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: random 96-bit nonces

VIRTUAL_KEY_PREFIX = "sk-bf-"


class NotOpenedError(Exception):
    """The sealed value was made with another key, for another row, or is damaged."""


class Sealer:
    """Seals, opens and hashes with keys derived from one deployment key of `KEY_BYTES` bytes."""

    def __init__(self, deployment_key: bytes) -> None:
        if len(deployment_key) != KEY_BYTES:
            raise ValueError(f"must be {KEY_BYTES} bytes")
        self._cipher = AESGCM(_derive(deployment_key, b"seal"))
        self._virtual_key_hash_key = _derive(deployment_key, b"virtual key lookup")
        self._api_token_hash_key = _derive(deployment_key, b"api token lookup")

    def seal(self, secret: str, *, belongs_to: str) -> bytes:
        """Seal `secret` for one row: moved to another row it does not open."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, secret.encode(), belongs_to.encode())

    def open(self, sealed: bytes, *, belongs_to: str) -> str:
        """The secret that was sealed for this row. Raises NotOpenedError."""
        if sealed[:1] != _FORMAT:
            raise NotOpenedError
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, belongs_to.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise NotOpenedError from error

    def hash_virtual_key(self, value: str) -> bytes:
        """The 32 bytes a presented virtual key is looked up by."""
        return _keyed_hash(self._virtual_key_hash_key, value)

    def hash_api_token(self, value: str) -> bytes:
        """The 32 bytes a presented API token is looked up by; never equal to a virtual key's."""
        return _keyed_hash(self._api_token_hash_key, value)


def parse_encryption_key(text: str) -> bytes:
    """Read a deployment key as `new_encryption_key` writes it. Raises ValueError; the text is not in the message."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("must be 32 random bytes in base64; `governance encryption-key` makes one")
    return key


def new_encryption_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def new_virtual_key_value() -> str:
    """A fresh virtual key: the wire's prefix and 192 random bits."""
    return VIRTUAL_KEY_PREFIX + secrets.token_urlsafe(24)


def sealed_virtual_key(virtual_key_id: str) -> str:
    """What a virtual key's sealed value belongs to."""
    return f"virtual_keys.value:{virtual_key_id}"


def sealed_provider_key(provider_key_id: str) -> str:
    """What a provider key's sealed secrets belong to."""
    return f"provider_keys.secrets:{provider_key_id}"


def sealed_mcp_client(mcp_client_id: int) -> str:
    """What an MCP client's sealed connection belongs to."""
    return f"mcp_clients.connection:{mcp_client_id}"


def _keyed_hash(key: bytes, value: str) -> bytes:
    # Header text may hold bytes that are not UTF-8, as lone surrogates.
    return hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")


def _derive(deployment_key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"llm-governance " + purpose).derive(
        deployment_key
    )
