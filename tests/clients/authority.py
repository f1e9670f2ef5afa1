# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that nobody else trusts, and what it issues.

Made with the openssl program, because that is what people have; the files are PEM as they would
hand them to a registry.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.clients.sandbox import tool

if TYPE_CHECKING:
    from pathlib import Path

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
AUTHORITY = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
SERVER = (
    "basicConstraints=critical,CA:FALSE\n"
    "keyUsage=critical,digitalSignature\n"
    "extendedKeyUsage=serverAuth\n"
    "authorityKeyIdentifier=keyid\n"
    "subjectAltName={names}\n"
)


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Certificate and key of a server, and the authority that vouches for them."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def trust(self) -> Path:
        """A folder with the authority's certificate only, as clients want it in certs.d."""
        return self.authority.parent


def issue(folder: Path, *names: str) -> ServerCertificate:
    """A new authority and a server certificate of it; names are `IP:…` or `DNS:…`."""
    _authority(folder)
    (folder / "server.ext").write_text(SERVER.format(names=",".join(names)))
    _openssl(
        folder, "req", *KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"
    )
    _openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-out", "server.crt", "-days", "30"),
        *("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "server.ext"),
    )
    trust = folder / "trust"
    trust.mkdir()
    shutil.copy(folder / "ca.crt", trust)
    return ServerCertificate(trust / "ca.crt", folder / "server.crt", folder / "server.key")


def _authority(folder: Path) -> None:
    (folder / "ca.ext").write_text(AUTHORITY + "subjectKeyIdentifier=hash\n")
    _openssl(folder, "req", *KEY, "-keyout", "ca.key", "-out", "ca.csr", "-subj", "/CN=Test CA")
    _openssl(
        folder,
        *("x509", "-req", "-in", "ca.csr", "-out", "ca.crt", "-days", "30"),
        *("-signkey", "ca.key", "-extfile", "ca.ext"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [tool("openssl"), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
