"""What a second build does, and what becomes of the cache when builds fail, collide or are killed."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from plainregistry import pull
from support.command import run_coopery

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


def test_an_unchanged_build_runs_nothing_and_gives_the_same_digest(build):
    text = "FROM base\nCOPY file /\nRUN date +%N > /stamp\nFROM base\nCOPY --from=0 /stamp /\nRUN date +%N > /other\n"
    first = build(text, files={"file": "1"})
    second = build(text)
    assert second.image.digest == first.image.digest
    assert re.findall(r"#\d+ CACHED", second.done.stderr)
    assert not re.search(r"\] RUN .*\n#\d+ (?!CACHED)", second.done.stderr)


def test_a_changed_file_reruns_from_its_copy_on(build):
    text = "FROM base\nRUN echo before > /before\nCOPY file /\nRUN cat /file\n"
    build(text, files={"file": "1"})
    again = build(text, files={"file": "2"})
    assert re.search(r"\[2/4\] RUN echo before.*\n#\d+ CACHED", again.done.stderr)
    assert re.search(r"\[4/4\] RUN cat /file\n(#.*\n)*#\d+ [\d.]+ 2", again.done.stderr)


def test_times_of_files_dont_count_and_modes_do(build, project):
    text = "FROM base\nCOPY file /\n"
    build(text, files={"file": "1"})
    os.utime(project / "file", (1, 1))
    assert "COPY file /\n#3 CACHED" in build(text).done.stderr
    os.chmod(project / "file", 0o711)
    assert "CACHED" not in build(text).done.stderr


def test_no_cache_runs_everything_again(build):
    text = "FROM base\nRUN date +%N > /stamp\n"
    assert build(text).image.digest != build(text, "--no-cache").image.digest


def test_finished_steps_of_a_failed_build_are_kept(build):
    failed = build("FROM base\nRUN echo slow > /slow\nRUN exit 3\n", check=False)
    assert failed.done.returncode == 5
    assert "Dockerfile:3" in failed.done.stderr
    assert "status 3" in failed.done.stderr
    again = build("FROM base\nRUN echo slow > /slow\nRUN exit 0\n")
    assert re.search(r"RUN echo slow > /slow\n#\d+ CACHED", again.done.stderr)


def test_concurrent_builds_share_one_cache_and_run_each_step_once(tmp_path, registry, base_image):
    """Twenty builds of four Dockerfiles at a time; equal steps run in one of them."""
    home = tmp_path / "home"
    for number in range(4):
        context = tmp_path / str(number)
        context.mkdir()
        marks = tmp_path / "marks"
        marks.mkdir(exist_ok=True)
        (context / "file").write_text(str(number))
        (context / "Dockerfile").write_text(
            f"FROM {base_image}\nRUN head -c 300000 /dev/urandom > /random\n"
            "COPY file /\nRUN cat /file /random > /both\n"
        )
    builds = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from coopery.cli import main; main()",
                "build",
                "--progress=plain",
                "--push",
                "-t",
                f"{registry.host}/concurrent/image:{number}",
                str(tmp_path / str(number % 4)),
            ],
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(20)
    ]
    outputs = [process.communicate()[1] for process in builds]
    assert [process.returncode for process in builds] == [0] * 20, "\n".join(outputs)
    images = [pull(f"{registry.host}/concurrent/image:{number}") for number in range(20)]
    for number, image in enumerate(images):
        assert image.digest == images[number % 4].digest
    # One step made /random, in one of the builds: all twenty images have that layer.
    assert len({image.config["rootfs"]["diff_ids"][1] for image in images}) == 1


@pytest.fixture
def sleeping(tmp_path, base_image):
    """A build whose second step sleeps, up to that step: the process, a mark in the step's command line, its log."""
    home, context = tmp_path / "home", tmp_path / "context"
    context.mkdir()
    mark = f"sleep {10_000_000 + os.getpid()}".encode()
    (context / "Dockerfile").write_text(
        f"FROM {base_image}\nRUN echo first > /first\nRUN echo started; {mark.decode()}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "from coopery.cli import main; main()", "build", "--progress=plain", str(context)],
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    log = []
    for line in process.stderr:
        log.append(line)
        if re.match(r"#\d+ [\d.]+ started", line):
            break
    yield process, mark, log
    process.kill()
    process.wait()
    process.stderr.close()


def test_kill_leaves_no_process_and_no_mount_and_the_next_build_goes_on(tmp_path, registry, base_image, sleeping):
    home, context = tmp_path / "home", tmp_path / "context"
    process, mark, _ = sleeping
    started = [os.pidfd_open(pid) for pid in _running(mark)]
    assert started
    process.send_signal(signal.SIGKILL)
    process.wait()
    for descriptor in started:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            assert selector.select(timeout=60), "the step outlives its build"
        os.close(descriptor)
    assert str(home) not in Path("/proc/self/mountinfo").read_text()
    (context / "Dockerfile").write_text(f"FROM {base_image}\nRUN echo first > /first\nRUN echo second > /second\n")
    reference = f"{registry.host}/killed/image:1"
    again = run_coopery("build", "--progress=plain", "--push", "-t", reference, context, home=home)
    assert re.search(r"RUN echo first > /first\n#\d+ CACHED", again.stderr)
    assert not os.listdir(home / "cache/coopery/v1/tmp")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_mid_step(tmp_path, sleeping, number):
    process, mark, log = sleeping
    process.send_signal(number)
    text = "".join(log) + process.stderr.read()
    process.wait()
    assert process.returncode == 130, text
    assert "Traceback" not in text
    assert "ERROR: the build was interrupted" in text
    assert not _running(mark)
    assert not os.listdir(tmp_path / "home/cache/coopery/v1/tmp")


def test_a_damaged_cache_is_never_used(build, coopery):
    text = "FROM base\nRUN echo hello > /hello\n"
    first = build(text)
    store = coopery.home / "cache/coopery/v1"
    for kind in ("records", "coded", "images", "files"):
        for path in (store / kind).iterdir():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for path in (store / "tars").glob("*.entries"):
        path.write_bytes(b"[]")
    again = build(text)
    assert again.tree["hello"].data == b"hello\n"
    assert first.tree["hello"] == again.tree["hello"] or first.tree["hello"].digest == again.tree["hello"].digest


def test_prune_by_age_and_size_and_the_build_after_it(build, coopery):
    text = "FROM base\nRUN head -c 2000000 /dev/urandom > /big\n"
    first = build(text)
    assert "total" in coopery("cache", "du").stdout
    coopery("cache", "prune", "--until", "1h")
    assert build(text).image.digest == first.image.digest
    coopery("cache", "prune", "--keep-storage", "500k")
    assert build(text).image.digest != first.image.digest
    coopery("cache", "prune", "--all")
    assert coopery("cache", "du").stdout.split()[-3:-1] == ["0", "0"]


def _running(command: bytes) -> list[int]:
    """The processes in whose command line this stands: the shell, and what it has started."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if command in line:
                found.append(int(name))
    return found
