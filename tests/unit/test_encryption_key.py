"""The key a dev run keeps in its state folder: made once, for its owner only, and never repeated."""

from pathlib import Path

import pytest

from service.domain.sealing import parse_encryption_key
from service.encryption_key import (
    EncryptionKeyError,
    encryption_key_file,
    load_encryption_key,
    load_or_make_encryption_key,
)


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    made = load_or_make_encryption_key(folder)
    assert len(parse_encryption_key(made)) == 32
    assert load_or_make_encryption_key(folder) == load_encryption_key(folder) == made
    assert encryption_key_file(folder).stat().st_mode & 0o777 == 0o600


def test_looking_for_a_key_makes_none(tmp_path: Path) -> None:
    with pytest.raises(EncryptionKeyError, match=r"encryption\.key"):
        load_encryption_key(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["sesame", "", "ключ"])
def test_a_file_without_a_key_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = encryption_key_file(tmp_path)
    path.write_text(content)
    for load in (load_encryption_key, load_or_make_encryption_key):
        with pytest.raises(EncryptionKeyError) as caught:
            load(tmp_path)
        assert str(caught.value) == f"{path} holds no key"
    assert path.read_text() == content
