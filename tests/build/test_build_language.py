"""What instructions do to files and configuration, seen in the image that was pushed."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


def test_every_instruction_reaches_the_configuration(build):
    built = build(
        """\
        FROM base
        MAINTAINER someone
        ARG VERSION=1
        ENV A=1 B="two words" PATH=/opt/bin:$PATH
        LABEL one=1 version=$VERSION
        EXPOSE 80 53/udp 8000-8001
        VOLUME /data "/more"
        USER app
        WORKDIR /srv
        WORKDIR app
        STOPSIGNAL SIGUSR1
        HEALTHCHECK --interval=5s --retries=2 CMD true
        SHELL ["/bin/sh", "-ec"]
        ENTRYPOINT ["/bin/echo"]
        CMD hello
        ONBUILD RUN echo triggered
        """.replace("        ", "")
    )
    config = built.config["config"]
    assert config["Env"] == ["PATH=/opt/bin:/usr/bin:/bin", "A=1", "B=two words"]
    assert config["Labels"] == {"one": "1", "version": "1"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp", "8000/tcp", "8001/tcp"}
    assert config["User"] == "app"
    assert config["WorkingDir"] == "/srv/app"
    assert config["StopSignal"] == "SIGUSR1"
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5 * 10**9, "Retries": 2}
    assert config["Shell"] == ["/bin/sh", "-ec"]
    assert config["Entrypoint"] == ["/bin/echo"]
    assert config["Cmd"] == ["/bin/sh", "-ec", "hello"]
    assert config["OnBuild"] == ["RUN echo triggered"]
    assert built.config["author"] == "someone"
    # WORKDIR makes directories that belong to the current user.
    assert (built.tree["srv/app"].uid, built.tree["srv/app"].gid) == (1000, 1000)


def test_history_has_a_line_for_each_instruction_and_layers_match(build):
    built = build('FROM base\nARG NAME=x\nENV A=b\nRUN echo $NAME > /f\nCOPY Dockerfile /\nCMD ["sh"]\n')
    lines = [entry for entry in built.config["history"] if entry.get("comment") == "coopery"]
    assert [entry["created_by"] for entry in lines] == [
        "ARG NAME=x",
        "ENV A=b",
        "RUN |1 NAME=x /bin/sh -c echo $NAME > /f",
        "COPY Dockerfile /",
        'CMD ["sh"]',
    ]
    assert [entry.get("empty_layer", False) for entry in lines] == [True, True, False, False, True]
    assert len(built.config["rootfs"]["diff_ids"]) == len(built.image.manifest["layers"])


def test_files_of_every_kind_come_out_of_a_run_as_they_are(build):
    built = build(
        "FROM base\n"
        "RUN mkdir -p /d/e && echo data > /d/file && chown 1234:70000 /d/file && chmod 4755 /d/file\n"
        "RUN ln -s ../etc/passwd /d/link && ln /d/file /d/hard && mkfifo /d/fifo && mknod /d/null c 1 3\n"
        "RUN rm /etc/group && rm -r /home && mkdir /home && dd if=/dev/zero of=/d/hole bs=1 count=1 seek=3000000\n"
    )
    tree = built.tree
    assert (tree["d/file"].mode & 0o7777, tree["d/file"].uid, tree["d/file"].gid) == (0o4755, 1234, 70000)
    assert tree["d/link"].link == "../etc/passwd"
    assert tree["d/hard"].inode == tree["d/file"].inode
    assert tree["d/fifo"].type == "fifo"
    assert (tree["d/null"].type, tree["d/null"].device) == ("char", (1, 3))
    assert tree["d/hole"].size == 3000001
    assert "etc/group" not in tree
    assert "home" in tree
    assert "home/app" not in tree


def test_nothing_of_the_sandbox_ends_in_the_image(build):
    built = build("FROM base\nRUN true\nRUN touch /etc/new /dev/shm/x /tmp/kept\nRUN rm -f /etc/resolv.conf; true\n")
    added = set(built.tree) - {"etc/new", "tmp/kept"}
    assert not {name for name in added if name.startswith(("dev/", "proc/", "sys/", "etc/res", "etc/hosts"))}
    assert "tmp/kept" in built.tree


def test_multi_stage_copies_and_unneeded_stages_stay_unbuilt(build):
    built = build(
        "FROM base AS unused\nRUN false\n"
        "FROM base AS make\nRUN mkdir /out && echo made > /out/file && chown -R 7:8 /out && chmod 600 /out/file\n"
        "FROM scratch\nCOPY --from=make /out /\nCOPY --from=1 /out/file /second\n"
        "COPY --chown=5 --from=make /out/file /c\n"
    )
    assert {name: (node.uid, node.gid, node.mode & 0o777) for name, node in built.tree.items()} == {
        "file": (7, 8, 0o600),
        "second": (7, 8, 0o600),
        "c": (5, 5, 0o600),
    }
    assert "RUN false" not in built.done.stderr


def test_dockerignore_add_and_copy(build):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("inside/file")
        info.size, info.uid, info.mode = 3, 42, 0o640
        tar.addfile(info, io.BytesIO(b"abc"))
    built = build(
        "FROM base\nWORKDIR /w\nCOPY . .\nADD packed.bin /un/\nCOPY --chmod=0700 --chown=app:staff sub/*.txt /t/\n",
        files={
            ".dockerignore": "*.log\nsecret\n!keep.log\n",
            "a.log": "",
            "keep.log": "",
            "secret/key": "",
            "sub/one.txt": "1",
            "sub/two.txt": "2",
            "packed.bin": archive.getvalue(),
        },
    )
    tree = built.tree
    assert {"w/keep.log", "w/sub/one.txt", "w/packed.bin"} <= set(tree)
    assert not {"w/a.log", "w/secret", "w/secret/key"} & set(tree)
    assert (tree["un/inside/file"].uid, tree["un/inside/file"].mode & 0o777) == (42, 0o640)
    assert (tree["t/one.txt"].mode & 0o777, tree["t/two.txt"].uid, tree["t/two.txt"].gid) == (0o700, 1000, 50)


def test_onbuild_fires_in_the_next_build_once(build, registry):
    first = build("FROM base\nONBUILD RUN echo fired > /fired\nONBUILD ENV FIRED=yes\n")
    second = build(f"FROM {first.reference}\nRUN cat /fired\n")
    assert "fired" in second.tree
    assert "FIRED=yes" in second.config["config"]["Env"]
    assert "OnBuild" not in second.config["config"]


def test_users_groups_home_and_environment_of_a_run(build):
    built = build(
        "FROM base\nARG FROM_ARG=1\nENV FROM_ENV=2\n"
        "RUN env | sort > /root.env\n"
        "USER app\nRUN id > /tmp/app.id; echo $HOME > /tmp/app.home\n"
        "USER 4321\nRUN id > /tmp/number.id\n"
        "USER app:nogroup\nRUN id > /tmp/group.id\n",
        env={"LEAK": "from the builder"},
    )
    data = {name: node.data.decode() for name, node in built.tree.items() if node.type == "file" and node.size < 4096}
    environment = dict(line.split("=", 1) for line in data["root.env"].splitlines())
    assert environment == {
        "FROM_ARG": "1",
        "FROM_ENV": "2",
        "HOME": "/root",
        "PATH": "/usr/bin:/bin",
        "PWD": "/",
        "SHLVL": environment.get("SHLVL", ""),
    }
    assert data["tmp/app.id"].strip() == "uid=1000(app) gid=1000(app) groups=50(staff),1000(app)"
    assert data["tmp/app.home"].strip() == "/home/app"
    assert data["tmp/number.id"].strip().startswith("uid=4321 gid=0(root)")
    # An explicit group drops the supplementary ones.
    assert data["tmp/group.id"].strip() == "uid=1000(app) gid=65534(nogroup) groups=65534(nogroup)"


def test_secrets_are_seen_by_one_step_and_left_nowhere(build, coopery, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("hunter2-hunter2")
    built = build(
        "FROM base\n"
        "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /length && cat /run/secrets/token\n"
        "RUN --mount=type=secret,id=word,env=WORD echo ${#WORD} > /word\n"
        'RUN test ! -e /run/secrets && test -z "$WORD"\n',
        "--secret",
        f"id=token,src={secret}",
        "--secret",
        "id=word,env=THE_WORD",
        env={"THE_WORD": "correct horse"},
    )
    assert built.tree["length"].data.strip() == b"15"
    assert built.tree["word"].data.strip() == b"13"
    kept = [path.read_bytes() for path in coopery.home.rglob("*") if path.is_file()]
    for value in (b"hunter2-hunter2", b"correct horse"):
        assert value not in b"".join([*kept, built.done.stderr.encode(), built.done.stdout.encode()])


def test_heredocs(build):
    built = build(
        "FROM base\nENV NAME=world\n"
        'RUN <<EOF\nset -e\necho one > /one\necho "hello $NAME" > /two\nEOF\n'
        "COPY <<EOF <<'RAW' /conf/\nname=$NAME\nEOF\nraw=$NAME\nRAW\n"
        "RUN <<END\n#!/bin/cat\nnot a shell\nEND\n"
    )
    assert built.tree["two"].data == b"hello world\n"
    assert built.tree["conf/EOF"].data == b"name=world\n"
    assert built.tree["conf/RAW"].data == b"raw=$NAME\n"
    assert "not a shell" in built.done.stderr
