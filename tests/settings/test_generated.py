# SPDX-License-Identifier: Apache-2.0
"""What is generated from the tree: the reference, the schema, the settings in effect."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from moorage.settings import Loaded, load
from moorage.settings.effective import as_plain, as_yaml, shown
from moorage.settings.elsewhere import ACCEPTED, REFUSED, REPLACED
from moorage.settings.kinds import Text
from moorage.settings.leaves import environment_name, setting, shape_of
from moorage.settings.reference import markdown
from moorage.settings.schema import json_schema
from moorage.settings.tree import shape
from tests.settings.samples import DISTRIBUTION

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_reference_in_the_documentation_is_current() -> None:
    """docs/settings.md is what `moorage config --reference` prints."""
    assert REFERENCE.read_text() == markdown(), (
        "run: python -m moorage config --reference > docs/settings.md"
    )


def test_the_reference_names_everything() -> None:
    """Every key with its variable, and every foreign key of distribution, is in the reference."""
    text = markdown()

    for leaf in shape().leaves():
        assert f"`{leaf.dotted}`\n" in text
        assert f"`{environment_name(leaf.path)}`" in text
    for dotted in (*ACCEPTED, *REFUSED, *(key for key, _ in REPLACED)):
        assert f"| `{dotted}` |" in text


def test_every_setting_is_documented_and_every_bound_has_a_reason() -> None:
    """A leaf has a paragraph; a number, size or duration says why its default and bounds are so."""
    for leaf in shape().leaves():
        assert leaf.documentation.endswith("."), leaf.dotted
        if hasattr(leaf.kind, "minimum"):
            assert leaf.bounds, leaf.dotted


def test_no_accepted_or_refused_key_is_one_of_ours() -> None:
    """The tables of foreign keys and the tree never speak of the same key."""
    ours = {leaf.dotted for leaf in shape().leaves()}
    foreign = {*ACCEPTED, *REFUSED}

    assert not ours & foreign
    assert {dotted for dotted, _ in REPLACED} <= ours
    assert not [key for key in ours for other in foreign if key.startswith(other + ".")]


@pytest.fixture
def is_valid() -> Callable[[str], bool]:
    """Judges a YAML text by the schema."""
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    return lambda text: bool(validator.is_valid(yaml.safe_load(text)))


def test_the_schema_is_json() -> None:
    """The schema survives JSON and names its dialect."""
    assert json.loads(json.dumps(json_schema())) == json_schema()
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    "text",
    [
        DISTRIBUTION,
        "{}",
        "storage: inmemory",
        "auth: none",
        "loglevel: warn",
        "log: {level: WARN, formatter: logstash}",
        "http: {trustedproxies: 10.0.0.1, draintimeout: 0, workers: '2', tls: }",
        "limits: {manifestbytes: 8MiB, connections: 5}",
        "storage: {s3aws: {bucket: b, region: eu-west-1, v4auth: true}}",
        "storage: {azure: {accountname: a, container: c, credentials: {clientid: i}}}",
        "storage: {gcs: {bucket: b, credentials: {type: service_account}}}",
    ],
)
def test_what_loads_is_valid(tmp_path: Path, is_valid: Callable[[str], bool], text: str) -> None:
    """A file that loads is valid by the schema."""
    path = tmp_path / "config.yml"
    path.write_text(text)

    load(path, {})
    assert is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        "htp: {}",
        "http: {adr: x}",
        "http: {workers: 0}",
        "http: {draintimeout: 60}",
        "http: {net: udp}",
        "http: {headers: {'a b': [c]}}",
        "storage: {oss: {}}",
        "storage: {s3: {chunksize: 1000}}",
        "auth: {token: {}}",
        "version: 0.2",
        "limits: {manifestbytes: 5M}",
        "storage: {delete: {enabled: maybe}}",
    ],
)
def test_what_is_refused_is_invalid(is_valid: Callable[[str], bool], text: str) -> None:
    """Faults of single settings are found by the schema too."""
    assert not is_valid(text)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("{}", {}),
        (DISTRIBUTION.replace("  secret: ", "  # "), {"REGISTRY_LOG_FIELDS_QUOTED": "'a: #b'"}),
        ("storage: {inmemory: }", {"REGISTRY_HTTP_HEADERS": '{A: ["b, c", "d"]}'}),
        ("http: {net: unix, addr: /run/x.sock}", {"REGISTRY_LOG_FIELDS": '{a: "two\\n\\nlines"}'}),
    ],
)
def test_the_effective_settings_can_be_loaded_again(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    """What `moorage config` prints is a settings file with the same meaning."""
    path = tmp_path / "config.yml"
    path.write_text(text)
    loaded = load(path, environ)

    again = tmp_path / "again.yml"
    again.write_text(as_yaml(loaded))

    assert load(again, {}).settings == loaded.settings
    assert load(again, {}).warnings == ()


def test_each_line_says_where_its_value_came_from(tmp_path: Path) -> None:
    """File and line, the variable, or that it is a default stands behind each value."""
    path = tmp_path / "config.yml"
    path.write_text("log:\n  level: warn\n")
    lines = as_yaml(load(path, {"REGISTRY_HTTP_ADDR": ":1"})).splitlines()

    assert f"  level: warn  # {path}:2" in lines
    assert "  addr: :1  # REGISTRY_HTTP_ADDR" in lines
    assert "  net: tcp  # default" in lines


def test_the_json_form_has_settings_sources_and_warnings() -> None:
    """Programs get the same three things as people."""
    plain = as_plain(load(None, {"REGISTRY_HTTP_ADR": ":1"}))

    assert json.loads(json.dumps(plain)) == plain
    assert plain["settings"]["http"]["draintimeout"] == "1m"  # type: ignore[index,call-overload]
    assert plain["sources"]["http.addr"] == "default"  # type: ignore[index,call-overload]
    assert len(plain["warnings"]) == 1  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A section with a secret."""

    word: str = setting(Text(), "", "A secret.", secret=True)


def test_secrets_are_hidden() -> None:
    """A setting that is declared secret is never shown."""
    (leaf,) = shape_of(Vault).leaves()

    assert shown(leaf, "geheim") == "(hidden)"


def test_loaded_is_a_plain_value() -> None:
    """Loading twice gives equal results."""
    assert load(None, {}) == load(None, {})
    assert isinstance(load(None, {}), Loaded)
