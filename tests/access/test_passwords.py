# SPDX-License-Identifier: Apache-2.0
"""Password hashes."""

from __future__ import annotations

import itertools

import argon2
import pytest
from argon2.low_level import Type

from moorage.access.passwords import (
    HashRefusedError,
    default_decoy,
    hash_argon2,
    hash_bcrypt,
    parse_hash,
)

BCRYPT = hash_bcrypt("secret", cost=4)


def argon2_hash(kind: Type) -> str:
    """A cheap argon2 hash of `secret`."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=kind)
    return hasher.hash("secret")


@pytest.mark.parametrize(
    "hashed",
    [
        BCRYPT,
        BCRYPT.replace("$2b$", "$2y$"),
        BCRYPT.replace("$2b$", "$2a$"),
        argon2_hash(Type.ID),
        argon2_hash(Type.I),
        argon2_hash(Type.D),
    ],
    ids=["2b", "2y", "2a", "argon2id", "argon2i", "argon2d"],
)
def test_right_and_wrong_passwords(hashed: str) -> None:
    """Every accepted scheme tells the right password from a wrong one."""
    stored = parse_hash(hashed)

    assert stored.verify(b"secret")
    assert not stored.verify(b"Secret")
    assert not stored.verify(b"")
    assert not stored.verify(b"secret\0")


@pytest.mark.parametrize(
    "hashed",
    [BCRYPT, argon2_hash(Type.ID), argon2_hash(Type.D)],
    ids=["bcrypt", "argon2id", "argon2d"],
)
def test_decoys_cost_the_same_and_match_nothing(hashed: str) -> None:
    """A decoy is a valid hash with the same scheme and cost, and another one each time."""
    stored = parse_hash(hashed)
    decoy = parse_hash(stored.decoy().text)

    assert decoy.scheme == stored.scheme
    assert len(decoy.text) == len(stored.text)
    if stored.scheme == "bcrypt":
        assert decoy.text[:7] == stored.text[:7]
    else:
        expected = argon2.extract_parameters(stored.text)
        assert argon2.extract_parameters(decoy.text) == expected
    assert not decoy.verify(b"secret")
    assert stored.decoy() != decoy


def test_the_default_decoy_can_be_verified() -> None:
    """A file without users has a decoy too."""
    assert not default_decoy().verify(b"")


def test_bcrypt_reads_only_72_bytes() -> None:
    """Longer passwords are cut, as by every program that wrote such files."""
    stored = parse_hash(hash_bcrypt("x" * 72, cost=4))

    assert stored.verify(b"x" * 72)
    assert stored.verify(b"x" * 100)
    assert not stored.verify(b"x" * 71)


def test_nobody_gets_a_hash_of_half_a_password() -> None:
    """A new bcrypt hash of more than 72 bytes is refused with advice."""
    with pytest.raises(ValueError, match="use argon2"):
        hash_bcrypt("\u00e4" * 37)


def test_argon2_hashes_are_argon2id_and_take_any_length() -> None:
    """The new argon2 hash is of the recommended kind and distinguishes long passwords."""
    hashed = hash_argon2("x" * 100, time_cost=1)

    assert hashed.startswith("$argon2id$")
    assert parse_hash(hashed).verify(b"x" * 100)
    assert not parse_hash(hashed).verify(b"x" * 99)


@pytest.mark.parametrize("cost", [-1, 3, 17, 31])
def test_bcrypt_costs_out_of_bounds_are_refused(cost: int) -> None:
    """A cost that is useless or would take days is refused."""
    with pytest.raises(ValueError, match="4 to 16"):
        hash_bcrypt("x", cost=cost)


@pytest.mark.parametrize("cost", [-1, 0, 65])
def test_argon2_costs_out_of_bounds_are_refused(cost: int) -> None:
    """The same for argon2."""
    with pytest.raises(ValueError, match="1 to 64"):
        hash_argon2("x", time_cost=cost)


@pytest.mark.parametrize(
    ("hashed", "reason"),
    [
        ("secret", "plain text"),
        ("", "plain text"),
        ("rqXexS6ZhobKA", "crypt"),
        ("$apr1$abc$def", "MD5"),
        ("$1$abc$def", "MD5"),
        ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1"),
        ("$5$rounds=5000$x$y", "SHA-256"),
        ("$6$x$y", "SHA-512"),
        (BCRYPT.replace("$2b$", "$2x$"), "2x"),
        (BCRYPT[:-1], "cut off"),
        (BCRYPT + "a", "cut off"),
        (BCRYPT[:-1] + "z", "cut off"),
        ("$2b$04$" + "a" * 53, "cut off"),
        (BCRYPT.replace("$04$", "$31$"), "cost is 31"),
        (BCRYPT.replace("$04$", "$03$"), "cost is 3"),
        ("$argon2x$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "kind of argon2"),
        ("$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g", "cut off"),
        ("$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$!!!!", "cut off"),
        ("$argon2id$v=19$m=8,t=x,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "cut off"),
        ("$argon2id$v=19$m=99999999,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "memory"),
        ("$argon2id$v=19$m=8,t=65,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g", "time cost"),
    ],
    ids=map(str, itertools.count()),  # the hashes are others in every process
)
def test_other_hashes_are_refused(hashed: str, reason: str) -> None:
    """Unsafe, damaged and absurdly slow hashes are refused with the reason, never with the hash."""
    with pytest.raises(HashRefusedError) as caught:
        parse_hash(hashed)

    assert reason in str(caught.value)
    assert len(hashed) < 20 or hashed not in str(caught.value)
