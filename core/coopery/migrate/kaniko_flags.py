"""The flags of kaniko's executor, and what each of them is in our settings.

They are those of osscontainertools/kaniko v1.28, cmd/executor/cmd/root.go, and of the original before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from coopery.migrate.draft import Draft
from coopery.migrate.flags import Carry, Flag, Given, adds, if_on, leaves, moot, pair_from_here, sets
from coopery.migrate.words import Word, word

_CHECKOUT = "check out or unpack it in a step before, and name the directory"
_REPORT = "later steps get the digest and the names from this one: see what it hands on"
_CHANGES = "changes are found exactly, and fast"
_ROOT = "steps run in a root of their own, not in that of the job"
_RETRIES = "uploads and downloads are tried again by themselves"


def _destination(draft: Draft, given: Given) -> None:
    draft.names.append(given.value)


def carry_secret(draft: Draft, given: Given) -> None:
    """`id=NAME,src=FILE` or `id=NAME,env=VARIABLE`."""
    fields = {part.partition("=")[0].literal: part.partition("=")[2] for part in given.value.split(",")}
    fields.pop("type", None)
    name = fields.pop("id", None)
    source = fields.pop("src", None) or fields.pop("source", None)
    variable = fields.pop("env", None)
    if name is None or fields:
        draft.left(given.written, "it can't be told what it is", "add it to secrets")
    elif source is not None:
        draft.add("secrets", name + "=file:" + source)
    else:
        draft.add("secrets", name + "=env:" + (variable or name))


def _level(draft: Draft, given: Given) -> None:
    if given.value.literal == "-1":
        draft.moot(given.written, "that is the default")
    else:
        draft.set("compression-level", given.value)


def _target(draft: Draft, given: Given) -> None:
    if "target" in draft.settings:
        way = "describe each of them under targets in coopery.yaml"
        draft.left(given.written, "a build has one target", way)
    else:
        draft.set("target", given.value)


def _host_setting(key: str) -> Carry:
    def carry(draft: Draft, given: Given) -> None:
        draft.registry(given.value, key, "true")

    return carry


def _certificate(draft: Draft, given: Given) -> None:
    host, _, path = given.value.partition("=")
    draft.registry(host, "certificate", path)


def add_variable(draft: Draft, name: str, value: Word) -> None:
    """Set one of the variables that hold for every command; several values are parted by `;`."""
    before = draft.variables.get(name)
    draft.variables[name] = before + ";" + value if before else value


def _variable(name: str) -> Carry:
    return lambda draft, given: add_variable(draft, name, given.value)


def _compressed_caching(draft: Draft, given: Given) -> None:
    draft.moot(given.written, "layers are compressed in the cache, and memory is no concern")


def _mirror(draft: Draft, given: Given) -> None:
    _variable("COOPERY_REGISTRY_MIRROR")(draft, given)


def _format(draft: Draft, given: Given) -> None:
    if given.value.literal == "oci":
        draft.moot(given.written, "images are OCI images")
    else:
        draft.left(
            given.written, "images are OCI images, which every registry takes", "outputs type=docker writes Docker's"
        )


def _credential_helpers(draft: Draft, given: Given) -> None:
    draft.moot(given.written, "logins to clouds are found without helpers, and helpers that config.json names are used")


def _dry_run(draft: Draft, given: Given) -> None:
    draft.left(given.written, "the step builds", "`coopery ci build --dry-run` shows what it would do")


#: Other spellings of flags.
SHORT = {
    "c": "context",
    "f": "dockerfile",
    "d": "destination",
    "b": "bucket",
    "v": "verbosity",
    "i": "image-name-with-digest-file",
    "h": "help",
    "snapshotMode": "snapshot-mode",
    "customPlatform": "custom-platform",
    "tarPath": "tar-path",
    "registry-mirrors": "registry-mirror",
    "secrets": "secret",
}


def _taken(draft: Draft, given: Given) -> None:
    """What is done with it depends on other flags: see the functions for what belongs together."""


#: The flags that are known, by their usual names.
FLAGS: Mapping[str, Flag] = {
    # what is built
    "context": Flag(_taken),
    "context-sub-path": Flag(_taken),
    "dockerfile": Flag(_taken),
    "bucket": Flag(leaves("contexts in object stores aren't fetched", _CHECKOUT)),
    "git": Flag(leaves("one commit is fetched, with its submodules", "the checkout's own options say more")),
    "ignore-path": Flag(
        leaves("what isn't part of the image's layers can't be told", "remove it in a RUN, or mount it")
    ),
    "ignore-var-run": Flag(moot(_ROOT), switch=True),
    "whitelist-var-run": Flag(moot(_ROOT), switch=True),
    "build-arg": Flag(pair_from_here("build-args")),
    "target": Flag(_target),
    "custom-platform": Flag(sets("platforms")),
    "secret": Flag(carry_secret),
    "label": Flag(adds("labels")),
    "annotation": Flag(adds("annotations")),
    "reproducible": Flag(
        if_on(
            leaves(
                "times in layers are those of their files", "set SOURCE_DATE_EPOCH, which steps and directories go by"
            )
        ),
        switch=True,
    ),
    "dryrun": Flag(if_on(_dry_run), switch=True),
    # the file system
    "snapshot-mode": Flag(moot(_CHANGES)),
    "single-snapshot": Flag(
        if_on(
            leaves("each step is a layer", "end with a stage that copies out of the others: FROM scratch, COPY --from")
        ),
        switch=True,
    ),
    "use-new-run": Flag(moot(_CHANGES), switch=True),
    "kaniko-dir": Flag(moot(_ROOT)),
    "cleanup": Flag(moot(_ROOT), switch=True),
    "pre-cleanup": Flag(moot(_ROOT), switch=True),
    "preserve-context": Flag(moot(_ROOT), switch=True),
    "materialize": Flag(
        if_on(
            leaves(
                "the built file system is not put in place of the job's", "outputs type=local,dest=DIRECTORY unpacks it"
            )
        ),
        switch=True,
    ),
    "force": Flag(moot(_ROOT), switch=True),
    "force-build-metadata": Flag(moot("metadata is always written"), switch=True),
    "image-fs-extract-retry": Flag(moot(_RETRIES)),
    "skip-unused-stages": Flag(if_on(moot("stages that the target doesn't need are never built")), switch=True),
    # the cache
    "cache": Flag(_taken, switch=True),
    "cache-repo": Flag(_taken),
    "cache-ttl": Flag(_taken),
    "no-push-cache": Flag(if_on(_taken), switch=True),
    "cache-dir": Flag(
        leaves("base images are fetched as they are needed", "keep steps by cache: local, or a registry mirror")
    ),
    "cache-copy-layers": Flag(moot("the cache has all kinds of steps"), switch=True),
    "cache-run-layers": Flag(moot("the cache has all kinds of steps"), switch=True),
    "compressed-caching": Flag(_compressed_caching, switch=True),
    # where it goes
    "destination": Flag(_destination),
    "no-push": Flag(if_on(_taken), switch=True),
    "tar-path": Flag(lambda draft, given: draft.add("outputs", word("type=docker,dest=") + given.value)),
    "oci-layout-path": Flag(lambda draft, given: draft.add("outputs", word("type=oci,tar=false,dest=") + given.value)),
    "digest-file": Flag(leaves("the step writes its own report", _REPORT)),
    "image-name-with-digest-file": Flag(leaves("the step writes its own report", _REPORT)),
    "image-name-tag-with-digest-file": Flag(leaves("the step writes its own report", _REPORT)),
    "compression": Flag(sets("compression")),
    "compression-level": Flag(_level),
    "image-format": Flag(_format),
    # registries
    "insecure": Flag(if_on(_taken), switch=True),
    "skip-tls-verify": Flag(if_on(_taken), switch=True),
    "insecure-pull": Flag(if_on(_taken), switch=True),
    "skip-tls-verify-pull": Flag(if_on(_taken), switch=True),
    "insecure-registry": Flag(_host_setting("insecure")),
    "skip-tls-verify-registry": Flag(_variable("COOPERY_SKIP_TLS_VERIFY_REGISTRY")),
    "registry-certificate": Flag(_certificate),
    "registry-client-cert": Flag(_variable("COOPERY_REGISTRY_CLIENT_CERT")),
    "registry-mirror": Flag(_mirror),
    "registry-map": Flag(_variable("COOPERY_REGISTRY_MAP")),
    "skip-default-registry-fallback": Flag(
        if_on(lambda draft, given: draft.variables.update(COOPERY_SKIP_DEFAULT_REGISTRY_FALLBACK=word("true"))),
        switch=True,
    ),
    "push-retry": Flag(moot(_RETRIES)),
    "image-download-retry": Flag(moot(_RETRIES)),
    "push-ignore-immutable-tag-errors": Flag(
        if_on(leaves("the step fails if a tag may not be moved", "`coopery build` has the option of this name")),
        switch=True,
    ),
    "skip-push-permission-check": Flag(
        if_on(leaves("the step asks first whether it may push", "`coopery build` has the option of this name")),
        switch=True,
    ),
    "credential-helpers": Flag(_credential_helpers),
    # the log
    "verbosity": Flag(moot("the log has what is needed")),
    "log-format": Flag(moot("the log is the platform's")),
    "log-timestamp": Flag(moot("the log is the platform's"), switch=True),
    "help": Flag(moot("it is no build"), switch=True),
}
