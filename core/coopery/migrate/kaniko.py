"""What a command line of kaniko's executor builds: flags that mean something together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from coopery.migrate.draft import Draft
from coopery.migrate.flags import Given, carry_all, read_flags
from coopery.migrate.kaniko_flags import FLAGS, SHORT, add_variable
from coopery.migrate.words import Word, inside, join, split_name, word

_CHECKOUT = "check out or unpack it in a step before, and name the directory"


def draft_executor(words: Sequence[Word], context: Word | None = None) -> Draft:
    """What `executor` with these arguments builds; `context` is the directory it is started in."""
    draft = Draft()
    line = read_flags(words, FLAGS, draft, SHORT, "kaniko")
    carry_all(draft, line, FLAGS)
    for other in line.others:
        draft.left(other.written, "kaniko takes no such argument", "look up what it is for")
    values = {given.name: given for given in line.flags}
    _context(draft, values, context)
    _destinations(draft, values)
    _caches(draft, values)
    return draft


# ------------------------------------------------------------------------------------------------ what belongs together


def _context(draft: Draft, values: Mapping[str, Given], here: Word | None) -> None:
    """The context and the Dockerfile, which kaniko looks for where it was started and then in the context."""
    given = values.get("context")
    context = given.value if given else word("/workspace")
    context = inside(context.without("dir://") or context, ())
    file = values.get("dockerfile")
    if here is not None and here.start.startswith("/"):  # the place that the checkout has in a container
        below = context.without(f"{here.literal}/")
        context = word(".") if context == here else below or context
        if file and (name := file.value.without(f"{here.literal}/")):
            file = replace(file, value=name)
        here = None
    elif not given and "bucket" not in values:
        draft.check("no --context", "kaniko takes /workspace; here it is the checkout")
        context = word(".")
    sub = values.get("context-sub-path")
    if (remote := _remote(draft, given, context, sub)) is not None:
        draft.set("context", remote)
        if file and file.value.literal != "Dockerfile":
            draft.set("file", file.value)
        elif file:
            draft.moot(file.written, "that is the Dockerfile that is built anyway")
        return
    scheme = context.start.partition("://")[0] if "://" in context.start else ""
    if scheme or context.start.endswith((".tar", ".tar.gz")) or context.literal == "-":
        draft.left(given.written if given else "", "it is no directory, git repository or address", _CHECKOUT)
        context = word(".")
    elif here is not None and not context.start.startswith("/") and isinstance(context.pieces[0], str):
        context = here + "/" + context if context.literal != "." else here
    if sub:
        context = context + "/" + sub.value if context.literal != "." else sub.value
    if context.literal not in (".", "./"):
        draft.set("context", context)
    if file:
        _dockerfile(draft, file, context)


def _remote(draft: Draft, given: Given | None, context: Word, sub: Given | None) -> Word | None:
    """A context on the web or in git, in buildx's spelling; None for others. Kaniko fetches `git://` by HTTPS."""
    if given is None or not context.start.startswith(("git://", "http://", "https://")):
        return None
    if context.start.startswith("git://"):
        address, _, fragment = context.partition("#")
        context = word("https://") + (address.without("git://") or address)
        context = context if context.written.endswith(".git") else context + ".git"
        ref, _, commit = fragment.partition("#")
        ref = commit if commit.pieces else ref
        context = context + "#" + ref if ref.pieces or sub else context
    if sub and "#" in context.written:
        return context + ":" + sub.value
    if sub:
        draft.left(sub.written, "archives are taken whole", _CHECKOUT)
    return context


def _dockerfile(draft: Draft, file: Given, context: Word) -> None:
    name = file.value
    if name.start.startswith(("http://", "https://")):
        draft.left(file.written, "the Dockerfile is a file of the job", "fetch it in a step before")
        return
    unknown = all(not isinstance(piece, str) for piece in context.pieces)  # most likely the checkout
    relative = not name.start.startswith("/") and isinstance(name.pieces[0], str)
    if relative and context.literal not in (".", "./") and not _below(name, context):
        if not unknown:
            draft.check(
                file.written,
                "kaniko looks for it where it is started, and then in the context; here it is in the latter",
            )
        if name.literal in ("Dockerfile", "./Dockerfile"):
            return
        name = context + "/" + (name.without("./") or name)
    if name.literal not in ("Dockerfile", "./Dockerfile"):
        draft.set("file", name)
    else:
        draft.moot(file.written, "that is the Dockerfile that is built anyway")


def _below(name: Word, context: Word) -> bool:
    return name.written.removeprefix("./").startswith(context.written.removeprefix("./").rstrip("/") + "/")


def _destinations(draft: Draft, values: Mapping[str, Given]) -> None:
    no_push = values.get("no-push")
    if no_push and no_push.value.literal is None:
        draft.left(no_push.written, "whether it pushes is only known when the job runs", "set push, or COOPERY_CI_PUSH")
    draft.set("push", "false" if (no_push and no_push.on) or not draft.names else "true")
    hosts = list(dict.fromkeys(_host(name) for name in draft.names))
    for flag in ("insecure", "skip-tls-verify"):
        if not (given := values.get(flag)) or not given.on:
            continue
        if not hosts:
            draft.left(given.written, "there is no destination that it is about", "set COOPERY_INSECURE_REGISTRY")
        elif flag == "insecure":
            for host in hosts:
                draft.registry(host, "insecure", "true")
        else:
            add_variable(draft, "COOPERY_SKIP_TLS_VERIFY_REGISTRY", join(hosts, ";"))
    for flag in ("insecure-pull", "skip-tls-verify-pull"):
        if (given := values.get(flag)) and given.on:
            draft.left(given.written, "registries are named one by one", "set COOPERY_INSECURE_REGISTRY to their hosts")


def _host(name: Word) -> Word:
    """The registry of an image, as far as its name shows it."""
    host, more, _ = split_name(name)[0].partition("/")
    known = host.literal
    return word("docker.io") if known is not None and (not more or not re.search("[.:]|^localhost$", known)) else host


def _caches(draft: Draft, values: Mapping[str, Given]) -> None:
    """`--cache` with all that goes with it."""
    on = values.get("cache")
    repository, ttl, readonly = (values.get(name) for name in ("cache-repo", "cache-ttl", "no-push-cache"))
    others = [given for given in (repository, ttl, readonly) if given]
    if not (on and (on.on or on.value.literal is None)):
        for given in others:
            draft.moot(given.written, "it says nothing without --cache")
        if on:
            draft.set("cache", "none")
        return
    if on.value.literal is None:
        draft.check(on.written, "the cache is on here")
    place = repository.value if repository else None
    if place is not None and place.start.startswith("oci:"):
        folder = place.without("oci:") or place
        _specs(draft, "type=local,src=", "type=local,dest=", folder, ttl, readonly)
    elif ttl or (readonly and readonly.on):
        if place is None and draft.names:
            place = split_name(draft.names[0])[0] + "/cache"
        if place is None:
            draft.left(on.written, "nothing says where the cache is", "set cache-repository")
            return
        _specs(draft, "type=registry,ref=", "type=registry,ref=", place, ttl, readonly)
    else:
        draft.set("cache", "registry")
        if place is not None:
            draft.set("cache-repository", place)


def _specs(draft: Draft, source: str, target: str, place: Word, ttl: Given | None, readonly: Given | None) -> None:
    age = word(",ttl=") + ttl.value if ttl else Word()
    draft.add("cache-from", word(source) + place + age)
    if readonly and readonly.on:
        return
    draft.add("cache-to", word(target) + place + ",mode=max" + age)
