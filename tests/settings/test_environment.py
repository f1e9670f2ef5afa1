# SPDX-License-Identifier: Apache-2.0
"""Variables: distribution's rules, every key, and what happens to those that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from moorage.settings import SettingsError, load
from moorage.settings.leaves import Leaf, environment_name
from moorage.settings.tree import shape

if TYPE_CHECKING:
    from pathlib import Path

LEAVES = tuple(shape().leaves())
# What must be there for the rest of an optional section to mean anything.
COMPANIONS = {
    "auth.htpasswd": {"REGISTRY_AUTH_HTPASSWD_PATH": "/h"},
    "auth.anonymous": {"REGISTRY_AUTH_HTPASSWD_PATH": "/h"},
    "http.tls": {"REGISTRY_HTTP_TLS_CERTIFICATE": "/c", "REGISTRY_HTTP_TLS_KEY": "/k"},
    "http.net": {"REGISTRY_HTTP_ADDR": "/run/moorage.sock"},
    "storage.s3": {
        "REGISTRY_STORAGE_S3_BUCKET": "b",
        "REGISTRY_STORAGE_S3_ACCESSKEY": "a",
        "REGISTRY_STORAGE_S3_SECRETKEY": "s",
    },
    "database.postgres": {"REGISTRY_DATABASE_POSTGRES_URL": "postgresql://"},
    "database.previous": {"REGISTRY_DATABASE_POSTGRES_URL": "postgresql://"},
    "storage.localcache": {
        "REGISTRY_STORAGE_S3_BUCKET": "b",
        "REGISTRY_STORAGE_LOCALCACHE_ROOTDIRECTORY": "/c",
    },
    "storage.previous": {"REGISTRY_DATABASE_POSTGRES_URL": "postgresql://"},
    "storage.previous.s3": {"REGISTRY_STORAGE_PREVIOUS_S3_BUCKET": "b"},
    "storage.previous.gcs": {"REGISTRY_STORAGE_PREVIOUS_GCS_BUCKET": "b"},
    "storage.previous.azure": {
        "REGISTRY_STORAGE_PREVIOUS_AZURE_ACCOUNTNAME": "a",
        "REGISTRY_STORAGE_PREVIOUS_AZURE_CONTAINER": "c",
    },
    "storage.gcs": {"REGISTRY_STORAGE_GCS_BUCKET": "b"},
    "storage.azure": {
        "REGISTRY_STORAGE_AZURE_ACCOUNTNAME": "a",
        "REGISTRY_STORAGE_AZURE_CONTAINER": "c",
    },
}


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.dotted)
def test_every_key_can_be_set_by_its_variable(leaf: Leaf) -> None:
    """The variable that the reference names for a key sets that key."""
    environ: dict[str, str] = {}
    for prefix, variables in COMPANIONS.items():
        if leaf.dotted.startswith(prefix):
            environ |= variables
    name = environment_name(leaf.path)
    environ[name] = leaf.kind.example

    loaded = load(None, environ)

    assert loaded.sources[leaf.dotted] == name
    assert loaded.warnings == ()
    value: object = loaded.settings
    for key in leaf.path:
        value = getattr(value, key)
    assert leaf.kind.show(value) not in (None, [], {})


def test_no_key_contains_the_separator() -> None:
    """Keys have no underscore and are in lower case, or variables could not name them."""
    assert all(part.isascii() and "_" not in part for leaf in LEAVES for part in leaf.path)
    assert all(part == part.lower() for leaf in LEAVES for part in leaf.path)


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    """The environment overrides the file, and the origin says so."""
    path = tmp_path / "config.yml"
    path.write_text("http: {addr: ':1', net: tcp}\n")

    loaded = load(path, {"REGISTRY_HTTP_ADDR": ":2"})

    assert loaded.settings.http.addr == ":2"
    assert loaded.sources["http.addr"] == "REGISTRY_HTTP_ADDR"
    assert loaded.sources["http.net"].endswith("config.yml:1")


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """REGISTRY_CONFIGURATION_PATH names the file unless the command line does."""
    (tmp_path / "a.yml").write_text("log: {level: warn}")
    (tmp_path / "b.yml").write_text("log: {level: error}")
    environ = {"REGISTRY_CONFIGURATION_PATH": str(tmp_path / "a.yml")}

    assert load(None, environ).settings.log.level == "warn"
    assert load(tmp_path / "b.yml", environ).settings.log.level == "error"
    assert load(None, {"REGISTRY_CONFIGURATION_PATH": ""}).settings.log.level == "info"


def test_the_usual_variables_of_a_container_work() -> None:
    """The three variables that every guide gives for htpasswd work as in distribution."""
    environ = {
        "REGISTRY_AUTH": "htpasswd",
        "REGISTRY_AUTH_HTPASSWD_REALM": "Registry Realm",
        "REGISTRY_AUTH_HTPASSWD_PATH": "/auth/htpasswd",
        "REGISTRY_HTTP_TLS_CERTIFICATE": "/certs/domain.crt",
        "REGISTRY_HTTP_TLS_KEY": "/certs/domain.key",
        "REGISTRY_STORAGE_DELETE_ENABLED": "false",
    }
    settings = load(None, environ).settings

    assert settings.auth.htpasswd is not None
    assert settings.auth.htpasswd.realm == "Registry Realm"
    assert settings.http.tls is not None
    assert not settings.storage.delete.enabled


def test_a_whole_section_is_replaced(tmp_path: Path) -> None:
    """REGISTRY_STORAGE drops what the file said of storage; longer names are laid over it."""
    path = tmp_path / "config.yml"
    path.write_text("storage: {filesystem: {rootdirectory: /old}, delete: {enabled: false}}")

    assert load(path, {"REGISTRY_STORAGE": "inmemory"}).settings.storage.driver == "inmemory"
    environ = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/x", "REGISTRY_STORAGE": "filesystem"}
    storage = load(path, environ).settings.storage
    assert str(storage.filesystem.rootdirectory) == "/x"
    assert storage.delete.enabled
    section = load(None, {"REGISTRY_LOG": "{level: warn, fields: {a: b}}"}).settings.log
    assert (section.level, section.fields) == ("warn", {"a": "b"})


def test_lists_take_an_index(tmp_path: Path) -> None:
    """An index replaces an entry, the first free one appends, in the order of numbers."""
    path = tmp_path / "config.yml"
    path.write_text("http: {trustedproxies: [10.0.0.0/8, 10.0.0.1]}")
    added = {f"REGISTRY_HTTP_TRUSTEDPROXIES_{n}": f"10.0.0.{n}" for n in range(1, 12)}

    loaded = load(path, added)

    expected = ("10.0.0.0/8", *(f"10.0.0.{n}/32" for n in range(1, 12)))
    assert loaded.settings.http.trustedproxies == expected
    assert loaded.sources["http.trustedproxies"].count("REGISTRY_") == 11


@pytest.mark.parametrize("word", ["5", "first", "-1"])
def test_an_index_beyond_the_end_is_refused(word: str) -> None:
    """A list has no gaps, as in distribution; another word is no index."""
    with pytest.raises(SettingsError, match="write a number from 0 to 0"):
        load(None, {f"REGISTRY_HTTP_TRUSTEDPROXIES_{word}": "::1"})


def test_maps_take_new_and_known_names(tmp_path: Path) -> None:
    """A name matches the file's spelling whatever its case; a new one is in lower case."""
    path = tmp_path / "config.yml"
    path.write_text("http: {headers: {X-Old: [a]}}\nlog: {fields: {MyName: x}}")
    environ = {
        "REGISTRY_HTTP_HEADERS_X-OLD": "[b, c]",
        "REGISTRY_HTTP_HEADERS_X-New": "[d]",
        "REGISTRY_HTTP_HEADERS_X-NEW_1": "e",
        "REGISTRY_LOG_FIELDS_MYNAME": "y",
        "REGISTRY_LOG_FIELDS_POD_NAME": "z",
    }
    settings = load(path, environ).settings

    assert settings.http.headers == {"X-Old": ("b", "c"), "x-new": ("d", "e")}
    assert settings.log.fields == {"MyName": "y", "pod_name": "z"}


def test_an_empty_variable_takes_the_default_back(tmp_path: Path) -> None:
    """A variable without value unsets what the file said."""
    path = tmp_path / "config.yml"
    path.write_text("http: {addr: ':1', tls: {certificate: /c, key: /k}}")
    environ = dict.fromkeys(
        ("REGISTRY_HTTP_ADDR", "REGISTRY_HTTP_TLS_CERTIFICATE", "REGISTRY_HTTP_TLS_KEY"), ""
    )
    settings = load(path, environ).settings

    assert settings.http.addr == "127.0.0.1:5000"
    assert settings.http.tls is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REGISTRY_HTTP_ADR", "REGISTRY_HTTP_ADDR"),
        ("REGISTRY_LOG_LEVEL_X", "REGISTRY_LOG_LEVEL"),
        ("REGISTRY_STORAGE_FILESYSTEM_ROOT_DIRECTORY", "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY"),
        ("REGISTRY_HTTP_TRUSTEDPROXIES_0_X", "REGISTRY_HTTP_TRUSTEDPROXIES"),
        ("REGISTRY_PORT", None),
        ("REGISTRY_", None),
        ("REGISTRY__", None),
    ],
)
def test_a_variable_that_fits_nowhere_is_named(name: str, meant: str | None) -> None:
    """It changes nothing and gives a warning, with the nearest name when there is one."""
    loaded = load(None, {name: "5000"})

    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith(f"{name} is not a setting and is ignored")
    if meant is not None:
        assert f"did you mean {meant}?" in loaded.warnings[0]
    assert set(loaded.sources.values()) == {"default"}


def test_service_links_of_kubernetes_are_left_alone() -> None:
    """The variables that describe a service called `registry` are no settings and no warnings."""
    environ = {
        "REGISTRY_SERVICE_HOST": "10.96.0.7",
        "REGISTRY_SERVICE_PORT": "5000",
        "REGISTRY_SERVICE_PORT_HTTP": "5000",
        "REGISTRY_PORT": "tcp://10.96.0.7:5000",
        "REGISTRY_PORT_5000_TCP": "tcp://10.96.0.7:5000",
        "REGISTRY_PORT_5000_TCP_ADDR": "10.96.0.7",
        "HOME": "/root",
    }
    assert load(None, environ).warnings == ()


def test_keys_that_are_not_ours_are_named_once() -> None:
    """Several variables of an absent section give one warning, and none shows a value."""
    environ = {
        "REGISTRY_PROXY_REMOTEURL": "https://x.example",
        "REGISTRY_PROXY_PASSWORD": "{geheim",
        "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_NAME": "x",
        "REGISTRY_HTTP_RELATIVEURLS": "true",
        "REGISTRY_STORAGE_REDIRECT_DISABLE": "true",
        "REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR": "inmemory",
        "REGISTRY_LOGLEVEL": "warn",
    }
    loaded = load(None, environ)

    assert loaded.settings.log.level == "warn"
    assert len(loaded.warnings) == 4
    assert "geheim" not in "".join(loaded.warnings)


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"REGISTRY_STORAGE_S3_SECRETKEY": "geheim"}, "storage.s3.bucket is missing"),
        ({"REGISTRY_AUTH_TOKEN_REALM": "geheim"}, "auth.token: tokens are not there yet"),
        ({"REGISTRY_AUTH": "htpasswd"}, "REGISTRY_AUTH: auth.htpasswd.path is missing"),
        ({"REGISTRY_HTTP_WORKERS": "many"}, "REGISTRY_HTTP_WORKERS: http.workers: 'many'"),
        ({"REGISTRY_LOG_FIELDS": "{geheim"}, "REGISTRY_LOG_FIELDS: the value is not valid YAML"),
        (
            {"REGISTRY_HTTP": "geheim", "REGISTRY_HTTP_ADDR": ":1"},
            "REGISTRY_HTTP: http must be a section",
        ),
    ],
)
def test_a_wrong_variable_is_refused_by_its_name(environ: dict[str, str], words: str) -> None:
    """An error names the variable; a value that may be a secret is not repeated."""
    with pytest.raises(SettingsError) as caught:
        load(None, environ)
    assert words in str(caught.value)
    assert "geheim" not in str(caught.value)
