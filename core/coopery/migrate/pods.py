"""Kubernetes pods, jobs and their like with a container of kaniko."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from coopery.migrate.draft import Draft
from coopery.migrate.edit import Document, plain
from coopery.migrate.kaniko import draft_executor
from coopery.migrate.words import Natives, Shell, Variable, Word, word


def is_kaniko(image: object) -> bool:
    """Whether a container image is kaniko's executor."""
    return isinstance(image, str) and "kaniko" in image.lower()


def pod_drafts(path: str, text: str) -> list[tuple[str, Draft]]:
    """The builds of kaniko's containers in the manifests, each with a title. UsageError for what isn't YAML."""
    return [found for root in Document(path, text).roots for found in container_drafts(plain(root))]


def container_drafts(value: object) -> list[tuple[str, Draft]]:
    """The same of one manifest, or of something that has pod specs in it, as Python has it."""
    found = []
    for spec in _pod_specs(value):
        for container in [*_maps(spec.get("initContainers")), *_maps(spec.get("containers"))]:
            arguments = _arguments(container)
            if is_kaniko(container.get("image")) and any("-" in each[:1] for each in arguments):
                draft = draft_executor([_argument(each) for each in arguments], word("/workspace"))
                _surroundings(draft, spec, container)
                found.append((f"container {container.get('name', '')}", draft))
    return found


def _arguments(container: Mapping[str, Any]) -> list[str]:
    command = [str(each) for each in container.get("command") or () if not str(each).endswith("executor")]
    return command + [str(each) for each in container.get("args") or ()]


def _argument(text: str) -> Word:
    """Kubernetes puts variables in place that are written $(NAME)."""
    import re

    natives = Natives()
    hidden = re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", lambda match: natives.hide(Variable(match[1])), text)
    return natives.reveal(word(hidden))


def _surroundings(draft: Draft, spec: Mapping[str, Any], container: Mapping[str, Any]) -> None:
    volumes = {str(volume.get("name")): volume for volume in _maps(spec.get("volumes"))}
    for mount in _maps(container.get("volumeMounts")):
        name, place = str(mount.get("name")), str(mount.get("mountPath"))
        secret = volumes.get(name, {}).get("secret") or volumes.get(name, {}).get("projected")
        if place.rstrip("/").endswith("/.docker"):
            way = (
                "mount it where the step runs and set DOCKER_CONFIG to its directory, or name the logins in registries"
            )
            draft.left(f"volume {name} at {place}", "it holds the config.json of the logins", way)
        elif secret:
            way = "make it a secret of the CI system, or mount it where the step runs"
            draft.left(f"volume {name} at {place}", "it holds a secret", way)
        else:
            draft.left(f"volume {name} at {place}", "it belongs to the pod", "the step works in the checkout")
    for variable in _maps(container.get("env")):
        name = str(variable.get("name"))
        if "value" in variable:
            _resolve(draft, name, word(str(variable["value"])))
        else:
            way = "make it a variable or secret of the CI system"
            draft.left(f"env {name}", "its value comes from the cluster", way)
    for key in ("resources", "securityContext"):
        if container.get(key):
            draft.moot(key, "the pod's own; the build needs no rights and no more memory than its steps")


def _resolve(draft: Draft, name: str, value: Word) -> None:
    def put(piece: str | Variable | Shell | Any) -> Word:
        return value if isinstance(piece, Variable) and piece.name == name else word(piece)

    for key, values in draft.settings.items():
        draft.settings[key] = [each.replaced(put) for each in values]
    draft.names = [each.replaced(put) for each in draft.names]
    draft.variables.setdefault(name, value)


def _pod_specs(value: object, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    if depth > 12:
        return
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for each in value.values():
            yield from _pod_specs(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _pod_specs(each, depth + 1)


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
