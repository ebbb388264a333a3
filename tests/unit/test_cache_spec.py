"""`--cache-from` and `--cache-to`: what buildx's grammar means, and clear words for the rest."""

from __future__ import annotations

import os

import pytest

from coopery.engines.cache_spec import parse_cache, parse_ttl, shown
from coopery.errors import UsageError
from coopery.request import CacheSpec, ObjectPlace

HERE = os.getcwd()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team/app", CacheSpec(type="registry", ref="team/app")),
        ("r.example:5000/app:main", CacheSpec(type="registry", ref="r.example:5000/app:main")),
        ("type=registry,ref=r.example/app", CacheSpec(type="registry", ref="r.example/app")),
        ("type=registry,ref=r.example/app,ttl=14d", CacheSpec(type="registry", ref="r.example/app", ttl=1_209_600)),
        ('type=local,"src=a,b"', CacheSpec(type="local", path=f"{HERE}/a,b")),
        ("type=gha", CacheSpec(type="gha")),
        (
            "type=gha,scope=x,url=http://one/,url_v2=http://two/,token=t,version=2",
            CacheSpec(type="gha", scope="x", url="http://two/", token="t"),
        ),
    ],
)
def test_caches_to_read(text: str, expected: CacheSpec) -> None:
    assert parse_cache(text, "--cache-from") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=inline", CacheSpec(type="inline")),
        ("type=local,dest=/x,mode=max", CacheSpec(type="local", path="/x", mode="max")),
        (
            "type=registry,ref=a/b,compression=zstd,compression-level=7,force-compression=true",
            CacheSpec(type="registry", ref="a/b", compression="zstd", compression_level=7),
        ),
        (
            "TYPE=registry,ref=a/b,oci-mediatypes=true,image-manifest=true,ignore-error=true",
            CacheSpec(type="registry", ref="a/b", ignore_error=True),
        ),
    ],
)
def test_caches_to_write(text: str, expected: CacheSpec) -> None:
    assert parse_cache(text, "--cache-to") == expected


@pytest.mark.parametrize(
    ("option", "text", "words"),
    [
        ("--cache-from", "", "add ref="),
        ("--cache-from", "ref=x", "no type"),
        ("--cache-to", "type=ftp,host=x", "registry, local, inline, gha, s3, azblob and gcs"),
        ("--cache-to", "type=s3,container=x", "unknown key 'container'"),
        ("--cache-from", "type=s3,upload_parallelism=4", "it is for --cache-to"),
        ("--cache-from", "type=s3,bucket=x,access_key_id=y", "half a credential"),
        ("--cache-from", "type=s3,bucket=x,retry_mode=adaptive", "leave retry_mode out"),
        ("--cache-from", "type=s3,bucket=x,endpoint_url=s3.example", "https://HOST"),
        ("--cache-from", "type=s3,bucket=x,prefix=a//b", "can't be part of an object's name"),
        ("--cache-from", "type=gcs,bucket=x,name=a/../b", "can't be part of an object's name"),
        ("--cache-to", "type=s3,bucket=x,touch_refresh=soon", "24h"),
        ("--cache-to", "type=s3,bucket=x,upload_parallelism=0", "1 to 64"),
        ("--cache-from", "type=inline", "type=registry,ref=IMAGE"),
        ("--cache-to", "type=inline,mode=max", "takes nothing else"),
        ("--cache-from", "type=registry", "add ref="),
        ("--cache-to", "type=local", "add dest="),
        ("--cache-to", "type=local,src=x", "has no meaning for --cache-to"),
        ("--cache-from", "type=registry,ref=a/b,mode=max", "it is for --cache-to"),
        ("--cache-from", "type=registry,ref=UPPER", "not an image reference"),
        ("--cache-from", f"type=registry,ref=a@sha256:{'0' * 64}", "a digest can't name a cache"),
        ("--cache-to", "type=registry,ref=a/b,mode=most", "min and max"),
        ("--cache-to", "type=registry,ref=a/b,image-manifest=false", "leave image-manifest out"),
        ("--cache-to", "type=registry,ref=a/b,compression=estargz", "gzip, zstd and uncompressed"),
        ("--cache-to", "type=registry,ref=a/b,compression-level=3", "without a compression"),
        ("--cache-to", "type=registry,ref=a/b,compression=gzip,compression-level=99", "has no level 99"),
        ("--cache-to", "type=registry,ref=a/b,ttl=soon", "336h"),
        ("--cache-to", "type=registry,ref=a/b,ignore-error=perhaps", "true"),
        ("--cache-from", "type=gha,version=1", "version 2"),
        ("--cache-from", "type=gha,ghtoken=x", "unknown key"),
    ],
)
def test_what_cant_be_honoured(option: str, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_cache(text, option)  # type: ignore[arg-type]
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_times_to_live() -> None:
    assert parse_ttl("336h", "ttl") == parse_ttl("2w", "ttl") == parse_ttl("13d24h", "ttl") == 336 * 3600


def test_caches_in_object_stores() -> None:
    text = "type=s3,bucket=b,region=r,endpoint_url=https://s3.example/,use_path_style=true,prefix=/team/,name=main;v1"
    expected = ObjectPlace(
        bucket="b", region="r", endpoint="https://s3.example", path_style=True, prefix="team", names=("main", "v1")
    )
    assert parse_cache(text, "--cache-from") == CacheSpec(type="s3", objects=expected)
    text = "type=azblob,account_url=https://a.example,account_name=a,container=c,secret_access_key=k,blobs_prefix=x/y"
    expected = ObjectPlace(endpoint="https://a.example", account="a", bucket="c", secret="k", blobs_prefix="x/y")
    assert parse_cache(text, "--cache-from") == CacheSpec(type="azblob", objects=expected)
    text = "type=gcs,bucket=b,mode=max,touch_refresh=1h30m,upload_parallelism=2,retry_max_attempts=1,ttl=7d"
    expected = ObjectPlace(bucket="b", touch=5400, parallel=2, attempts=1)
    assert parse_cache(text, "--cache-to") == CacheSpec(type="gcs", objects=expected, mode="max", ttl=604_800)


def test_secrets_are_not_shown() -> None:
    secrets = 'type=s3,access_key_id=i,secret_access_key=hush,"session_token=hush, hush",frob=1'
    for text in (secrets, "type=gha,TOKEN=hush,frob=1", "type=s3,secret_access_key=a,hush", 'type=s3,token=hu"hush'):
        with pytest.raises(UsageError) as caught:
            parse_cache(text, "--cache-from")
        assert "hush" not in f"{caught.value.message} {caught.value.hint}"
        assert "hush" not in shown(text)
    whole = "type=s3,bucket=b,access_key_id=i,secret_access_key=hush,session_token=hush"
    assert "hush" not in repr(parse_cache(whole, "--cache-from"))


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(parse_cache("type=gha,token=hush", "--cache-from"))
