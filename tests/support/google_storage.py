# SPDX-License-Identifier: Apache-2.0
"""Google Cloud Storage for the tests: a front that speaks its XML API, a server of S3 behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from obstore.store import GCSStore

from tests.support.google_front import GoogleFront, S3Keys, ServiceAccount
from tests.support.object_proxy import ObjectProxy
from tests.support.object_servers import ACCESS_KEY, REGION, SECRET_KEY, ObjectServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.object_servers import S3Server, Section


class GoogleStorage(ObjectServer):
    """Google's XML API, told by a front of ours from what a server of S3 does."""

    kind = "gcs"

    def __init__(self, behind: S3Server) -> None:
        super().__init__(behind.folder, behind.program)
        self.behind = behind
        self.durable = behind.durable
        self.account = ServiceAccount()
        keys = S3Keys(ACCESS_KEY, SECRET_KEY, REGION)
        self.front = ObjectProxy(behind, GoogleFront(self.account, keys))
        self.port = self.front.port

    @property
    def name(self) -> str:
        return f"{self.behind.name} behind Google's XML API (tests/support/google_front.py)"

    def start(self) -> Self:
        self.behind.start()
        self.front.start()
        return self

    def kill(self) -> None:
        self.behind.kill()

    def restart(self) -> None:
        self.behind.restart()

    def stop(self) -> None:
        self.front.stop()
        self.behind.stop()

    def command(self) -> Sequence[str]:
        return self.behind.command()

    def create(self, bucket: str) -> None:
        self.behind.create(bucket)

    def section(self, bucket: str, endpoint: str) -> Section:
        keyfile = self.folder / "account.json"
        keyfile.write_text(self.account.file)
        return {"gcs": {"bucket": bucket, "keyfile": str(keyfile), "endpoint": endpoint}}

    def client(self, bucket: str) -> GCSStore:
        return GCSStore(
            bucket,
            service_account_key=self.account.file,
            base_url=self.endpoint,
            client_options={"allow_http": True},
        )
