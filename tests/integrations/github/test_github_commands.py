"""Workflow commands: what GitHub's runner makes of what we and builds print."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import github_runner
import pytest
from github_runner import Command, obeyed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coopery_github import GitHub
from coopery_github.commands import Commands

HOSTILE = (
    "::set-output name=digest::evil\n::add-path::/evil\r::set-env name=PATH::/evil\n"
    "##[add-path]/evil\nx ##[set-env name=A;]b\n  ::error::no\n::stop-commands::mine\n::endgroup::\n"
    "%0A::debug::x\x1b[0m"
)
_ANY = st.text(st.characters(codec="utf-8") | st.sampled_from(list("::##[]%\r\n,=; ")), max_size=60)


def _printed(capfd: pytest.CaptureFixture[str]) -> str:
    out, err = capfd.readouterr()
    assert not out, "one stream keeps the order"
    return err


def test_output_of_builds_gives_no_orders(capfd: pytest.CaptureFixture[str]) -> None:
    platform = GitHub({})
    with platform.group("Build, 100%: now\n::error::no"):
        print(HOSTILE, file=sys.stderr)
        platform.mask("minted-in-the-build")
        print(HOSTILE, file=sys.stderr)
    print(HOSTILE, file=sys.stderr)  # the error that is printed last, say
    assert obeyed(_printed(capfd)) == [
        Command("group", "Build, 100%: now\n::error::no"),
        Command("add-mask", "minted-in-the-build"),
        Command("endgroup", ""),
    ]


def test_commands_stay_stopped_from_before_us(capfd: pytest.CaptureFixture[str]) -> None:
    """The action stops commands before Coopery starts, and hands the token on."""
    print("::stop-commands::first", file=sys.stderr)
    print(HOSTILE, file=sys.stderr)
    GitHub({"COOPERY_STOP_COMMANDS": "first"}).notice("not pushed")
    print(HOSTILE, file=sys.stderr)
    assert obeyed(_printed(capfd)) == [Command("notice", "not pushed", {"title": "Coopery"})]


def test_tokens_are_used_once(capfd: pytest.CaptureFixture[str]) -> None:
    platform = GitHub({})
    for text in ("a", "b", "c"):
        platform.notice(text)
    resumed = re.findall(r"^::([0-9a-f]{32})::$", _printed(capfd), re.MULTILINE)
    assert len(resumed) == len(set(resumed)) == 2


@given(_ANY, _ANY, _ANY)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_said_is_one_command(capfd: pytest.CaptureFixture[str], text: str, file: str, title: str) -> None:
    Commands({}).give("warning", text, file=file, line=3, title=title)
    (command,) = obeyed(_printed(capfd))
    assert (command.name, command.text) == ("warning", text)
    if file == file.strip() and title == title.strip():  # else the runner trims what stands between commas
        given_properties = {"file": file, "line": "3", "title": title}
        assert command.properties == {name: value for name, value in given_properties.items() if value}


def test_masks_every_line(capfd: pytest.CaptureFixture[str]) -> None:
    Commands({}).mask("-----BEGIN-----\r\nabcdefgh\n%0A::set-env name=A::b\nxy\n")
    masks = [command.text for command in obeyed(_printed(capfd)) if command.name == "add-mask"]
    assert masks[1:] == ["-----BEGIN-----", "abcdefgh", "%0A::set-env name=A::b"]


def test_long_masks(capfd: pytest.CaptureFixture[str]) -> None:
    value = "k" * 20_000
    Commands({}).mask(value)
    assert [command.text for command in obeyed(_printed(capfd))] == [value]


def test_outside_of_github(tmp_path: Path) -> None:
    assert not GitHub.detect({"CI": "true"})
    assert not GitHub.detect({"GITHUB_ACTIONS": "false"})
    assert GitHub.detect(github_runner.environment("push", tmp_path))
