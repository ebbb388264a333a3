"""What the template's inputs say. Each comes as a variable, COOPERY_INPUT_TAGS for `tags`, so that none is ever a part
of a script.
"""

from __future__ import annotations

from collections.abc import Mapping

from coopery.errors import UsageError

PREFIX = "COOPERY_INPUT_"
#: Inputs of type boolean can't be left out: `false` says nothing, and leaves the word to coopery.yaml.
_FLAGS = ("pull", "no-cache", "load")
#: Inputs of type number neither: this number stands for none.
_NO_NUMBER = "-1"
#: Inputs in which every line is an entry.
_LINES = frozenset(
    (
        *("images", "tags", "flavor", "labels", "annotations", "platforms", "build-args", "build-contexts", "secrets"),
        *("ssh", "add-hosts", "ulimit", "allow", "no-cache-filters", "outputs", "cache-from", "cache-to", "targets"),
    )
)
#: Begin the names of variables whose values people outside of the project may choose: messages, descriptions, names.
_OUTSIDERS = ("CI_COMMIT_", "CI_MERGE_REQUEST_", "CI_EXTERNAL_PULL_REQUEST_", "CI_RELEASE_", "CI_PIPELINE_", "CHAT_")
_TRIGGER = "TRIGGER_PAYLOAD"


def read_inputs(environ: Mapping[str, str]) -> dict[str, object]:
    """The inputs that were given, by the keys of coopery.yaml. UsageError for what can't be honoured.

    GitLab puts variables that an input mentions (`$CI_COMMIT_TITLE`) in place before the job starts. In an input with
    an entry per line a value of several lines would make entries of its own, so such a one is refused.
    """
    found: dict[str, object] = {}
    for variable in sorted(environ):
        value = environ[variable]
        if not variable.startswith(PREFIX) or not value.strip():
            continue
        key = variable.removeprefix(PREFIX).lower().replace("_", "-")
        if (key in _FLAGS and value == "false") or (key == "compression-level" and value == _NO_NUMBER):
            continue
        if key in _LINES:
            _check_lines(key, value, environ)
        found[key] = value
    if environ.get("COOPERY_DEPENDENCY_PROXY") == "true" and not environ.get("CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX"):
        raise UsageError(
            "the input dependency-proxy is on, and this project has none",
            hint="the project must be in a group, with the dependency proxy enabled in the group's settings",
        )
    return found


def _check_lines(key: str, text: str, environ: Mapping[str, str]) -> None:
    lines = text.replace("\r\n", "\n")
    for name, value in environ.items():
        if not name.startswith(_OUTSIDERS) and name != _TRIGGER:
            continue
        value = value.replace("\r\n", "\n").strip("\n")
        if "\n" in value and value in lines:
            raise UsageError(
                f"the input {key} uses ${name}, which has several lines here: they would be entries of their own",
                hint="use a variable of one line, such as $CI_COMMIT_TITLE",
            )
