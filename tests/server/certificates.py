# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, in every form of PEM that people keep their keys in; made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CURVE = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def openssl(*arguments: str | Path) -> None:
    """Runs openssl, or skips the test where there is none."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    subprocess.run([program, *arguments], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Authority:
    """Signs certificates; its files and theirs are in one folder."""

    folder: Path
    certificate: Path
    key: Path

    def issue(self, name: str, *, key: Path | None = None) -> tuple[Path, Path]:
        """A certificate for `name` and 127.0.0.1, and its key."""
        serial = len(list(self.folder.iterdir()))
        key = key or self.make_key(f"{name}-{serial}.key", *CURVE)
        wish, signed = self.folder / f"{serial}.csr", self.folder / f"{name}-{serial}.crt"
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", wish)
        extensions = self.folder / f"{serial}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\n")
        openssl(
            *("x509", "-req", "-in", wish, "-CA", self.certificate, "-CAkey", self.key),
            *("-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", signed),
        )
        return signed, key

    def make_key(self, name: str, *how: str) -> Path:
        """A key in PKCS#8."""
        path = self.folder / name
        openssl("genpkey", *how, "-out", path)
        return path


def make_authority(folder: Path) -> Authority:
    """An authority of the test's own."""
    home = folder / "authority"
    home.mkdir()
    key, certificate = home / "ca.key", home / "ca.crt"
    openssl("genpkey", *CURVE, "-out", key)
    openssl(
        *("req", "-x509", "-new", "-key", key, "-days", "2", "-subj", "/CN=test authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", certificate),
    )
    return Authority(home, certificate, key)
