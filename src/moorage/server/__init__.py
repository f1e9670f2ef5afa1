# SPDX-License-Identifier: Apache-2.0
"""Runs an ASGI application: `serve` and its options. Knows nothing of what it serves.

An HTTP/1.1 server made for a registry's work: tiny replies and bodies of many gigabytes. Read in
this order: `options`, `serve`, `server`, `connection`, `exchange`, `wire`; the grammar is in
`request_head`, `request_body` and `response_head`, which do no I/O.
"""

from __future__ import annotations

from moorage.server.options import ConnectionLimits, ServerOptions, TLSOptions
from moorage.server.serve import ServerCondition, serve

__all__ = ["ConnectionLimits", "ServerCondition", "ServerOptions", "TLSOptions", "serve"]
