"""`docker build` and `docker buildx build`: what their flags are in our settings.

The flags are those of buildx 0.29 and of the classic builder (docker/cli, cli/command/image/build.go).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coopery.engines.cache_spec import Option, parse_cache
from coopery.errors import CooperyError
from coopery.migrate.draft import Draft
from coopery.migrate.flags import (
    Carry,
    Flag,
    Given,
    Line,
    adds,
    carry_all,
    if_on,
    leaves,
    moot,
    pair_from_here,
    read_flags,
    sets,
    switches,
)
from coopery.migrate.kaniko_flags import carry_secret
from coopery.migrate.words import Shell, Variable, Word, word

_CHECKOUT = "check out or unpack it in a step before, and name the directory"
_ATTEST = "images are pushed without attestations"
_LIMITS = "steps have the limits of the job: set them there"
_REPORT = "later steps get the digest and the names from this one: see what it hands on"


def draft_build(words: Sequence[Word], here: Word | None = None) -> Draft:
    """What `docker build` with these arguments builds; `here` is the directory it is started in. Its names are those
    of --tag; `push` is set only by --push, or by an output that pushes.
    """
    draft = Draft()
    line = read_flags(words, FLAGS, draft, _SHORT, "docker build")
    carry_all(draft, line, FLAGS)
    _context(draft, line, here)
    return draft


def carry_flag(draft: Draft, name: str, value: Word, written: str) -> None:
    """Have one of docker build's flags done; `written` is what to call it."""
    FLAGS[name].carry(draft, Given(name, value, written))


def _context(draft: Draft, line: Line, here: Word | None) -> None:
    *more, context = line.others or (word("."),)
    for other in more:
        if len(other.pieces) == 1 and isinstance(other.pieces[0], (Variable, Shell)) and not other.quoted:
            way = "write the options out, so that they can be carried over"
            draft.left(other.written, "options in a variable aren't known before the job runs", way)
        else:
            draft.left(other.written, "docker build takes one context", "look up what it is for")
    file = next((given.value for given in reversed(line.flags) if given.name == "file"), None)
    if context.start.startswith(("http://", "https://", "git://", "git@", "ssh://")):
        here = None
    elif context.literal == "-":
        draft.left("the context -", "nothing is read from standard input", _CHECKOUT)
        context = word(".")
    context = below(here, context)
    if context.literal not in (".", "./"):
        draft.set("context", context)
    if file is None:
        return
    if file.literal == "-" or file.start.startswith(("http://", "https://")):
        draft.left(f"--file {file.written}", "the Dockerfile is a file of the job", "write it to one in a step before")
        return
    place = below(here, file)
    if place.literal in ("Dockerfile", "./Dockerfile") and context.literal in (".", "./"):
        draft.moot(f"--file {file.written}", "that is the Dockerfile that is built anyway")
    else:
        draft.set("file", place)


def below(here: Word | None, path: Word) -> Word:
    """`path` as seen from the checkout, where it is meant from the directory `here`."""
    first = path.pieces[0] if path.pieces else ""
    if here is None or not isinstance(first, str) or first.startswith("/"):
        return path
    return here if path.literal in (".", "./") else here + "/" + (path.without("./") or path)


def _cache(option: Option) -> Carry:
    """Caches in buildx's spelling. Names of images, as the classic builder has them, were caches by their layers."""
    key = option[2:]

    def carry(draft: Draft, given: Given) -> None:
        if "=" not in given.value.written:
            draft.set("cache", "registry")
            why = "the layers of images are no cache; steps are kept in the image's repository with /cache"
            draft.check(given.written, why)
            return
        shown = word(*(piece if isinstance(piece, str) else "x" for piece in given.value.pieces)).literal or ""
        try:
            parse_cache(shown, option)
        except CooperyError as error:
            draft.left(given.written, error.message, error.hint)
        else:
            draft.add(key, given.value)

    return carry


def _output(draft: Draft, given: Given) -> None:
    fields = {part.partition("=")[0].literal: part.partition("=")[2] for part in given.value.split(",")}
    kind = fields["type"].literal if "type" in fields else ""
    pushed = kind == "registry" or (kind == "image" and "push" in fields and fields["push"].literal != "false")
    if kind in ("registry", "image") and not set(fields) - {"type", "push", "name"}:
        if "name" in fields:
            draft.names += fields["name"].split(",")
        draft.set("push", "true" if pushed else "false")
        if not pushed:
            draft.moot(given.written, "an image that isn't pushed is in the cache anyway")
        return
    draft.add("outputs", given.value)
    if pushed:
        draft.set("push", "true")


def _tag(draft: Draft, given: Given) -> None:
    draft.names.append(given.value)


def _build_arg(draft: Draft, given: Given) -> None:
    if given.value.start.startswith("BUILDKIT_INLINE_CACHE"):
        draft.moot(given.written, "steps are kept by themselves, not in the image")
    else:
        pair_from_here("build-args")(draft, given)


def _network(draft: Draft, given: Given) -> None:
    if given.value.literal in ("default", "host", "none", None):
        draft.set("network", given.value)
    else:
        draft.left(given.written, "there are no networks of Docker's", "network is default, host or none")


def _platform(draft: Draft, given: Given) -> None:
    for part in given.value.split(","):
        draft.add("platforms", part)


def _taken(draft: Draft, given: Given) -> None:
    """What is done with it depends on the context."""


def _off(what: str, way: str) -> Carry:
    """For attestations: `false` asks for none, which is what there is."""

    def carry(draft: Draft, given: Given) -> None:
        if given.value.literal in ("false", "0"):
            draft.moot(given.written, "there are none anyway")
        else:
            draft.left(given.written, what, way)

    return carry


_SHORT = {
    "D": "debug",
    "c": "cpu-shares",
    "f": "file",
    "m": "memory",
    "o": "output",
    "q": "quiet",
    "t": "tag",
}

#: The flags that are known, by their usual names.
FLAGS: Mapping[str, Flag] = {
    "add-host": Flag(adds("add-hosts")),
    "allow": Flag(adds("allow")),
    "annotation": Flag(adds("annotations")),
    "attest": Flag(_off(_ATTEST, "attest the digest in a step after it")),
    "build-arg": Flag(_build_arg),
    "build-context": Flag(adds("build-contexts")),
    "builder": Flag(moot("there are no builders to choose from: the build runs in the job")),
    "cache-from": Flag(_cache("--cache-from")),
    "cache-to": Flag(_cache("--cache-to")),
    "call": Flag(leaves("the step builds", "`coopery build` names what it can't build, with its line")),
    "cgroup-parent": Flag(leaves("steps run in the cgroup of the job", _LIMITS)),
    "check": Flag(if_on(leaves("the step builds", "use a linter, such as hadolint")), switch=True),
    "compress": Flag(moot("no context is sent anywhere"), switch=True),
    "cpu-period": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "cpu-quota": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "cpu-shares": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "cpuset-cpus": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "cpuset-mems": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "debug": Flag(moot("errors show their reasons anyway"), switch=True),
    "disable-content-trust": Flag(moot("content is verified by its digests"), switch=True),
    "file": Flag(_taken),
    "force-rm": Flag(moot("there are no containers to be removed"), switch=True),
    "iidfile": Flag(leaves("the step writes its own report", _REPORT)),
    "isolation": Flag(leaves("Docker's kinds of isolation are Windows'", "isolation says how steps are run here")),
    "label": Flag(adds("labels")),
    "load": Flag(switches("load"), switch=True),
    "memory": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "memory-swap": Flag(leaves("steps have no limits of their own", _LIMITS)),
    "metadata-file": Flag(leaves("the step writes its own report", _REPORT)),
    "network": Flag(_network),
    "no-cache": Flag(switches("no-cache"), switch=True),
    "no-cache-filter": Flag(adds("no-cache-filters")),
    "output": Flag(_output),
    "platform": Flag(_platform),
    "progress": Flag(moot("the log is plain in a job")),
    "provenance": Flag(_off(_ATTEST, "attest the digest in a step after it"), switch=True),
    "pull": Flag(switches("pull"), switch=True),
    "push": Flag(switches("push"), switch=True),
    "quiet": Flag(moot("the log folds"), switch=True),
    "rm": Flag(moot("there are no containers to be removed"), switch=True),
    "sbom": Flag(_off(_ATTEST, "make one of the digest in a step after it"), switch=True),
    "secret": Flag(carry_secret),
    "security-opt": Flag(leaves("steps run in a sandbox of Coopery's", "isolation says which")),
    "shm-size": Flag(sets("shm-size")),
    "squash": Flag(
        if_on(
            leaves("each step is a layer", "end with a stage that copies out of the others: FROM scratch, COPY --from")
        ),
        switch=True,
    ),
    "ssh": Flag(adds("ssh")),
    "tag": Flag(_tag),
    "target": Flag(sets("target")),
    "ulimit": Flag(adds("ulimit")),
}
