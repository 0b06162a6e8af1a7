"""The memory of the machine or container, and the default memory limit of models."""

import os

from modelmesh.schemas import machine
from modelmesh.schemas.settings import Settings

WHOLE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
GIB = 1024**3


def test_a_containers_limit_counts_if_it_is_lower(tmp_path, monkeypatch):
    for name, text in (("small", f"{GIB}\n"), ("none", "max\n"), ("old", str(2**63 - 4096))):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_LIMITS", (tmp_path / "none", tmp_path / "old", tmp_path / "missing"))
    assert machine.memory_bytes() == WHOLE
    monkeypatch.setattr(machine, "_LIMITS", (tmp_path / "small",))
    assert machine.memory_bytes() == min(GIB, WHOLE)


def test_by_default_models_have_half_of_the_memory(monkeypatch):
    for memory, share in ((64 * GIB, 32 * GIB), (16 * GIB, 8 * GIB), (2 * GIB, 4 * GIB)):
        monkeypatch.setattr("modelmesh.schemas.settings.models.memory_bytes", lambda memory=memory: memory)
        assert Settings().model_memory_bytes == share
    assert Settings(model_memory_bytes=5).model_memory_bytes == 5
