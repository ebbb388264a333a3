"""Whatever options and variables say, registries are reached as they mean it or the user is told."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from coopery.errors import UsageError
from coopery.oci.reference import Reference
from coopery.registry.endpoint import is_url, origin
from coopery.registry.proxies import proxy_for
from coopery.registry.settings import HostSettings, registry_settings

HOSTS = st.sampled_from(["a.test", "b.test:5000", "c", "docker.io", "index.docker.io", "10.0.0.1", "[::1]:5", "D.test"])
PREFIXES = st.sampled_from(["", "/p", "/p/q.r", "/p/"])
TEXTS = st.one_of(st.text(), st.text(alphabet="ab.=;,:/[]*@0159 -"), HOSTS)
MAPS = st.builds(lambda left, right, prefix: f"{left}={right}{prefix}", HOSTS, HOSTS, PREFIXES)
REFERENCES = st.builds(
    lambda host, path: Reference(host, path, "1"), HOSTS, st.sampled_from(["x", "library/y", "a/b/c"])
)
OPTIONS = (
    "insecure_registry",
    "plain_http",
    "skip_tls_verify_registry",
    "registry_certificate",
    "registry_client_cert",
    "registry_mirror",
    "registry_map",
)


@given(st.dictionaries(st.sampled_from(OPTIONS), st.lists(TEXTS, max_size=3)), REFERENCES)
def test_any_text_is_read_or_refused(options: dict[str, list[str]], reference: Reference) -> None:
    with contextlib.suppress(UsageError):
        settings = registry_settings({}, **options)  # type: ignore[arg-type]
        places = settings.places(reference)
        assert places[-1] == reference
        assert all(is_url(f"https://{place.registry}/v2/{place.repository}/") for place in places)
        settings.host(reference.registry)


@given(st.dictionaries(st.sampled_from([f"COOPERY_{name.upper()}" for name in OPTIONS]), TEXTS))
def test_any_variable_is_read_or_refused(environ: dict[str, str]) -> None:
    with contextlib.suppress(UsageError):
        registry_settings(environ)


@given(st.lists(MAPS), REFERENCES, st.booleans())
def test_places_keep_what_is_pulled(maps: list[str], reference: Reference, strict: bool) -> None:
    settings = registry_settings({}, registry_map=maps, skip_default_registry_fallback=strict)
    places = settings.places(reference)
    assert len(places) == len(set(places)) > 0
    assert all(place.repository.endswith(reference.repository) and place.tag == reference.tag for place in places)
    assert strict or reference in places
    assert registry_settings({"COOPERY_REGISTRY_MAP": ";".join(maps)}).mirrors == settings.mirrors


@given(HOSTS, st.sampled_from(["insecure_registry", "plain_http", "skip_tls_verify_registry"]), HOSTS)
def test_what_is_granted_to_one_is_not_for_others(host: str, option: str, other: str) -> None:
    settings = registry_settings({}, **{option: [host]})  # type: ignore[arg-type]
    hub = {"docker.io", "index.docker.io"}
    same = host.lower() == other.lower() or {host, other} <= hub
    assert (settings.host(other) == HostSettings()) is not same


@given(
    st.text(alphabet="ab.*,:/[]0159 -x"), st.sampled_from(["https://a.b/", "http://10.0.0.1:5/", "https://[fd::1]/"])
)
def test_any_no_proxy_is_understood_somehow(no_proxy: str, url: str) -> None:
    environ = {"HTTP_PROXY": "http://p", "HTTPS_PROXY": "http://p", "NO_PROXY": no_proxy}
    assert proxy_for(url, environ) in ("", "http://p")
    assert origin(url).host in proxy_for(url, environ) + url
