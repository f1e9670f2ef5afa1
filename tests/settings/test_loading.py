# SPDX-License-Identifier: Apache-2.0
"""Files: what is accepted, what is refused, and with which words."""

from __future__ import annotations

import dataclasses
import pickle
from typing import TYPE_CHECKING

import pytest

from moorage.settings import Settings, SettingsError, load
from tests.settings.samples import DISTRIBUTION, NAMED_IN_WARNINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from moorage.settings import Loaded

    Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a settings file and returns its path."""

    def write_file(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text)
        return path

    return write_file


def refusal(path: Path) -> tuple[str, ...]:
    """The problems of a file, without the folder in front of their place."""
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    return tuple(problem.removeprefix(f"{path.parent}/") for problem in caught.value.problems)


def load_text(write: Write, text: str) -> Loaded:
    """The settings of a text without any environment."""
    return load(write(text), {})


def test_nothing_at_all_gives_safe_defaults() -> None:
    """Without file and environment the registry listens on loopback with data in its folder."""
    loaded = load(None, {})

    assert loaded.settings == Settings()
    assert loaded.settings.http.addr == "127.0.0.1:5000"
    assert str(loaded.settings.sqlite_path) == "moorage-data/moorage.db"
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.warnings == ()


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "version: 0.1\n", "http:\nlog: {}\n"])
def test_an_empty_file_is_as_good_as_none(write: Write, text: str) -> None:
    """A file that says nothing gives the defaults."""
    assert load_text(write, text).settings == Settings()


def test_settings_are_frozen_and_travel_between_processes() -> None:
    """Nobody can change settings after loading, and workers can be handed a copy."""
    settings = load(None, {"REGISTRY_HTTP_HEADERS": "{A: [b]}"}).settings

    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.version = "0.2"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_file_of_distribution_loads_with_one_warning_for_each_absent_thing(write: Write) -> None:
    """Distribution's keys keep their meaning; what is not there is named once, with its line."""
    loaded = load_text(write, DISTRIBUTION)

    settings = loaded.settings
    assert settings.http.addr == ":5000"
    assert settings.log.accesslog.disabled
    assert settings.log.fields == {"service": "registry", "environment": "staging"}
    assert not settings.storage.delete.enabled
    assert settings.auth.htpasswd is not None
    assert str(settings.auth.htpasswd.path) == "/etc/registry/htpasswd"
    assert settings.http.tls is not None
    assert str(settings.http.tls.clientcas[0]) == "/etc/tls/ca.pem"
    assert settings.http.headers == {"X-Content-Type-Options": ("nosniff",)}
    named = [warning.split(": ")[1].split(" ")[0] for warning in loaded.warnings]
    assert sorted(named) == sorted(NAMED_IN_WARNINGS)
    assert all("config.yml:" in warning for warning in loaded.warnings)


def test_warnings_never_repeat_a_secret(write: Write) -> None:
    """Passwords of sections that are not there yet appear in no warning."""
    assert "secret" not in " ".join(load_text(write, DISTRIBUTION).warnings)


def test_the_origin_of_each_value_is_known(write: Write) -> None:
    """A value names its file and line, or that it is a default."""
    sources = load_text(write, "http:\n  addr: :1\nlog: {level: warn}\n").sources

    assert sources["http.addr"].endswith("config.yml:2")
    assert sources["log.level"].endswith("config.yml:3")
    assert sources["http.net"] == "default"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "http:\n  adr: :5000\n",
            "config.yml:2: http.adr is not a setting; did you mean http.addr?",
        ),
        ("htp: {}\n", "config.yml:1: htp is not a setting; did you mean http?"),
        ("proxi: {}\n", "config.yml:1: proxi is not a setting; did you mean proxy?"),
        (
            "storage:\n  rootdirectory: /x\n",
            (
                "config.yml:2: storage.rootdirectory is not a setting; "
                "did you mean storage.filesystem.rootdirectory?"
            ),
        ),
        ("qqqqqq: 1\n", "config.yml:1: qqqqqq is not a setting"),
        (
            "\nlog:\n  Level: info\n",
            "config.yml:3: log.Level is not a setting; did you mean log.level?",
        ),
    ],
)
def test_an_unknown_key_is_refused_with_place_and_nearest_key(
    write: Write, text: str, problem: str
) -> None:
    """A misspelled key is an error that names line, key and the key that was probably meant."""
    assert refusal(write(text)) == (problem,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http: {draintimeout: 60}", "http.draintimeout: 60 has no unit"),
        ("http: {draintimeout: soon}", "is not a duration"),
        ("http: {draintimeout: -1s}", "too little: at least 0s"),
        ("http: {workers: 0}", "http.workers: 0 is too little: at least 1"),
        ("http: {workers: 1000}", "too much: at most 256"),
        ("http: {workers: two}", "'two' is not a whole number"),
        ("http: {workers: true}", "not a whole number"),
        ("http: {net: udp}", "'udp' is not one of tcp, unix"),
        ("http: {addr: localhost}", "http.addr: 'localhost' has no port"),
        ("http: {addr: [a]}", "must be address, not a list"),
        ("http: {net: unix}", "not the path of a socket"),
        ("http: {host: registry.example.com}", "write https://registry.example.com"),
        ("http: {host: 'https://u:p@x.example'}", "without user name"),
        ("http: {prefix: registry}", "begin with /"),
        ("http: {headers: {'a b': [c]}}", "'a b' is not a header name"),
        ('http: {headers: {a: ["b\\r\\nc: d"]}}', "is not a header value"),
        ('http: {headers: {a: ["\\u2603"]}}', "is not a header value"),
        ("http: {headers: [a]}", "must be a map"),
        ("http: {trustedproxies: [10.0.0.0/40]}", "is not a network"),
        ("http: 5", "http must be a section"),
        ("http: {tls: {certificate: /c}}", "http.tls.key is missing"),
        ("http: {tls: {letsencrypt: {hosts: [a]}}}", "letsencrypt does not replace it"),
        ("http: {tls: {minimumtls: tls1.4}}", "not one of tls1.2, tls1.3"),
        ("limits: {manifestbytes: 1MiB}", "1MiB is too little: at least 4MiB"),
        ("limits: {manifestbytes: 5M}", "write MB or MiB"),
        ("log: {level: loud}", "not one of error, warn, info, debug"),
        ("log: {fields: {a: [b]}}", "not a list"),
        ("storage: {filesystem: {rootdirectory: ''}}", "must be a path"),
        ("storage: {delete: {enabled: maybe}}", "is not true or false"),
        ("storage: {filesystem: {}, inmemory: }", "exactly one store"),
        ("storage: {inmemory: {size: 5}}", "storage.inmemory.size is not a setting"),
        ("storage: {inmemory: }\nhttp: {workers: 2}", "do not share storage.inmemory"),
        ("storage: inmemory\ndatabase: {sqlite: {path: /x}}", "forgets"),
        ("storage: s3", "storage.s3.bucket is missing"),
        ("storage: {oss: {bucket: x}}", "use storage.s3 with regionendpoint"),
        ("auth: {token: {realm: x}}", "auth.token: tokens are not there yet: use auth.htpasswd"),
        ("auth: {silly: {realm: x}}", "use auth.htpasswd"),
        ("auth: {htpasswd: }", "auth.htpasswd.path is missing"),
        ("auth: htpasswd", "auth.htpasswd.path is missing"),
        ("auth: {htpasswd: {realm: 'a\"b', path: /x}}", "leave out quotes"),
        ("auth: {anonymous: pull}", "without auth.htpasswd"),
        ("validation: {manifests: {urls: {allow: ['(']}}}", "not a regular expression"),
        ("version: 0.2", "'0.2' is not one of 0.1"),
    ],
)
def test_a_wrong_value_is_refused_with_what_to_do(write: Write, text: str, words: str) -> None:
    """Each wrong value or combination has its place and a sentence that helps."""
    problems = refusal(write(text))

    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith("config.yml:") for problem in problems)


def test_all_problems_are_reported_at_once(write: Write) -> None:
    """A file with three faults is refused once, with three lines."""
    assert len(refusal(write("htp: 1\nhttp: {workers: 0}\nlog: {level: x}\n"))) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [\n", "config.yml:2: not valid YAML"),
        ("log: {level: info}\nlog: {}\n", "config.yml:2: log is written twice (first at"),
        ("- a\n", "config.yml:1: settings are `key: value`"),
        ("hello\n", "settings are `key: value`"),
        ("version: 0.1\n---\nversion: 0.1\n", "not valid YAML"),
        ("log: {level: !!python/object:os.system x}\n", "tag"),
        ("log: !include x\n", "means nothing here"),
        ("a: &a [*a]\n", "too much"),
        ("{? [a] : b}\n", "a key must be a plain word"),
        ("<<: 5\n", "<< takes a map"),
        ("x: *nobody\n", "not valid YAML"),
        ("a: " + "[" * 5000, "not valid YAML"),
        ("\x00", "not valid YAML"),
    ],
)
def test_broken_yaml_is_refused_with_its_line(write: Write, text: str, words: str) -> None:
    """Whatever is wrong with the text itself gives one line and no traceback."""
    assert words in refusal(write(text))[0]


def test_a_billion_laughs_are_cut_short(write: Write) -> None:
    """Aliases that multiply are refused before they cost memory."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]

    assert "too much" in refusal(write("\n".join(lines)))[0]


def test_a_file_that_cannot_be_settings_is_refused(tmp_path: Path) -> None:
    """A missing, foreign or huge file is named with the reason."""
    with pytest.raises(SettingsError, match=r"nope\.yml: there is no such file"):
        load(tmp_path / "nope.yml", {})
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, {})
    (tmp_path / "latin").write_bytes(b"realm: caf\xe9")
    with pytest.raises(SettingsError, match="not text in UTF-8"):
        load(tmp_path / "latin", {})
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    with pytest.raises(SettingsError, match="larger than 1 MiB"):
        load(tmp_path / "huge", {})


def test_yaml_is_read_as_people_write_it(write: Write) -> None:
    """Anchors, merges, quoted and unquoted spellings and a byte order mark all work."""
    text = """\
\ufeffstorage:
  delete: &on {enabled: "yes"}
  maintenance:
    readonly:
      <<: *on
    uploadpurging: {age: 1h30m, enabled: off}
log: {level: WARN, fields: {number: 007, flag: yes}}
http: {trustedproxies: 10.1.2.3/8, host: "https://x.example/", prefix: /r/, workers: 010}
"""
    settings = load_text(write, text).settings

    assert settings.storage.maintenance.readonly.enabled
    assert not settings.storage.maintenance.uploadpurging.enabled
    assert settings.storage.maintenance.uploadpurging.age == 5400
    assert settings.log.level == "warn"
    assert settings.log.fields == {"number": "007", "flag": "yes"}
    assert settings.http.trustedproxies == ("10.0.0.0/8",)
    assert settings.http.host == "https://x.example"
    assert settings.http.prefix == "/r"
    assert settings.http.workers == 10


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("storage: filesystem", "filesystem"),
        ("storage: inmemory", "inmemory"),
        ("storage: {inmemory: }", "inmemory"),
        ("storage: {inmemory: {}}", "inmemory"),
        ("auth: none", "filesystem"),
    ],
)
def test_short_forms_of_distribution(write: Write, text: str, driver: str) -> None:
    """`storage` and `auth` may be one word, and `inmemory:` alone switches the store."""
    settings = load_text(write, text).settings

    assert settings.storage.driver == driver
    assert settings.auth.htpasswd is None
    assert (settings.sqlite_path is None) == (driver == "inmemory")


def test_the_database_file_can_be_elsewhere(write: Write) -> None:
    """The database follows the root directory unless it has a path of its own."""
    root = "storage: {filesystem: {rootdirectory: /r}}\n"

    assert str(load_text(write, root).settings.sqlite_path) == "/r/moorage.db"
    own = load_text(write, root + "database: {sqlite: {path: /d/x.db}}")
    assert str(own.settings.sqlite_path) == "/d/x.db"


def test_an_empty_tls_section_is_no_tls(write: Write) -> None:
    """A `tls` section in which nothing is set, as templates leave it, means plain HTTP."""
    assert load_text(write, "http: {tls: }").settings.http.tls is None
    empty = load_text(write, "http:\n  tls:\n    certificate:\n    key:\n")
    assert empty.settings.http.tls is None


@pytest.mark.parametrize(
    ("text", "key", "used"),
    [
        (
            "http: {tls: {certificate: /c, key: /k, minimumtls: tls1.0}}",
            "minimumtls='tls1.2'",
            "tls1.2 is used",
        ),
        ("validation: {manifests: {indexes: {platforms: List}}}", "platforms='all'", "stricter"),
        ("loglevel: error", "level='error'", "use that"),
    ],
)
def test_old_values_are_read_as_their_nearest(write: Write, text: str, key: str, used: str) -> None:
    """A value that distribution knows and we do not is replaced, with one warning."""
    loaded = load_text(write, text)

    assert key in repr(loaded.settings)
    assert len(loaded.warnings) == 1
    assert used in loaded.warnings[0]


def test_the_new_log_level_wins_over_the_old_key(write: Write) -> None:
    """`log.level` is used when `loglevel` is there too, as in distribution."""
    loaded = load_text(write, "loglevel: error\nlog: {level: debug}")

    assert loaded.settings.log.level == "debug"


def test_cipher_suites_have_openssl_names(write: Write) -> None:
    """The IANA names of distribution's files become the list that OpenSSL understands."""
    suites = "[TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]"
    base = "http: {tls: {certificate: /c, key: /k"
    chosen = load_text(write, f"{base}, ciphersuites: {suites}}}}}").settings.http.tls
    default = load_text(write, f"{base}}}}}").settings.http.tls

    assert chosen is not None
    assert chosen.openssl_ciphers() == "ECDHE-RSA-AES128-GCM-SHA256"
    assert default is not None
    assert default.openssl_ciphers() is None
    assert (
        "TLS_RSA_WITH_RC4"
        in refusal(write(f"{base}, ciphersuites: [TLS_RSA_WITH_RC4_128_SHA]}}}}"))[0]
    )
