"""Which variables an instruction sees: ENV, declared ARGs, and the ARGs that exist by themselves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from coopery.oci.platform import Platform, host

#: Passed to RUN without being declared, and kept out of keys and history
#: (buildkit frontend/dockerfile/dockerfile2llb/convert.go, proxyEnv).
PROXY_ARGS = frozenset(
    name
    for upper in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (upper, upper.lower())
)

#: Build args that steer the builder and need no ARG.
CONTROL_ARGS = frozenset(
    {
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_CACHE_MOUNT_NS",
        "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
        "BUILDKIT_DOCKERFILE_CHECK",
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_MULTI_PLATFORM",
        "BUILDKIT_SANDBOX_HOSTNAME",
        "BUILDKIT_SBOM_SCAN_CONTEXT",
        "BUILDKIT_SBOM_SCAN_STAGE",
        "BUILDKIT_SYNTAX",
        "SOURCE_DATE_EPOCH",
    }
)

#: What tells a stage which platform its image is for.
TARGET_ARGS = frozenset({"TARGETPLATFORM", "TARGETOS", "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT"})

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def platform_args(target: Platform, stage_name: str) -> Mapping[str, str]:
    """The predefined platform ARGs for a build that runs here for `target`."""
    values: dict[str, str] = {}
    for prefix, platform in (("BUILD", host()), ("TARGET", target)):
        values[prefix + "PLATFORM"] = str(platform)
        values[prefix + "OS"] = platform.os
        values[prefix + "OSVERSION"] = platform.os_version
        values[prefix + "ARCH"] = platform.architecture
        values[prefix + "VARIANT"] = platform.variant
    values["TARGETSTAGE"] = stage_name or "default"
    return MappingProxyType(values)


class Scope:
    """The variables at one point of a stage. Of an ENV and an ARG of one name the later line wins, and what a base
    brings along counts as earlier (BuildKit, dispatchEnv and dispatchArg: both set the same variable)."""

    def __init__(
        self,
        env: Mapping[str, str],
        build_args: Mapping[str, str],
        globals_: Mapping[str, str],
        inherited: Scope | None = None,
    ) -> None:
        """`globals_` are what ARGs without a default take up: global ARGs and the predefined ones.

        `inherited` is the scope at the end of the stage that this one is made FROM: its ARGs live on, below `env`.
        """
        self.env = dict(env)
        self.args: dict[str, str | None] = dict(inherited.args) if inherited else {}
        self._values: dict[str, str] = {**inherited._values, **env} if inherited else dict(env)
        self._build_args = build_args
        self._globals = globals_

    def set_env(self, new: Mapping[str, str]) -> None:
        """An ENV line."""
        self.env.update(new)
        self._values.update(new)

    def declare(self, name: str, default: str | None) -> None:
        """An ARG line: a build arg beats the default, the default beats the global value."""
        if name in self._build_args:
            self.args[name] = self._build_args[name]
        elif default is not None:
            self.args[name] = default
        else:
            self.args[name] = self._globals.get(name, self.args.get(name))
        value = self.args[name]
        if value is not None:
            self._values[name] = value

    def is_given(self, name: str) -> bool:
        """Whether there is a build arg of this name: then an ARG's default doesn't matter."""
        return name in self._build_args

    def get(self, name: str) -> str | None:
        """The value of a variable, None if it isn't set."""
        return self._values.get(name)

    @property
    def names(self) -> Collection[str]:
        """Of all variables that have a value."""
        return self._values.keys()

    @property
    def shown_args(self) -> tuple[tuple[str, str], ...]:
        """The declared ARGs with the values that a RUN sees, in the order they were declared; for the history."""
        return tuple((name, self._values.get(name, "")) for name in self.args)

    @property
    def set_args(self) -> Mapping[str, str]:
        """The declared ARGs that have a value."""
        return {name: value for name, value in self.args.items() if value is not None}

    def run_env(self) -> tuple[str, ...]:
        """The environment of a RUN, as NAME=value: ENV first, then the ARGs that have a value."""
        values = {**dict.fromkeys(self.env, ""), **self._values}
        return tuple(f"{name}={value}" for name, value in values.items())

    def proxy_env(self) -> tuple[str, ...]:
        """Proxy settings given as build args and not declared or set by the Dockerfile, in capitals and in small
        letters (BuildKit, proxyEnvList): some programs look at one of them only."""
        given: dict[str, str] = {}
        for name in sorted(PROXY_ARGS & set(self._build_args)):
            given[name.upper()] = given[name.lower()] = self._build_args[name]
        return tuple(f"{name}={value}" for name, value in sorted(given.items()) if name not in self._values)
