# Everything happens in .venv, which is made on first use and brought up to date whenever
# pyproject.toml or constraints.txt change.  No root, no system package: Python >= 3.10 and pip suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -qq -c constraints.txt

TEXT ?= Hello! This voice comes with the package.
OUT ?= out.wav
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help say serve test check format clean

help:  ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

# The shell gets the text through the environment, so that quotes and dollar signs stay what they are.
say: export SAY_TEXT := $(value TEXT)
say: $(VENV)/.stamp-run  ## Speak: make say TEXT="Good morning." OUT=out.wav
	@$(BIN)/cosy say --out "$(OUT)" -- "$$SAY_TEXT"

serve: $(VENV)/.stamp-serve  ## Serve every API dialect: make serve ARGS="--port 8000"
	@$(BIN)/cosy serve $(ARGS)

# A process for every core, up to four; the tests of a file stay together, for they share fixtures.
test: export OMP_NUM_THREADS = 1
test: $(VENV)/.stamp-dev  ## Run the tests: make test ARGS="tests/audio -k resample"
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/.stamp-dev  ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.stamp-dev  ## Apply the formatter and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the environment and all caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing cosy into $(VENV); the first time this fetches PyTorch" >&2
	@$(PIP) -e .
	@touch $@

$(VENV)/.stamp-serve: $(VENV)/.stamp-run
	@echo "installing the server into $(VENV)" >&2
	@$(PIP) -e ".[server]"
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-serve
	@echo "installing the tools for tests and checks into $(VENV)" >&2
	@$(PIP) -e ".[dev,clients,client,server,postgres,s3,eval,train]"
	@$(PIP) --no-deps resemblyzer  # for its weights; what it depends on is not needed
	@touch $@
