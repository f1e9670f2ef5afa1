# SPDX-License-Identifier: Apache-2.0
"""A part of a file as (a piece of) a response's body: `http.response.zerocopysend`.

On a plain connection the kernel moves the pages from its cache to the socket (sendfile); over TLS
they must pass through this process to be encrypted. The event loop never waits for a disk: before
each step the kernel is asked whether the pages are in memory, and when they are not, that one step
is done in a thread. Handing every step to a thread would double the cost of the usual case, a blob
that was pushed or pulled a moment ago.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from moorage.server.asgi import ClientGoneError, Message

if TYPE_CHECKING:
    from moorage.server.wire import Wire

_SMALL_BYTES: Final = 16 * 1024
"""Up to here one read, and one write together with the head. Up to 64 KiB no difference to sendfile
could be measured with certainty; at 256 KiB sendfile needs less than half the CPU."""

_STEP_BYTES: Final = 1024 * 1024
"""Asked of sendfile at once, then others get their turn (nginx: sendfile_max_chunk 2 MiB)."""

_PIECE_BYTES: Final = 256 * 1024
"""Read and encrypted at once."""

_NOWAIT: Final = getattr(os, "RWF_NOWAIT", 0)


class FileTruncatedError(Exception):
    """The file has fewer bytes than were to be sent."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """`count` bytes from `offset` of an open file."""

    fileno: int
    offset: int
    count: int

    @classmethod
    def of(cls, message: Message) -> FilePart:
        """What the message means; by default, as in ASGI, from the file's position to its end."""
        file = message["file"]
        fileno: int = file if isinstance(file, int) else file.fileno()
        offset = message.get("offset")
        start: int = os.lseek(fileno, 0, os.SEEK_CUR) if offset is None else offset
        count = message.get("count")
        return cls(fileno, start, os.fstat(fileno).st_size - start if count is None else count)


async def send_file(wire: Wire, before: bytes, part: FilePart) -> None:
    """Sends `before` and then the part."""
    if part.count <= _SMALL_BYTES:
        buffer = bytearray(len(before) + part.count)
        buffer[: len(before)] = before
        await _fill(memoryview(buffer)[len(before) :], part.fileno, part.offset)
        await wire.write(memoryview(buffer))
    elif wire.channel.encrypted:
        await wire.write(before)
        await _send_pieces(wire, part)
    else:
        await _send_head(wire, before)
        await _send_by_kernel(wire, part)


async def _send_head(wire: Wire, before: bytes) -> None:
    """MSG_MORE: the head waits for the first bytes of the file and shares their packet."""
    try:
        sent = wire.channel.socket.send(before, socket.MSG_MORE)
    except BlockingIOError:
        sent = 0
    except OSError:
        wire.close()
        raise ClientGoneError from None
    if sent < len(before):
        await wire.write(before[sent:])


async def _send_by_kernel(wire: Wire, part: FilePart) -> None:
    target = wire.channel.socket.fileno()
    offset, stop = part.offset, part.offset + part.count
    while offset < stop:
        if wire.closed:
            raise ClientGoneError  # the socket's number may already belong to somebody else
        step = min(_STEP_BYTES, stop - offset)
        try:
            if _in_memory(part.fileno, offset + step - 1):
                sent = os.sendfile(target, part.fileno, offset, step)
            else:
                sent = await _sendfile_in_thread(target, part.fileno, offset, step)
        except BlockingIOError:
            await wire.wait_for_room()
            continue
        except OSError as error:
            wire.close()
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ETIMEDOUT):
                raise ClientGoneError from None
            raise
        if not sent:
            raise FileTruncatedError(f"the file ended {stop - offset} bytes early")
        offset += sent
        await wire.take_writing_turn(sent)


async def _sendfile_in_thread(target: int, source: int, offset: int, count: int) -> int:
    """Works on duplicates: the numbers may be closed and given away while the thread waits."""
    own_target, own_source = os.dup(target), os.dup(source)

    def step() -> int:
        try:
            return os.sendfile(own_target, own_source, offset, count)
        finally:
            os.close(own_target)
            os.close(own_source)

    return await asyncio.to_thread(step)


async def _send_pieces(wire: Wire, part: FilePart) -> None:
    buffer = memoryview(bytearray(min(_PIECE_BYTES, part.count)))
    offset, stop = part.offset, part.offset + part.count
    while offset < stop:
        piece = buffer[: stop - offset]
        await _fill(piece, part.fileno, offset)
        await wire.write(piece)
        offset += len(piece)


async def _fill(buffer: memoryview, fileno: int, offset: int) -> None:
    """Reads exactly the buffer's size, in a thread where the disk has to be asked."""
    filled = 0
    while filled < len(buffer):
        try:
            count = os.preadv(fileno, [buffer[filled:]], offset + filled, _NOWAIT)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            count = await asyncio.to_thread(os.preadv, fileno, [buffer[filled:]], offset + filled)
        if not count:
            raise FileTruncatedError(f"the file ended {len(buffer) - filled} bytes early")
        filled += count


def _in_memory(fileno: int, position: int) -> bool:
    """Whether that byte can be had without the disk; True where the kernel cannot tell."""
    try:
        os.preadv(fileno, [bytearray(1)], position, _NOWAIT)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
    return True
