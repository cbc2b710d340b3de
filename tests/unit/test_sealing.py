"""Secrets at rest: what a thief of the database, or a careless copy of a row, does not get."""

import base64
import hashlib
import hmac
import traceback

import pytest
from hypothesis import given, strategies as st

from service.domain.sealing import (
    NotOpenedError,
    Sealer,
    new_encryption_key,
    new_virtual_key_value,
    parse_encryption_key,
    sealed_virtual_key,
)

DEPLOYMENT_KEY = bytes(range(32))
WRITTEN_KEY = base64.b64encode(DEPLOYMENT_KEY).decode()
SEALER = Sealer(DEPLOYMENT_KEY)
SECRET = "sk-bf-a-secret"
SEALED = SEALER.seal(SECRET, belongs_to="row 1")


@given(st.text(), st.text())
def test_what_was_sealed_for_a_row_opens_for_that_row(secret: str, row: str) -> None:
    assert SEALER.open(SEALER.seal(secret, belongs_to=row), belongs_to=row) == secret


def test_a_secret_moved_to_another_row_does_not_open() -> None:
    with pytest.raises(NotOpenedError):
        SEALER.open(SEALED, belongs_to="row 2")


def test_two_virtual_keys_never_share_what_they_are_sealed_for() -> None:
    assert sealed_virtual_key("a") != sealed_virtual_key("b")


def test_a_secret_does_not_open_with_another_deployment_s_key() -> None:
    with pytest.raises(NotOpenedError):
        Sealer(bytes(32)).open(SEALED, belongs_to="row 1")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_truncated_secret_does_not_open(length: int) -> None:
    with pytest.raises(NotOpenedError):
        SEALER.open(SEALED[:length], belongs_to="row 1")


@pytest.mark.parametrize("position", range(len(SEALED)))
def test_a_secret_with_any_bit_changed_does_not_open(position: int) -> None:
    tampered = bytearray(SEALED)
    tampered[position] ^= 0x01
    with pytest.raises(NotOpenedError):
        SEALER.open(bytes(tampered), belongs_to="row 1")


def test_a_sealed_secret_does_not_show_what_it_holds_nor_that_two_are_equal() -> None:
    again = SEALER.seal(SECRET, belongs_to="row 1")
    assert SECRET.encode() not in SEALED
    assert again != SEALED
    assert again[1:13] != SEALED[1:13]


def test_a_failure_to_open_names_neither_the_row_nor_the_secret() -> None:
    with pytest.raises(NotOpenedError) as caught:
        SEALER.open(SEALED, belongs_to="row of customer 17")
    assert str(caught.value) == ""


def test_the_hash_of_a_virtual_key_cannot_be_made_without_the_deployment_key() -> None:
    hashed = SEALER.hash_virtual_key(SECRET)
    keyless = hashlib.sha256(SECRET.encode()).digest()
    with_the_undivided_key = hmac.digest(DEPLOYMENT_KEY, SECRET.encode(), "sha256")
    assert hashed not in (keyless, with_the_undivided_key)
    assert hashed != Sealer(bytes(32)).hash_virtual_key(SECRET)


def test_the_hash_of_a_virtual_key_is_the_same_in_every_replica() -> None:
    assert Sealer(DEPLOYMENT_KEY).hash_virtual_key(SECRET) == SEALER.hash_virtual_key(SECRET)
    assert len(SEALER.hash_virtual_key(SECRET)) == 32
    assert SEALER.hash_virtual_key(SECRET) != SEALER.hash_virtual_key(SECRET + " ")


def test_a_virtual_key_never_passes_for_an_api_token() -> None:
    assert SEALER.hash_api_token(SECRET) != SEALER.hash_virtual_key(SECRET)
    assert SEALER.hash_api_token(SECRET) != Sealer(bytes(32)).hash_api_token(SECRET)


@given(st.binary().map(lambda header: header.decode("utf-8", "surrogateescape")) | st.text(st.characters()))
def test_anything_a_caller_may_send_can_be_looked_up(value: str) -> None:
    assert len(SEALER.hash_virtual_key(value)) == len(SEALER.hash_api_token(value)) == 32


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_deployment_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="must be 32 bytes"):
        Sealer(bytes(length))


def test_a_made_encryption_key_is_read_back_and_never_the_same() -> None:
    made = {new_encryption_key() for _ in range(100)}
    assert len({parse_encryption_key(text) for text in made}) == 100
    assert all(len(parse_encryption_key(text)) == 32 for text in made)


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple",
        base64.b64encode(bytes(range(16))).decode(),
        base64.b64encode(bytes(range(33))).decode(),
        WRITTEN_KEY[:-1],
        WRITTEN_KEY + "=",
        WRITTEN_KEY[:20] + "*" + WRITTEN_KEY[21:],
        WRITTEN_KEY[:20] + "\n" + WRITTEN_KEY[20:],
        "schlüssel" * 5,
    ],
)
def test_a_key_that_cannot_be_used_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="must be 32 random bytes in base64") as caught:
        parse_encryption_key(text)
    assert text not in "".join(traceback.format_exception(caught.value))


def test_a_new_virtual_key_has_the_wire_s_prefix_and_at_least_128_random_bits() -> None:
    values = {new_virtual_key_value() for _ in range(1000)}
    random_parts = [base64.urlsafe_b64decode(value.removeprefix("sk-bf-")) for value in values]
    assert len(values) == 1000
    assert all(value.startswith("sk-bf-") for value in values)
    assert min(len(part) for part in random_parts) * 8 >= 128
    # No byte stands still: each position takes many of its 256 values among a thousand keys.
    assert all(len(set(column)) > 200 for column in zip(*random_parts, strict=True))
