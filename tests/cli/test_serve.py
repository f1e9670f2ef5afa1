# SPDX-License-Identifier: Apache-2.0
"""`moorage serve`: what stops it at the start is said in a sentence, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.registry import RunningRegistry, free_port
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SECONDS = 30


def serve(arguments: Sequence[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Start a registry that is expected to end by itself; root is held to modes as others are."""
    obedient: list[str] = []
    if os.geteuid() == 0 and shutil.which("setpriv") is not None:
        obedient = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    return subprocess.run(
        [*obedient, sys.executable, "-m", "moorage", "serve", *arguments],
        env={**clean, "REGISTRY_HTTP_ADDR": f"127.0.0.1:{free_port()}", **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def refusal(arguments: Sequence[str], environ: dict[str, str]) -> str:
    """The one line with which the start was refused."""
    result = serve(arguments, environ)
    assert result.returncode != 0, result
    assert "Traceback" not in result.stderr, result.stderr
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("workers", "environ", "words"),
    [
        ("0", {}, "--workers: http.workers: 0 is too little"),
        ("-1", {}, "--workers: http.workers: -1 is too little"),
        ("2", {"REGISTRY_STORAGE": "inmemory"}, "--workers: http.workers: processes do not share"),
    ],
)
def test_the_number_of_workers_is_checked(
    workers: str, environ: dict[str, str], words: str
) -> None:
    """An option obeys the rules of the setting that it stands for."""
    assert words in refusal(["--workers", workers], environ)


def test_the_option_wins_over_file_and_environment(tmp_path: Path) -> None:
    """A wrong number in the file does not matter to who gives a right one."""
    config = {"http": {"workers": 0}}
    with RunningRegistry(tmp_path, config, arguments=["--workers", "1"]) as registry:
        assert registry.stop() == 0


def put_a_file(folder: Path) -> None:
    """A file where the data folder should be."""
    folder.write_text("")


def put_rubbish(folder: Path) -> None:
    """A database that is none."""
    folder.mkdir()
    (folder / "moorage.db").write_bytes(b"rubbish" * 1000)


def put_a_newer_database(folder: Path) -> None:
    """A database of a program that is not written yet."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "moorage.db")
    connection.execute("PRAGMA user_version = 9999")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (put_a_file, "name another folder as storage.filesystem.rootdirectory"),
        (put_rubbish, "restore it from a backup"),
        (put_a_newer_database, "run the newer Moorage"),
    ],
)
def test_unusable_data_is_named(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    """The sentence has the path and says what to do."""
    folder = tmp_path / "data"
    spoil(folder)
    line = refusal([], {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder)})

    assert str(folder) in line
    assert "cannot be used" in line
    assert words in line


def test_a_folder_that_cannot_be_made_is_named() -> None:
    """Also where the system gives an odd reason."""
    line = refusal([], {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": "/proc/nope"})

    assert "the data folder /proc/nope cannot be used" in line


@pytest.mark.parametrize("name", ["", "uploads", "moorage.db"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    """A registry in which no push would succeed does not start."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and setpriv (package util-linux) is missing")
    folder = tmp_path / "data"
    (folder / "uploads").mkdir(parents=True)
    (folder / "moorage.db").touch()
    (folder / name).chmod(0o500)
    try:
        line = refusal([], {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder)})
    finally:
        (folder / name).chmod(0o700)

    assert str(folder) in line
    assert "let the user that the registry runs as write" in line


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"REGISTRY_HTTP_TLS_CERTIFICATE": "/nope/a", "REGISTRY_HTTP_TLS_KEY": "/b"}, "/nope/a"),
        ({"REGISTRY_AUTH_HTPASSWD_PATH": "/nope/users"}, "moorage htpasswd --file /nope/users"),
        ({"REGISTRY_CONFIGURATION_PATH": "/proc"}, "/proc: cannot be read"),
        ({"REGISTRY_CONFIGURATION_PATH": "/nope.yml"}, "/nope.yml: there is no such file"),
    ],
)
def test_missing_files_are_named(tmp_path: Path, environ: dict[str, str], words: str) -> None:
    """Certificates, password files and settings that are not there."""
    root = {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "data")}

    assert words in refusal([], {**root, **environ})


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The sentence says which port and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        environ = {
            "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(tmp_path / "data"),
            "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        }
        line = refusal([], environ)

    assert str(port) in line
    assert "choose another port" in line


def test_others_cannot_read_the_data(tmp_path: Path) -> None:
    """What a registry makes is for its user and group; what it finds keeps its mode."""
    root = tmp_path / "data"
    root.mkdir()
    root.chmod(0o755)
    with RunningRegistry(tmp_path) as registry:
        wait_until_ready(registry.port)
        made = list(root.iterdir())
        assert {"moorage.db", "blobs", "uploads"} <= {path.name for path in made}
        for path in made:
            assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0, path
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_a_new_data_folder_is_not_for_others(tmp_path: Path) -> None:
    """The data folder is made without rights for other users of the machine."""
    folder = tmp_path / "new" / "data"
    with RunningRegistry(
        tmp_path, {"storage": {"filesystem": {"rootdirectory": str(folder)}}}
    ) as registry:
        wait_until_ready(registry.port)
        assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_registry_in_memory_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Its database is in the folder for temporary files, and goes with the process."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    port = free_port()
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")},
        "REGISTRY_STORAGE": "inmemory",
        "REGISTRY_HTTP_ADDR": f"127.0.0.1:{port}",
        "TMPDIR": str(temporary),
    }
    command = [sys.executable, "-m", "moorage", "serve"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(port)
            assert [path.stat().st_mode & 0o077 for path in temporary.iterdir()] == [0]
        finally:
            process.send_signal(number)
        assert process.wait(SECONDS) == 0
    assert list(temporary.iterdir()) == []


def wait_until_ready(port: int) -> None:
    """Return when the registry answers requests; its port is open a little earlier."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            with Wire(f"http://127.0.0.1:{port}") as wire:
                assert wire.get("/readyz").status == 200
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the registry does not answer")
