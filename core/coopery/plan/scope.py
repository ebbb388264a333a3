"""Which variables an instruction sees: ENV, declared ARGs, and the ARGs that exist by themselves."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The variables at one point of a stage. ENV always wins over ARG."""

    def __init__(self, env: Mapping[str, str], build_args: Mapping[str, str], globals_: Mapping[str, str]) -> None:
        """`globals_` are what ARGs without a default take up: global ARGs and the predefined ones."""
        self.env = dict(env)
        self.args: dict[str, str | None] = {}
        self._build_args = build_args
        self._globals = globals_

    def declare(self, name: str, default: str | None) -> None:
        """An ARG line: a build arg beats the default, the default beats the global value."""
        if name in self._build_args:
            self.args[name] = self._build_args[name]
        elif default is not None:
            self.args[name] = default
        else:
            self.args[name] = self._globals.get(name, self.args.get(name))

    def get(self, name: str) -> str | None:
        """The value of a variable, None if it isn't set."""
        return self.env[name] if name in self.env else self.args.get(name)

    @property
    def set_args(self) -> tuple[tuple[str, str], ...]:
        """The declared ARGs that have a value, sorted by name."""
        return tuple(sorted((name, value) for name, value in self.args.items() if value is not None))

    def run_env(self) -> tuple[str, ...]:
        """The environment of a RUN, as NAME=value: ENV, and the ARGs that ENV doesn't hide."""
        env = [f"{name}={value}" for name, value in self.env.items()]
        return tuple(env + [f"{name}={value}" for name, value in self.set_args if name not in self.env])

    def proxy_env(self) -> tuple[str, ...]:
        """Proxy settings given as build args and not declared or set by the Dockerfile."""
        return tuple(
            f"{name}={value}"
            for name, value in sorted(self._build_args.items())
            if name in PROXY_ARGS and name not in self.env and name not in self.args
        )
