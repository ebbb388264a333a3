"""Logins to registries: as scripts write them into config.json, and as settings name them."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator

from coopery.migrate.draft import Draft, Login
from coopery.migrate.words import Natives, Piece, Shell, Variable, Word, word

_CLOUDS = (
    (re.compile(r"aws\b.*\becr(-public)?\b"), "the job's AWS identity serves for ECR"),
    (re.compile(r"gcloud\b.*\bauth\b"), "the job's Google identity serves for its registries"),
    (re.compile(r"\baz\b.*\bacr\b"), "the job's Azure identity serves for its registries"),
)
_NAMED = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")


def carry_login(draft_logins: list[Login], notes: Draft, login: Login) -> None:
    """Keep a login, or say why there is no need to, or no way."""
    for piece in login.password.pieces:
        if isinstance(piece, Shell):
            for pattern, why in _CLOUDS:
                if pattern.search(piece.written):
                    notes.moot(login.written, why)
                    return
    if login.password.literal is not None:
        way = "put it into a secret, and revoke this one; registries then names the secret"
        notes.left(login.written, "the password stands there for everybody to read", way)
        return
    if login not in draft_logins:
        draft_logins.append(login)


def host_of(text: Word) -> Word:
    """The registry as image names have it: without a scheme or the path of its API; Docker Hub's by its one name."""
    for scheme in ("https://", "http://"):
        text = text.without(scheme) or text
    last = text.pieces[-1] if text.pieces else ""
    if isinstance(last, str):
        text = word(*text.pieces[:-1], re.sub(r"/(v[12](/)?)?$", "", last))
    if text.literal in ("", "index.docker.io", "registry-1.docker.io", "docker.io"):
        return word("docker.io")
    return text


def carry_config(logins: list[Login], draft: Draft, text: Word) -> None:
    """What a config.json says that a script writes."""
    written = "config.json"
    natives = Natives()
    flat = "".join(piece if isinstance(piece, str) else natives.hide(piece) for piece in text.pieces)
    try:
        value = json.loads(flat)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        _whole(draft, text, written)
        return
    for key in value:
        if key in ("credHelpers", "credsStore"):
            draft.moot(f"{written}: {key}", "logins to clouds need no helper; coopery[cloud] brings them")
        elif key != "auths":
            draft.left(f"{written}: {natives.show(key)}", "only logins are taken from it")
    entries = value.get("auths")
    for host, entry in entries.items() if isinstance(entries, dict) else ():
        name = host_of(natives.reveal(word(host)))
        if not isinstance(entry, dict):
            continue
        fields = {key: natives.reveal(word(each)) for key, each in entry.items() if isinstance(each, str)}
        said = f"{written}: the login for {name.written}"
        if "username" in fields and "password" in fields:
            carry_login(logins, draft, Login(name, fields["username"], fields["password"], said))
        elif (auth := fields.get("auth")) is not None:
            pair = _pair(auth)
            if pair:
                carry_login(logins, draft, Login(name, *pair, said))
            else:
                _whole(draft, text, said)
        elif entry:
            draft.left(said, "it is neither a user name with a password nor `auth`", "name the login in registries")


def _pair(auth: Word) -> tuple[Word, Word] | None:
    """The halves of `auth`, base64 of USER:PASSWORD, made by a shell out of two variables."""
    if auth.literal is not None:
        try:
            user, colon, password = base64.b64decode(auth.literal, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return (word(user), word(password)) if colon else None
    if len(auth.pieces) != 1 or not isinstance(auth.pieces[0], Shell) or "base64" not in auth.pieces[0].written:
        return None
    script = auth.pieces[0].written
    names = list(dict.fromkeys(_NAMED.findall(script)))
    if len(names) == 2:
        return word(Variable(names[0])), word(Variable(names[1]))
    literal = re.search(r"[\s\"']([\w.-]+):\$", script)
    if len(names) == 1 and literal:
        return word(literal[1]), word(Variable(names[0]))
    return None


def _whole(draft: Draft, text: Word, written: str) -> None:
    """A config.json that is made of variables can be handed on as it is."""
    if text.literal is None and all(not isinstance(piece, Shell) for piece in text.pieces):
        draft.variables["DOCKER_AUTH_CONFIG"] = word(*_stripped(text.pieces))
    else:
        draft.left(
            written, "what is written there can't be told", "name the login in registries, or set DOCKER_AUTH_CONFIG"
        )


def _stripped(pieces: tuple[Piece, ...]) -> Iterator[Piece]:
    for number, piece in enumerate(pieces):
        yield piece.rstrip("\n") if isinstance(piece, str) and number == len(pieces) - 1 else piece


def named_login(login: Login, draft: Draft) -> dict[str, str] | None:
    """The login as `registries` has it, by the names of variables; None with a note if they have none."""
    password = login.password.pieces
    if len(password) != 1 or not isinstance(password[0], Variable):
        way = "put the password into a variable or secret, and name it in registries"
        draft.left(login.written, "the password has no name", way)
        return None
    user = login.username
    if len(user.pieces) == 1 and isinstance(user.pieces[0], Variable):
        return {"username": user.pieces[0].name, "password": password[0].name}
    if user.literal:
        return {"username": user.literal, "password": password[0].name}
    draft.left(login.written, "the user has no name", "put it into a variable, and name that in registries")
    return None
