# SPDX-License-Identifier: Apache-2.0
"""What an error of PostgreSQL means: try again, another connection, or tell whom what.

Invariant: no sentence made here holds a password, nor any part of a URL that could be one.
"""

from __future__ import annotations

import enum
import ssl
from socket import gaierror
from typing import NoReturn
from urllib.parse import urlsplit

import asyncpg

from moorage.db.migrations import SchemaTooNew
from moorage.spec.errors import InsufficientStorage, OCIError, Unavailable

_SERIALIZATION_FAILURE = "40001"
_DEADLOCK = "40P01"
_READ_ONLY = "25006"
_DISK_FULL = "53100"
_TOO_MANY_CONNECTIONS = "53300"
_CANCELED = "57014"
_LOCK_TIMEOUT = "55P03"
_FORBIDDEN = "42501"
_NO_DATABASE = "3D000"
_STARTING = "57P03"
_PROTOCOL_VIOLATION = "08P01"
_CONSTRAINTS = "23"
# Connections (08), a server that stops or starts (57P), and a session that waited too long (25P).
_LOST = ("08", "57P", "25P03", "25P04", _READ_ONLY)
_LOGIN = "28"
# The server is out of something, is stopped by somebody, or has a fault of its own.
_TROUBLED = ("53", "54", "55", "57", "58", "XX", _FORBIDDEN)

# Everything that connecting and talking raise; the driver's words for a bad URL are ValueErrors.
FAILURES = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


class Fault(enum.Enum):
    """What to do about an error."""

    CONFLICT = enum.auto()  # with another transaction: do it again
    CONSTRAINT = enum.auto()  # perhaps a conflict that showed itself in this way
    LOST = enum.auto()  # the connection is gone, or leads to a server that cannot write
    TOLD = enum.auto()  # a refusal that the client is told about
    FOREIGN = enum.auto()  # not of the database, or a fault of ours


def fault_of(error: BaseException) -> Fault:
    """The kind of the error."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return Fault.CONFLICT  # another replica has changed the schema
    if isinstance(error, asyncpg.PostgresError):
        # After one of these the server has closed the connection, in the middle of whatever it was.
        is_last = getattr(error, "severity_en", None) in ("FATAL", "PANIC")
        return Fault.LOST if is_last else _fault_of_state(error.sqlstate or "")
    if isinstance(error, asyncpg.InterfaceError):
        # It also says when the driver was misused, which is a fault of ours.
        return Fault.LOST if "closed" in str(error) else Fault.FOREIGN
    if isinstance(error, asyncpg.InternalClientError | ConnectionError):
        return Fault.LOST
    return Fault.TOLD if isinstance(error, TimeoutError) else Fault.FOREIGN


def _fault_of_state(state: str) -> Fault:
    if state in (_SERIALIZATION_FAILURE, _DEADLOCK):
        return Fault.CONFLICT
    if state.startswith(_CONSTRAINTS):
        return Fault.CONSTRAINT
    if state.startswith(_LOST):
        return Fault.LOST
    return Fault.TOLD if state.startswith(_TROUBLED) else Fault.FOREIGN


def refusal(error: BaseException) -> OCIError:
    """What a client is told about an error that is `TOLD`."""
    if isinstance(error, TimeoutError):
        return Unavailable("PostgreSQL did not answer within database.postgres.statementtimeout")
    state = _state(error)
    if state == _DISK_FULL:
        return InsufficientStorage("the disk that holds the database is full")
    if state == _CANCELED:
        return Unavailable(
            "a statement was canceled, which took longer than database.postgres.statementtimeout"
        )
    if state == _LOCK_TIMEOUT:
        return Unavailable(
            "something in PostgreSQL was locked for longer than database.postgres.locktimeout"
        )
    # PostgreSQL's own words name roles and tables; they are in the log, as the cause of this.
    return Unavailable("the database cannot do this at the moment")


def raise_translated(error: BaseException) -> NoReturn:
    """Raise the refusal that the error stands for, or the error itself."""
    if fault_of(error) is Fault.TOLD:
        raise refusal(error) from error
    raise error


def may_pass(error: BaseException) -> bool:
    """Whether connecting can succeed in a moment, when a server has started or others have left."""
    state = _state(error)
    if is_pooler(error):
        return False
    if state:
        return state in (_TOO_MANY_CONNECTIONS, _STARTING) or state.startswith(_LOST)
    if isinstance(error, asyncpg.ClientConfigurationError | ssl.SSLCertVerificationError):
        return False
    # A host of several that is no primary yet, a server that died in the middle of a sentence, and
    # everything that networks do.
    passing = (OSError, TimeoutError, asyncpg.TargetServerAttributeNotMatched)
    return isinstance(error, (*passing, asyncpg.InternalClientError))


def unusable(url: str, error: BaseException) -> Unavailable:
    """How to tell the operator that there is no connection, or no use in one."""
    return Unavailable(f"{described(url)} cannot be used: {_reason(error)}")


def described(url: str) -> str:
    """The database by the parts of its URL that cannot hold a password."""
    name = "the PostgreSQL database"
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not match
        return name
    login, _, host = parts.netloc.rpartition("@")
    # A password with / ? or # in it that was not encoded ends what looks like the host.
    if "@" in parts.path + parts.query + parts.fragment or (not login and "@" in url):
        return name
    database = parts.path.strip("/")
    where = f"{host}/{database}" if database else host
    return f"{name} {where}" if where else name


def _reason(error: BaseException) -> str:
    if _state(error):
        return _told_reason(error)
    if isinstance(error, OCIError | SchemaTooNew):
        return str(error)
    if isinstance(error, TimeoutError):
        return "no answer within database.postgres.connecttimeout"
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "no host of database.postgres.url is a primary: a standby cannot be written"
    if isinstance(error, OSError | asyncpg.InternalClientError):
        return _network_reason(error)
    # The text may quote the URL, and with it the password.
    return (
        f"database.postgres.url or a PG* variable is not understood ({type(error).__name__}): "
        "write postgresql://user:password@host:5432/database, and @ : / ? # % of a password as "
        "%40 %3A %2F %3F %23 %25"
    )


def _network_reason(error: OSError | asyncpg.InternalClientError) -> str:
    if isinstance(error, asyncpg.InternalClientError):
        return "the connection broke while it was made: is the server restarting?"
    if isinstance(error, gaierror):
        return f"its host name is not known: {error.strerror}"
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{error.strerror or error}: is it running, and is the address right?"


def _told_reason(error: BaseException) -> str:
    state = _state(error)
    if state == _NO_DATABASE:
        return f"{error}: make it with createdb, owned by the registry's role"
    if state == _FORBIDDEN:
        return (
            f"{error}: let the registry's role own the database, or GRANT it CREATE on the schema"
        )
    if state.startswith(_LOGIN):
        return (
            f"{error}: correct the user or the password in database.postgres.url, in its "
            "passwordfile or in ~/.pgpass, or let pg_hba.conf admit them"
        )
    if is_pooler(error):
        return f"{error}: this is pgbouncer, so set database.postgres.pgbouncer"
    if state == _TOO_MANY_CONNECTIONS:
        return (
            f"{error}: lower database.postgres.poolsize (each process has its own pool), raise "
            "max_connections, or put pgbouncer in between"
        )
    return str(error)


def is_pooler(error: BaseException) -> bool:
    """Whether it is pgbouncer that has answered, to what only a server understands."""
    return _state(error) == _PROTOCOL_VIOLATION and "startup parameter" in str(error)


def _state(error: BaseException) -> str:
    return (error.sqlstate or "") if isinstance(error, asyncpg.PostgresError) else ""
