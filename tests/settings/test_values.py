# SPDX-License-Identifier: Apache-2.0
"""Durations, sizes and addresses as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.settings import parse_address, parse_duration, parse_size
from moorage.settings.values import format_duration, format_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("30s", 30.0),
        ("1h30m", 5400.0),
        ("168h", 604800.0),
        ("1.5h", 5400.0),
        (".5s", 0.5),
        ("250ms", 0.25),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("-2m", -120.0),
        ("+1s", 1.0),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    """Every notation of Go's time.ParseDuration gives the same span."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "1d", "1h 30m", "h1", "1h30", "one", "-", "1e3s", "\u0661s"]
)
def test_what_go_refuses_is_refused(text: str) -> None:
    """A text that is no duration is refused with an example of one."""
    with pytest.raises(ValueError, match=r"write .*(30s|5m)"):
        parse_duration(text)


def test_a_number_without_unit_is_refused_with_advice() -> None:
    """A bare number, which distribution takes for nanoseconds, is refused with what to write."""
    with pytest.raises(ValueError, match="write 60s"):
        parse_duration("60")


@given(st.integers(min_value=0, max_value=10**10))
def test_durations_survive_a_round_trip(milliseconds: int) -> None:
    """What is written as a duration is read back as the same span."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(
        milliseconds / 1000
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4194304", 4194304),
        ("4MiB", 4194304),
        ("4 mib", 4194304),
        ("1.5GiB", 1610612736),
        ("10MB", 10_000_000),
        ("7B", 7),
    ],
)
def test_sizes_have_binary_and_decimal_units(text: str, size: int) -> None:
    """`MiB` counts in 1024, `MB` in 1000, a bare number in bytes."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "4M", "4 parsecs", "1.5", "0.3B", "MiB"])
def test_doubtful_sizes_are_refused(text: str) -> None:
    """A size that is ambiguous or not whole is refused."""
    with pytest.raises(ValueError, match=r"\w"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_sizes_survive_a_round_trip(size: int) -> None:
    """What is written as a size is read back as the same number of bytes."""
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("addr", "expected"),
    [
        (":5000", ("", 5000)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:5000", ("localhost", 5000)),
        ("[::1]:5000", ("::1", 5000)),
        ("[fe80::1%eth0]:80", ("fe80::1%eth0", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_addresses_are_read_as_go_reads_them(addr: str, expected: tuple[str, int]) -> None:
    """Names, IPv4, bracketed IPv6 and the bare port of distribution are addresses."""
    assert parse_address(addr) == expected


@pytest.mark.parametrize(
    ("addr", "advice"),
    [
        ("localhost", "localhost:5000"),
        ("", ":5000"),
        ("5000", "host:port"),
        ("::1:5000", r"\[::1\]:5000"),
        ("[host]:5000", "IPv6"),
        ("http://x.example:5000", "without scheme|ambiguous"),
        ("x/y:5000", "without scheme"),
        (":65536", "65535"),
        (":http", "65535"),
        (":-1", "65535"),
    ],
)
def test_a_wrong_address_is_refused_with_advice(addr: str, advice: str) -> None:
    """Each way to get an address wrong has a sentence that says what to write."""
    with pytest.raises(ValueError, match=advice):
        parse_address(addr)
