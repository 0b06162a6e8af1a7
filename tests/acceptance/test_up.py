"""What a person does: `modelmesh up` in a folder, a model from the shell, Ctrl-C, and on the same folder again."""

import asyncio
import json
import os
import signal
import sys

import joblib
import psutil
import pytest
from modelmesh.broker.embedded.server import free_port
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


class Up:
    """`modelmesh up` as a process."""

    def __init__(self, data, port):
        self.data, self.port, self.url = data, port, f"http://127.0.0.1:{port}"

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "modelmesh", "up", "--data", str(self.data), "--port", str(self.port), "--workers", "1",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"},
        )  # fmt: skip
        self.said = ""
        async with asyncio.timeout(90):
            while "ready after" not in self.said:
                line = await self.process.stdout.readline()
                assert line, f"it ended: {self.said}"
                self.said += line.decode()
        return self

    async def __aexit__(self, *error):
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
            async with asyncio.timeout(60):
                await self.process.communicate()

    def pids(self):
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]


async def modelmesh(*arguments, cwd=None):
    """Run a command; return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "modelmesh",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=cwd,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.timeout(300)
async def test_a_mesh_goes_on_where_it_was_stopped(tmp_path):
    features, labels = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(features, labels)
    joblib.dump(model, tmp_path / "iris.joblib")
    data, port = tmp_path / "data", free_port()
    row = json.dumps(features[60].tolist())
    async with Up(data, port) as up:
        code, out = await modelmesh("register", "iris", str(tmp_path / "iris.joblib"), "--url", up.url)
        assert code == 0, out
        assert "iris 1.0.0 is live" in out
        code, out = await modelmesh("predict", "iris", row, "--url", up.url)
        before = json.loads(out)
        assert before["outputs"]["label"] == model.predict(features[60:61]).tolist()
        code, out = await modelmesh("load", "iris", "--duration", "1", "--concurrency", "4", "--json", "--url", up.url)
        assert code == 0, out
        assert json.loads(out.splitlines()[-1])["errors"] == {}
        code, out = await modelmesh("status", "--data", str(data), "--json")
        status = json.loads(out)
        assert code == 0
        assert {role["role"] for role in status["roles"]} == {
            "broker",
            "control",
            "recorder",
            "router",
            "worker",
            "gateway",
        }
        code, out = await modelmesh("up", "--data", str(data), "--port", str(free_port()))
        assert code == 1
        assert "already running on" in out
        started = up.pids()
        up.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await up.process.communicate()
        assert up.process.returncode == 0
        assert not any(psutil.pid_exists(pid) for pid in started)
    async with Up(data, port) as up:
        # Ready means that it can predict: no waiting and no second registration.
        code, out = await modelmesh("predict", "iris", row, "--url", up.url)
        assert code == 0, out
        assert json.loads(out) == before
        # Its broker dies: it comes back on the same log, and so does everybody else.
        broker = next(role for role in json.loads((await modelmesh("status", "--data", str(data), "--json"))[1])["roles"]
                      if role["role"] == "broker")  # fmt: skip
        os.kill(broker["pid"], signal.SIGKILL)
        async with asyncio.timeout(90):
            while True:
                code, out = await modelmesh("predict", "iris", row, "--url", up.url)
                if code == 0 and (await modelmesh("status", "--data", str(data), "--json"))[0] == 0:
                    break
        assert json.loads(out) == before


async def test_a_port_that_is_taken_is_one_line(tmp_path):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        code, out = await modelmesh("up", "--data", str(tmp_path), "--port", str(port))
    assert code == 1
    assert f"port {port} is in use" in out
    assert "Traceback" not in out
