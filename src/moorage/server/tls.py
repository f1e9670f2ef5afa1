# SPDX-License-Identifier: Apache-2.0
"""Certificates: read as people have them in PEM, and read again when the files change.

New handshakes use the newest context that could be built whole; a broken or half-written file is
logged and the old certificate stays. Open connections keep what they began with. Encrypting is the
channel's business.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from moorage.server.options import TLSOptions

logger = logging.getLogger("moorage.server")

Stamp = tuple[tuple[int, int, int], ...]


class TLSError(Exception):
    """The TLS options cannot be used; the message says why and what to do."""


class Certificates:
    """The TLS context for new connections."""

    def __init__(self, options: TLSOptions) -> None:
        self._options = options
        self._stamp = _stamp(options)
        self.context = build_context(options)

    def reload_if_changed(self) -> bool:
        """Looks at the files; True when a new certificate is in use."""
        try:
            stamp = _stamp(self._options)
            if stamp == self._stamp:
                return False
            context = build_context(self._options)
        except TLSError as error:
            return self._keep_old(error)
        self._stamp, self.context = stamp, context
        logger.info("a new TLS certificate is in use: %s", self._options.certificate)
        return True

    def _keep_old(self, error: TLSError) -> bool:
        logger.error("the old TLS certificate stays in use: %s", error)
        self._stamp = ()  # look again next time, whatever the times of the files say
        return False


def build_context(options: TLSOptions) -> ssl.SSLContext:
    """A server's context for the options, or a TLSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }[options.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    _load_pair(context, options)
    if options.ciphers is not None:
        try:
            context.set_ciphers(options.ciphers)
        except ssl.SSLError:
            raise TLSError(f"OpenSSL knows no cipher in the list {options.ciphers!r}") from None
    for authority in options.client_authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            raise TLSError(f"cannot read the client authority {authority}: {_why(error)}") from None
    return context


def _load_pair(context: ssl.SSLContext, options: TLSOptions) -> None:
    def refuse_password() -> str:
        raise TLSError(
            f"the key {options.key or options.certificate} is encrypted;"
            " write it without a passphrase (openssl pkey -in KEY -out NEW)"
        )

    try:
        context.load_cert_chain(options.certificate, options.key, password=refuse_password)
    except ssl.SSLError as error:
        raise TLSError(
            f"cannot use the certificate {options.certificate}"
            f" with the key {options.key or options.certificate}: {_why(error)}"
        ) from None
    except OSError as error:
        missing = [path for path in _files(options) if not path.is_file()]
        named = missing[0] if missing else options.certificate
        raise TLSError(f"cannot read {named}: {error.strerror}") from None


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key belongs to another certificate"
        return f"no usable PEM in it ({error.reason or error})"
    return error.strerror or str(error)


def _files(options: TLSOptions) -> tuple[Path, ...]:
    key = (options.key,) if options.key is not None else ()
    return (options.certificate, *key, *options.client_authorities)


def _stamp(options: TLSOptions) -> Stamp:
    """What changes when one of the files is written or replaced (also behind a symbolic link)."""
    try:
        stats = [path.stat() for path in _files(options)]
    except OSError as error:
        raise TLSError(f"cannot read {error.filename}: {error.strerror}") from None
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)
