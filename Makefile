# make setup | demo | lint | test | test-slow | mutate | bench | synth | place | images | clean
# PYTHON chooses the interpreter (3.11 or later) that the environment is made with.

PYTHON ?= python3
TORCH := torch==2.13.0

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done
PACKAGES := $(wildcard edgebert export hw tests benchmarks)

# One thread per test process: two processes that each start a thread per core slow each other down.
TEST_ENV := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
TEST_WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo lint test test-slow mutate bench synth place images clean

help:
	@echo "make setup      make $(VENV) with the versions of requirements.lock"
	@echo "make demo       train, export, verify and use a small model, from start to end"
	@echo "make lint       ruff, mypy --strict"
	@echo "make test       lint and the tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make mutate     plant faults in the RTL; the tests must catch each"
	@echo "make bench      speed of training and inference"
	@echo "make synth      size of the RTL kernels, by synthesis"
	@echo "make place      place and route MVUs; NEXTPNR_ROOT=FOLDER holds nextpnr"
	@echo "make images     build the images of docker/ and run them"
	@echo "make clean      remove caches and build folders; $(VENV) and runs/ stay"

setup: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "expected Python 3.11 or later, got $$($(PYTHON) --version 2>&1);" \
	       "choose one with: make setup PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) can't make virtual environments; on Debian and Ubuntu:" \
	       "apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first, with its dependencies: its CUDA build needs its own libraries. Everything else
# comes without: brevitas and finn-plus declare bounds that no resolver can satisfy together.
$(STAMP): requirements.lock pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: setup
	$(BIN)/edgebert train --config tiny --task reviews --out runs/demo --force
	$(BIN)/edgebert export runs/demo --target onnx --out runs/demo-export --force
	$(BIN)/edgebert verify runs/demo-export --task reviews
	$(BIN)/edgebert predict runs/demo-export "A warm, funny film that never drags."

lint: setup
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/mypy

test: lint
	$(TEST_ENV) $(BIN)/python -m pytest -q -n $(TEST_WORKERS)

test-slow: setup
	$(TEST_ENV) $(BIN)/python -m pytest -q -m slow -n $(TEST_WORKERS)

mutate: setup
	$(TEST_ENV) $(BIN)/python -m tests.mutations

bench: setup
	GOMP_SPINCOUNT=4000 $(BIN)/python -m benchmarks.train_speed
	$(BIN)/python -m benchmarks.inference_speed

synth: setup
	$(BIN)/python -m benchmarks.synth --jobs $(TEST_WORKERS)

# Optional: hw/synth/place.py says how to install nextpnr.
NEXTPNR_ROOT ?= /
place: setup
	$(BIN)/python -m benchmarks.place --root $(NEXTPNR_ROOT)

images:
	docker/test.sh

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find edgebert export hw tests benchmarks -name __pycache__ -type d -prune \
	  -exec rm -rf {} + 2>/dev/null || true
