"""How git is run for a repository elsewhere: cut off from all settings but ours, and with what says who we are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from coopery.dockerfile.git_url import GitUrl

#: Seconds without a byte after which a server counts as gone, and for a connection over SSH to be made.
_PATIENCE, _CONNECTING = 60, 20

_CONFIG = f"""\
[advice]
	detachedHead = false
[core]
	attributesFile = /dev/null
	bigFileThreshold = 16m
	excludesFile = /dev/null
	fsmonitor = false
	hooksPath = /dev/null
	logAllRefUpdates = false
[gc]
	auto = 0
[http]
	lowSpeedLimit = 1
	lowSpeedTime = {_PATIENCE}
[init]
	defaultBranch = master
[maintenance]
	auto = false
[protocol]
	allow = never
[protocol "git"]
	allow = always
[protocol "http"]
	allow = always
[protocol "https"]
	allow = always
[protocol "ssh"]
	allow = always
"""
#: The settings of git's that are left as they are: where authorities lie.
_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO", "GIT_EXEC_PATH"})
#: Where other programs look for authorities, in the order in which they count here.
_AUTHORITIES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are to a repository's host; nobody if all is empty."""

    username: str = ""
    password: str = field(default="", repr=False)
    header: str = field(default="", repr=False)  # the value of Authorization, for what is no name and password
    agent: str = ""  # the socket of an SSH agent
    own_ssh: bool = False  # SSH as the user has set it up: with their configuration, agent and keys


def environment(url: GitUrl, identity: Identity, home: str) -> Mapping[str, str]:
    """What git's environment has besides ours; `home` is an empty directory for its settings, which are written."""
    with open(os.path.join(home, ".gitconfig"), "x") as file:
        file.write(_CONFIG)
    values = {
        "HOME": home,  # where no .netrc is
        "XDG_CONFIG_HOME": home,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": _ssh_command(identity),
        "GIT_SSH_VARIANT": "ssh",
        "SSH_ASKPASS_REQUIRE": "never",
    }
    authorities = next((os.environ[name] for name in _AUTHORITIES if os.path.isfile(os.environ.get(name, ""))), "")
    if authorities and "GIT_SSL_CAINFO" not in os.environ:
        values["GIT_SSL_CAINFO"] = authorities
    agent = identity.agent or (os.environ.get("SSH_AUTH_SOCK", "") if identity.own_ssh else "")
    if agent:
        values["SSH_AUTH_SOCK"] = agent
    settings: list[tuple[str, str]] = []
    origin = f"{url.scheme}://{url.host}"
    if identity.password:
        # A helper, as git asks it for the host that it really talks to: a redirect elsewhere gets nothing.
        values |= {"COOPERY_GIT_USERNAME": identity.username, "COOPERY_GIT_PASSWORD": identity.password}
        show = 'printf "username=%s\\npassword=%s\\n" "$COOPERY_GIT_USERNAME" "$COOPERY_GIT_PASSWORD"'
        settings.append((f"credential.{origin}.helper", f'!f() {{ test "$1" = get && {show}; }}; f'))
    elif identity.header:
        # Git would send it on to wherever it is redirected to.
        settings.append((f"http.{origin}/.extraHeader", f"Authorization: {identity.header}"))
        settings.append(("http.followRedirects", "false"))
    values["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (name, value) in enumerate(settings):
        values |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return values


def _ssh_command(identity: Identity) -> str:
    """The command for SSH. The key of a host that is known must be right; that of another is taken as it is, and not
    kept, as in BuildKit."""
    if identity.own_ssh and (own := os.environ.get("GIT_SSH_COMMAND")):
        return own
    options = ["BatchMode=yes", "StrictHostKeyChecking=accept-new", f"ConnectTimeout={_CONNECTING}"]
    options += [f"ServerAliveInterval={_CONNECTING}", "ForwardAgent=no", "ClearAllForwardings=yes"]
    known = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")
    files = " ".join(("/dev/null", *known))  # the first is the one that is written to
    options.append(f'"UserKnownHostsFile={files}"')
    words = ["ssh", *(f"-o {option}" for option in options)]
    if not identity.own_ssh:
        words += ["-F none", "-o IdentityFile=none"]
    return " ".join(words)


def is_foreign(name: str) -> bool:
    """Whether a variable of ours could change what git does."""
    return (name.startswith("GIT_") and name not in _KEPT) or name in ("SSH_AUTH_SOCK", "SSH_ASKPASS")


def way_in(url: GitUrl, identity: Identity) -> str:
    """What helps where a server refuses."""
    if url.scheme == "ssh":
        if identity.agent or identity.own_ssh:
            return "does one of the agent's keys have access?"
        return "give an SSH agent or keys with --ssh default, or --ssh default=KEYFILE"
    if url.scheme == "https":
        if identity.password or identity.header:
            return "does the token have access to the repository?"
        return f"give a token with --secret id=GIT_AUTH_TOKEN.{url.host},env=VARIABLE"
    return "use https or ssh: credentials aren't sent without encryption"
