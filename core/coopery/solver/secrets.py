"""The secrets of a request, read when something needs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from coopery.errors import UsageError
from coopery.request import Secret


class Secrets:
    """Reads secrets by id. Safe to use from any thread."""

    def __init__(self, secrets: Sequence[Secret], environ: Mapping[str, str], mask: Callable[[bytes], None]) -> None:
        """`environ` is where those come from that are given by variable; `mask` is told each value that is read."""
        self._secrets = {secret.id: secret for secret in secrets}
        self._environ = environ
        self._mask = mask

    def get(self, name: str) -> bytes | None:
        """The secret's value, read now and masked in the log from now on; None if the user gave none of this name.

        UsageError if its file or variable isn't there.
        """
        value = self._read(name)
        if value:
            self._mask(value)
        return value

    def hide(self, value: str) -> None:
        """Mask another value in the log."""
        self._mask(value.encode("utf-8", "surrogateescape"))

    def _read(self, name: str) -> bytes | None:
        secret = self._secrets.get(name)
        if secret is None:
            return None
        if secret.env:
            value = self._environ.get(secret.env)
            if value is None:
                raise UsageError(f"the secret {name!r} comes from the variable {secret.env}, which isn't set")
            return value.encode("utf-8", "surrogateescape")
        try:
            with open(secret.file, "rb") as file:
                return file.read()
        except OSError as error:
            raise UsageError(f"can't read the secret {name!r} from {secret.file}: {error.strerror}") from error
