# SPDX-License-Identifier: Apache-2.0
"""How a registry ends behind a balancer: unready first, at work for a while, then gone."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.images import push_image, random_image
from tests.support.registry import RunningRegistry
from tests.support.wire import Wire

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30.0


@pytest.mark.parametrize("workers", [1, 2])
def test_unready_before_the_end(workers: int, tmp_path: Path) -> None:
    """After SIGTERM `/readyz` says 503 while pushes and pulls go on, until the delay is over."""
    config = {"http": {"draindelay": "10m", "workers": workers}}
    with RunningRegistry(tmp_path, config) as registry:
        with Wire(f"http://{registry.host}") as wire:
            assert wire.get("/readyz").status == 200
        assert registry.process is not None
        registry.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + SECONDS
        # With several workers: until all have heard it.
        unready = 0
        while unready < 20:
            assert time.monotonic() < deadline
            with Wire(f"http://{registry.host}") as wire:
                unready = unready + 1 if wire.get("/readyz").status == 503 else 0

        with Wire(f"http://{registry.host}") as wire:
            assert wire.get("/readyz").body == b"draining\n"
            assert wire.get("/healthz").status == 200
            assert push_image(wire, "demo/app", random_image(), "1").status == 201
        assert registry.process.poll() is None
