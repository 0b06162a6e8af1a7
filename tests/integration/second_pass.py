"""Which tests run a second time, with PostgreSQL and Redis instead of SQLite and the process's own memory.

Predictions need no database (import-linter checks that), so most tests would only run the same code again.
"""

import inspect

MARK = "both_databases"
SERVERS = {"postgres", "redis_server", "database_url"}
SETTINGS = ("mesh.settings.database", "mesh.settings.redis", 'getfixturevalue("postgres")')


def is_marked(item):
    """Whether a test runs in the second pass."""
    return item.get_closest_marker(MARK) is not None


def forgotten(items):
    """Return the names of tests and modules that use the mesh's database or Redis, and are not marked.

    A test that starts no mesh and uses a server by itself has it in the first pass already.
    """
    found = [
        item.nodeid
        for item in items
        if "mesh" in item.fixturenames and SERVERS & set(item.fixturenames) and not is_marked(item)
    ]
    modules = {item.module: [] for item in items}
    for item in items:
        modules[item.module].append(item)
    for module, tests in modules.items():
        source = inspect.getsource(module)
        if any(setting in source for setting in SETTINGS) and not any(map(is_marked, tests)):
            found.append(module.__name__)
    return found


def split(items):
    """Return the tests of the second pass, and the others."""
    return [item for item in items if is_marked(item)], [item for item in items if not is_marked(item)]
