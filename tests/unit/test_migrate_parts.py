"""Command lines and scripts of other builders, read and understood."""

from __future__ import annotations

import pytest
import yaml

from coopery.errors import UsageError
from coopery.migrate.draft import Draft, Note
from coopery.migrate.edit import Document, as_item, dump, entries, get, plain, resolved, spliced
from coopery.migrate.kaniko import draft_executor
from coopery.migrate.migrate import migrate_command, migrate_file
from coopery.migrate.pods import pod_drafts
from coopery.migrate.results import Source
from coopery.migrate.script import Build, Rest, Scripts
from coopery.migrate.shell import read_script
from coopery.migrate.spelling import finish
from coopery.migrate.words import Shell, Variable, Word, split_name, word


class Sh:
    """A dialect that says variables as a shell does."""

    roots = ("ROOT",)
    commits = ("COMMIT",)
    shell_way = "do it before"

    def text(self, literal: str) -> str:
        return literal

    def variable(self, name: str) -> str | None:
        return f"${name}" if name != "UNKNOWN" else None

    def native(self, written: str) -> str | None:
        return written


def script(text: str) -> tuple[Scripts, list[Build | Rest]]:
    scripts = Scripts()
    items = scripts.read(text)
    scripts.finish()
    return scripts, items


def settings(text: str, number: int = 0) -> dict[str, str]:
    scripts, _ = script(text)
    return finish(scripts.builds[number].draft, Sh()).texts()


def notes(text: str) -> list[str]:
    scripts, _ = script(text)
    return [note.text for build in scripts.builds for note in finish(build.draft, Sh()).notes]


def executor(line: str) -> tuple[dict[str, str], list[str]]:
    step = finish(draft_executor([word(part) for part in line.split()]), Sh())
    return step.texts(), [f"{note.kind} {note.what}" for note in step.notes]


# ------------------------------------------------------------------------------------------------ words


def test_names_part_at_the_last_colon() -> None:
    host = word(Variable("REG"))
    for name, expected in {
        word("a/b"): ("a/b", ""),
        word("localhost:5000/a/b"): ("localhost:5000/a/b", ""),
        word("a:1"): ("a", "1"),
        host + "/a:" + word(Variable("TAG")): ("${REG}/a", "${TAG}"),
        host: ("${REG}", ""),
        word("a:x-", Shell("$(date)"), "-y"): ("a", "x-$(date)-y"),
    }.items():
        repository, tag = split_name(name)
        assert (repository.written, tag.written) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", ["a", "b"]),
        ("a 'b c' \"d $E\"", ["a", "b c", "d ${E}"]),
        ("a\\ b c\\\n d", ["a b", "c", "d"]),
        ('a "x\\"y\\$z" \'\\$\'', ["a", 'x"y$z', "\\$"]),
        ("a --b=$(c d) `e`", ["a", "--b=$(c d)", "`e`"]),
        ("a ${B:-c}$D", ["a", "${B:-c}${D}"]),
        ("a grün 'ü b' \"é$C\"", ["a", "grün", "ü b", "é${C}"]),
        ("A=1 b $'c\\n'", ["b", "$'c\\n'"]),
    ],
)
def test_words_of_a_shell(text: str, expected: list[str]) -> None:
    (command,) = read_script(text)
    assert [each.written for each in command.words] == expected


def test_what_commands_stand_in() -> None:
    found = read_script(
        "a | b && c || d\nif x; then e; else f; fi\nfor i in 1; do g; done\n[ -n x ] && h\n(cd i; j)\nk() { l; }\n"
    )
    by_name = {command.name: command for command in found if command.words}
    assert by_name["a"].piped and not by_name["b"].piped and by_name["d"].optional
    assert by_name["a"].group == by_name["d"].group != by_name["e"].group
    assert by_name["e"].condition == by_name["f"].condition == "if x; then e; else f; fi"
    assert by_name["g"].repeated and by_name["l"].repeated
    assert by_name["h"].condition == "[ -n x ]"
    assert by_name["j"].inside


def test_what_commands_are_given() -> None:
    found = read_script("echo $A | b\nc <<< 'd'\ncat > f <<EOF\n{\"$X\": 1}\nEOF\ng 2>/dev/null > out\nh < in\n")
    given = {command.name: command.given.written for command in found if command.given}
    assert given == {"b": "${A}", "c": "d", "cat": '{"${X}": 1}\n', "h": "$(cat in)"}
    assert {command.name: command.writes.written for command in found if command.writes} == {"cat": "f", "g": "out"}


def test_scripts_of_any_size_are_read() -> None:
    assert len(read_script("a b\n" * 20_000)) == 20_000
    for text in ("(" * 20_000, "$(" * 20_000, "if a; then " * 5_000, '"' * 50_001, "a" * 500_000, "{" * 20_000):
        try:
            read_script(text)
        except UsageError as error:
            assert "nested" in error.message


# ------------------------------------------------------------------------------------------------ kaniko


def test_kaniko_in_settings() -> None:
    found, said = executor(
        "--context=. --dockerfile=Dockerfile --destination=a.b/c:1 --destination=a.b/c:2 --build-arg A=1 --build-arg=B "
        "--target t --custom-platform linux/arm64 --label l=1 --secret id=x,env=Y --secret=id=z,src=/z --cache "
        "--cache-repo r/c --compression zstd --compression-level=3 --tar-path=x.tar"
    )
    assert found == {
        "images": "a.b/c",
        "tags": "1\n2",
        "build-args": "A=1\nB=$B",
        "target": "t",
        "platforms": "linux/arm64",
        "labels": "l=1",
        "secrets": "x=Y\nid=z,src=/z",
        "cache": "registry",
        "cache-repository": "r/c",
        "compression": "zstd",
        "compression-level": "3",
        "outputs": "type=docker,dest=x.tar",
        "push": "true",
    }
    assert said == ["moot --dockerfile=Dockerfile"]


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("--context=. --no-push", "push", "false"),
        ("--context=. -d a/b", "tags", "latest"),
        ("-c . -d a/b:1 -d c/d:2", "tags", "a/b:1\nc/d:2"),
        ("-c . -d a/b:1 -d c/d:1", "images", "a/b\nc/d"),
        ("--context=dir://app", "context", "app"),
        ("--context=app --dockerfile=x", "file", "app/x"),
        ("--context=app --dockerfile=app/x", "file", "app/x"),
        ("--context=. --context-sub-path=app", "context", "app"),
        ("--context=git://x.y/a/b#refs/heads/main", "context", "https://x.y/a/b.git#refs/heads/main"),
        ("--context=git://x.y/a.git#main#0123abc --context-sub-path=c", "context", "https://x.y/a.git#0123abc:c"),
        ("--context=https://x.y/a.tar.gz", "context", "https://x.y/a.tar.gz"),
        ("--context=. --cache=false", "cache", "none"),
        ("--context=. -d a/b:1 --cache --cache-ttl=1h", "cache-to", "type=registry,ref=a/b/cache,mode=max,ttl=1h"),
        ("--context=. --cache --cache-repo=oci:/x --no-push-cache", "cache-from", "type=local,src=/x"),
    ],
)
def test_kaniko_one_by_one(line: str, key: str, value: str) -> None:
    assert executor(line)[0][key] == value


@pytest.mark.parametrize(
    "line",
    [
        "--context=gs://x/y.tar.gz",
        "--context=s3://x",
        "--nonsense",
        "--nonsense=1",
        "stray",
        "--digest-file=x",
        "--reproducible",
    ],
)
def test_kaniko_what_is_left_is_said(line: str) -> None:
    _, said = executor(f"-d a/b:1 {line}")
    assert f"left {line}" in said


def test_a_password_is_never_repeated() -> None:
    secret = "ghp_" + "a1B2" * 9
    found = migrate_command(["executor", "-c", ".", f"--build-arg=TOKEN={secret}", f"--what={secret}"], "", {})
    assert secret not in found.text + str(found.data()) + str(found.report("x"))
    assert "in the open" in found.text
    scripts, _ = script("docker login -u me -p hunter2 a.b\ndocker build -t a.b/c:1 .\ndocker push a.b/c:1\n")
    step = finish(scripts.builds[0].draft, Sh())
    assert step.logins == () and "hunter2" not in str(step)
    assert any("for everybody to read" in note.why for note in step.notes)


# ------------------------------------------------------------------------------------------------ scripts


def test_names_are_those_that_are_pushed() -> None:
    found = settings(
        "docker build -t x:dev -t a.b/c:1 .\ndocker tag x:dev a.b/c:2\ndocker push a.b/c:1 && docker push a.b/c:2\n"
    )
    assert (found["images"], found["tags"], found["push"]) == ("a.b/c", "1\n2", "true")
    assert settings("docker build -t x:dev .")["push"] == "false"
    assert settings("docker buildx build --push -t a/b .")["tags"] == "latest"
    assert settings("docker buildx build --output type=registry,name=a/b:1 .")["push"] == "true"
    assert settings("docker build -t a/b:1 -t a/b:2 -t a/c:3 . && docker push -a a/b")["tags"] == "1\n2"


def test_variables_of_the_script_are_put_in_place() -> None:
    text = "T=$(git rev-parse --short HEAD)\nexport I=a.b/c\nD=$(date +%Y-%m-%d)\ndocker build -t $I:$T-$D -t $I:$X .\n"
    assert settings(text + "docker push --all-tags $I")["tags"] == "{{sha}}-{{date 'YYYY-MM-DD'}}\n$X"
    assert settings("docker build -t a/b:$(git rev-parse HEAD) .")["tags"] == "type=sha,format=long,prefix="
    assert settings("docker build -t a/b:${COMMIT:0:7} .")["tags"] == "{{sha}}"
    said = notes("if x; then T=1; else T=2; fi\ndocker build -t a/b:$T .\n")
    assert any("${T} is made by a shell" in note for note in said)


def test_paths_are_those_of_the_checkout() -> None:
    assert settings("cd app\ndocker build -f docker/x .") == {
        "context": "app",
        "file": "app/docker/x",
        "push": "false",
    }
    assert settings("(cd app)\ndocker build $ROOT/x")["context"] == "x"
    assert "context" not in settings("docker build $PWD")
    assert "file" not in settings("docker build -f Dockerfile .")
    assert settings("cd app\ndocker build https://x.y/a.git#main")["context"] == "https://x.y/a.git#main"


def test_kaniko_in_a_container_of_dockers() -> None:
    line = (
        "docker run --rm -v {0}:/workspace -v $HOME/.docker/config.json:/kaniko/.docker/config.json:ro -e A=1 "
        "gcr.io/kaniko-project/executor:latest --dockerfile=/workspace/x --destination=a.b/c:1"
    )
    assert settings(line.format("$PWD")) == {"images": "a.b/c", "tags": "1", "file": "x", "push": "true"}
    assert settings(line.format('"$(pwd)"/app'))["file"] == "app/x"
    assert settings(line.format("$ROOT/app") + " --context=/workspace/y")["context"] == "app/y"
    said = notes(line.format("$PWD"))
    assert not script("docker run -v a:/kaniko/x busybox")[0].builds
    assert any("-e A=1" in note for note in said) and not any("REGISTRY_AUTH_FILE" in note for note in said)


def test_what_else_a_script_does_stays() -> None:
    _, items = script("set -e\nnpm ci && docker build -t a/b:1 . && ./after\necho $X | foo\ndocker push a/b:1\n")
    assert [item.text if isinstance(item, Rest) else "BUILD" for item in items] == [
        "set -e",
        "npm ci",
        "BUILD",
        "./after",
        "echo $X | foo",
    ]


def test_conditions_and_loops_are_said() -> None:
    said = notes("docker build -t a/b:1 .\nif [ $B = main ]; then\n  docker push a/b:1\nfi\n")
    assert any(note.startswith("Check: docker push a/b:1: it stands in `if [ $B = main ]; then`") for note in said)
    said = notes("docker build -t a/b:1 .\nfor i in a b; do docker push $i; done\n")
    assert any("it stands in a loop" in note for note in said)
    assert any("options in a variable" in note for note in notes("docker build $OPTIONS ."))


@pytest.mark.parametrize(
    "line",
    [
        'echo "$P" | docker login -u "$U" --password-stdin a.b',
        "docker login -u $U -p $P https://a.b/v2/",
        'docker login --username="$U" --password-stdin a.b <<< "$P"',
        'echo "{\\"auths\\":{\\"a.b\\":{\\"username\\":\\"$U\\",\\"password\\":\\"$P\\"}}}" > ~/.docker/config.json',
        'echo "{\\"auths\\":{\\"a.b\\":{\\"auth\\":\\"$(echo -n $U:$P | base64)\\"}}}" > ~/.docker/config.json',
    ],
)
def test_logins(line: str) -> None:
    scripts, items = script(f"{line}\ndocker build -t a.b/c:1 .\n")
    (login,) = scripts.builds[0].draft.logins
    assert (login.host.written, login.username.written, login.password.written) == ("a.b", "${U}", "${P}")
    assert len(items) == 1


def test_other_ways_to_log_in() -> None:
    clouds = "aws ecr get-login-password | docker login -u AWS --password-stdin 1.dkr.ecr.x.amazonaws.com"
    assert any("AWS identity" in note for note in notes(f"{clouds}\ndocker build ."))
    scripts, _ = script("cp $DOCKER_CONF /kaniko/.docker/config.json\nexecutor -c . -d a/b:1\n")
    assert finish(scripts.builds[0].draft, Sh()).variables == {"REGISTRY_AUTH_FILE": "$DOCKER_CONF"}
    scripts, _ = script("echo $AUTH > /kaniko/.docker/config.json\nexecutor -c . -d a/b:1\n")
    assert finish(scripts.builds[0].draft, Sh()).variables == {"DOCKER_AUTH_CONFIG": "$AUTH"}


# ------------------------------------------------------------------------------------------------ files


def test_yaml_is_edited_by_lines() -> None:
    text = "a:\n  - name: x # keep\n    run: |\n      one\n\n      two\n    # about z\n    z: 1\n  - {b: c}\nd: [e]\n"
    document = Document("x", text)
    (item, flow) = get(document.root, "a").value  # type: ignore[union-attr]
    (own,) = [each for each in entries(document.root) if each.key == "a"]
    assert (own.first, own.last) == (0, 9)
    lines = spliced(document.lines, item, ["run"], {"uses": "y", "with": {"k": "1\n2\n"}}, 8)
    assert yaml.safe_load("\n".join(lines)) == [{"name": "x", "uses": "y", "with": {"k": "1\n2\n"}, "z": 1}]
    assert lines[0] == "  - name: x # keep" and "    # about z" in lines
    assert plain(flow) == {"b": "c"}
    lines = spliced(document.lines, item, ["name"], {"uses": "y"}, 8)
    assert lines[0] == "  - uses: y"


def test_yaml_keeps_numbers_as_they_are() -> None:
    value = plain(Document("x", "a: 1.10\nb: yes\nc: ~\nd: '1'\ne: 0o17\n").root)
    assert dump(value) == ["a: 1.10", "b: yes", "c: null", "d: '1'", "e: 0o17"]
    assert as_item(["# x", "a: 1", "b: 2"]) == ["# x", "- a: 1", "  b: 2"]
    merged = Document("x", "a: &a {k: 1, l: 2}\nb: {<<: *a, k: 3}\n").root
    assert [plain(resolved(get(merged, "b"), key)) for key in ("k", "l", "m")] == ["3", "2", ""]


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5_000,
        "a:\n" + "\n".join(f" {' ' * n}- " for n in range(100)) + "x",
        "a0: &a0 [x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}, *a{n}]\n" for n in range(30)),
    ],
)
def test_yaml_that_has_no_end_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Document("x", text)


def test_pods() -> None:
    text = """
        {kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {
          initContainers: [{name: k, image: "x/kaniko:1", command: [/kaniko/executor], args: ["-d", "a/b:$(T)"],
                            env: [{name: T, value: "7"}]}],
          containers: [{name: other, image: busybox}]}}}}}}
    """
    ((title, draft),) = pod_drafts("x", text)
    assert title == "container k"
    assert finish(draft, Sh()).texts() == {"images": "a/b", "tags": "7", "push": "true"}


def test_nothing_to_migrate_is_an_error() -> None:
    for text in ("echo hello\n", "a: 1\n", "", "containers: x\n"):
        with pytest.raises(UsageError, match="nothing that builds an image"):
            migrate_file("x", text, "", {})
    with pytest.raises(UsageError, match="no command line"):
        migrate_command(["make", "all"], "", {})
    with pytest.raises(UsageError, match="no CI platform"):
        migrate_command(["executor"], "nowhere", {})


def test_sources() -> None:
    assert Source.parse("a/b@v1") == Source("a/b", "v1")
    assert not Source("a/b", "v1").remark and Source().remark
    with pytest.raises(UsageError):
        Source.parse("a/b")


def test_notes_are_one_line() -> None:
    draft = Draft()
    draft.left("a\n\x1b[31m b", "c", "d")
    draft.left("a\n\x1b[31m b", "c", "d")
    assert [note.text for note in draft.notes] == ["Not carried over: a [31m b: c (d)"]
    assert isinstance(draft.notes[0], Note) and Word().written == ""
