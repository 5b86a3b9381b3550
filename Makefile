# make setup | demo | lint | test | test-slow | board-pythons | mutate | bench | synth | place
# | tradeoff | images | clean
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
.PHONY: help setup demo demo-software demo-board lint test test-slow board-pythons mutate bench \
  synth place tradeoff images clean

help:
	@echo "make setup      make $(VENV) with the versions of requirements.lock"
	@echo "make demo       train, export and verify a small model; build one for a board, simulated"
	@echo "make lint       ruff, mypy --strict"
	@echo "make test       lint and the tests"
	@echo "make test-slow  the tests that take minutes"
	@echo "make board-pythons  environments of the PYNQ images' Pythons, for the board's tests"
	@echo "make mutate     plant faults in the RTL; the tests must catch each"
	@echo "make bench      speed of training and inference"
	@echo "make synth      size of the RTL kernels, by synthesis"
	@echo "make place      place and route MVUs; NEXTPNR_ROOT=FOLDER holds nextpnr"
	@echo "make tradeoff   accuracy against LUT and block RAM, estimated, from accuracy.json"
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

demo: demo-software demo-board
	@echo "== done: one bit a weight, the same integers from training to the board's driver"

demo-software: setup
	@echo "== 1. train a tiny BERT, in three stages, down to one bit a weight and activation"
	$(BIN)/edgebert train --config tiny --task reviews --out runs/demo --force
	@echo "== 2. export it as integers; every engine must compute the same ones"
	$(BIN)/edgebert export runs/demo --target onnx --out runs/demo-export --force
	$(BIN)/edgebert verify runs/demo-export --task reviews
	$(BIN)/edgebert predict runs/demo-export "A warm, funny film that never drags."

# Without ../shared/glue: the zoo's model, trained on SST-2, on sentences of the built-in reviews.
DEMO_SENTENCES ?= 64
demo-board: setup
	@echo "== 3. compile a model of the zoo into an accelerator for PYNQ-Z2"
	$(BIN)/edgebert zoo get tiny-sst2 --out runs/demo-zoo --target pynq --force
	$(BIN)/edgebert build runs/demo-zoo --board pynq-z2 --max-tokens 64 --out runs/demo-build --force
	@echo "== 4. run real sentences through its RTL, by the board's own driver: a virtual board"
	$(BIN)/edgebert verify runs/demo-zoo --build runs/demo-build --task reviews \
	  --samples $(DEMO_SENTENCES) --engines fast,virtual-board --json runs/demo-board.json
	$(BIN)/edgebert report runs/demo-zoo runs/demo-build runs/demo-board.json

lint: setup
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/mypy

test: lint
	$(TEST_ENV) $(BIN)/python -m pytest -q -n $(TEST_WORKERS)

test-slow: setup
	$(TEST_ENV) $(BIN)/python -m pytest -q -m slow -n $(TEST_WORKERS)

# From python3.10 and python3.12 that are installed; the tests of the board skip those without.
board-pythons: setup
	$(BIN)/python -m tests.board_pythons

mutate: setup
	$(TEST_ENV) $(BIN)/python -m tests.mutations

bench: setup
	GOMP_SPINCOUNT=4000 $(BIN)/python -m benchmarks.train_speed
	$(BIN)/python -m benchmarks.inference_speed

synth: setup
	$(BIN)/python -m benchmarks.synth --jobs $(TEST_WORKERS)

# Optional: docs/bitfile.md says how to install nextpnr; EDGEBERT_TOOLS_ROOT names its system too.
NEXTPNR_ROOT ?= $(or $(EDGEBERT_TOOLS_ROOT),/)
place: setup
	$(BIN)/python -m benchmarks.place --root $(NEXTPNR_ROOT)

tradeoff: setup
	$(BIN)/python -m benchmarks.tradeoff

images:
	docker/test.sh

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find edgebert export hw tests benchmarks -name __pycache__ -type d -prune \
	  -exec rm -rf {} + 2>/dev/null || true
