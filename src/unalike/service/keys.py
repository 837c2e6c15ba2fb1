"""API keys: random ones, of which the service keeps hashes only.

A key holds 256 random bits, so that its SHA-256 tells nothing of it: no slow hash is needed, as there is for passwords
that people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unalike.errors import InvalidParameter
from unalike.writing import whole_file, writable

_PREFIX = "unalike_"
_NAME = re.compile(r"[\w.@-]{1,64}")
_LINE = re.compile(r"([\w.@-]{1,64})\s+sha256:([0-9a-f]{64})")
_HEAD = "# Keys of unalike serve: a name and the SHA-256 of its key, one per line. Delete a line to revoke its key.\n"


@dataclass(frozen=True)
class Keys:
    """The keys that open a service.

    Parameters
    ----------
    hashes : mapping of str to str
        Name of each key to the SHA-256 of the key in hexadecimal.
    """

    hashes: Mapping[str, str]

    @classmethod
    def read(cls, path: str | Path) -> Keys:
        """Keys of a file that `new_key` wrote.

        Raises
        ------
        InvalidParameter
            When it is missing, has no key, two of one name, or a line that is none.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            raise InvalidParameter(
                f"`key_file` must be a readable file of keys; got {str(path)!r}: {error}. Make one: unalike serve "
                "--new-key NAME --key-file FILE."
            ) from error
        hashes: dict[str, str] = {}
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            found = _LINE.fullmatch(text)
            if found is None or found[1] in hashes:
                raise InvalidParameter(
                    f"Line {number} of `key_file` {str(path)!r} must be a new name and 'sha256:' with 64 hexadecimal "
                    "digits; it is not. Make keys by unalike serve --new-key NAME --key-file FILE."
                )
            hashes[found[1]] = found[2]
        if not hashes:
            raise InvalidParameter(f"`key_file` must hold at least one key; got none in {str(path)!r}. Make one.")
        return cls(hashes)

    def name_of(self, key: str) -> str | None:
        """The name of a key, None where it is none of these; the time it takes tells nothing about them."""
        given, found = digest(key), None
        for name, known in self.hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found


def digest(key: str) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def new_key(path: str | Path, name: str) -> str:
    """Make a key, write its hash to a file of keys, which is made when it is missing, and return the key.

    Raises
    ------
    InvalidParameter
        When the file already has a key of that name, cannot be read, or the name is none.
    """
    if not _NAME.fullmatch(name):
        raise InvalidParameter(f"A key's name must be letters, digits, '.', '-', '_' or '@', at most 64; got {name!r}.")
    target = writable(path)
    before = target.read_text(encoding="utf-8") if target.exists() else _HEAD
    if target.exists() and name in Keys.read(target).hashes:
        raise InvalidParameter(f"`key_file` must have no key {name!r} yet; {str(path)!r} has. Delete its line first.")
    key = _PREFIX + secrets.token_urlsafe(32)
    with whole_file(target) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(f"{before.rstrip()}\n{name} sha256:{digest(key)}\n", encoding="utf-8")
    return key
