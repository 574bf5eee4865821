# `make demo` and `make test` do everything on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test check docs dist screenshots bench lock

setup: .venv/ready

demo: setup
	$(BIN)/resnets demo

# Bytecode is kept, also where the environment forbids it: each process would compile all tests and modules again.
test: setup
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

check: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The generated tables and plots of README.md and docs/, and the documentation site: build/site/index.html
docs: setup
	$(BIN)/python tools/docs.py
	$(BIN)/python tools/website/build.py

# Wheel and sdist in dist/, verified, and the wheel tried in a new environment; only the files: make dist ARGS="--no-try"
dist: setup
	$(BIN)/python tools/dist.py $(ARGS)

# Every page on a phone, a tablet and a screen, light and dark, as screenshots/NAME-WIDTH-SCHEME.png; needs Chromium.
screenshots: setup
	OMP_NUM_THREADS=1 RESNETS_SCREENSHOTS=screenshots $(BIN)/pytest tests/pages -q

# Speed compared with torchvision and timm: make bench ARGS="--quick"
bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

lock:
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--extra dev --upgrade --quiet --output-file requirements.lock pyproject.toml

# Rebuilt when the lock or the declarations change.
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=... names one")'
	$(PYTHON) -m venv .venv
	@echo "setting up .venv: some gigabytes are downloaded once, and 6 GB of disk are needed"
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python --editable .
	touch $@
