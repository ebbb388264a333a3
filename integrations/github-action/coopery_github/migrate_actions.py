"""What the inputs of build-push-action, metadata-action, login-action and action-kaniko are in our settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coopery.migrate.docker import carry_flag
from coopery.migrate.draft import Draft, Login
from coopery.migrate.logins import host_of
from coopery.migrate.words import Natives, Word, word

#: Expressions, which the runner puts in place before a script is run.
EXPRESSION = re.compile(r"\$\{\{.*?\}\}", re.DOTALL)

#: Inputs of build-push-action (its action.yml, v6) by the flags of `docker build` that they become.
INPUTS: Mapping[str, str] = {
    "add-hosts": "add-host",
    "allow": "allow",
    "annotations": "annotation",
    "attests": "attest",
    "build-args": "build-arg",
    "build-contexts": "build-context",
    "builder": "builder",
    "cache-from": "cache-from",
    "cache-to": "cache-to",
    "call": "call",
    "cgroup-parent": "cgroup-parent",
    "labels": "label",
    "load": "load",
    "network": "network",
    "no-cache": "no-cache",
    "no-cache-filters": "no-cache-filter",
    "outputs": "output",
    "platforms": "platform",
    "provenance": "provenance",
    "pull": "pull",
    "push": "push",
    "sbom": "sbom",
    "shm-size": "shm-size",
    "ssh": "ssh",
    "tags": "tag",
    "target": "target",
    "ulimit": "ulimit",
}
_LISTS = frozenset(
    (
        *("add-hosts", "allow", "annotations", "attests", "build-args", "build-contexts", "cache-from", "cache-to"),
        *("labels", "no-cache-filters", "outputs", "platforms", "ssh", "tags", "ulimit"),
    )
)
_COMMAS = frozenset(("add-hosts", "allow", "no-cache-filters", "platforms", "ssh", "tags"))
_META = re.compile(r"\$\{\{\s*steps\.([\w-]+)\.outputs\.(tags|labels|annotations)\s*\}\}")
_ENTRY = re.compile(r'"(?:[^"]|"")*"|[^\n]+')


def words_of(text: str, *, lists: bool = False) -> list[Word]:
    """The text with its expressions, or the entry on each of its lines."""
    natives = Natives()
    hidden = natives.hide_all(EXPRESSION, text)
    parts = [_unquoted(part.strip()) for part in _ENTRY.findall(hidden)] if lists else [hidden.strip()]
    return [natives.reveal(word(part)) for part in parts if part and not (lists and part.startswith("#"))]


def _unquoted(entry: str) -> str:
    """An entry of one line needs no quotes."""
    quoted = entry.startswith('"') and entry.endswith('"') and len(entry) > 1 and "\n" not in entry
    return entry[1:-1].replace('""', '"') if quoted else entry


def build_draft(inputs: Mapping[str, str]) -> Draft:
    """What build-push-action with these inputs builds; what names outputs of metadata-action is left to it."""
    draft = Draft()
    draft.set("push", "false")
    for name, text in inputs.items():
        if not text.strip():
            continue
        if name in INPUTS:
            for value in words_of(text, lists=name in _LISTS):
                if _META.fullmatch(value.written):
                    continue
                for part in value.split(",") if name in _COMMAS else (value,):
                    carry_flag(draft, INPUTS[name], part, f"{name}: {value.written}")
        elif name in ("secrets", "secret-envs", "secret-files"):
            kind = {"secrets": "", "secret-envs": "env:", "secret-files": "file:"}[name]
            for value in words_of(text.replace(",", "\n") if name == "secret-envs" else text, lists=True):
                key, _, place = value.partition("=")
                draft.add("secrets", key + "=" + kind + place)
        elif name == "context":
            _context(draft, text.strip())
        elif name == "file":
            if text.strip() not in ("Dockerfile", "./Dockerfile") or inputs.get("context", ".").strip() not in (
                ".",
                "./",
            ):
                draft.set("file", words_of(text)[0])
            else:
                draft.moot(f"file: {text.strip()}", "that is the Dockerfile that is built anyway")
        elif name == "github-token":
            _token(draft, text.strip(), inputs.get("context", "").strip())
        else:
            draft.left(f"{name}: {text.strip()}", "there is no such input that is known here", "look up what it did")
    return draft


def _token(draft: Draft, text: str, context: str) -> None:
    if re.match(r"(?:https?|git|ssh)://", context):
        way = "give it as the secret GIT_AUTH_TOKEN.github.com, if the repository is a private one"
        draft.left(f"github-token: {text}", "it was for fetching the context", way)
    else:
        draft.moot(f"github-token: {text}", "it is for contexts that are fetched; here it is the checkout")


def _context(draft: Draft, text: str) -> None:
    text = re.sub(r"^\{\{\s*defaultContext\s*\}\}:?", "", text) or "."
    if text not in (".", "./"):
        draft.set("context", words_of(text)[0])


def carry_metadata(draft: Draft, inputs: Mapping[str, str], name: str, meta: Mapping[str, str]) -> bool:
    """Give a build the rules of the metadata step `name`, as far as the build's inputs ask for them. Whether nothing
    else of the step is used by the build.
    """
    found = {
        match[2]
        for key in ("tags", "labels", "annotations")
        for match in _META.finditer(inputs.get(key, ""))
        if match[1] == name
    }
    if "tags" in found:
        for key in ("images", "tags", "flavor"):
            for value in words_of(meta.get(key, ""), lists=True):
                draft.add(key, value)
    for key in ("labels", "annotations"):
        for value in words_of(meta.get(key, ""), lists=True):
            if key in found:
                draft.settings.setdefault(key, []).insert(0, value)
            else:
                draft.moot(f"{key}: {value.written}", f"the build doesn't use the {key} of the step {name}")
    for key, text in meta.items():
        if key in ("images", "tags", "flavor", "labels", "annotations") or not text.strip():
            continue
        if key == "github-token":
            draft.moot(f"{key}: {text.strip()}", "nothing is asked of GitHub's API for names")
        elif key == "context" and text.strip() == "workflow":
            draft.moot(f"{key}: {text.strip()}", "that is how it is anyway")
        elif key.startswith("sep-"):
            draft.left(
                f"{key}: {text.strip()}", "outputs have their entries on lines", f"the action has the input {key} too"
            )
        else:
            draft.left(f"{key}: {text.strip()}", "names come from the event", "set the tags that are meant")
    used = {match[2] for key in inputs for match in _META.finditer(inputs[key]) if match[1] == name}
    rest = _META.sub("", "\n".join(inputs.values()))
    return used == found and f"steps.{name}." not in rest


def login_of(inputs: Mapping[str, str], draft: Draft | None = None) -> Login | None:
    """The login of login-action; None if there is none, or if the job's identity takes its place."""
    host = host_of(words_of(inputs["registry"])[0]) if inputs.get("registry", "").strip() else word("docker.io")
    written = f"the login for {host.written}"
    if draft is not None:
        if scope := inputs.get("scope", "").strip():
            draft.left(
                f"{written}: scope: {scope}", "this login is for the whole registry", "the action has the input scope"
            )
        if entries := inputs.get("registry-auth", "").strip():
            way = "the action has the input registry-auth too: move it there"
            draft.left(f"registry-auth: {entries.partition(chr(10))[0]} …", "several logins in one step", way)
        for key in ("logout", "ecr"):
            if inputs.get(key, "").strip():
                draft.moot(
                    f"{key}: {inputs[key].strip()}", "logins end with the step, and those of AWS are found by the host"
                )
    user, password = inputs.get("username", "").strip(), inputs.get("password", "").strip()
    if not user or not password:
        if draft is not None and not inputs.get("registry-auth", "").strip():
            draft.moot(written, "the identity that the job has serves for it")
        return None
    return Login(host, words_of(user)[0], words_of(password)[0], written)


def setup_notes(action: str, inputs: Mapping[str, str], draft: Draft) -> None:
    """What becomes of setup-buildx-action and setup-qemu-action."""
    draft.moot(action, "there is no builder to set up, and nothing to emulate")
    for key, text in inputs.items():
        if key in ("buildkitd-config", "buildkitd-config-inline", "config", "config-inline", "driver-opts", "append"):
            way = "mirrors and the like are said in the input registries"
            draft.left(f"{action}: {key}: {text.strip()}", "it is about BuildKit's own daemon", way)
        else:
            draft.moot(f"{action}: {key}: {text.strip()}", "there is no builder to set up")


def kaniko_command(inputs: Mapping[str, str], notes: Draft) -> str:
    """The command line that action-kaniko runs (its entrypoint.sh)."""
    given = {key: value.strip() for key, value in inputs.items() if value.strip()}
    registry = given.pop("registry", "docker.io").rstrip("/")
    place = f"{registry}/${{{{ github.repository }}}}" if registry == "ghcr.io" else registry
    name = f"{place}/{given.pop('image', '')}"
    default = "${{ github.ref_name == 'master' && 'latest' || github.ref_name }}"
    path = given.pop("path", ".")
    line = [f"executor --context {path} --destination {name}:{given.pop('tag', default)} --reproducible"]
    line.append(f"--dockerfile {path}/{given.pop('build_file', 'Dockerfile')}")
    if given.pop("tag_with_latest", "") == "true":
        line.append(f"--destination {name}:latest")
    if cache := given.pop("cache_registry", ""):
        line.append(f"--cache-repo {place}/{cache}" if registry == "ghcr.io" else f"--cache-repo {cache}")
    if given.pop("cache", ""):
        line.append("--cache=true")
    for key, flag in (("cache_ttl", "cache-ttl"), ("cache_directory", "cache-dir"), ("target", "target")):
        if value := given.pop(key, ""):
            line.append(f"--{flag}={value}")
    line.append(given.pop("extra_args", ""))
    for key, value in given.items():
        if key == "strip_tag_prefix":
            notes.left(f"{key}: {value}", "tags are as they are", "type=semver,pattern={{version}} strips a `v`")
        elif key == "skip_unchanged_digest":
            notes.moot(f"{key}: {value}", "what is in the registry already isn't uploaded again")
        elif key not in ("username", "password"):
            notes.left(f"{key}: {value}", "there is nothing like it", "look up what it did")
    return " ".join(line)
