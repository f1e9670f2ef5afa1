# SPDX-License-Identifier: Apache-2.0
"""Where lines go, and when."""

from __future__ import annotations

import asyncio
import io
import threading

from moorage.observe.writer import MAX_BUFFERED_BYTES, LineWriter


class FullDisk(io.BytesIO):
    """A stream that fails until there is room again."""

    is_full = True

    def write(self, data: object) -> int:
        """Write, or fail as a full disk does."""
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


class SignalingStream(io.BytesIO):
    """A stream that says when it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()

    def flush(self) -> None:
        """Tell whoever waits."""
        self.written.set()


def test_lines_are_written_at_once_without_a_loop() -> None:
    """A program without an event loop has nobody to flush later."""
    stream = io.BytesIO()
    LineWriter(stream).write_soon(b"a\n")

    assert stream.getvalue() == b"a\n"


def test_lines_wait_for_others_but_not_long() -> None:
    """In a loop lines are gathered, and a timer of that loop writes them."""
    stream = SignalingStream()
    writer = LineWriter(stream)

    async def write() -> bytes:
        writer.write_soon(b"a\n")
        writer.write_soon(b"b\n")
        before = stream.getvalue()
        await stream.written.wait()
        return before

    assert asyncio.run(write()) == b""
    assert stream.getvalue() == b"a\nb\n"


def test_a_loop_that_ended_is_not_waited_for() -> None:
    """Lines that waited for a loop which is over are written with the next ones."""
    stream = io.BytesIO()
    writer = LineWriter(stream)

    async def write(line: bytes) -> None:
        writer.write_soon(line)

    asyncio.run(write(b"a\n"))
    asyncio.run(write(b"b\n"))
    writer.flush()

    assert stream.getvalue() == b"a\nb\n"


def test_urgent_lines_keep_the_order() -> None:
    """A line that is written at once comes after those that waited before it."""
    stream = io.BytesIO()
    writer = LineWriter(stream)

    async def write() -> None:
        writer.write_soon(b"a\n")
        writer.write(b"b\n")

    asyncio.run(write())
    assert stream.getvalue() == b"a\nb\n"


def test_the_buffer_is_bounded() -> None:
    """A flood of lines is written when the buffer is full, not a second later."""
    stream = io.BytesIO()
    writer = LineWriter(stream)

    async def write() -> int:
        for _ in range(MAX_BUFFERED_BYTES // 1000 + 1):
            writer.write_soon(b"x" * 999 + b"\n")
        return len(stream.getvalue())

    assert asyncio.run(write()) >= MAX_BUFFERED_BYTES


def test_a_full_disk_stops_nobody() -> None:
    """Lines that cannot be written are lost and counted; the next ones come through."""
    stream = FullDisk()
    writer = LineWriter(stream)
    writer.write(b"a\n")
    writer.write(b"b\n")
    stream.is_full = False
    writer.write(b"c\n")

    assert stream.getvalue() == b"2 log lines were lost\nc\n"


def test_a_closed_stream_stops_nobody() -> None:
    """Logging at the very end of a program raises nothing."""
    stream = io.BytesIO()
    stream.close()

    LineWriter(stream).write(b"a\n")


def test_threads_do_not_mix_lines() -> None:
    """Lines of several threads come out whole and complete."""
    stream = io.BytesIO()
    writer = LineWriter(stream)

    def write(letter: bytes) -> None:
        for _ in range(500):
            writer.write(letter * 50 + b"\n")

    threads = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2000
    assert all(len(line) == 50 and len(set(line)) == 1 for line in lines)
