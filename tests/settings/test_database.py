# SPDX-License-Identifier: Apache-2.0
"""The `database` section and `http.secret`: what excludes what, and what is never shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from moorage.settings import SettingsError, load
from moorage.settings.effective import as_plain, as_yaml

if TYPE_CHECKING:
    from pathlib import Path

URL = "postgresql://moorage:very-secret@db.example.com/moorage"
ENVIRON = {"REGISTRY_DATABASE_POSTGRES_URL": URL}


def refusal(**variables: str) -> str:
    """The problems of these `REGISTRY_` variables beside a PostgreSQL URL."""
    environ = {f"REGISTRY_{name}": value for name, value in variables.items()}
    with pytest.raises(SettingsError) as caught:
        load(None, {**ENVIRON, **environ})
    text = "\n".join(caught.value.problems)
    assert "very-secret" not in text
    return text


def test_postgres_has_no_file() -> None:
    """With PostgreSQL there is no SQLite file, wherever the blobs are."""
    settings = load(None, ENVIRON).settings

    assert settings.sqlite_path is None
    assert settings.database.postgres is not None
    assert settings.database.postgres.url == URL
    assert not settings.database.postgres.pgbouncer


def test_one_database_is_used() -> None:
    """SQLite and PostgreSQL exclude each other, and so do blobs in memory and PostgreSQL."""
    assert "exactly one database" in refusal(DATABASE_SQLITE_PATH="/d/x.db")
    assert "storage.inmemory forgets" in refusal(STORAGE="inmemory")


def test_the_file_before_postgres_is_named_beside_it() -> None:
    """A catalogue is moved from `previous` to PostgreSQL; without PostgreSQL it means nothing."""
    previous = {"REGISTRY_DATABASE_PREVIOUS_SQLITE_PATH": "/d/x.db"}

    sqlite = load(None, {**ENVIRON, **previous}).settings.database.previous.sqlite
    assert sqlite is not None
    assert str(sqlite.path) == "/d/x.db"
    with pytest.raises(SettingsError, match=r"set database\.postgres"):
        load(None, previous)


def test_a_section_without_a_url_is_no_sqlite(tmp_path: Path) -> None:
    """Whoever writes `postgres:` does not want a file: the missing URL is an error."""
    path = tmp_path / "config.yml"
    path.write_text("database: {postgres: }")

    with pytest.raises(SettingsError, match=r"database\.postgres\.url is missing"):
        load(path, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_POSTGRES_URL", "mysql://u:very-secret@h/d"),
        ("DATABASE_POSTGRES_URL", "u:very-secret@h/d"),
        ("HTTP_SECRET", "very-secret"),
    ],
)
def test_a_secret_that_does_not_fit_is_not_repeated(name: str, value: str) -> None:
    """The error names the key, not the value."""
    assert "the value does not fit" in refusal(**{name: value})


def test_secrets_are_never_shown() -> None:
    """Neither form of the settings in effect shows the URL or the secret."""
    loaded = load(None, {**ENVIRON, "REGISTRY_HTTP_SECRET": "very-secret-indeed"})

    assert loaded.settings.http.secret == "very-secret-indeed"
    assert loaded.warnings == ()
    for text in (as_yaml(loaded), json.dumps(as_plain(loaded))):
        assert "very-secret" not in text
        assert "sqlite" not in text.replace("database.sqlite.path", "").replace("previous", "")
