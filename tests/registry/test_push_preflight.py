"""Whether we may push is found out before anything is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from registry_support import Reply, Request, ScriptedServer, client

from coopery.engines.preflight import Preflight
from coopery.errors import AuthError, CooperyError, NetworkError, NotFound, RegistryError
from coopery.oci.reference import Reference
from coopery.progress import make_progress
from plainregistry import Registry
from support.command import Coopery
from support.registries import running_registry

Serve = Callable[[Callable[[Request], Reply]], ScriptedServer]
_STEP = "[internal] check the right to push"


@pytest.fixture
def project(tmp_path: Path, base_image: str) -> Path:
    """A build with a step that takes notice of having run."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {base_image}\nCOPY Dockerfile /\nRUN echo did''run && echo $HOME\n")
    return folder


def test_without_the_right_to_push_nothing_runs(coopery: Coopery, token_registry: str, project: Path) -> None:
    arguments = ("build", "--progress=plain", "--push", f"-t{token_registry}/public/app:1", project)
    done = coopery(*arguments, check=False)
    assert done.returncode == AuthError.exit_code, done.stderr
    assert _STEP in done.stderr
    assert "didrun" not in done.stderr
    assert "refused to let us push public/app" in done.stderr.splitlines()[-2] + done.stderr
    skipped = coopery(*arguments, "--skip-push-permission-check", check=False)
    assert skipped.returncode == AuthError.exit_code
    assert "didrun" in skipped.stderr
    assert _STEP not in skipped.stderr


def test_one_check_for_each_repository_and_none_when_cached(coopery: Coopery, project: Path, tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        tags = [f"-t{registry.host}/{name}" for name in ("a:1", "a:2", "b:1")]
        first = coopery("build", "--progress=plain", "--push", *tags, project)
        assert _STEP in first.stderr
        assert "didrun" in first.stderr
        assert _STEP not in coopery("build", "--progress=plain", "--push", *tags, project).stderr
        unpushed = coopery("build", "--progress=plain", "--no-cache", f"-t{registry.host}/c", project)
        assert _STEP not in unpushed.stderr


def test_the_request_and_its_cancellation(serve: Serve) -> None:
    def answer(request: Request) -> Reply:
        return Reply(202, {"Location": "/v2/app/blobs/uploads/1"}) if request.method == "POST" else Reply(405)

    server = serve(answer)
    client().registry.check_push(Reference.parse(f"{server.host}/app:1"))
    assert [request.path for request in server.sent("POST")] == ["/v2/app/blobs/uploads/"]
    assert [request.path for request in server.sent("DELETE")] == ["/v2/app/blobs/uploads/1"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthError), (403, AuthError), (404, NotFound), (405, RegistryError), (500, RegistryError)],
)
def test_refusals(serve: Serve, status: int, kind: type[CooperyError]) -> None:
    server = serve(lambda request: Reply(status if "uploads" in request.path else 200))
    with pytest.raises(kind) as caught:
        client().registry.check_push(Reference.parse(f"{server.host}/app:1"))
    assert type(caught.value) is kind


class Answers:
    """Stands for the client: what `check_push` raises, by registry."""

    def __init__(self, **failures: CooperyError) -> None:
        self.failures = failures
        self.asked: list[str] = []

    def check_push(self, reference: Reference) -> None:
        self.asked.append(reference.name)
        error = self.failures.get(reference.registry.partition(".")[0])
        if error:
            raise error


def verdict(answers: Answers, *names: str) -> tuple[CooperyError | None, str]:
    stream = io.StringIO()
    progress = make_progress("plain", stream, environ={}, ticking=False)
    with ThreadPoolExecutor(2) as pool:
        preflight = Preflight(answers, [Reference.parse(name) for name in names], pool, progress)  # type: ignore[arg-type]
        assert preflight.passed()  # nothing was begun
        preflight.start()
        assert preflight.passed() is (preflight.failure is None)
    return preflight.failure, stream.getvalue()


def test_a_refusal_counts_and_trouble_only_if_all_have_it() -> None:
    failure, _ = verdict(Answers(a=AuthError("no")), "a.example/x:1", "b.example/x:1")
    assert isinstance(failure, AuthError)
    answers = Answers(a=NetworkError("down"))
    failure, log = verdict(answers, "a.example/x:1", "b.example/x:1", "b.example/x:2")
    assert failure is None
    assert "pushing to a.example/x will probably fail: down" in log
    assert sorted(answers.asked) == ["a.example/x", "b.example/x"]
    failure, _ = verdict(Answers(a=NetworkError("down"), b=RegistryError("500")), "a.example/x:1", "b.example/x:1")
    assert isinstance(failure, NetworkError)
    failure, _ = verdict(Answers(a=NetworkError("down"), b=NotFound("none")), "a.example/x:1", "b.example/x:1")
    assert isinstance(failure, NotFound)


def test_a_build_of_copies_alone_is_stopped_before_its_push(
    coopery: Coopery, token_registry: str, tmp_path: Path, registry: Registry
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    tags = (f"-t{registry.host}/copies/app:1", f"-t{token_registry}/public/app:1")
    done = coopery("build", "--progress=plain", "--push", *tags, tmp_path, check=False)
    assert done.returncode == AuthError.exit_code
    assert "pushing " not in done.stderr
    assert registry.tags("copies/app") == []
