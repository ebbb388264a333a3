"""One `coopery ci` run: from the platform's job to builds, and to the report that is always published."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TextIO

from coopery.ci.collect import advised, failure, image_result, notices, step_results
from coopery.ci.confine import confined
from coopery.ci.intents import Intent, intents
from coopery.ci.logins import make_logins
from coopery.ci.platform import Platform
from coopery.ci.platforms import revision_of
from coopery.ci.registries import reaching
from coopery.ci.rendering.inert import lines, one_line
from coopery.ci.report import Finding, ImageResult, Report
from coopery.ci.requests import make_request
from coopery.ci.revision import Revision
from coopery.ci.secrets import BuildSecrets, SecretStore, build_secrets
from coopery.ci.settings import Settings
from coopery.ci.written import Faults
from coopery.credentials.providers import Logins
from coopery.engines.account import BuildReport
from coopery.errors import CooperyError, Interrupted
from coopery.ports import Progress, Registry, Source, StepRecord
from coopery.progress import Board, make_progress
from coopery.redact import MIN_SECRET, Redactor
from coopery.registry.settings import RegistrySettings
from coopery.request import BuildRequest
from coopery.sandbox.enter import Entered, enter


class Engine(Protocol):
    """What builds, and reaches registries: the layer above brings it."""

    def build(
        self,
        request: BuildRequest,
        entered: Entered,
        progress: Progress,
        environ: Mapping[str, str],
        mask: Callable[[bytes], None],
        registries: RegistrySettings,
        logins: Logins,
        private: Mapping[str, str],
    ) -> BuildReport:
        """See `coopery.build.build`."""

    def access(
        self,
        environ: Mapping[str, str],
        registries: RegistrySettings,
        mask: Callable[[bytes], None],
        notice: Callable[[str], None],
        logins: Logins,
    ) -> AbstractContextManager[tuple[Source, Registry]]:
        """See `coopery.build.registry_access`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says besides settings."""

    push: bool | None = None
    progress: str = "auto"
    registries: RegistrySettings = field(default_factory=RegistrySettings)


class Masks:
    """Values that nobody may see: kept out of our own output, and out of the platform's log."""

    def __init__(self, platform: Platform) -> None:
        self.redactor = Redactor()
        self._platform = platform
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def add(self, value: bytes) -> None:
        """Mask `value` from now on."""
        self.redactor.add([value])
        self.text(value.decode("utf-8", "replace"))

    def text(self, value: str) -> None:
        """The same for text."""
        self.redactor.add([value.encode("utf-8", "surrogateescape")])
        stripped = value.strip()
        with self._lock:
            if len(stripped) < MIN_SECRET or stripped in self._told:
                return
            self._told.add(stripped)
            self._platform.mask(stripped)


class Ledger:
    """What a run has done so far, for its report."""

    def __init__(self) -> None:
        self.revision = Revision(event="other")
        self.images: list[ImageResult] = []
        self.findings: list[Finding] = []
        self.target = ""  # that something is being done with
        self.steps: Sequence[StepRecord] = ()  # of its build, if that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all kinds of runs work with."""

    platform: Platform
    environ: Mapping[str, str]
    engine: Engine
    options: Options
    masks: Masks
    ledger: Ledger
    stream: TextIO
    now: int  # seconds since 1970

    def notice(self, text: str) -> None:
        """Tell people, on the platform and in the report."""
        text = one_line(self.masks.redactor.text(text))
        self.platform.notice(text)
        self.ledger.findings += notices([text], "notice")

    def board(self) -> Board:
        """The progress of one build."""
        return make_progress(self.options.progress, self.stream, environ=self.environ, redactor=self.masks.redactor)


def run_job(
    work: Callable[[Job], None],
    *,
    platform: Platform,
    environ: Mapping[str, str],
    engine: Engine,
    options: Options,
    stream: TextIO,
    now: int,
) -> Report:
    """Have `work` done, and publish what came of it, also when it failed or was interrupted; then raise the error.

    Nothing that was masked is in the report, nor in the error.
    """
    job = Job(
        platform=platform,
        environ=environ,
        engine=engine,
        options=options,
        masks=Masks(platform),
        ledger=Ledger(),
        stream=stream,
        now=now,
    )
    started = time.monotonic()
    error: BaseException | None = None
    try:
        job.ledger.revision = revision_of(platform)
        work(job)
    except KeyboardInterrupt:
        error = Interrupted("interrupted")
    except Exception as caught:
        error = caught
    report = _report(job, error, time.monotonic() - started)
    try:
        platform.publish(report)
    except (CooperyError, OSError) as caught:
        platform.notice(one_line(job.masks.redactor.text(f"the report can't be published: {caught}")))
    if error:
        raise error
    return report


def _report(job: Job, error: BaseException | None, seconds: float) -> Report:
    ledger = job.ledger
    findings = list(ledger.findings)
    finding, code = None, 0
    if isinstance(error, CooperyError):
        _make_showable(error, job.masks.redactor)
        findings += [failure(each) for each in error.errors]
        finding, code = failure(error, ledger.steps), error.exit_code
    elif error is not None:
        said = one_line(job.masks.redactor.text(f"{type(error).__name__}: {error}"))
        finding, code = Finding(level="error", message=said), CooperyError.exit_code
    return Report(
        revision=ledger.revision,
        images=tuple(ledger.images),
        findings=tuple(findings),
        error=finding,
        failed_target=ledger.target if error else "",
        steps=step_results(ledger.steps),
        exit_code=code,
        seconds=seconds,
    )


def _make_showable(error: CooperyError, redactor: Redactor) -> None:
    """Mask secrets in what `error` says, and leave nothing in it that steers a terminal or a CI system's log."""
    for each in (*error.errors, error):
        each.message = "\n".join(lines(redactor.text(each.message)))
        each.hint = one_line(redactor.text(each.hint))
        each.detail = "\n".join(lines(redactor.text(each.detail)))


def build_all(job: Job, settings: Settings) -> None:
    """Build the targets of `settings` that this job is for, one after the other; the first failure ends it."""
    platform, revision = job.platform, job.ledger.revision
    if not revision.trusted:
        bounded = confined(settings, os.getcwd())
        settings = bounded.settings
        for what in bounded.left_out:
            job.notice(f"{settings.file or 'the settings file'}: {what} is left out: {revision.untrusted}")
    store = SecretStore(platform, job.environ, job.masks.text)
    planned = intents(settings, revision, platform, now=job.now, push=job.options.push)
    requests = _requests(job, planned, store)
    logins = make_logins(settings.registries, platform, store)
    registries = reaching(settings.registries, job.options.registries)
    entered = enter(_isolation(planned), job.environ)
    for intent, (request, secrets) in zip(planned, requests, strict=True):
        job.ledger.target = intent.target.name
        job.ledger.findings += notices(intent.naming.warnings)
        for name in secrets.missing:
            job.notice(f"{intent.target.title}: the secret {name} isn't there for this job")
        with platform.group(f"Build {intent.target.title}"):
            board = job.board()
            try:
                report = job.engine.build(
                    request, entered, board, job.environ, job.masks.add, registries, logins, secrets.variables
                )
            except BaseException:
                job.ledger.steps = board.steps
                raise
            finally:
                board.close()
                advice = {each.text: each for each in board.advice}
                job.ledger.findings += advised(tuple(advice.values()))
                job.ledger.findings += notices([text for text in board.warnings if text not in advice])
        job.ledger.images.append(_result(intent, report))
        for text in (intent.why, intent.cache.notice):
            if text:
                job.notice(text)
    job.ledger.target = ""


def _requests(job: Job, planned: Sequence[Intent], store: SecretStore) -> list[tuple[BuildRequest, BuildSecrets]]:
    """A request for each target, with its secrets. UsageError, or SettingsError for several, before anything is
    built. To an untrusted job the platform gives no secrets: what isn't there is left out.
    """
    faults = Faults()
    found: list[tuple[BuildRequest, BuildSecrets]] = []
    for intent in planned:
        try:
            secrets = build_secrets(intent.target, store, faults if job.ledger.revision.trusted else None)
            found.append((make_request(intent, secrets, job.environ), secrets))
        except CooperyError as error:
            faults.add(error)
    faults.check()
    return found


def _isolation(planned: Sequence[Intent]) -> str:
    """How all steps are run: one process enters its namespaces once."""
    wanted = dict.fromkeys(intent.target.isolation for intent in planned)
    if len(wanted) > 1:
        spot = planned[-1].target.spot("isolation")
        raise spot.error(
            f"isolation: the targets want different ones: {', '.join(wanted)}",
            hint="build them in jobs of their own: coopery ci build TARGET",
        )
    return next(iter(wanted), "auto")


def _result(intent: Intent, report: BuildReport) -> ImageResult:
    return image_result(
        report,
        target=intent.target.name,
        names=intent.names,
        version=intent.naming.version,
        pushed=intent.push,
        cache_sources=intent.cache.sources,
        cache_targets=intent.cache.targets,
    )
