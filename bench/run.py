#!/usr/bin/env python3
"""Compares container image builders on one machine, with one registry and the same base images.

    sudo python bench/run.py --cases copy,apt --peers coopery,buildah,buildkit --runs 3

Needs root, docker-registry and mmdebstrap; bench/README.md says how the peers are had and how each number is taken.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scripts"))
sys.path.insert(0, str(HERE.parent / "tests"))

import report  # noqa: E402
from cases import BASES, CASES, Case  # noqa: E402
from measure import Account, Failed, measure  # noqa: E402
from peers import PEERS, CacheMode, Job, Peer  # noqa: E402
from report import Sample  # noqa: E402

import plainoci  # noqa: E402
import plainregistry  # noqa: E402
from support.registries import find_registry, running_registry  # noqa: E402


class Bench:
    """One invocation: a registry, the bases in it, and the samples taken so far."""

    def __init__(self, options: argparse.Namespace, registry: str) -> None:
        self.options, self.registry = options, registry
        self.work: Path = options.work
        self.samples: list[Sample] = []
        self.results: Path = options.results / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        self.results.parent.mkdir(parents=True, exist_ok=True)

    def push_bases(self, names: set[str]) -> None:
        """Makes the bases that aren't kept from an earlier invocation and puts them into the registry."""
        for name in sorted(names):
            layout = self.work / "bases" / name
            if not (layout / "index.json").exists():
                say(f"making the base {name} from Debian packages")
                command = [sys.executable, str(HERE.parent / "scripts/base-image"), "--with-host"]
                include = [f"--include={BASES[name]}"] if BASES[name] else []
                subprocess.run([*command, *include, "--output", str(layout)], check=True, stdout=subprocess.DEVNULL)
            plainregistry.push(plainoci.read_layout(layout), self.base(name))

    def base(self, name: str) -> str:
        return f"{self.registry}/base/{name}:bench"

    def one(self, case: Case, kind: type[Peer], run: int) -> None:
        """All phases of one case with one peer."""
        context = self.work / "contexts" / case.name
        self.write(case, context)
        with self.peer(kind, case, run) as (peer, startup):
            job = self.job(case, peer, run, "local")
            self.build(peer, job, case, run, "cold", startup)
            if commands := peer.prime(job):
                peer.prepare(job)
                measure(peer.account, peer.programs(), commands, peer.log, peer.env)
            self.build(peer, job, case, run, "warm", startup)
            case.edit(context)
            self.build(peer, job, case, run, "edit", startup)
        if self.options.registry_cache and kind.registry_cache:
            self.write(case, context)
            for phase in ("fill", "fresh"):
                with self.peer(kind, case, run) as (peer, startup):
                    self.build(peer, self.job(case, peer, run, phase), case, run, phase, startup)

    def write(self, case: Case, context: Path) -> None:
        """Writes a case's context anew, from a copy kept beside it."""
        kept = context.with_name(context.name + ".orig")
        if not kept.exists():
            partial = context.with_name(context.name + ".new")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            case.write(partial)
            partial.rename(kept)
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(kept, context)

    @contextlib.contextmanager
    def peer(self, kind: type[Peer], case: Case, run: int) -> Iterator[tuple[Peer, float]]:
        """A peer with empty state, and the seconds its start took."""
        state = self.work / "state" / kind.name
        if state.exists():
            subprocess.run(["rm", "-rf", str(state)], check=True)
        log = self.work / "logs" / f"{case.name}-{kind.name}-{run}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        peer = kind(state, Account(kind.name), log)
        try:
            begun = time.monotonic()
            peer.start()
            yield peer, time.monotonic() - begun
        finally:
            peer.stop()

    def job(self, case: Case, peer: Peer, run: int, cache: CacheMode) -> Job:
        # A repository of its own for each run, or the registry would have the layers already.
        purpose = "" if cache == "local" else "-cached"
        reference = f"{self.registry}/bench/{case.name}/{peer.name}/{run}-{os.getpid()}{purpose}:{cache}"
        return Job(self.work / "contexts" / case.name, reference, {"BASE": self.base(case.base)}, cache)

    def build(self, peer: Peer, job: Job, case: Case, run: int, phase: str, startup: float) -> None:
        peer.prepare(job)
        cost = measure(peer.account, peer.programs(), peer.commands(job), peer.log, peer.env)
        size = plainregistry.image_size(job.reference)
        sample = Sample(case.name, peer.name, run, phase, cost.wall, cost.cpu, cost.memory, cost.shmem, size, startup)
        self.samples.append(sample)
        say(
            f"{case.name} {peer.name} run {run} {phase}: {cost.wall:.2f} s wall, {cost.cpu:.2f} s CPU, "
            f"{cost.memory / 2**20:.0f} MiB, image {size / 1e6:.1f} MB"
        )

    def save(self) -> None:
        machine = {"cpus": os.cpu_count(), "kernel": os.uname().release, "machine": os.uname().machine}
        value = {
            "taken": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "load": os.getloadavg(),
            "samples": [asdict(sample) for sample in self.samples],
        }
        self.results.write_text(json.dumps(value, indent=1) + "\n")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--cases", default=",".join(CASES), help="which cases")
    parser.add_argument(
        "--peers", default=",".join(PEERS), help="which builders; those not on PATH are named and left out"
    )
    parser.add_argument("--runs", type=int, default=3, help="how many times each")
    parser.add_argument(
        "--registry-cache", action="store_true", help="also fill a registry cache and build from it alone"
    )
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/coopery-bench"), help="state, contexts and bases")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where the JSON goes")
    options = parser.parse_args()
    options.cases = choose(parser, "--cases", options.cases, CASES)
    options.peers = choose(parser, "--peers", options.peers, PEERS)
    return options


def choose(parser: argparse.ArgumentParser, option: str, text: str, known: dict[str, object]) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if name not in known:
            parser.error(f"{option}: {name} is none of {', '.join(known)}")
    return names


def main() -> int:
    options = parse()
    if os.geteuid() != 0:
        say("bench: needs root: it starts daemons and keeps accounts in control groups")
        return 1
    if find_registry() is None:
        say("bench: needs docker-registry")
        return 1
    kinds = []
    for name in options.peers:
        if missing := PEERS[name].missing():
            say(f"{name} is left out: {missing} is not on PATH")
        else:
            kinds.append(PEERS[name])
    storage = options.work / "registry"
    shutil.rmtree(storage, ignore_errors=True)
    failures = 0
    with running_registry(storage) as registry:
        bench = Bench(options, registry.host)
        bench.push_bases({CASES[name].base for name in options.cases})
        for run in range(options.runs):
            for name in options.cases:
                turn = run % max(len(kinds), 1)
                for kind in kinds[turn:] + kinds[:turn]:  # interleaved, and nobody always first
                    try:
                        bench.one(CASES[name], kind, run)
                    except Failed as failure:
                        failures += 1
                        say(f"{name} {kind.name} run {run} FAILED: {failure}")
                    bench.save()
    shutil.rmtree(storage, ignore_errors=True)
    print(report.text(bench.samples))
    say(f"written to {bench.results}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
