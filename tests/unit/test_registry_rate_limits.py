"""Docker Hub's rate-limit headers, and links between pages."""

from __future__ import annotations

import pytest

from coopery.registry.paging import next_link
from coopery.registry.rate_limits import RateLimit


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (
            {
                "ratelimit-limit": "100;w=21600",
                "ratelimit-remaining": "76;w=21600",
                "docker-ratelimit-source": "2001:db8::1",
            },
            "76 of 100 pulls per 6 h left, counted for 2001:db8::1",
        ),
        ({"ratelimit-limit": " 5 ; w = 90 ", "ratelimit-remaining": "0"}, "0 of 5 pulls per 90 s left"),
        ({"ratelimit-limit": "200", "ratelimit-remaining": "7"}, "7 of 200 pulls left"),
        (
            {"ratelimit-limit": "9", "ratelimit-remaining": "8", "docker-ratelimit-source": "\x1b[31m::error::"},
            "8 of 9 pulls left",
        ),
    ],
)
def test_limits_are_read(headers: dict[str, str], text: str) -> None:
    assert str(RateLimit.of(headers)) == text


@pytest.mark.parametrize("limit", ["", "many", "-1", "1" * 40, "\u0665"])
def test_what_is_no_limit_is_passed_over(limit: str) -> None:
    assert RateLimit.of({"ratelimit-limit": limit, "ratelimit-remaining": limit}) is None


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("", ""),
        ('</v2/a/tags/list?n=1&last=b>; rel="next"', "/v2/a/tags/list?n=1&last=b"),
        ("<https://r.example/x>;rel=next", "https://r.example/x"),
        ('</first>; rel="first", </second>; title="x"; rel="prev next"', "/second"),
        ('</first>; rel="nextish"', ""),
        ("<" * 1000, ""),
    ],
)
def test_the_next_page_is_found(header: str, target: str) -> None:
    assert next_link(header) == target
