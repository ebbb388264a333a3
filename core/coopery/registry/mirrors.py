"""Pulling from where an image can be had: a registry's mirrors first, then the registry itself.

References keep their names; only the requests go elsewhere. Nothing is ever pushed to a mirror, and what is pinned to
a digest is verified wherever it comes from.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from coopery.errors import AuthError, CooperyError, IntegrityError, NetworkError, NotFound, RegistryError
from coopery.oci.descriptor import Descriptor
from coopery.oci.reference import Reference
from coopery.registry.client import RegistryClient
from coopery.registry.settings import RegistrySettings

T = TypeVar("T")


class Mirrored:
    """`ports.Source` over a client: every request goes to the places in their order until one of them serves it.

    The errors are those of the last place, with those of the others in their detail. A mirror that fails otherwise than
    by not having what is asked for, or not for us, is left alone from then on. Safe to use from any thread.
    """

    def __init__(
        self, client: RegistryClient, settings: RegistrySettings, notice: Callable[[str], None] = lambda text: None
    ) -> None:
        """`notice` is told once of each mirror that fails."""
        self._notice = notice
        self._client = client
        self._settings = settings
        self._lock = threading.Lock()
        self._reached: set[str] = set()
        self._failed: dict[str, str] = {}  # by registry, what went wrong there

    def places(self, reference: Reference) -> tuple[Reference, ...]:
        """Where `reference` is pulled from, in order."""
        return self._settings.places(reference)

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """See RegistryClient.manifest."""
        return self._first(reference, self._client.manifest)

    def head(self, reference: Reference) -> Descriptor | None:
        """See RegistryClient.head: None if the last of the places has no such manifest."""

        def find(place: Reference) -> Descriptor:
            found = self._client.head(place)
            if found is None:
                raise NotFound(f"there is no {place}")
            return found

        try:
            return self._first(reference, find)
        except NotFound:
            return None

    def blob(self, reference: Reference, descriptor: Descriptor) -> Iterator[bytes]:
        """See RegistryClient.blob. Where one place fails the next goes on, and what came is verified as a whole:
        IntegrityError if wrong bytes of a mirror have been given out already.
        """
        *mirrors, last = self._settings.places(reference)
        failures: list[str] = []
        from coopery.registry.download import Taken

        taken, given = Taken(descriptor), False
        for place in mirrors:
            if self._is_usable(place, failures):
                try:
                    for piece in self._client.blob(place, descriptor, taken):
                        given = True
                        yield piece
                except CooperyError as error:
                    self._pass_over(place, error, failures)
                    if isinstance(error, IntegrityError):
                        if given:
                            raise
                        taken = Taken(descriptor)
                else:
                    return
        with _telling(failures):
            yield from self._client.blob(last, descriptor, taken)

    def _first(self, reference: Reference, work: Callable[[Reference], T]) -> T:
        *mirrors, last = self._settings.places(reference)
        failures: list[str] = []
        for place in mirrors:
            if self._is_usable(place, failures):
                try:
                    return work(place)
                except CooperyError as error:
                    self._pass_over(place, error, failures)
        with _telling(failures):
            return work(last)

    def _is_usable(self, place: Reference, failures: list[str]) -> bool:
        self._reach(place)
        failure = self._failed.get(place.registry)
        if failure:
            failures.append(f"{place.registry}: {failure}")
        return not failure

    def _pass_over(self, place: Reference, error: CooperyError, failures: list[str]) -> None:
        """Note what went wrong at a mirror; raise it if no other place would do better."""
        if not isinstance(error, (RegistryError, NetworkError, IntegrityError)):
            raise error
        failures.append(f"{place.registry}: {error.message}")
        if not isinstance(error, (NotFound, AuthError)):
            self._fail(place, error)

    def _fail(self, place: Reference, error: CooperyError) -> None:
        if place.registry not in self._failed:
            self._failed[place.registry] = error.message
            self._notice(f"going on without the mirror {place.registry}: {error.message}")

    def _reach(self, place: Reference) -> None:
        """Ask the mirror once, without trying again, whether it answers at all; if not it counts as failed.

        For requests in earnest to find that out would take many connections that run into their time-outs.
        """
        with self._lock:
            if place.registry not in self._reached and place.registry not in self._failed:
                try:
                    self._client.reach(place)
                except NetworkError as error:
                    self._fail(place, error)
                self._reached.add(place.registry)


@contextmanager
def _telling(failures: Sequence[str]) -> Iterator[None]:
    """Adds what mirrors said to the error of the place that was asked last."""
    try:
        yield
    except CooperyError as error:
        if failures:
            error.detail = "\n".join(filter(None, [error.detail, "mirrors that were asked before:", *failures]))
        raise
