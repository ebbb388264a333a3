"""`RUN --mount` in whole builds, in every way of running steps: what a step sees, and what stays of it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import plainregistry
from plainoci import flatten

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")

#: Ways of running steps, as `--isolation` names them; `scan` is namespaces without overlays.
WAYS = ("mnt", "full", "single", "scan", "chroot")
_WITHOUT_OVERLAYS = """
import sys
import coopery.build
coopery.build.LADDER = coopery.build.LADDER[1:]
from coopery.cli import main
sys.exit(main())
"""


@pytest.fixture(params=WAYS)
def way(request, monkeypatch) -> tuple[str, ...]:
    """The options that choose one way."""
    if request.param == "scan":
        monkeypatch.setattr("support.command._ENTRY", _WITHOUT_OVERLAYS)
        return ("--isolation", "mnt")
    return ("--isolation", request.param)


def text(built, path):
    return built.tree[path].data.decode()


FILES = {
    "a.txt": "from the context",
    "dir/inner/b.txt": "deep",
    "dir/ignored": "never seen",
    ".dockerignore": "dir/ignored\n",
}


def test_files_of_contexts_stages_and_images(build, way, project, base_image, tmp_path):
    (project / "dir").mkdir()
    (project / "dir/link").symlink_to("inner/b.txt")
    other = tmp_path / "other"
    other.mkdir()
    (other / "named").write_text("from the named context")
    built = build(
        f"""\
        FROM base AS made
        RUN mkdir -p /out/sub && ln -s /out /way && echo x > /out/sub/x
        COPY --chown=1000 a.txt /out/file
        FROM base
        ARG WHERE=/seen
        WORKDIR /work
        RUN --mount=type=bind,target=. ls -A . > /listing && cat a.txt dir/link > /context && ls dir > /dir
        RUN --mount=source=a.txt,target=$WHERE/one.txt stat -c %u:%g $WHERE/one.txt > /owner && cp /seen/one.txt /one
        RUN --mount=from=made,src=/way,dst=$WHERE ls -R /seen > /stage && stat -c %u /seen/file > /stage-owner
        RUN --mount=from={base_image},source=/etc/passwd,target=/p --mount=from=other,dst=/o cat /p /o/named >/images
        RUN --mount=from=scratch,target=/empty,rw ls -A /empty | wc -l > /none && touch /empty/x
        RUN --mount=from=made,target=/root-of-it ls /root-of-it > /whole
        RUN ls -A / /work > /left
        """.replace("        ", ""),
        *way,
        "--build-context",
        f"other={other}",
        files=FILES,
    )  # fmt: skip
    assert text(built, "listing").split() == [".dockerignore", "Dockerfile", "a.txt", "dir"]
    assert text(built, "context") == "from the contextdeep"
    assert text(built, "dir").split() == ["inner", "link"]
    assert (text(built, "owner"), text(built, "one")) == ("0:0\n", "from the context")
    assert text(built, "stage") == "/seen:\nfile\nsub\n\n/seen/sub:\nx\n"
    assert text(built, "stage-owner") == ("0\n" if way[1] == "single" else "1000\n")
    assert text(built, "images").startswith("root:x:0:0")
    assert text(built, "images").endswith("from the named context")
    assert text(built, "none").strip() == "0"
    assert {"way", "out", "bin"} <= set(text(built, "whole").split())
    assert not {"seen", "empty", "p", "o", "root-of-it"} & set(text(built, "left").split())
    assert not [path for path in built.tree if path.startswith(("seen", "work/", "empty", "root-of-it"))]


def test_what_is_written_to_a_mount_is_lost_or_refused(build, way, project):
    built = build(
        """\
        FROM base AS made
        RUN mkdir /d && echo one > /d/f
        FROM base
        RUN --mount=target=/c,rw --mount=from=made,source=/d,target=/d,rw --mount=source=a.txt,target=/a,rw \\
            echo more >> /c/a.txt && rm -r /c/dir && echo two > /d/f && echo new > /d/g && echo changed > /a
        RUN --mount=target=/c --mount=from=made,source=/d,target=/d --mount=source=a.txt,target=/a \\
            (cat /c/a.txt /d/f /a; ls /c /d; (touch /c/x && echo wrote) 2>&1) > /after; true
        """.replace("        ", ""),
        *way,
        files=FILES,
    )
    seen = text(built, "after")
    assert seen.startswith("from the contextone\nfrom the context/c:\nDockerfile\na.txt\ndir\n\n/d:\nf\n")
    # Without mounts nothing can keep root from writing; it's lost all the same.
    assert ("wrote" in seen) == (way[1] == "chroot")
    assert (project / "a.txt").read_text() == "from the context"
    assert not (project / "x").exists()


def test_mounts_inside_mounts_whatever_their_order(build, way):
    built = build(
        """\
        FROM base
        RUN mkdir -p /top/own && echo own > /top/own/file
        RUN --mount=type=cache,target=/top/deep/cache --mount=target=/top,rw --mount=type=tmpfs,target=/top/tmp \\
            echo kept > /top/deep/cache/f && touch /top/tmp/x && ls /top > /seen
        RUN --mount=type=cache,target=/top/deep/cache cat /top/deep/cache/f > /cached
        RUN cat /top/own/file > /own && ls /top > /top-after
        """.replace("        ", ""),
        *way,
        files=FILES,
    )
    assert {"a.txt", "deep", "dir", "tmp"} <= set(text(built, "seen").split())
    assert (text(built, "cached"), text(built, "own"), text(built, "top-after")) == ("kept\n", "own\n", "own\n")


def test_caches_begin_with_files_and_owners(build, way):
    dockerfile = """\
        FROM base AS seed
        RUN mkdir -p /s/sub && echo seeded > /s/sub/f && chmod 711 /s
        FROM base
        RUN --mount=type=cache,id=x,from=seed,source=/s,target=/c cat /c/sub/f > /first; echo more >> /c/sub/f
        RUN --mount=type=cache,id=x,from=seed,source=/s,target=/c stat -c %a /c > /mode
        RUN --mount=type=cache,id=x,from=seed,source=/s,target=/c cat /c/sub/f > /second
        RUN --mount=type=cache,id=x,target=/c ls /c > /unseeded
        RUN --mount=type=cache,id=x,target=/c,mode=0700 stat -c %a /c > /own-mode
        RUN --mount=type=cache,id=x,target=/c touch /c/unowned
        RUN --mount=type=cache,id=x,target=/c,mode=0700 ls /c > /separate
        RUN --mount=type=cache,id=x,sharing=locked,target=/c --mount=type=cache,id=x,sharing=locked,target=/d \\
            echo one > /c/both && cat /d/both > /same
        """.replace("        ", "")
    built = build(dockerfile, *way)
    assert (text(built, "first"), text(built, "second")) == ("seeded\n", "seeded\nmore\n")
    assert (text(built, "mode"), text(built, "own-mode")) == ("711\n", "700\n")
    assert (text(built, "unseeded"), text(built, "separate"), text(built, "same")) == ("", "", "one\n")
    again = build(
        dockerfile + "RUN --mount=type=cache,id=x,from=seed,source=/s,target=/c cat /c/sub/f > /third\n", *way
    )
    assert text(again, "third") == "seeded\nmore\n"


# ------------------------------------------------------------------------------------------------ keys


def steps_run(built) -> int:
    """How many RUN steps weren't cached."""
    lines = [line for line in built.done.stderr.splitlines() if "] RUN " in line]
    cached = [line.split(" ")[0] for line in built.done.stderr.splitlines() if line.endswith(" CACHED")]
    return len({line.split(" ")[0] for line in lines} - set(cached))


def test_the_files_of_a_mount_are_part_of_the_key(build, project, tmp_path):
    dockerfile = (
        "FROM base AS made\nARG CONTENT\nRUN echo $CONTENT > /f\n"
        "FROM base\nRUN --mount=source=dir,target=/d --mount=from=made,target=/m cat /d/inner/b.txt /m/f > /out\n"
    )

    def run(content="1"):
        return build(dockerfile, "--build-arg", f"CONTENT={content}", files=FILES)

    assert steps_run(run()) == 2
    assert steps_run(run()) == 0
    (project / "a.txt").write_text("outside of the mount")
    (project / "dir/ignored").write_text("changed")
    os.utime(project / "dir/inner/b.txt", (1, 1))
    assert steps_run(run()) == 0
    FILES["dir/inner/b.txt"] = "changed"
    try:
        changed = run()
    finally:
        FILES["dir/inner/b.txt"] = "deep"
    assert text(changed, "out") == "changed1\n"
    assert text(run("2"), "out") == "deep2\n"


# ------------------------------------------------------------------------------------------------ caches


MEET = "mkfifo /meet/$ME; i=0; until [ -p /meet/$YOU ]; do i=$((i+1)); [ $i -lt 3000 ] || exit 9; usleep 5000; done"


def test_steps_share_a_shared_cache_and_have_private_ones_alone(build):
    """Two stages that run at the same time wait for each other in a cache that both see."""
    stages = "".join(
        f"FROM base AS {me}\nARG ME={me} YOU={you}\n"
        "RUN --mount=type=cache,id=meet,target=/meet --mount=type=cache,id=p,sharing=private,target=/p \\\n"
        f"    touch /p/$ME && {MEET} && ls /p > /private-$ME && ls /meet > /shared-$ME\n"
        for me, you in (("one", "two"), ("two", "one"))
    )
    built = build(stages + "FROM base\nCOPY --from=one /*-one /\nCOPY --from=two /*-two /\n")
    for me in ("one", "two"):
        assert text(built, f"private-{me}") == f"{me}\n"
        assert text(built, f"shared-{me}") == "one\ntwo\n"


@pytest.mark.parametrize("isolation", ["mnt", "chroot"])
def test_one_step_at_a_time_has_a_locked_cache(project, tmp_path, registry, base_image, isolation):
    """Three builds of four stages each, all at once; each step takes two caches, in either order."""
    first, second = (
        "--mount=type=cache,id=a,sharing=locked,target=/a",
        "--mount=type=cache,id=b,sharing=locked,target=/b",
    )
    alone = (
        "mkdir /a/held /b/held && usleep 20000 && echo x >> /a/count && rmdir /a/held /b/held && wc -l < /a/count > /n"
    )
    dockerfiles = [
        "".join(
            f"FROM base AS s{stage}\n"
            f"RUN {first if stage % 2 else second} {second if stage % 2 else first} {alone} # {number}.{stage}\n"
            for stage in range(4)
        )
        + "FROM base\n"
        + "".join(f"COPY --from=s{stage} /n /n{stage}\n" for stage in range(4))
        for number in range(3)
    ]
    trees = concurrent(project, tmp_path / "home", registry, base_image, dockerfiles, "--isolation", isolation)
    seen = sorted(int(tree[f"n{stage}"].data) for tree in trees for stage in range(4))
    assert seen == list(range(1, 13))


def concurrent(project, home, registry, base, dockerfiles, *options):
    """Build several Dockerfiles at a time; returns their trees."""
    running = []
    environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "DOCKER_CONFIG": "/none"}
    for number, dockerfile in enumerate(dockerfiles):
        path = project / f"Dockerfile.{number}"
        path.write_text(dockerfile.replace("FROM base", f"FROM {base}"))
        name = f"{registry.host}/{project.parent.name.lower()}/{number}:1"
        command = [sys.executable, "-c", "from coopery.cli import main; main()", "build", "--progress=plain", "--push"]
        command += ["-t", name, "-f", str(path), *options, str(project)]
        running.append((name, subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)))
    trees = []
    for name, process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
        trees.append(flatten(plainregistry.pull(name).layers))
    return trees
