"""Machines without Coopery: the command hook installs it."""

from __future__ import annotations

import threading
from pathlib import Path

import buildkite_jobs as jobs
from buildkite_agent_api import AgentApi
from buildkite_jobs import Machine


def test_two_agents_of_one_machine_install_coopery_once(
    machine: Machine,
    shop: Path,
    guarded_registry: str,
    secrets: AgentApi,
) -> None:
    machine.installed = False
    ended: list[jobs.Ended] = []
    both = [
        threading.Thread(
            target=lambda agent=agent: ended.append(
                machine.run(shop, jobs.configuration(guarded_registry), BUILDKITE_AGENT_NAME=agent)
            )
        )
        for agent in ("one", "two")
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    logs = [job.log for job in ended]
    assert [job.status for job in ended] == [0, 0], "\n".join(logs)
    assert sum("Installing Coopery" in log for log in logs) == 1
    assert len(list((machine.home / "cache/coopery-buildkite").glob("*/installed"))) == 1


def test_an_installation_that_fails_is_not_taken_for_one(machine: Machine, shop: Path) -> None:
    machine.installed = False
    machine.environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    ended = machine.run(shop, {"image": "registry.example/acme/shop"})
    assert ended.status != 0
    assert "Build the image" not in ended.log
    assert not list((machine.home / "cache").rglob("installed"))


def test_a_machine_without_python(machine: Machine, shop: Path) -> None:
    machine.installed = False
    tools = machine.home / "tools"
    tools.mkdir(parents=True)
    for name in ("python3", *(f"python3.{minor}" for minor in range(11, 15))):
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    ended = machine.run(shop, {"image": "registry.example/acme/shop"})
    assert ended.status == 10
    assert "Coopery needs Python 3.11 or newer" in ended.log
