# SPDX-License-Identifier: Apache-2.0
"""Several replicas of one registry behind a balancer: same configuration, same ground, no leader.

What a replica keeps for itself is its port and its log. What they share, the database and the
store, is the `Ground`, which must be there before them and outlives every one of them.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.support.balancer import Balancer
from tests.support.registry import MOORAGE, START_SECONDS, RunningRegistry, merge
from tests.support.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.support.object_proxy import ObjectProxy
    from tests.support.postgres import PostgresServer

REPLICAS = 3
# Shorter than what tests wait for anything, longer than any request of theirs.
DRAIN = "20s"
SECRET = "the same on every replica, and long enough"


@dataclass(frozen=True, slots=True)
class Ground:
    """What replicas share, as settings: `storage` and `database`, nothing else.

    The servers behind it are there to be made to fail, where there are any.
    """

    name: str
    settings: Mapping[str, object]
    database: PostgresServer | None = None
    store: ObjectProxy | None = None


class Replica(RunningRegistry):
    """One process; its configuration names no folder that the ground does not name."""

    def write_config(self) -> Path:
        """Write the configuration file and return its path."""
        path = self.folder / "config.yml"
        path.write_text(json.dumps({"version": 0.1, **self.config}))
        return path

    def start(self) -> Replica:
        """Start the process and wait for its first answer."""
        super().start()
        assert self.process is not None
        # It listens before it has opened its database, and may end over that.
        try:
            with Wire(f"http://{self.host}") as wire:
                wire.get("/v2/")
        except OSError:
            code = self.process.wait(START_SECONDS)
            raise RuntimeError(f"the replica ended with {code}:\n{self.log}") from None
        return self


@dataclass
class Cluster:
    """The replicas and their balancer; `config` is merged over the ground's settings."""

    folder: Path
    ground: Ground
    config: Mapping[str, object] = field(default_factory=dict)
    size: int = REPLICAS
    program: Sequence[str] = MOORAGE
    secret: str | None = SECRET

    def __post_init__(self) -> None:
        common: dict[str, object] = {
            **self.ground.settings,
            "http": {"draintimeout": DRAIN, **({"secret": self.secret} if self.secret else {})},
            "log": {"accesslog": {"disabled": True}},
        }
        common = merge(common, self.config)
        self.replicas = [
            Replica(self.folder / f"replica-{number}", common, self.program)
            for number in range(self.size)
        ]
        for replica in self.replicas:
            replica.config = merge(common, {"http": {"addr": replica.host}})
        self.balancer = Balancer([replica.port for replica in self.replicas])

    @property
    def host(self) -> str:
        """The balancer's address, as an image reference begins."""
        return self.balancer.host

    @property
    def port(self) -> int:
        """The balancer's port."""
        return self.balancer.port

    @property
    def urls(self) -> tuple[str, ...]:
        """The replicas' own addresses."""
        return tuple(f"http://{replica.host}" for replica in self.replicas)

    @property
    def logs(self) -> str:
        """Everything that all replicas have printed."""
        return "\n".join(replica.log for replica in self.replicas)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for replica in self.replicas:
                stack.callback(replica.__exit__)
            at_once = list(self.replicas)
            if self.ground.database is None:
                at_once.pop(0).start()
            with ThreadPoolExecutor(self.size) as pool:
                list(pool.map(Replica.start, at_once))
            stack.enter_context(self.balancer)
            self._running = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
