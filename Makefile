# Every target first creates .venv and installs what is missing; only Python 3.11+ is needed.
PYTHON ?= python3
VENV := .venv
PACKAGES := access broker cli control_plane gateway models producers recorder registry replay resilience router runtime schemas sdk stats telemetry workers deploy
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-security unit parity lint lock audit docs format bench bench-release bench-judge bench-drift bench-faults bench-soak bench-cache bench-cost bench-overhead bench-sizing bench-ways bench-dashboard bench-newcomer up parts debian-parts kustomize clean

# The versions of requirements-dev.lock, each file by its hash; `make install LOCKED=no` takes what pyproject.toml allows instead.
LOCKED ?= yes

install: $(STAMP)

$(STAMP): pyproject.toml requirements-dev.lock
	@echo "Installing into $(VENV) (the first time takes some minutes: torch alone is 4.7 GB)"
	@$(PYTHON) -c 'import sys; sys.exit("ModelMesh needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(LOCKED),yes)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
else
	@$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[local,torch,dev]'
endif
	@touch $@

demo: $(STAMP)
	@$(BIN)/modelmesh demo

test: $(STAMP)
	@$(BIN)/python -m pytest
	@$(BIN)/python -m pytest tests/integration --database postgresql

# The attacks listed in docs/security.md; part of `make test`.
test-security: $(STAMP)
	@$(BIN)/python -m pytest tests/security

unit: $(STAMP)
	@$(BIN)/python -m pytest tests/unit

# Compare every scikit-learn estimator with its served form; takes minutes. WORDS select cases by name.
parity: $(STAMP)
	@$(BIN)/python -m benchmarks parity $(WORDS)

# mypy needs a folder with the name of the package; the repository root is the package, so a link provides it.
lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@mkdir -p .build && ln -sfn .. .build/modelmesh
	@MYPYPATH=.build $(BIN)/mypy -p modelmesh
	@$(BIN)/lint-imports
	@$(BIN)/bandit -q -c pyproject.toml -r $(PACKAGES)

# The lock files for the image and for `make install`: with hashes, in the versions that are installed here and were tested.
# The newest mkdocs-material needs a newer Python than 3.11.0, so versions before 3.11.5 get another version of its dependency.
LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header --constraints .build/constraints.txt
lock: $(STAMP)
	@mkdir -p .build
	@$(BIN)/python -m pip freeze --exclude-editable | grep == | grep -v '^mkdocs-material=\|^pymdown-extensions=' > .build/constraints.txt
	@$(LOCK) --extra server --output-file requirements.lock
	@$(LOCK) --extra local --extra torch --extra dev --output-file requirements-dev.lock
	@sed -i '1i # What the image installs, each file by its hash. Made by `make lock`: the client and the extra `server`, no other.' requirements.lock
	@sed -i '1i # What `make install` installs, each file by its hash. Made by `make lock`.' requirements-dev.lock

# Asks PyPI for known vulnerabilities of what is installed; needs a network that reaches it.
audit: $(STAMP)
	@$(BIN)/pip-audit --skip-editable

format: $(STAMP)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The documentation, at .build/site.
docs: $(STAMP)
	@mkdir -p .build && ln -sfn .. .build/modelmesh
	@$(BIN)/python -m mkdocs build --strict

bench: $(STAMP)
	@$(BIN)/python -m benchmarks pipeline

bench-release: $(STAMP)
	@$(BIN)/python -m benchmarks releases $(PARTS)

# The judge over simulated summaries, no broker, alone and beside other methods: false rollbacks and time to detect. TRIALS=30 for each
# condition; ONLY="share 1 %" or ONLY=compared runs the conditions with these words again and keeps the others.
bench-judge: $(STAMP)
	@TRIALS="$(TRIALS)" ONLY="$(ONLY)" $(BIN)/python -m benchmarks judge

# The drift alarm on simulated streams, alone and beside other methods; SHARE=0.5 for half of the runs, PART=compared the second alone.
bench-drift: $(STAMP)
	@SHARE="$(SHARE)" PART="$(PART)" $(BIN)/python -m benchmarks drift

bench-faults: $(STAMP)
	@$(BIN)/python -m benchmarks faults $(PARTS)

bench-soak: $(STAMP)
	@$(BIN)/python -m benchmarks soak

bench-cache: $(STAMP)
	@$(BIN)/python -m benchmarks cache

# Processor time a request by role, idle and at several loads.
bench-cost: $(STAMP)
	@$(BIN)/python -m benchmarks cost

bench-overhead: $(STAMP)
	@$(BIN)/python -m benchmarks overhead

bench-sizing: $(STAMP)
	@$(BIN)/python -m benchmarks sizing

bench-ways: $(STAMP)
	@$(BIN)/python -m benchmarks ways

# 50 models and a browser; MINUTES sets the duration.
bench-dashboard: $(STAMP)
	@$(BIN)/python -m benchmarks dashboard

# A clone, an install and the tutorial, with an empty home; takes some minutes and 5 GB.
bench-newcomer: $(STAMP)
	@$(BIN)/python -m benchmarks newcomer

up: $(STAMP)
	@$(BIN)/modelmesh up

# Tools for tests that pip cannot install (Debian, as root). Without them their tests are skipped, and say what is missing.
# Neither half waits for the other with `make -j2 parts`.
parts: debian-parts kustomize

debian-parts:
	@for program in promtool debootstrap docker chromium; do command -v $$program > /dev/null || missing=1; done; \
	  test -z "$$missing" || (apt-get update -q && apt-get install -y -q --no-install-recommends \
	    prometheus docker.io docker-compose debootstrap chromium)
	@docker info > /dev/null 2>&1 || (nohup dockerd > /tmp/dockerd.log 2>&1 & sleep 5)

kustomize:
	@command -v kustomize > /dev/null || GOBIN=/usr/local/bin go install sigs.k8s.io/kustomize/kustomize/v5@v5.6.0

clean:
	rm -rf $(VENV) .build .mypy_cache .ruff_cache .pytest_cache
