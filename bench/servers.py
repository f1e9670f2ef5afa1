# SPDX-License-Identifier: Apache-2.0
"""Measures what may run our application: ours, granian, uvicorn, and nginx as the limit.

Every candidate serves the same tiny ASGI application in one process. A figure is
requests or megabytes a second and, steadier on a shared machine, the CPU seconds that the server's
whole process tree spent on a request or a gigabyte. Candidates take turns inside each round, the
median of the rounds counts; one that is not installed is left out. Nothing of the registry itself
is measured here: that is what the other benchmarks do.

    python bench/servers.py [--rounds 3] [--megabytes 256] [--only ours,nginx] [--work small,upload]
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent


# -- the candidates ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bench:
    """Where the measured servers find their files."""

    folder: Path
    certificate: Path
    key: Path
    file: Path

    @property
    def environment(self) -> dict[str, str]:
        ours = {"BENCH_FILE": str(self.file), "BENCH_UPLOAD": str(self.folder / "upload")}
        return {
            **os.environ,
            **ours,
            "PYTHONPATH": f"{HERE.parent}{os.pathsep}{HERE.parent / 'src'}",
        }


def _ours(bench: Bench, port: int, *, tls: bool) -> list[str]:
    extra = [str(bench.certificate), str(bench.key)] if tls else []
    return [sys.executable, str(HERE / "servers.py"), "--serve", str(port), *extra]


def _granian(bench: Bench, port: int, *, tls: bool) -> list[str]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws", "--http", "1"]
    command += ["--loop", "uvloop", "--host", "127.0.0.1", "--port", str(port), "--no-log"]
    if tls:
        command += ["--ssl-certificate", str(bench.certificate), "--ssl-keyfile", str(bench.key)]
    return [*command, "bench.server_application:app"]


def _uvicorn(bench: Bench, port: int, *, tls: bool) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "--http", "httptools", "--loop", "uvloop"]
    command += [
        "--ws",
        "none",
        "--no-access-log",
        "--no-proxy-headers",
        "--log-level",
        "error",
        "--port",
        str(port),
    ]
    if tls:
        command += ["--ssl-certfile", str(bench.certificate), "--ssl-keyfile", str(bench.key)]
    return [*command, "bench.server_application:app"]


def _uvicorn_aiofastnet(bench: Bench, port: int, *, tls: bool) -> list[str]:
    command = _uvicorn(bench, port, tls=tls)
    command[command.index("uvloop")] = "bench.server_application:fast_loop"
    return command


def _nginx(bench: Bench, port: int, *, tls: bool) -> list[str]:
    listen = f"127.0.0.1:{port} ssl" if tls else f"127.0.0.1:{port}"
    configuration = bench.folder / f"nginx-{port}.conf"
    configuration.write_text(
        f"""daemon off; worker_processes 1; pid {bench.folder}/nginx-{port}.pid;
        error_log {bench.folder}/nginx.log; events {{ worker_connections 512; }}
        http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
        client_max_body_size 0; client_body_buffer_size 256k; output_buffers 2 256k;
        client_body_temp_path {bench.folder}/body; ssl_certificate {bench.certificate};
        ssl_certificate_key {bench.key}; ssl_buffer_size 16k;
        server {{ listen {listen}; root {bench.folder};
        location = /small {{ default_type application/json; return 200 "{"x" * 500}"; }}
        location = /file {{ try_files /blob =404; }} location = /pieces {{ try_files /blob =404; }}
        location = /upload {{ dav_methods PUT; }} }} }}"""
    )
    return ["nginx", "-c", str(configuration)]


def _available(name: str) -> bool:
    if name.startswith("nginx"):
        return shutil.which("nginx") is not None
    return all(importlib.util.find_spec(part) for part in name.split("+") if part != "ours")


CANDIDATES: dict[str, Callable[..., list[str]]] = {
    "ours": _ours,
    "granian": _granian,
    "uvicorn": _uvicorn,
    "uvicorn+aiofastnet": _uvicorn_aiofastnet,
    "nginx (no hashing)": _nginx,
}


def _serve_ours(port: int, certificate: str | None, key: str | None) -> int:
    from bench.server_application import application
    from moorage.server import ServerOptions, TLSOptions, serve

    tls = TLSOptions(certificate=Path(certificate), key=Path(key)) if certificate and key else None
    return serve(application, ServerOptions(host="127.0.0.1", port=port, tls=tls))


# -- the clients ---------------------------------------------------------------


def _connect(port: int, *, tls: bool) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return plain
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname="localhost")


def _small(port: int, *, tls: bool, megabytes: int) -> float:
    """Requests answered: wrk with one thread and sixteen connections."""
    del megabytes
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}/small"
    result = subprocess.run(
        ["wrk", "-t1", "-c16", "-d3", url], capture_output=True, text=True, check=True
    )
    found = re.search(r"(\d+) requests in", result.stdout)
    if found is None or "Non-2xx" in result.stdout:
        raise RuntimeError(result.stdout)
    return float(found[1])


def _put(port: int, *, tls: bool, megabytes: int, chunked: bool) -> float:
    piece = b"\xa5" * (1 << 20)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {megabytes << 20}"
    with _connect(port, tls=tls) as connection:
        connection.sendall(f"PUT /upload HTTP/1.1\r\nHost: bench\r\n{framing}\r\n\r\n".encode())
        if chunked:  # 32 KiB chunks: what clients written in Go send
            piece = (b"8000\r\n" + piece[:32768] + b"\r\n") * 32
        for _ in range(megabytes):
            connection.sendall(piece)
        if chunked:
            connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(65536)
        if not answer.startswith((b"HTTP/1.1 201", b"HTTP/1.1 204")):
            raise RuntimeError(answer.decode("latin-1"))
    return float(megabytes)


def _upload(port: int, *, tls: bool, megabytes: int) -> float:
    return _put(port, tls=tls, megabytes=megabytes, chunked=False)


def _chunked(port: int, *, tls: bool, megabytes: int) -> float:
    return _put(port, tls=tls, megabytes=megabytes, chunked=True)


def _get(path: str, port: int, *, tls: bool, megabytes: int) -> float:
    buffer = bytearray(1 << 20)
    with _connect(port, tls=tls) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        got = 0
        while got < megabytes << 20:
            count = connection.recv_into(buffer)
            if count == 0:
                raise RuntimeError(f"the body ended after {got} bytes")
            got += count
    return float(megabytes)


def _pieces_down(port: int, *, tls: bool, megabytes: int) -> float:
    return _get("/pieces", port, tls=tls, megabytes=megabytes)


def _file_down(port: int, *, tls: bool, megabytes: int) -> float:
    return _get("/file", port, tls=tls, megabytes=megabytes)


WORK: dict[str, Callable[..., float]] = {
    "small": _small,
    "upload": _upload,
    "chunked": _chunked,
    "pieces": _pieces_down,
    "file": _file_down,
}


# -- measuring -----------------------------------------------------------------


def _tree(root: int) -> Iterator[int]:
    yield root
    for task in Path(f"/proc/{root}/task").iterdir():
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def cpu_seconds(root: int) -> float:
    """User and system time of a process, its threads and its living descendants."""
    ticks = 0
    for process in _tree(root):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _running(command: list[str], bench: Bench, port: int) -> Iterator[int]:
    process = subprocess.Popen(
        command,
        env=bench.environment,
        cwd=HERE.parent,
        stdout=subprocess.DEVNULL,
        stderr=None if "--serve" in command else subprocess.DEVNULL,  # others report our probes
    )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _measure(
    name: str, work: str, bench: Bench, *, tls: bool, megabytes: int
) -> tuple[float, float]:
    """Work a second, and CPU a piece of work (microseconds a request, seconds a gigabyte)."""
    port = _free_port()
    with _running(CANDIDATES[name](bench, port, tls=tls), bench, port) as process:
        WORK[work](port, tls=tls, megabytes=megabytes)
        before, started = cpu_seconds(process), time.perf_counter()
        done = sum(
            WORK[work](port, tls=tls, megabytes=megabytes) for _ in range(1 + (work != "small"))
        )
        elapsed, spent = time.perf_counter() - started, cpu_seconds(process) - before
    return done / elapsed, spent / done * (1e6 if work == "small" else 1024)


def _prepare(folder: Path, megabytes: int) -> Bench:
    bench = Bench(folder, folder / "cert.pem", folder / "key.pem", folder / "blob")
    (folder / "body").mkdir()
    folder.chmod(0o777)
    (folder / "body").chmod(0o777)
    bench.file.write_bytes(os.urandom(1 << 20) * megabytes)
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    request += ["-keyout", str(bench.key), "-out", str(bench.certificate)]
    subprocess.run(request, check=True, capture_output=True)
    return bench


def _table(figures: dict[tuple[str, str, bool], list[tuple[float, float] | None]]) -> str:
    lines = ["| work | server | per second | CPU each |", "|---|---|---:|---:|"]
    for (work, name, tls), rounds in figures.items():
        tail = ", TLS" if tls else ""
        whole = [figure for figure in rounds if figure is not None]
        if len(whole) < len(rounds):
            # a median of the rounds that went well would hide that others did not
            failed = len(rounds) - len(whole)
            lines.append(f"| {work}{tail} | {name} | failed in {failed} of {len(rounds)} | |")
            continue
        rate = statistics.median(rate for rate, _ in whole)
        cost = statistics.median(cost for _, cost in whole)
        unit = ("requests", "µs") if work == "small" else ("MB", "s/GB")
        number = f"{cost:.1f}" if work == "small" else f"{cost:.2f}"
        lines.append(f"| {work}{tail} | {name} | {rate:,.0f} {unit[0]} | {number} {unit[1]} |")
    return "\n".join(lines)


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--only")
    parser.add_argument("--work", default=",".join(WORK))
    parser.add_argument("--transport", choices=["both", "plain", "tls"], default="both")
    parser.add_argument("--serve", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        port, certificate, key = (*given.serve, None, None)[:3]
        return _serve_ours(int(port), certificate, key)
    chosen = given.only.split(",") if given.only else [name.split()[0] for name in CANDIDATES]
    encrypted = {"both": [False, True], "plain": [False], "tls": [True]}[given.transport]
    names = [name for name in CANDIDATES if name.split()[0] in chosen and _available(name)]
    plan = [
        (work, name, tls)
        for _ in range(given.rounds)
        for tls in encrypted
        for work in given.work.split(",")
        for name in names
    ]
    figures: dict[tuple[str, str, bool], list[tuple[float, float] | None]] = {}
    folder = Path(tempfile.mkdtemp(prefix="servers-"))
    try:
        bench = _prepare(folder, given.megabytes)
        for work, name, tls in plan:
            try:
                figure = _measure(name, work, bench, tls=tls, megabytes=given.megabytes)
            except (
                OSError,
                RuntimeError,
                subprocess.SubprocessError,
            ):  # it hung up, hung, or answered something else
                figure = None
            figures.setdefault((work, name, tls), []).append(figure)
    finally:
        shutil.rmtree(folder)
    print(_table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
