"""Lists that a registry gives in pages: OCI distribution specification 1.1, "Listing Tags"; RFC 8288 for the links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from coopery.errors import IntegrityError, RegistryError
from coopery.registry.answers import failure
from coopery.registry.auth import Scope
from coopery.registry.channel import Channel
from coopery.registry.endpoint import follow
from coopery.registry.transport import Answer

#: A registry whose list doesn't end after this many pages is taken to go round in circles.
MAX_PAGES = 10_000

_LINK = re.compile(r"<([^<>]*)>([^<]*)")
_NEXT = re.compile(r';\s*rel\s*=\s*(?:"[^"]*\bnext\b[^"]*"|next\b)', re.IGNORECASE)


def pages(channel: Channel, repository: str, target: str, what: str, first: Answer | None = None) -> Iterator[Answer]:
    """The answers to a GET of `target`, of which `first` may be there already, and of each next page.

    `failure` for `what` if one isn't 200; RegistryError if there is no end to them.
    """
    scopes = (Scope(repository, ("pull",)),)
    seen: set[str] = set()
    answer = first
    while True:
        answer = answer or channel.send("GET", target, scopes)
        if answer.status != 200:
            raise failure(channel.endpoint.registry, what, answer)
        yield answer
        link = next_link(answer.header("link"))
        if not link:
            return
        target = follow(answer.url, link, channel.transport.settings.may_be_plain)
        if target in seen or len(seen) == MAX_PAGES:
            raise RegistryError(f"{what}: the pages of {channel.endpoint.registry} lead in circles")
        seen.add(target)
        answer = None


def next_link(header: str) -> str:
    """The target of the link to the next page in a Link header, as it stands there; empty if there is none."""
    return next((target for target, parameters in _LINK.findall(header) if _NEXT.search(parameters)), "")


def tag_names(name: str, body: bytes) -> list[str]:
    """The tags in one page of a tag list; IntegrityError, naming the repository `name`, if it is malformed."""
    try:
        value: Any = json.loads(body)
        return [str(tag) for tag in value["tags"] or ()]  # distribution says null of none
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(f"the list of the tags of {name} is malformed") from error
