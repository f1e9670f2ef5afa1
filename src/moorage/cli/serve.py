# SPDX-License-Identifier: Apache-2.0
"""`moorage serve`: the registry, until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from moorage.app import create_app
from moorage.observe.logs import configure, get_logger
from moorage.server import ConnectionLimits, ServerOptions, TLSOptions, serve
from moorage.settings import Option, SettingsError, listens_unsafely, load, parse_address

if TYPE_CHECKING:
    from moorage.http.application import Application
    from moorage.settings import Loaded, Settings


def command(
    config: Path | None = None,
    /,
    *,
    workers: int | None = None,
) -> int:
    """Run the registry.

    Parameters
    ----------
    config
        A file with the keys of distribution's config.yml; without it REGISTRY_CONFIGURATION_PATH,
        else defaults (http://127.0.0.1:5000, data in ./moorage-data) and environment.
    workers
        How many processes serve requests; wins over http.workers.
    """
    options = {} if workers is None else {"http.workers": Option("--workers", workers)}
    try:
        loaded = load(config, os.environ, options)
    except SettingsError as error:
        raise SystemExit(str(error)) from None
    settings = loaded.settings
    logs = configure(
        level=settings.log.level, formatter=settings.log.formatter, fields=settings.log.fields
    )
    _announce(loaded)
    access_log = None if settings.log.accesslog.disabled else logs.access_log

    def application() -> Application:
        return create_app(settings, access_log)

    try:
        return serve(application, server_options(settings))
    finally:
        logs.close()


def _announce(loaded: Loaded) -> None:
    log = get_logger("moorage")
    for warning in loaded.warnings:
        log.warning(warning)
    unsafe = listens_unsafely(loaded.settings)
    if unsafe is not None:
        log.warning(unsafe)


def server_options(settings: Settings) -> ServerOptions:
    """What the server must know of the settings."""
    http, limits = settings.http, settings.limits
    is_unix = http.net == "unix"
    host, port = ("", 0) if is_unix else parse_address(http.addr)
    return ServerOptions(
        host=host,
        port=port,
        unix_socket=Path(http.addr) if is_unix else None,
        workers=http.workers,
        tls=_tls_options(settings),
        limits=ConnectionLimits(
            header_bytes=limits.headerbytes,
            header_seconds=limits.headertimeout,
            idle_seconds=limits.idletimeout,
            body_seconds=limits.bodytimeout,
            connections=limits.connections,
        ),
        drain_seconds=http.draintimeout,
        drain_delay=http.draindelay,
    )


def _tls_options(settings: Settings) -> TLSOptions | None:
    tls = settings.http.tls
    if tls is None:
        return None
    return TLSOptions(
        certificate=tls.certificate,
        key=tls.key,
        client_authorities=tls.clientcas,
        minimum_version="1.3" if tls.minimumtls == "tls1.3" else "1.2",
        ciphers=tls.openssl_ciphers(),
    )
