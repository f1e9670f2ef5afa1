# SPDX-License-Identifier: Apache-2.0
"""The compose files: what they tell the registry is what it understands, and names fit together.

No Docker daemon is asked. `${NAME:-default}` and `${NAME:?message}` are filled in here as Compose
does it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from moorage.settings import Settings, load
from tests.deploy.places import DEPLOY
from tests.deploy.proxies import check_nginx

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = DEPLOY / "compose"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")
SECONDS = re.compile(r"([0-9]+)s")
Service = dict[str, Any]


def example() -> dict[str, str]:
    """The variables of example.env."""
    lines = (FOLDER / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose(name: str) -> dict[str, Any]:
    """A compose file with its variables filled in."""
    given = example()

    def fill(found: re.Match[str]) -> str:
        if found[1] in given:
            return given[found[1]]
        assert found[2] == "-", f"{found[1]} is in no example and has no default"
        return found[3]

    document = yaml.safe_load(VARIABLE.sub(fill, (FOLDER / name).read_text()))
    assert isinstance(document, dict)
    return document


def registries(document: dict[str, Any]) -> dict[str, Service]:
    """The services that are registries."""
    services: dict[str, Service] = document["services"]
    return {name: each for name, each in services.items() if "moorage" in each["image"]}


def settings_of(document: dict[str, Any], service: Service, folder: Path) -> Settings:
    """The settings of a registry: its file, or the image's, and its variables; no warnings."""
    file = DEPLOY / "image" / "config.yml"
    for config in service.get("configs", []):
        file = folder / "config.yml"
        file.write_text(document["configs"][config["source"]]["content"])
        assert config["target"] == "/etc/moorage/config.yml"
    loaded = load(file, service["environment"])
    assert loaded.warnings == ()
    return loaded.settings


def test_one_machine(tmp_path: Path) -> None:
    """One registry on a named volume, published on loopback only."""
    document = compose("compose.yml")
    (service,) = registries(document).values()
    settings = settings_of(document, service, tmp_path)
    (volume,) = service["volumes"]
    name, _, mounted = volume.partition(":")

    assert name in document["volumes"]
    assert str(settings.storage.filesystem.rootdirectory) == mounted
    assert service["ports"] == [f"127.0.0.1:5000{settings.http.addr}"]


def test_variables_that_are_commented_out() -> None:
    """What may be switched on is understood as well."""
    text = (FOLDER / "compose.yml").read_text()
    shown = dict(re.findall(r"# (REGISTRY_[A-Z_]+): (\S+)", text))
    loaded = load(DEPLOY / "image" / "config.yml", shown)

    assert shown
    assert loaded.warnings == ()
    assert loaded.settings.auth.htpasswd is not None
    assert loaded.settings.http.tls is not None


def test_replicas(tmp_path: Path) -> None:
    """Three replicas with the same settings, on the database, store and bucket of the file."""
    document = compose("cluster.yml")
    found = [settings_of(document, each, tmp_path) for each in registries(document).values()]
    services = document["services"]
    settings = found[0]

    assert found == [settings] * 3
    assert settings.storage.s3 is not None
    assert settings.database.postgres is not None
    host, _, port = str(settings.storage.s3.regionendpoint).removeprefix("http://").partition(":")
    assert f":{port}" in services[host]["command"]
    assert services[host]["environment"]["ROOT_ACCESS_KEY"] == settings.storage.s3.accesskey
    assert services[host]["environment"]["ROOT_SECRET_KEY"] == settings.storage.s3.secretkey
    folder = services["bucket"]["command"][-1]
    assert folder == f"{services[host]['command'][-1]}/{settings.storage.s3.bucket}"
    user, host = settings.database.postgres.url.removeprefix("postgresql://").split("@")
    name, _, base = host.partition(":5432/")
    database = services[name]["environment"]
    assert (database["POSTGRES_USER"], database["POSTGRES_DB"]) == (user, base)
    password = registries(document)["replica1"]["environment"]["PGPASSWORD"]
    assert database["POSTGRES_PASSWORD"] == password
    (network,) = document["networks"]["default"]["ipam"]["config"]
    assert [str(each) for each in settings.http.trustedproxies] == [network["subnet"]]


@pytest.mark.parametrize("name", ["compose.yml", "cluster.yml"])
def test_time_to_end(name: str, tmp_path: Path) -> None:
    """Docker waits longer than a registry needs to end in order."""
    document = compose(name)
    for service in registries(document).values():
        http = settings_of(document, service, tmp_path).http
        found = SECONDS.fullmatch(service["stop_grace_period"])

        assert found is not None
        assert int(found[1]) > http.draindelay + http.draintimeout


@pytest.mark.parametrize("name", ["compose.yml", "cluster.yml"])
def test_rights(name: str) -> None:
    """A registry has no capability and a file system that it cannot write."""
    for service in registries(compose(name)).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "/tmp" in service["tmpfs"]


@pytest.mark.parametrize("name", ["compose.yml", "cluster.yml"])
def test_names_exist(name: str) -> None:
    """Volumes, configurations and services that are referred to are there, and so are files."""
    document = compose(name)
    services = document["services"]
    for service in services.values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in document["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in document["configs"]
        assert set(service.get("depends_on", [])) <= set(services)
    for config in document.get("configs", {}).values():
        assert "content" in config or (FOLDER / config["file"]).is_file()


def test_balancer(tmp_path: Path) -> None:
    """The balancer's nginx accepts its configuration, which names every replica."""
    text = (FOLDER / "balancer.conf").read_text()
    document = compose("cluster.yml")
    (port,) = document["services"]["balancer"]["ports"]

    assert set(re.findall(r"server (\w+):5000 ", text)) == set(registries(document))
    assert f"listen {port.rpartition(':')[2]};" in text
    # Names of the compose network cannot be resolved here.
    check_nginx(re.sub(r"server replica([0-9]):", r"server 127.0.0.\1:", text), tmp_path)
