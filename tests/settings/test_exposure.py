# SPDX-License-Identifier: Apache-2.0
"""The warning about a registry that strangers reach."""

from __future__ import annotations

import pytest

from moorage.settings import listens_unsafely, load

HTPASSWD = {"REGISTRY_AUTH_HTPASSWD_PATH": "/h"}
TLS = {"REGISTRY_HTTP_TLS_CERTIFICATE": "/c", "REGISTRY_HTTP_TLS_KEY": "/k"}
CLIENT_CERTIFICATES = TLS | {"REGISTRY_HTTP_TLS_CLIENTCAS": "/ca"}
PROXY = {"REGISTRY_HTTP_TRUSTEDPROXIES": "10.0.0.1"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"REGISTRY_HTTP_ADDR": "localhost:5000"},
        {"REGISTRY_HTTP_ADDR": "LOCALHOST.:5000"},
        {"REGISTRY_HTTP_ADDR": "127.9.9.9:5000"},
        {"REGISTRY_HTTP_ADDR": "[::1]:5000"},
        {"REGISTRY_HTTP_NET": "unix", "REGISTRY_HTTP_ADDR": "/run/x.sock"},
        {"REGISTRY_HTTP_ADDR": ":5000"} | HTPASSWD | TLS,
        {"REGISTRY_HTTP_ADDR": ":5000"} | CLIENT_CERTIFICATES,
        {"REGISTRY_HTTP_ADDR": ":5000"} | HTPASSWD | PROXY,
        {"REGISTRY_HTTP_ADDR": ":5000", "REGISTRY_HTTP_HOST": "https://x.example"} | HTPASSWD,
    ],
)
def test_no_warning_when_closed_or_only_local(environ: dict[str, str]) -> None:
    """Loopback, a unix socket, or authentication with encryption needs no warning."""
    assert listens_unsafely(load(None, environ).settings) is None


@pytest.mark.parametrize(
    ("environ", "everybody", "readable"),
    [
        ({"REGISTRY_HTTP_ADDR": ":5000"}, True, True),
        ({"REGISTRY_HTTP_ADDR": "0.0.0.0:5000"}, True, True),
        ({"REGISTRY_HTTP_ADDR": "[::]:5000"}, True, True),
        ({"REGISTRY_HTTP_ADDR": "myhost:5000"}, True, True),
        ({"REGISTRY_HTTP_ADDR": ":5000"} | HTPASSWD, False, True),
        ({"REGISTRY_HTTP_ADDR": ":5000"} | TLS, True, False),
        ({"REGISTRY_HTTP_ADDR": ":5000"} | PROXY, True, False),
    ],
)
def test_the_warning_names_what_is_missing(
    environ: dict[str, str], *, everybody: bool, readable: bool
) -> None:
    """Missing authentication and missing encryption are each named, with the key to set."""
    warning = listens_unsafely(load(None, environ).settings)

    assert warning is not None
    assert warning.startswith(f"UNSAFE: listening on {environ['REGISTRY_HTTP_ADDR']}")
    assert ("auth.htpasswd" in warning) == everybody
    assert ("http.tls" in warning) == readable
