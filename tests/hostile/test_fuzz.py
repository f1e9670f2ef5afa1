# SPDX-License-Identifier: Apache-2.0
"""Random requests, biased towards almost right ones: always a 2xx, a 4xx or a closed connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hostile.victim import ALLOWED_GROWTH, assert_civil
from tests.support.images import OCI_INDEX, OCI_MANIFEST, digest_of, json_bytes
from tests.support.raw import Closed, request_bytes
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.hostile.victim import Victim

fuzz = settings(
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# Characters that may stand in a request line; everything else would end it.
LINE = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f")
VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))

DIGESTS = st.one_of(
    st.binary(max_size=4).map(digest_of),
    st.binary(max_size=4).map(lambda data: digest_of(data, "sha512")),
    st.text("0123456789abcdefABCDEFg:+=", max_size=80).map("sha256:".__add__),
    st.text(LINE, max_size=20),
)
NAMES = st.one_of(
    st.from_regex(r"[a-z0-9]{1,3}(/[a-z0-9._-]{1,3}){0,3}", fullmatch=True),
    st.sampled_from(["a", "blobs", "manifests/x", "a/tags/list", "a/blobs/uploads"]),
    st.text(LINE, max_size=20),
)
TAGS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,5}", fullmatch=True), st.text(LINE, max_size=9)
)
KEYS = [
    "n",
    "last",
    "digest",
    "mount",
    "from",
    "tag",
    "artifactType",
    "digest-algorithm",
    "ns",
    "x",
]
QUERIES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.one_of(DIGESTS, NAMES, TAGS, st.integers().map(str))),
    max_size=4,
).map(lambda pairs: "&".join(f"{key}={value}" for key, value in pairs))
PATHS = st.one_of(
    st.builds("/v2/{}/manifests/{}".format, NAMES, st.one_of(TAGS, DIGESTS)),
    st.builds("/v2/{}/blobs/{}".format, NAMES, DIGESTS),
    st.builds("/v2/{}/blobs/uploads/{}".format, NAMES, st.one_of(st.just(""), TAGS)),
    st.builds("/v2/{}/tags/list".format, NAMES),
    st.builds("/v2/{}/referrers/{}".format, NAMES, DIGESTS),
    st.sampled_from(["/v2/", "/v2", "/v2/_catalog", "/", "/healthz", "/v2/_oci/ext/discover"]),
    st.text(LINE, max_size=40).map("/".__add__),
    st.lists(
        st.sampled_from(
            ["v2", "a", "blobs", "uploads", "manifests", "tags", "list", "", "..", "%2e"]
        )
    )
    .map("/".join)
    .map("/".__add__),
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
HEADER_NAMES = [
    "Range", "Content-Range", "Accept", "If-None-Match", "If-Match", "If-Range", "Content-Type",
    "Authorization", "X-Forwarded-Proto", "Forwarded", "Expect", "Connection", "Origin",
]  # fmt: skip
RANGES = st.builds(
    "{}{}-{}".format, st.sampled_from(["", "bytes=", "bytes "]), st.integers(), st.integers()
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(HEADER_NAMES),
        st.one_of(
            VALUE, RANGES, st.sampled_from(["*", '"x"', OCI_MANIFEST, OCI_INDEX, "*/*", "close"])
        ),
    ),
    max_size=4,
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), DIGESTS,
    st.sampled_from([2, OCI_MANIFEST, OCI_INDEX]),
)  # fmt: skip
MANIFEST_KEYS = st.sampled_from(
    ["schemaVersion", "mediaType", "config", "layers", "manifests", "subject", "annotations",
     "digest", "size", "urls", "artifactType", "platform", "data", "blobs"]
)  # fmt: skip
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MANIFEST_KEYS, inner, max_size=6),
    max_leaves=12,
)
BODIES = st.one_of(st.binary(max_size=200), DOCUMENTS.map(json_bytes))


@fuzz
@given(
    method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, body=BODIES, chunked=st.booleans()
)
def test_any_request(
    victim: Victim,
    method: str,
    path: str,
    query: str,
    headers: list[tuple[str, str]],
    body: bytes,
    chunked: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    """Any method, address, headers and body."""
    target = f"{path}?{query}" if query else path
    if chunked:
        framing = ("Transfer-Encoding", "chunked")
        data = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    else:
        framing, data = ("Content-Length", str(len(body))), body
    victim.send(request_bytes(method, target, framing, *headers, body=data), method=method)


@fuzz
@given(document=DOCUMENTS, media_type=st.sampled_from([OCI_MANIFEST, OCI_INDEX]))
def test_any_manifest(victim: Victim, document: object, media_type: str) -> None:
    """Any JSON pushed as a manifest is accepted and served back, or refused."""
    payload = json_bytes(document)
    path = f"/v2/fuzz/manifests/{digest_of(payload)}"
    with Wire(victim.url) as wire:
        answer = wire.put(path, ("Content-Type", media_type), body=payload)
        assert_civil(answer)
        assert answer.status in {201, 400}, answer
        if answer.status == 201:
            assert wire.get(path, ("Accept", media_type)).body == payload


@fuzz
@given(
    data=st.binary(max_size=400), prefix=st.sampled_from([b"", b"GET /v2/ HTTP/1.1\r\n", b"PUT /"])
)
def test_any_bytes(victim: Victim, data: bytes, prefix: bytes) -> None:
    """Any bytes at all."""
    victim.send(prefix + data, finish=True)


@fuzz
@given(cut=st.integers(0, 400), extra=st.binary(max_size=3), place=st.integers(0, 400))
def test_damaged_request(victim: Victim, cut: int, extra: bytes, place: int) -> None:
    """A good request with a few bytes put in somewhere, or cut off somewhere."""
    good = request_bytes(
        "PUT",
        f"/v2/fuzz/manifests/{digest_of(b'{}')}?tag=v1",
        ("Content-Type", OCI_INDEX),
        ("Content-Length", "2"),
        body=b"{}",
    )
    damaged = good[:place] + extra + good[place:]
    victim.send(damaged[: max(cut, 1)], method="PUT", finish=True)


@fuzz
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["PATCH", "PUT", "GET", "DELETE"]),
            st.binary(max_size=8),
            st.one_of(st.none(), RANGES, VALUE),
        ),
        max_size=6,
    )
)
def test_any_upload(victim: Victim, steps: list[tuple[str, bytes, str | None]]) -> None:
    """Any sequence of requests to one session; its offset never lies."""
    with Wire(victim.url) as wire:
        location = wire.post("/v2/fuzz/upload/blobs/uploads/").location
        sent = 0
        for method, body, content_range in steps:
            headers = [] if content_range is None else [("Content-Range", content_range)]
            query = f"?digest={digest_of(body)}" if method == "PUT" else ""
            payload = body if method in {"PATCH", "PUT"} else None
            answer = wire.request(method, location + query, body=payload, headers=headers)
            assert_civil(answer)
            if method == "PATCH" and answer.status == 202:
                sent += len(body)
            if answer.status in {202, 204, 416} and method != "DELETE":
                assert answer.headers["Range"] == f"0-{max(sent - 1, 0)}"
            if method == "DELETE" or (method == "PUT" and answer.status in {201, 400}):
                break


def test_memory_after_all(victim: Victim) -> None:
    """Whatever has been sent so far, the process has not grown beyond bounds."""
    with victim.connect() as connection:
        connection.send(request_bytes("GET", "/v2/"))
        try:
            assert connection.answer().status == 200
        except Closed as closed:  # pragma: no cover - a dead registry, told by the fixture
            raise AssertionError("the registry does not answer") from closed

    assert victim.memory() < 100 * 1024 * 1024 + ALLOWED_GROWTH
