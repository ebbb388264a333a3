"""`docker run` with an image of kaniko's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coopery.migrate.docker import below
from coopery.migrate.draft import Draft
from coopery.migrate.flags import Flag, moot, read_flags
from coopery.migrate.kaniko import draft_executor
from coopery.migrate.words import Word, inside, word

_RUN: Mapping[str, Flag] = {
    **{name: Flag(moot(""), switch=True) for name in ("rm", "tty", "interactive", "privileged", "init", "detach")},
    **{
        name: Flag(moot(""))
        for name in ("volume", "env", "env-file", "workdir", "entrypoint", "network", "name", "user")
    },
    **{name: Flag(moot("")) for name in ("mount", "platform", "pull", "memory", "cpus", "add-host")},
}
_SHORT = {"v": "volume", "e": "env", "t": "tty", "i": "interactive"}


def kaniko_image(words: Sequence[Word]) -> int:
    """Which word is the image, if it is one of kaniko's; -1 if there is none."""
    found = (n for n, each in enumerate(words) if "kaniko" in each.written and not each.start.startswith("-"))
    return next((n for n in found if ":/" not in words[n].written and "," not in words[n].written), -1)


def container_draft(words: Sequence[Word]) -> Draft:
    """What kaniko builds in a container of Docker's, by the words after `docker run`: what is mounted where tells its
    paths from those of the job.
    """
    image = kaniko_image(words)
    draft = draft_executor(words[image + 1 :], word("/workspace"))
    options = read_flags(words[:image], _RUN, draft, _SHORT, "docker run")
    for given in options.flags:
        source, _, place = given.value.partition(":")
        target = place.written.partition(":")[0].rstrip("/")
        if given.name == "volume" and target == "/workspace":
            _move(draft, inside(source, ()))
        elif given.name == "volume" and target.startswith("/kaniko/.docker"):
            if source.written.rstrip("/").endswith((".docker", ".docker/config.json")):
                draft.moot(given.written, "logins are found where Docker keeps them")
            else:
                file = source if target.endswith("config.json") else source + "/config.json"
                draft.variables["REGISTRY_AUTH_FILE"] = file
        elif given.name not in ("rm", "tty", "interactive"):
            draft.left(given.written, "it is about the container", "the step has what the job has")
    return draft


def _move(draft: Draft, folder: Word) -> None:
    """Have paths that are meant from `folder` meant from the checkout."""
    if folder.literal in (".", "./"):
        return
    for key in ("context", "file"):
        draft.settings[key] = [below(folder, value) for value in draft.settings.get(key, ())]
    if not draft.settings["context"]:
        draft.set("context", folder)
    if not draft.settings["file"]:
        del draft.settings["file"]
