"""A whole cluster on this machine: the real processes, on loopback."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from html import escape
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from paramo.errors import FailedPrecondition, NotFound, Unavailable

_READY_WITHIN = 90.0  # seconds; 16 servers start within 3 on two busy cores
_STOP_WITHIN = 30.0   # servers write their dirty rows when they stop

# Write ends of pipes that the clusters of this process live by. A forked child
# must not hold them: it would keep the cluster alive when its parent has died.
_lifelines: set[int] = set()


def binary(name: str) -> str:
    """The path of one of Paramo's programs: in $PARAMO_BIN, in this package,
    or on PATH.

    Raises:
        NotFound: with where it was looked for.
    """
    folders = [os.environ.get("PARAMO_BIN", ""),
               str(Path(__file__).parent / "bin")]
    for folder in folders:
        path = os.path.join(folder, name)
        if folder and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is None:
        raise NotFound(
            f"the program {name} is neither in $PARAMO_BIN nor in this package "
            "nor on PATH", action="start a local cluster",
            hint="build it (`deploy/test` does), and set PARAMO_BIN to "
            "build/release/bin")
    return found


class LocalCluster:
    """A coordinator and servers as child processes, by `paramo dev`. They end
    with `close()`, and when this process ends in whatever way.

    As context manager: `with paramo.LocalCluster(servers=3) as local`, then
    `paramo.connect(local)`. For pytest there is the fixture `paramo_cluster`.

    Args:
        servers: 1 to 64. From two on every row is on two of them, and the
            cluster outlives one: at the cost of the machine it shares.
        replicas: of every shard; 0: two, or one on one server.
        shards: a power of two; 0: eight, or as many as give every server one.
            Each shard that a call touches costs some microseconds; a cluster
            that is to grow needs more of them, a local one does not.
        directory: keeps data and logs there; otherwise they go with it.
    """

    def __init__(self, servers: int = 1, *, replicas: int = 0, shards: int = 0,
                 directory: str | os.PathLike[str] | None = None) -> None:
        if shards == 0:
            shards = max(8, 1 << (servers - 1).bit_length())
        self._args = ["--servers", str(servers), "--replicas", str(replicas),
                      "--shards", str(shards)]
        if directory is not None:
            self._args += ["--dir", os.fspath(directory)]
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self._owner = 0
        self.address = ""
        # name, pid and address of each process: "coordinator", "server-1", ...
        self.processes: list[dict[str, Any]] = []

    @property
    def running(self) -> bool:
        return self._process is not None

    def start(self) -> LocalCluster:
        """Returns once every server is up; nothing if it was started before.

        Raises:
            NotFound: the programs are missing.
            FailedPrecondition, Unavailable: it does not start, and why.
        """
        if self._process is not None:
            return self
        command = [binary("paramo"), "dev", "--output", "json"]
        read, self._lifeline = os.pipe()
        _lifelines.add(self._lifeline)
        self._owner = os.getpid()
        with tempfile.TemporaryFile() as complaints:
            try:
                # A session of its own: Ctrl-C is for us, who then stop it.
                self._process = subprocess.Popen(
                    command + self._args + ["--parent-fd", str(read)],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=complaints, pass_fds=(read,),
                    start_new_session=True)
                os.close(read)
                self._wait_until_up(complaints)
            except BaseException:
                self.close()
                raise
        return self

    def close(self) -> None:
        """Stops the servers, then the coordinator; their data goes, unless it
        has a directory of its own."""
        if self._owner != os.getpid():
            return  # a fork: it is the parent's
        process, self._process = self._process, None
        if self._lifeline >= 0:
            _lifelines.discard(self._lifeline)
            os.close(self._lifeline)
            self._lifeline = -1
        if process is None:
            return
        if process.stdout is not None:
            process.stdout.close()
        try:
            process.wait(_STOP_WITHIN)
        except BaseException:
            process.kill()  # the children and the files are its janitor's
            process.wait()
            raise

    def __enter__(self) -> LocalCluster:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None,
                 error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if self._process is not None:  # else: perhaps at the interpreter's end
            self.close()

    def __repr__(self) -> str:
        if not self.running:
            return "<paramo.LocalCluster: not running>"
        return (f"<paramo.LocalCluster {self.address}: "
                f"{len(self.processes) - 1} servers>")

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(one['process'])}</td><td>{one['pid']}</td>"
            f"<td>{escape(one['address'])}</td></tr>" for one in self.processes)
        return (f"<table><caption>{escape(repr(self))}</caption>{rows}</table>")

    def _wait_until_up(self, complaints: IO[bytes]) -> None:
        assert self._process is not None and self._process.stdout is not None
        line = b""
        deadline = time.monotonic() + _READY_WITHIN
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(
                    f"the cluster is not up after {_READY_WITHIN:.0f} s",
                    action="start a local cluster",
                    hint="look for what else keeps this machine busy")
            if not select.select([self._process.stdout], [], [], left)[0]:
                continue
            more = os.read(self._process.stdout.fileno(), 65536)
            if not more:
                self._process.wait()
                complaints.seek(0)
                raise FailedPrecondition(
                    "the cluster did not start: "
                    + complaints.read().decode(errors="replace").strip(),
                    action="start a local cluster",
                    hint="mend what the message names")
            line += more
        up = json.loads(line)
        self.address = up["address"]
        self.processes = up["processes"]


def _let_go() -> None:
    for fd in _lifelines:
        os.close(fd)
    _lifelines.clear()


os.register_at_fork(after_in_child=_let_go)
