"""A Dockerfile on its way to a plan, with all that is wrong with it and all that checks find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from coopery.dockerfile.instructions import Dockerfile
from coopery.dockerfile.parser import read
from coopery.errors import DockerfileError, together
from coopery.oci.platform import Platform
from coopery.plan.outline import Outline, global_args, outline
from coopery.plan.scope import platform_args
from coopery.plan.watch import OF_A_LINE, Watch
from coopery.ports import Advice

if TYPE_CHECKING:
    from coopery.dockerfile.ignore import IgnoreRules
    from coopery.dockerfile.lint.linter import Linter


class Definition(NamedTuple):
    """What was read. The checks look on while its plan is made; `watch` collects the errors."""

    dockerfile: Dockerfile
    watch: Watch
    linter: Linter | None  # None if no check counts

    def outline(
        self,
        *,
        target: str,
        platform: Platform,
        build_args: Mapping[str, str],
        contexts: Mapping[str, str],
        every: bool = False,
    ) -> Outline:
        """See `plan.outline.outline`. Errors of single lines are kept for the plan to raise if it can be made."""
        try:
            lined = outline(
                self.dockerfile,
                target=target,
                platform=platform,
                build_args=build_args,
                contexts=contexts,
                every=every,
                watch=self.watch,
            )
        except OF_A_LINE as error:
            raise together([*self.watch.errors, error], self.dockerfile.path) from None
        if self.linter:
            self.linter.bases(lined.globals, self._defaults(platform, build_args, target))
        return lined

    def _defaults(self, platform: Platform, build_args: Mapping[str, str], target: str) -> Mapping[str, str] | None:
        """The values of global ARGs when no build args are given, but for the predefined ones."""
        predefined = platform_args(platform, target)
        try:
            kept = {name: value for name, value in build_args.items() if name in predefined}
            return global_args(self.dockerfile, platform, kept, target)
        except DockerfileError:
            return None

    def again(self) -> Definition:
        """The same for a further platform: checks aren't run again, and errors were raised for the first one."""
        return Definition(self.dockerfile, Watch(self.dockerfile.path), None)

    @property
    def findings(self) -> tuple[Advice, ...]:
        """What the checks have found so far."""
        return self.linter.findings if self.linter else ()

    def check(self) -> None:
        """Raise DockerfileError if there are findings, and the file or a build arg says that they are errors."""
        if self.linter and (error := self.linter.error()):
            raise error


def define(
    text: bytes, name: str, build_args: Mapping[str, str], ignored: Callable[[], IgnoreRules | None]
) -> Definition:
    """The Dockerfile `name`. `ignored` gives the rules of the main context's ignore file.

    DockerfileError if what is wrong with it keeps all else from making sense; other errors wait in the `watch`.
    """
    parsed = read(text, name)
    if not parsed.dockerfile or not parsed.sound:
        raise together(parsed.errors, name)
    linter = _linter(parsed.dockerfile, build_args, ignored)
    return Definition(parsed.dockerfile, Watch(name, linter, parsed.errors), linter)


def _linter(
    dockerfile: Dockerfile, build_args: Mapping[str, str], ignored: Callable[[], IgnoreRules | None]
) -> Linter | None:
    from coopery.dockerfile.lint.settings import settings_of

    settings = settings_of(dockerfile, build_args)
    if settings.nothing:
        return None
    from coopery.dockerfile.lint.linter import Linter

    linter = Linter(dockerfile, settings, ignored)
    linter.file()
    return linter
