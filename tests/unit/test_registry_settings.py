"""Options and variables for registries: what they mean, and which servers they are about."""

from __future__ import annotations

import pytest

from coopery.errors import UsageError
from coopery.oci.reference import Reference, is_registry
from coopery.registry.auth import check_realm
from coopery.registry.endpoint import follow, origin
from coopery.registry.proxies import proxy_for
from coopery.registry.settings import ClientCertificate, HostSettings, registry_settings

NOTHING = registry_settings({})


def places(text: str, **options: object) -> list[str]:
    """Where an image is pulled from."""
    settings = registry_settings({}, **options)  # type: ignore[arg-type]
    return [str(place) for place in settings.places(Reference.parse(text))]


# ------------------------------------------------------------------------------------------------ mirrors


@pytest.mark.parametrize(
    ("maps", "name", "expected"),
    [
        (["gcr.io=mirror.test"], "gcr.io/a/b:1", ["mirror.test/a/b:1", "gcr.io/a/b:1"]),
        (["gcr.io=mirror.test"], "gcr.io:443/a:1", ["gcr.io:443/a:1"]),
        (["gcr.io=mirror.test"], "eu.gcr.io/a:1", ["eu.gcr.io/a:1"]),
        (["gcr.io=a.test;127.0.0.1"], "gcr.io/a", ["a.test/a", "127.0.0.1/a", "gcr.io/a"]),
        (["gcr.io=a.test,b.test:5000"], "gcr.io/a", ["a.test/a", "b.test:5000/a", "gcr.io/a"]),
        (["gcr.io=a.test;quay.io=b.test"], "quay.io/a", ["b.test/a", "quay.io/a"]),
        (["gcr.io=a.test;gcr.io=b.test"], "gcr.io/a", ["a.test/a", "b.test/a", "gcr.io/a"]),
        (["gcr.io=a.test", "gcr.io=b.test"], "gcr.io/a", ["a.test/a", "b.test/a", "gcr.io/a"]),
        (["gcr.io=a.test", "gcr.io=a.test"], "gcr.io/a", ["a.test/a", "gcr.io/a"]),
        (["GCR.io=A.test"], "gcr.io/a", ["a.test/a", "gcr.io/a"]),
        (
            ["index.docker.io=h.test/proxy"],
            "debian:12",
            ["h.test/proxy/library/debian:12", "docker.io/library/debian:12"],
        ),
        (["docker.io=h.test/a/b/"], "me/app", ["h.test/a/b/me/app", "docker.io/me/app"]),
        (["https://gcr.io=https://h.test/x"], "gcr.io/a", ["h.test/x/a", "gcr.io/a"]),
        (["gcr.io=intern"], "gcr.io/a", ["intern/a", "gcr.io/a"]),
        (["gcr.io=[::1]:5000"], "gcr.io/a", ["[::1]:5000/a", "gcr.io/a"]),
    ],
)
def test_maps_as_kaniko_spells_them(maps: list[str], name: str, expected: list[str]) -> None:
    assert places(name, registry_map=maps) == expected
    assert places(name, registry_map=maps, skip_default_registry_fallback=True) == (expected[:-1] or [name])


def test_mirrors_of_docker_hub_come_after_its_map() -> None:
    found = places("debian", registry_mirror=["m.test", "n.test/x"], registry_map=["docker.io=first.test"])
    assert found == [
        *("first.test/library/debian", "m.test/library/debian", "n.test/x/library/debian"),
        "docker.io/library/debian",
    ]
    assert places("quay.io/a/b", registry_mirror=["m.test"]) == ["quay.io/a/b"]


def test_a_digest_stays() -> None:
    digest = "sha256:" + "a" * 64
    assert places(f"gcr.io/a@{digest}", registry_map=["gcr.io=m.test"])[0] == f"m.test/a@{digest}"


def test_http_before_a_mirror_means_plain_http() -> None:
    settings = registry_settings({}, registry_mirror=["http://m.test:5000"])
    assert settings.host("m.test:5000").plain_http
    assert not settings.host("docker.io").plain_http


# ------------------------------------------------------------------------------------------------ hosts


def test_what_each_option_sets() -> None:
    settings = registry_settings(
        {},
        insecure_registry=["a.test"],
        plain_http=["b.test:80, B2.test"],
        skip_tls_verify_registry=["https://c.test/"],
        registry_certificate=["c.test=/one.pem", "c.test=/two,with comma.pem"],
        registry_client_cert=["c.test=/our.cert,/our.key"],
    )
    assert settings.host("a.test") == HostSettings(insecure=True)
    assert settings.host("b.test:80") == settings.host("b2.TEST") == HostSettings(plain_http=True)
    assert settings.host("c.test") == HostSettings(
        skip_verify=True,
        authorities=("/one.pem", "/two,with comma.pem"),
        client_certificate=ClientCertificate("/our.cert", "/our.key"),
    )
    assert settings.host("d.test") == settings.host("a.test:5000") == HostSettings()


def test_insecure_networks_are_for_addresses() -> None:
    settings = registry_settings({}, insecure_registry=["10.0.0.0/8", "fd00::/8"])
    for name in ("10.1.2.3", "10.1.2.3:5000", "[fd00::1]", "[fd00::1]:5000"):
        assert settings.host(name).insecure, name
    for name in ("11.1.2.3", "10.test", "[fe80::1]:5000", "docker.io"):
        assert not settings.host(name).insecure, name


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("https://r.test/v2/", {"r.test", "r.test:443"}),
        ("https://r.test:5000/v2/", {"r.test:5000"}),
        ("http://r.test:443/", {"r.test:443"}),
        ("http://r.test/", {"r.test", "r.test:80"}),
        ("https://registry-1.docker.io/v2/", {"docker.io", "index.docker.io"}),
        ("https://[::1]:5000/", {"[::1]:5000"}),
    ],
)
def test_servers_are_known_by_their_registries_names(url: str, names: set[str]) -> None:
    everyone = {"r.test", "r.test:443", "r.test:80", "r.test:5000", "docker.io", "index.docker.io", "[::1]:5000"}
    for name in everyone:
        found = registry_settings({}, skip_tls_verify_registry=[name]).at(origin(url)).skip_verify
        assert found == (name in names), name


# ------------------------------------------------------------------------------------------------ variables


def test_variables_say_what_options_say() -> None:
    environ = {
        "COOPERY_INSECURE_REGISTRY": "a.test, 10.0.0.0/8",
        "COOPERY_PLAIN_HTTP": "b.test;c.test d.test",
        "COOPERY_SKIP_TLS_VERIFY_REGISTRY": "e.test",
        "COOPERY_REGISTRY_CERTIFICATE": "f.test=/f.pem;g.test=/g.pem",
        "COOPERY_REGISTRY_CLIENT_CERT": "f.test=/f.cert,/f.key",
        "COOPERY_REGISTRY_MAP": "gcr.io=m.test,n.test;quay.io=o.test",
        "COOPERY_REGISTRY_MIRROR": "p.test,q.test",
        "COOPERY_SKIP_DEFAULT_REGISTRY_FALLBACK": "true",
    }
    options = registry_settings(
        {},
        insecure_registry=["a.test", "10.0.0.0/8"],
        plain_http=["b.test", "c.test", "d.test"],
        skip_tls_verify_registry=["e.test"],
        registry_certificate=["f.test=/f.pem", "g.test=/g.pem"],
        registry_client_cert=["f.test=/f.cert,/f.key"],
        registry_map=["gcr.io=m.test", "gcr.io=n.test", "quay.io=o.test"],
        registry_mirror=["p.test", "q.test"],
        skip_default_registry_fallback=True,
    )
    assert registry_settings(environ) == options


def test_the_map_variable_takes_lone_mirrors() -> None:
    settings = registry_settings({"COOPERY_REGISTRY_MAP": "gcr.io=m.test;127.0.0.1;quay.io=o.test"})
    assert [str(one) for one in settings.places(Reference.parse("gcr.io/a"))] == ["m.test/a", "127.0.0.1/a", "gcr.io/a"]


def test_an_option_replaces_its_variable() -> None:
    environ = {"COOPERY_REGISTRY_MIRROR": "far.test", "COOPERY_PLAIN_HTTP": "kept.test"}
    settings = registry_settings(environ, registry_mirror=["near.test"])
    assert [place.registry for place in settings.places(Reference.parse("debian"))] == ["near.test", "docker.io"]
    assert settings.host("kept.test").plain_http


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("insecure_registry", "a b@c"),
        ("insecure_registry", "10.0.0.0/99"),
        ("insecure_registry", "host/path"),
        ("plain_http", "r.test:99999"),
        ("plain_http", "user:password@r.test"),
        ("skip_tls_verify_registry", "../../etc"),
        ("registry_certificate", "r.test"),
        ("registry_certificate", "r.test="),
        ("registry_certificate", "/path=x"),
        ("registry_client_cert", "r.test=/only.cert"),
        ("registry_client_cert", "r.test=,/only.key"),
        ("registry_mirror", "ftp://m.test"),
        ("registry_mirror", "m.test/UPPER"),
        ("registry_mirror", "m.test/../.."),
        ("registry_map", "gcr.io"),
        ("registry_map", "gcr.io="),
        ("registry_map", "=m.test"),
        ("registry_map", ";m.test"),
        ("registry_map", "gcr.io/path=m.test"),
    ],
)
def test_what_cannot_be_read_is_named(option: str, text: str) -> None:
    for settings in ({option: [text]}, {}):
        environ = {} if settings else {f"COOPERY_{option.upper()}": text}
        with pytest.raises(UsageError) as caught:
            registry_settings(environ, **settings)  # type: ignore[arg-type]
        name = f"COOPERY_{option.upper()}" if environ else f"--{option.replace('_', '-')}"
        assert name in caught.value.message
        assert caught.value.hint


def test_plain_http_and_certificates_do_not_go_together() -> None:
    with pytest.raises(UsageError, match=r"r\.test"):
        registry_settings({}, plain_http=["r.test"], registry_certificate=["r.test=/ca.pem"])
    with pytest.raises(UsageError, match="COOPERY_SKIP_DEFAULT_REGISTRY_FALLBACK"):
        registry_settings({"COOPERY_SKIP_DEFAULT_REGISTRY_FALLBACK": "perhaps"})


# ------------------------------------------------------------------------------------------------ plain HTTP


def test_plain_http_is_for_whom_it_was_granted() -> None:
    plain = registry_settings({}, plain_http=["r.test:5000"], insecure_registry=["s.test"]).may_be_plain
    base = "http://r.test:5000/v2/"
    for location in ("http://r.test:5000/b", "http://storage.test/b", "/b"):
        assert follow(base, location, plain).startswith("http://")
    assert follow("http://127.0.0.1:5000/", "http://s.test/b", plain) == "http://s.test/b"
    assert check_realm("http://s.test/token", base, plain)
    assert check_realm("http://r.test:5001/token", base, plain)
    for realm in ("http://t.test/token", "http://127.0.0.1/token", "http://s.test:8080/token"):
        with pytest.raises(Exception, match="plain HTTP"):
            check_realm(realm, base, plain)
    with pytest.raises(Exception, match="plain HTTP"):
        check_realm("http://s.test/token", "https://r.test/", plain)
    with pytest.raises(Exception, match="plain HTTP"):
        follow("https://r.test/", "http://s.test/b", plain)


# ------------------------------------------------------------------------------------------------ proxies


@pytest.mark.parametrize(
    ("no_proxy", "direct", "proxied"),
    [
        ("", [], ["https://r.test/", "https://10.0.0.1/"]),
        ("*", ["https://r.test/", "https://10.0.0.1:5000/"], []),
        (" , r.test ,", ["https://r.test/", "https://a.r.test/", "https://R.TEST:5000/"], ["https://ar.test/"]),
        (".r.test", ["https://a.r.test/"], ["https://r.test/"]),
        ("*.r.test", ["https://a.b.r.test/"], ["https://r.test/"]),
        ("r.test:5000", ["https://r.test:5000/", "https://a.r.test:5000/"], ["https://r.test/"]),
        ("r.test:443", ["https://r.test/"], ["https://r.test:5000/"]),
        ("10.0.0.1", ["https://10.0.0.1/"], ["https://10.0.0.10/", "https://110.0.0.1/"]),
        ("10.0.0.0/8", ["https://10.9.8.7/"], ["https://11.0.0.1/", "https://r.test/"]),
        ("fd00::1", ["https://[fd00::1]/", "https://[fd00::1]:5000/"], ["https://[fd00::2]/"]),
        ("[fd00::1]:5000", ["https://[fd00::1]:5000/"], ["https://[fd00::1]/"]),
        ("fd00::/8", ["https://[fd12::1]/"], ["https://[fe80::1]/"]),
        ("test", ["https://r.test/"], ["https://r.testing/"]),
        ("10.0.0.0/99,:::,r.test:x", [], ["https://r.test/", "https://10.0.0.1/"]),
    ],
)
def test_exceptions_from_proxies(no_proxy: str, direct: list[str], proxied: list[str]) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.test:3128", "NO_PROXY": no_proxy}
    assert [url for url in direct if proxy_for(url, environ)] == []
    assert [url for url in proxied if not proxy_for(url, environ)] == []
    for url in ("https://localhost/", "https://127.0.0.1:5000/", "https://[::1]/"):
        assert not proxy_for(url, environ)


def test_each_scheme_has_its_proxy() -> None:
    environ = {"http_proxy": "plain.test:1", "https_proxy": "https://secure.test:2"}
    assert proxy_for("http://r.test/", environ) == "http://plain.test:1"
    assert proxy_for("https://r.test/", environ) == "https://secure.test:2"


def test_registry_names() -> None:
    assert [text for text in ("r.test", "r.test:5000", "[::1]:5", "a/b", "", "a..b", "-") if is_registry(text)] == [
        *("r.test", "r.test:5000", "[::1]:5"),
    ]
    assert NOTHING.host("r.test") == HostSettings()
