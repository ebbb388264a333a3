"""Where results go, and what scripts are told of them."""

from __future__ import annotations

import json
import os
import tarfile

import pytest

from plainoci import read_layout

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root with mount rights")


def test_several_outputs_with_push_and_the_files_for_scripts(build, tmp_path):
    built = build(
        "FROM base\nRUN echo hello > /hello\n",
        *("-o", f"type=oci,tar=false,dest={tmp_path}/layout"),
        *("-o", f"type=tar,dest={tmp_path}/root.tar", "-o", f"type=local,dest={tmp_path}/root"),
        *("-o", f"type=docker,dest={tmp_path}/docker.tar"),
        *("--iidfile", str(tmp_path / "iid"), "--metadata-file", str(tmp_path / "metadata.json")),
    )
    pushed = built.image
    config = pushed.manifest["config"]["digest"]
    assert (tmp_path / "iid").read_text() == config
    told = json.loads((tmp_path / "metadata.json").read_text())
    assert told["containerimage.config.digest"] == config
    assert told["image.name"] == built.reference
    assert told["containerimage.digest"] == told["containerimage.descriptor"]["digest"]
    layout = json.loads((tmp_path / "layout/index.json").read_text())
    assert pushed.digest in {told["containerimage.digest"], layout["manifests"][0]["digest"]}
    assert json.loads(read_layout(tmp_path / "layout").config) == pushed.config
    assert (tmp_path / "root/hello").read_text() == "hello\n"
    with tarfile.open(tmp_path / "root.tar") as archive:
        assert "hello" in {name.removeprefix("./") for name in archive.getnames()}
    with tarfile.open(tmp_path / "docker.tar") as archive:
        assert "manifest.json" in archive.getnames()


def test_quiet_prints_the_id_and_nothing_else(build):
    built = build("FROM base\nLABEL a=b\n", "-q")
    assert built.done.stdout == built.image.manifest["config"]["digest"] + "\n"
    assert built.done.stderr == ""


def test_a_failed_build_leaves_the_files_for_scripts_alone(build, tmp_path):
    (tmp_path / "iid").write_text("old")
    built = build("FROM base\nRUN exit 7\n", "--iidfile", str(tmp_path / "iid"), check=False)
    assert built.done.returncode == 5
    assert (tmp_path / "iid").read_text() == "old"


def test_the_epoch_of_a_global_argument_dates_everything(build):
    text = "ARG SOURCE_DATE_EPOCH=1700000000\nFROM base\nWORKDIR /made\nENV A=1\n"
    built = build(text)
    assert built.config["created"] == "2023-11-14T22:13:20Z"
    assert {line["created"] for line in built.config["history"] if line.get("comment") == "coopery"} == {
        "2023-11-14T22:13:20Z"
    }
    refused = build("FROM base\n", "--build-arg", "SOURCE_DATE_EPOCH=yesterday", check=False)
    assert refused.done.returncode == 2


def test_an_onbuild_trigger_copies_from_a_stage_that_nothing_else_needs(build):
    parent = build("FROM base\nONBUILD COPY --from=made /file /copied\n")
    child = build(f"FROM base AS made\nRUN echo made > /file\nFROM {parent.reference}\nRUN cat /copied\n")
    assert child.tree["copied"].data == b"made\n"


def test_errors_show_the_place_and_no_traceback(build):
    for text, status, words in (
        ("FROM base\nCOPY nowhere /\n", 4, "Dockerfile:2: 'nowhere' is not in the build context"),
        ("FROM base\nCOPY --from=2 a /\n", 3, "Dockerfile:2: COPY --from=2: there is no stage with that number"),
        ("FROM base\nUSER nobody-here\nRUN true\n", 3, "Dockerfile:3: the image has no user 'nobody-here'"),
        ("FROM base\nRUN --mount=type=secret,id=x,required true\n", 2, "Dockerfile:2: the step requires the secret"),
    ):
        done = build(text, check=False).done
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done.stderr
        assert words in done.stderr
        assert "hint: " in done.stderr
