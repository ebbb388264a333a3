"""Logins that a cloud mints for its own registries: an identity is exchanged for a registry's token, and kept a while.

A cloud is asked after the configured credentials, and nothing of it stops a request: what can't be minted is asked
for anonymously, since the image may be public. Only the registry's refusal brings up what went wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from coopery.errors import AuthError
from coopery.ports import Credential

#: The hops of a login, in order; the last one, what the token allows, is the registry's to judge.
Hop = Literal["identity", "exchange", "token"]

#: A token is given up so many seconds before its end: uploads take a while.
_MARGIN = 120.0
#: How long a failure stands, and how old a login must be to be minted again when a registry takes it no more.
_PATIENCE = 10.0


class LoginFailed(Exception):
    """No login came about: at which hop, what was said there, and what would help. Holds no secret."""

    def __init__(self, hop: Hop, said: str, hint: str = "") -> None:
        super().__init__(said)
        self.hop = hop
        self.said = said
        self.hint = hint


class NoIdentity(LoginFailed):
    """There is nothing to log in with: a fork's job often has no token, and may need none."""


@dataclass(frozen=True, slots=True)
class Login:
    """A credential and its end in seconds since the epoch."""

    credential: Credential
    ends: float


class Cloud(Protocol):
    """A vendor's registries and the way to log in to them."""

    name: str
    extra: str  # the extra of this package that brings the vendor's library

    def serves(self, host: str) -> bool:
        """Whether `host`, in lower case, is one of its registries; nothing but its own hosts may match."""

    def mint(self, host: str) -> Login:
        """A new login. LoginFailed, or ImportError if the vendor's library isn't installed."""

    def rights(self, action: str) -> str:
        """What an identity needs to be allowed to `action` (pull, push, …), in the vendor's words."""


@dataclass(slots=True)
class _Host:
    """What is known about one registry."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    login: Login | None = None
    trouble: str = ""
    hint: str = ""
    fatal: bool = False
    ends: float = 0.0
    minted: float = 0.0
    served: set[str] = field(default_factory=set)  # repositories that were given this outcome


class CloudProvider:
    """A credential provider over a `Cloud`. Safe to use from any thread; one of many mints, the others wait."""

    def __init__(
        self,
        cloud: Cloud,
        clock: Callable[[], float] = time.time,
        *,
        strict: bool = False,
    ) -> None:
        """`clock` gives seconds since the epoch. With `strict` a login that fails is an error of `get`, rather than
        one that the registry's refusal brings up; not having an identity is none.
        """
        self._cloud = cloud
        self._strict = strict
        self._clock = clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def get(self, registry: str, repository: str) -> Credential | None:
        """The login for the registry if it is the cloud's and one can be had, else None (or AuthError, if strict).

        Minted anew when it nears its end, or when it is asked for a second time for one repository (whose registry
        then didn't take it) and isn't brand-new.
        """
        name = registry.lower()
        if not self._cloud.serves(name):
            return None
        with self._lock:
            host = self._hosts.setdefault(name, _Host())
        with host.lock:
            now = self._clock()
            refused = repository in host.served and now - host.minted >= _PATIENCE
            if now >= host.ends or refused:
                self._renew(host, name, now)
            host.served.add(repository)
            if host.fatal:
                raise AuthError(host.trouble, hint=host.hint)
            return host.login.credential if host.login else None

    def advice(self, registry: str, _repository: str, action: str) -> str:
        """Why there is no login, or what the login's identity needs; empty for registries that were none of ours."""
        host = self._hosts.get(registry.lower())
        if host is None:
            return ""
        if host.trouble:
            return f"{host.trouble}; {host.hint}" if host.hint else host.trouble
        return f"the login by {self._cloud.name} itself worked; {self._cloud.rights(action)}"

    def _renew(self, host: _Host, name: str, now: float) -> None:
        host.login, host.trouble, host.hint, host.fatal = None, "", "", False
        host.ends = now + _PATIENCE
        host.minted = now
        host.served.clear()
        cloud = self._cloud
        try:
            login = cloud.mint(name)
        except ImportError:
            host.trouble = f"{name} is a registry of {cloud.name}, and what logs in there isn't installed"
            host.hint = f"pip install 'coopery[{cloud.extra}]'"
            host.fatal = self._strict
            host.ends = float("inf")
        except LoginFailed as error:
            host.trouble = f"the login by {cloud.name} failed at its {error.hop}: {error.said}"
            host.hint = error.hint
            host.fatal = self._strict and not isinstance(error, NoIdentity)
        except Exception as error:
            # Other people's libraries: what they raise is no reason to fail where anonymous might do.
            host.trouble = f"the login by {cloud.name} failed: its library raised {type(error).__name__}"
            host.fatal = self._strict
        else:
            host.login = login
            # However short its life: it is minted for the request at hand.
            host.ends = max(login.ends - _MARGIN, now + _PATIENCE)


def quiet(*loggers: str) -> None:
    """Keep a vendor's warnings, which Python prints for want of a handler, off standard error."""
    import logging

    for name in loggers:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
