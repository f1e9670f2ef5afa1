# SPDX-License-Identifier: Apache-2.0
"""The `http.tls` section: certificate, client certificates, versions and cipher suites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from moorage.settings.compounds import ListOf
from moorage.settings.kinds import Choice, FilePath
from moorage.settings.leaves import required, setting

if TYPE_CHECKING:
    from pathlib import Path

# distribution uses the names of the IANA registry; OpenSSL has its own. Left out are the suites
# with RC4, 3DES or CBC and those without forward secrecy, which distribution still accepts but does
# not offer unless told to.
OPENSSL_NAMES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384": "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256": "TLS_CHACHA20_POLY1305_SHA256",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """Encrypted connections."""

    certificate: Path = required(
        FilePath(),
        "The certificate in PEM, followed by the intermediate certificates if there are any. It is "
        "loaded again when the file changes. Required when the section is present.",
    )
    key: Path = required(
        FilePath(),
        "The private key of the certificate in PEM, without passphrase, in any of the usual forms. "
        "Required when the section is present.",
    )
    clientcas: tuple[Path, ...] = setting(
        ListOf(FilePath()),
        (),
        "PEM files of the authorities whose client certificates are accepted. When set, a client "
        "without such a certificate does not get a connection.",
    )
    minimumtls: Literal["tls1.2", "tls1.3"] = setting(
        Choice(("tls1.2", "tls1.3")),
        "tls1.2",
        "The lowest version that is accepted.",
        bounds="tls1.2 is distribution's default and what every client of the last ten years "
        "speaks; RFC 8996 forbids what is older.",
    )
    ciphersuites: tuple[str, ...] = setting(
        ListOf(Choice(tuple(name.lower() for name in OPENSSL_NAMES))),
        (),
        "The cipher suites to offer, by their IANA names as in distribution. Empty offers all that "
        "OpenSSL considers safe. The suites of TLS 1.3 (`TLS_AES_…`, `TLS_CHACHA20_…`) may be "
        "named but are always on.",
    )

    def openssl_ciphers(self) -> str | None:
        """The TLS 1.2 suites for `ssl.SSLContext.set_ciphers`; None leaves its default."""
        chosen = {name.upper() for name in self.ciphersuites}
        names = [OPENSSL_NAMES[name] for name in sorted(chosen) if "_WITH_" in name]
        return ":".join(names) or None
