# SPDX-License-Identifier: Apache-2.0
"""What the image starts and how it finds out whether it is well, without an image."""

from __future__ import annotations

import importlib.util
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from moorage.settings import Settings, load
from tests.deploy.places import DEPLOY
from tests.server.certificates import make_authority
from tests.support.registry import RunningRegistry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def start() -> Any:
    """The module that the image starts."""
    specification = importlib.util.spec_from_file_location("start", DEPLOY / "image" / "start.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def default(start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first configuration that is there, of those that the module looks for."""
    files = [tmp_path / name for name in ("one.yml", "two.yml", "three.yml")]
    for file in files[1:]:
        file.touch()
    monkeypatch.setattr(start, "CONFIGURATIONS", tuple(files))
    return str(files[1])


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", "serve DEFAULT"),
        ("/etc/docker/registry/config.yml", "serve /etc/docker/registry/config.yml"),
        ("serve", "serve DEFAULT"),
        ("serve /x.yaml", "serve /x.yaml"),
        ("serve --workers 2", "serve --workers 2 DEFAULT"),
        ("serve /x.yml --workers 2", "serve /x.yml --workers 2"),
        ("config", "config"),
        ("--version", "--version"),
        ("htpasswd /users anna", "htpasswd /users anna"),
    ],
)
def test_arguments(start: Any, default: str, given: str, meant: str) -> None:
    """A file, or nothing, means to serve; serving without a file means the image's own."""
    assert start.complete(given.split()) == meant.replace("DEFAULT", default).split()


def test_configuration_of_the_environment(
    start: Any, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the environment names is not hidden by one of the image's."""
    assert start.default_configuration() == [default]
    monkeypatch.setenv("REGISTRY_CONFIGURATION_PATH", "/else.yml")
    assert start.complete(["serve"]) == ["serve"]


def settings_of(registry: RunningRegistry) -> Settings:
    """The settings that the registry was started with."""
    return load(registry.folder / "config.yml", os.environ).settings


@pytest.mark.parametrize("how", ["plain", "prefix", "everywhere", "tls", "client certificates"])
def test_health(start: Any, how: str, tmp_path: Path) -> None:
    """The health check asks where and as the settings say, and notices when nobody answers."""
    http: dict[str, Any] = {}
    if how == "prefix":
        http = {"prefix": "/images"}
    elif "tls" in how or "cert" in how:
        authority = make_authority(tmp_path)
        certificate, key = authority.issue("registry.example.com")
        http = {"tls": {"certificate": str(certificate), "key": str(key)}}
        if "cert" in how:
            http["tls"]["clientcas"] = [str(authority.certificate)]
    registry = RunningRegistry(tmp_path / "registry", {"http": http})
    if how == "everywhere":
        registry.config = {"http": {"addr": f":{registry.port}"}}
    with registry:
        settings = settings_of(registry)
        assert start.is_healthy(settings)

    assert not start.is_healthy(settings)


def test_health_over_a_unix_socket(start: Any, tmp_path: Path) -> None:
    """A registry that listens on a unix socket only is asked there."""
    path = tmp_path / "socket"
    file = tmp_path / "config.yml"
    file.write_text(f"http: {{net: unix, addr: {path}}}\n")
    settings = load(file, {}).settings
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with ThreadPoolExecutor(1) as pool:
            healthy = pool.submit(start.is_healthy, settings)
            connection, _ = listener.accept()
            with connection:
                asked = connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert healthy.result()

    assert asked.startswith(b"GET /healthz ")
