# Every target first makes .venv and installs what is missing; nothing else is needed than Python 3.11+.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test unit lint format bench bench-release bench-faults bench-soak bench-cache bench-overhead up clean

install: $(STAMP)

$(STAMP): pyproject.toml
	@echo "Installing into $(VENV) (the first time takes some minutes: torch alone is 4.7 GB)"
	@$(PYTHON) -c 'import sys; sys.exit("ModelMesh needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[torch,dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/modelmesh demo

test: $(STAMP)
	@$(BIN)/python -m pytest
	@$(BIN)/python -m pytest tests/integration --database postgresql

unit: $(STAMP)
	@$(BIN)/python -m pytest tests/unit

# mypy wants a folder named like the package; the root is the package, so it gets one by a link.
lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p .build && ln -sfn .. .build/modelmesh
	@MYPYPATH=.build $(BIN)/mypy -p modelmesh
	@$(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks pipeline

bench-release: $(STAMP)
	@$(BIN)/python -m benchmarks releases $(PARTS)

bench-faults: $(STAMP)
	@$(BIN)/python -m benchmarks faults $(PARTS)

bench-soak: $(STAMP)
	@$(BIN)/python -m benchmarks soak

bench-cache: $(STAMP)
	@$(BIN)/python -m benchmarks cache

bench-overhead: $(STAMP)
	@$(BIN)/python -m benchmarks overhead

up: $(STAMP)
	@$(BIN)/modelmesh up

clean:
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache
