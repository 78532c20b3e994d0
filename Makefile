# Targets: setup demo test check bench proof. Each creates .venv and installs first when needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOLON := $(BIN)/solon
# Two OpenMP threads beside a busy core that spin for long slow each other down; sleep after a thousand turns.
export GOMP_SPINCOUNT ?= 1000
export TOKENIZERS_PARALLELISM ?= false

.PHONY: setup demo test check lint bench proof clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: setup
	$(SOLON) run --out runs/demo

test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: lint
	$(BIN)/mypy solon
	$(MAKE) test

bench: setup
	$(BIN)/python -m benchmarks

proof: setup
	$(BIN)/python -m benchmarks.proof

clean:
	rm -rf $(VENV) runs .pytest_cache .ruff_cache .mypy_cache
