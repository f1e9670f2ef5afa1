# SPDX-License-Identifier: Apache-2.0
"""The small notations of the settings: durations, sizes and addresses, read and written.

Pure functions from text to value and back; no keys, no files. The invariant: what the `format_`
functions write, the `parse_` functions read back as the same value.
"""

from __future__ import annotations

import re

# Go's time.ParseDuration, which reads distribution's files, knows exactly these.
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
BYTES = {
    "b": 1,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}
HIGHEST_PORT = 65535

DURATION_PATTERN = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
SIZE_PATTERN = r"[0-9]+(\.[0-9]+)? ?([KkMmGgTt][Ii]?)?[Bb]"

_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of a duration written as Go writes it: `90s`, `1h30m`, `1.5h`, `250ms`, `0`."""
    text = text.strip()
    sign = -1.0 if text.startswith("-") else 1.0
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0.0
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", rest, re.ASCII):
        message = f"{text} has no unit (distribution would take nanoseconds): write {text}s or 5m"
        raise ValueError(message)
    parts = list(_DURATION_PART.finditer(rest))
    if not parts or "".join(part.group() for part in parts) != rest:
        raise ValueError(f"{text!r} is not a duration: write one like 30s, 5m or 1h30m")
    return sign * sum(float(part[1]) * SECONDS[part[2]] for part in parts)


def format_duration(seconds: float) -> str:
    """The shortest exact Go notation of a number of seconds."""
    if seconds < 0:
        return "-" + format_duration(-seconds)
    if seconds != int(seconds):
        milliseconds = seconds * 1000
        whole = round(milliseconds)
        return f"{whole}ms" if abs(milliseconds - whole) < 1e-6 else f"{seconds!r}s"  # noqa: PLR2004
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m"), (rest, "s"))]
    return "".join(part for part in parts if part[:-1] != "0") or "0s"


def parse_size(text: str) -> int:
    """Bytes of a size: `4194304`, `4MiB`, `1.5 GiB`, `10MB` (the last one decimal)."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return int(text)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size: write bytes, or a number with KiB, MiB or GiB")
    unit = match[2].lower()
    if unit in {"k", "m", "g", "t"}:
        big = unit.upper()
        raise ValueError(f"{text!r} may mean 1000 or 1024: write {big}B or {big}iB")
    if unit not in BYTES:
        raise ValueError(f"{text!r} has an unknown unit: use B, KiB, MiB, GiB, TiB, KB, MB, GB, TB")
    size = float(match[1]) * BYTES[unit]
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(size)


def format_size(size: int) -> str:
    """The size with the largest binary unit that divides it: `4MiB`, `1000`."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = BYTES[unit.lower()]
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def parse_address(addr: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[IPv6]:port` or `:port`; an empty host is all interfaces."""
    host, colon, port_text = addr.rpartition(":")
    if not colon:
        raise ValueError(f"{addr!r} has no port: write host:port, for example {addr or ''}:5000")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise ValueError(f"{addr!r}: brackets are for IPv6 addresses only")
    elif ":" in host:
        raise ValueError(f"{addr!r} is ambiguous: write an IPv6 address in brackets, [::1]:5000")
    elif any(sign in host for sign in "[]/ "):
        raise ValueError(f"{addr!r} is not an address: write host:port without scheme and path")
    if not re.fullmatch(r"[0-9]{1,5}", port_text, re.ASCII) or int(port_text) > HIGHEST_PORT:
        raise ValueError(f"{port_text!r} is not a port: write a number from 0 to {HIGHEST_PORT}")
    return host, int(port_text)
