"""The action's inputs: which are settings, which logins and secrets, and which can't be honoured."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from coopery.ci.convert import lines_of
from coopery.ci.platform import Login
from coopery.ci.written import Items, Pairs, Spot, Text, Written
from coopery.ci.yaml_text import read_yaml
from coopery.errors import UsageError

#: The variable that has all inputs as one JSON object: a composite action's steps don't get them one by one.
VARIABLE = "COOPERY_INPUTS"

#: Inputs that are settings of coopery.yaml, under the same names and as the text they are.
SETTINGS = (
    *("config", "only-platform", "images", "tags", "flavor", "labels", "annotations"),
    *("context", "file", "target", "platforms", "build-args", "build-contexts", "ssh"),
    *("add-hosts", "network", "shm-size", "ulimit", "allow", "pull", "no-cache", "no-cache-filters"),
    *("isolation", "scratch", "compression", "compression-level", "outputs", "load", "push"),
    *("cache", "cache-repository", "cache-from", "cache-to"),
)
#: Inputs that make no difference here, with what to tell those who set them.
NO_EFFECT: Mapping[str, str] = {
    "builder": "there are no builder instances: the build runs in this job",
    "cgroup-parent": "steps run in the cgroup of this job",
}
#: Inputs that ask for what can't be had, with the values that ask for nothing, and a way out.
REFUSED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "attests": ((), "images are pushed without attestations; actions/attest-build-provenance takes outputs.digest"),
    "provenance": (("false", "0"), "set it to false; actions/attest-build-provenance takes outputs.digest"),
    "sbom": (("false", "0"), "set it to false; anchore/sbom-action makes one of the image"),
    "call": (("build",), "leave it out; `coopery build --help` lists what there is"),
}
# What build-push-action takes for the repository, with a directory in it after a colon. Here it is checked out.
_DEFAULT_CONTEXT = re.compile(r"\{\{\s*defaultContext\s*\}\}(?::(.*))?")
_AUTH_KEYS = ("registry", "username", "password", "scope", "ecr")
# What the ids of access keys begin with (AWS IAM, "Understanding unique ID prefixes").
_ACCESS_KEYS = ("AKIA", "ASIA")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the workflow's `with:` says, read and sorted."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)  # those that aren't empty

    def get(self, name: str) -> str:
        """The input's text, empty if it wasn't given."""
        return self.values.get(name, "")

    def settings(self) -> dict[str, object]:
        """By the keys of coopery.yaml. UsageError for what can't be read or can't be had."""
        for name, (nothing, hint) in REFUSED.items():
            if self.get(name).strip().lower() not in ("", *nothing):
                raise UsageError(f"the input {name} asks for what can't be had yet", hint=hint)
        found: dict[str, object] = {name: self.get(name) for name in SETTINGS if self.get(name)}
        if match := _DEFAULT_CONTEXT.fullmatch(self.get("context").strip()):
            found["context"] = match[1] or "."
        if names := self.get("target-names"):
            found["targets"] = names
        if text := self.get("registries"):
            found["registries"] = _plain(_yaml(text, "registries"))
        if secrets := self._secret_sources():
            found["secrets"] = secrets
        return found

    def warnings(self) -> list[str]:
        """What those should know who set inputs that make no difference."""
        found = [f"The input {name} has no effect: {why}." for name, why in NO_EFFECT.items() if self.get(name)]
        if self.get("logout").strip().lower() == "false":
            found.append(
                "The input logout has no effect: credentials live in the build alone, later steps need a login."
            )
        found += [
            f"The secret {name} is empty: the build goes on without it."
            for name, value in _pairs(self.get("secrets"), "secrets").items()
            if not value
        ]
        return found

    def secret_values(self) -> Mapping[str, str]:
        """The secrets whose values are in the inputs, by id."""
        return {name: value for name, value in _pairs(self.get("secrets"), "secrets").items() if value}

    def logins(self, trusted: bool) -> list[Login]:
        """The credentials in the inputs, as docker/login-action takes them, those of `registry-auth` first.

        Those without a password are an error in trusted jobs; jobs of forks get no secrets, and go on without.
        """
        found = []
        for number, entry in enumerate(self._auth_entries(), 1):
            where = f"entry {number} of the input registry-auth"
            found.append(_login(entry, where, trusted))
        own = {name: self.get(name) for name in ("registry", "username", "password", "scope", "ecr")}
        if own["username"] or own["password"]:
            found.append(_login(own, "the login in the inputs", trusted))
        return [login for login in found if login is not None]

    def _auth_entries(self) -> list[dict[str, str]]:
        text = self.get("registry-auth")
        if not text.strip():
            return []
        written = _plain(_yaml(text, "registry-auth"))
        entries = []
        for number, entry in enumerate(written if isinstance(written, list) else [written], 1):
            if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
                raise UsageError(
                    f"entry {number} of the input registry-auth is not a login",
                    hint="write a list of mappings with registry, username and password",
                )
            if unknown := sorted(set(entry) - set(_AUTH_KEYS)):
                hint = "it may have " + ", ".join(_AUTH_KEYS)
                raise UsageError(f"entry {number} of the input registry-auth has the key {unknown[0]!r}", hint=hint)
            if entry.get("username") or entry.get("password"):
                entries.append({name: str(value) for name, value in entry.items()})
        return entries

    def _secret_sources(self) -> dict[str, object]:
        found: dict[str, object] = {name: name for name in self.secret_values()}
        envs = _pairs(self.get("secret-envs").replace(",", "\n"), "secret-envs")
        found |= {name: {"env": variable} for name, variable in envs.items()}
        files = _pairs(self.get("secret-files"), "secret-files")
        return found | {name: {"file": path} for name, path in files.items()}


def read_inputs(environ: Mapping[str, str]) -> Inputs:
    """The inputs of the action this process runs in; none outside of it. UsageError if they can't be read."""
    text = environ.get(VARIABLE, "")
    if not text:
        return Inputs()
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{VARIABLE} isn't JSON", hint="it is set by Coopery's action") from None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise UsageError(f"{VARIABLE} isn't a JSON object of texts", hint="it is set by Coopery's action")
    return Inputs({name: value for name, value in values.items() if value.strip()})


def _login(entry: Mapping[str, str], where: str, trusted: bool) -> Login | None:
    host = entry.get("registry", "").strip().removeprefix("https://").removeprefix("http://")
    host, _, namespace = host.partition("/")
    if not host or host in ("index.docker.io", "registry-1.docker.io"):
        host, namespace = "docker.io", ""
    username, password = entry.get("username", ""), entry.get("password", "")
    if not username or not password:
        if not trusted:
            return None
        hint = "is the secret or variable set, for this repository and its environment?"
        raise UsageError(f"{where}: the {'password' if username else 'username'} for {host} is empty", hint=hint)
    if entry.get("ecr", "").strip().lower() != "false" and username.startswith(_ACCESS_KEYS):
        hint = "give them to the step as env: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a role in registries"
        raise UsageError(f"{where}: an AWS access key is no password for {host}", hint=hint)
    # login-action's `scope` is a namespace, with the actions allowed in it after an `@`.
    namespace = entry.get("scope", "").partition("@")[0].strip("/") or (
        "" if namespace in ("v1/", "v2/") else namespace
    )
    return Login(host=host, namespace=namespace.strip("/"), username=username, password=password, origin=where)


def _pairs(text: str, name: str) -> dict[str, str]:
    """KEY=VALUE, one per line. Errors show no value: it may be the secret itself."""
    found = {}
    for number, entry in enumerate(lines_of(Text(text, Spot(f"the input {name}"))), 1):
        key, equals, value = entry.value.partition("=")
        if not key.strip() or not equals:
            raise UsageError(f"entry {number} of the input {name} is not ID=VALUE", hint="write one ID=VALUE per line")
        found[key.strip()] = value
    return found


def _yaml(text: str, name: str) -> Written:
    # Errors quote the lines around them, and these may hold passwords.
    return read_yaml(text, f"the input {name}", shown="")


def _plain(written: Written) -> object:
    if isinstance(written, Text):
        return written.value
    if isinstance(written, Items):
        return [_plain(item) for item in written.items]
    assert isinstance(written, Pairs)
    return {key.value: _plain(value) for key, value in written.pairs}
