# SPDX-License-Identifier: Apache-2.0
"""The examples for nginx and haproxy, run as they stand but for addresses and certificates.

Three replicas on one machine stand for three machines: they share a database and a folder instead
of a PostgreSQL and an object store, which makes no difference to whoever is in front of them.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from moorage.settings import load
from tests.clients.samples import image_layout
from tests.clients.sandbox import Sandbox, tool
from tests.deploy.places import DEPLOY
from tests.deploy.proxies import (
    check_haproxy,
    check_nginx,
    haproxy_command,
    nginx_command,
    serving,
)
from tests.server.certificates import make_authority
from tests.support.cluster import Cluster
from tests.support.grounds import files
from tests.support.images import (
    digest_of,
    manifest_path,
    open_upload,
    push_image,
    random_image,
    with_digest,
)
from tests.support.registry import free_port
from tests.support.wire import Wire, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20
LARGE = 24 * MEGABYTE
HUGE = 3 << 30
# Example: two checks of two seconds, and a delay of six. Here everything is ten times as fast.
DRAIN_DELAY = "600ms"
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Front:
    """A proxy that answers, and the replicas behind it."""

    port: int
    cluster: Cluster
    authority: Path

    @property
    def url(self) -> str:
        """What clients use."""
        return f"https://127.0.0.1:{self.port}"

    def wire(self) -> Wire:
        """A client of its own connection, which trusts the proxy's certificate."""
        return Wire(self.url, tls=tls_context(self.authority))


def nginx_example(folder: Path, port: int, ports: list[int]) -> str:
    """The nginx example on these ports."""
    certificate, key = make_authority(folder).issue("registry.example.com")
    text = (DEPLOY / "nginx" / "moorage.conf").read_text()
    servers = "\n".join(f"server 127.0.0.1:{each} fail_timeout=1s;" for each in ports)
    for old, new in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server 127.0.0.1:5000 fail_timeout=1s;", servers),
        ("/etc/nginx/registry.crt", str(certificate)),
        ("/etc/nginx/registry.key", str(key)),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def haproxy_example(folder: Path, port: int, ports: list[int]) -> str:
    """The haproxy example on these ports, ten times as fast."""
    certificate, key = make_authority(folder).issue("registry.example.com")
    pem = folder / "registry.pem"
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    for old, new in (
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("/etc/haproxy/registry.pem", str(pem)),
        ("inter 2s", "inter 200ms"),
        *(
            (f"192.0.2.{11 + number}:5000", f"127.0.0.1:{each}")
            for number, each in enumerate(ports)
        ),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


COMMANDS = {
    "nginx": (nginx_example, nginx_command, check_nginx),
    "haproxy": (haproxy_example, haproxy_command, check_haproxy),
}


@pytest.fixture(params=COMMANDS, scope="module")
def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Three replicas behind the example."""
    example, command, check = COMMANDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    http = {"trustedproxies": ["127.0.0.1"], "draindelay": DRAIN_DELAY}
    cluster = Cluster(folder / "cluster", files(folder / "data"), {"http": http})
    port = free_port()
    text = example(folder, port, [replica.port for replica in cluster.replicas])
    check(text, folder)
    with cluster, serving(command(text, folder), port, folder):
        yield Front(port, cluster, folder / "authority" / "ca.crt")


def test_push_and_pull_with_skopeo(front: Front, tmp_path: Path) -> None:
    """A client takes an image of many megabytes there and back, over HTTPS."""
    tool("skopeo")
    sandbox = Sandbox(tmp_path / "home")
    sandbox.folder.mkdir()
    image = random_image(layers=2, layer_size=LARGE)
    source = image_layout(tmp_path / "image", "1", image)
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "ca.crt").write_bytes(front.authority.read_bytes())
    remote = f"docker://127.0.0.1:{front.port}/demo/large:1"

    sandbox.run("skopeo", "copy", "--dest-cert-dir", str(trust), f"oci:{source}:1", remote)
    sandbox.run("skopeo", "copy", "--src-cert-dir", str(trust), remote, f"oci:{tmp_path}/back:1")

    for blob in (*image.blobs, image.manifest):
        path = tmp_path / "back" / "blobs" / blob.digest.replace(":", "/")
        assert digest_of(path.read_bytes()) == blob.digest


def test_locations(front: Front) -> None:
    """Addresses in replies lead back to the proxy: they hold no address of a replica."""
    with front.wire() as wire:
        begun = wire.post("/v2/demo/app/blobs/uploads/")
        cancelled = wire.delete(begun.headers["Location"])

    assert begun.status == 202
    assert begun.headers["Location"].startswith("/v2/demo/app/blobs/uploads/")
    assert cancelled.status == 204


def test_upload_over_all_replicas(front: Front) -> None:
    """Each request of an upload is a connection of its own, and may meet another replica."""
    parts = [random_image().layers[0].payload for _ in range(6)]
    digest = digest_of(b"".join(parts))
    with front.wire() as wire:
        location = open_upload(wire, "demo/parts")
    for part in parts:
        with front.wire() as wire:
            answer = wire.patch(location, body=part)
        assert answer.status == 202, answer
        location = answer.headers["Location"]
    with front.wire() as wire:
        assert wire.put(with_digest(location, digest)).status == 201
        assert wire.get(f"/v2/demo/parts/blobs/{digest}").body == b"".join(parts)


def test_no_limit_on_bodies(front: Front) -> None:
    """A layer of three gigabytes is not refused, and what of it has arrived is at the registry."""
    with front.wire() as wire:
        location = open_upload(wire, "demo/huge")
    head = (
        f"PATCH {location} HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {HUGE}\r\n\r\n"
    )
    with connected(tls_context(front.authority), front.port) as sock:
        sock.sendall(head.encode() + bytes(4 * MEGABYTE))
        deadline = time.monotonic() + SECONDS
        while blobs_of(front) < 2 * MEGABYTE:
            assert time.monotonic() < deadline, "nothing has arrived"
            time.sleep(0.05)
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def connected(context: ssl.SSLContext, port: int) -> ssl.SSLSocket:
    """A TLS connection to a port of this machine."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def blobs_of(front: Front) -> int:
    """How large the largest unfinished upload on the disk is."""
    root = front.cluster.folder.parent / "data" / "uploads"
    return max((path.stat().st_size for path in root.rglob("*") if path.is_file()), default=0)


@dataclass
class Visitor:
    """Pushes and pulls again and again, each request over a connection of its own."""

    front: Front
    failures: list[str] = field(default_factory=list)
    rounds: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """One image after the other, until it is over."""
        while not self.over.is_set():
            image = random_image(layers=1, layer_size=MEGABYTE)
            try:
                with self.front.wire() as wire:
                    answer = push_image(wire, "demo/rolling", image, "latest")
                with self.front.wire() as wire:
                    pulled = wire.get(manifest_path("demo/rolling", image.manifest.digest))
                if (answer.status, pulled.status) != (201, 200):
                    self.failures.append(f"{answer}\n{pulled}")
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
            self.rounds += 1


def test_rolling_restart(front: Front) -> None:
    """All replicas are stopped and started again, one after the other, and no client notices."""
    visitors = [Visitor(front) for _ in range(3)]
    threads = [threading.Thread(target=visitor.work) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        for replica in front.cluster.replicas:
            assert replica.stop() == 0
            replica.start()
            before = [visitor.rounds for visitor in visitors]
            time.sleep(1.0)
            wait_for_rounds(visitors, before)
    finally:
        for visitor in visitors:
            visitor.over.set()
        for thread in threads:
            thread.join(SECONDS)

    assert [visitor.failures for visitor in visitors] == [[], [], []]


def wait_for_rounds(visitors: list[Visitor], before: list[int]) -> None:
    """Until each visitor has finished two more rounds than before."""
    deadline = time.monotonic() + SECONDS
    while any(each.rounds < then + 2 for each, then in zip(visitors, before, strict=True)):
        assert time.monotonic() < deadline, "the visitors stand still"
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["nginx/moorage.yml", "haproxy/replica.yml", "systemd/config.yml"])
def test_settings(name: str) -> None:
    """The registry accepts its side of each example without a warning."""
    loaded = load(DEPLOY / name, {})

    assert loaded.warnings == ()


def test_delay_outlasts_the_health_checks() -> None:
    """A replica of the haproxy example serves on until two health checks have failed."""
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    found = re.search(r"check inter ([0-9]+)s fall ([0-9]+)", text)
    settings = load(DEPLOY / "haproxy" / "replica.yml", {}).settings

    assert found is not None
    assert settings.http.draindelay > int(found[1]) * int(found[2])
