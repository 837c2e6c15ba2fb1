# `make demo` and `make test` set everything up on a machine that has only Python (3.11 to 3.13), pip and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEV_READY := .venv/.ready-dev

.PHONY: demo test check format deepod series-peers image-peers clean

demo: $(READY)  ## run the main job on real data, write models and results to ./demo
	$(BIN)/unalike demo --out demo

test: check  ## everything that decides whether a change may land
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto

check: $(DEV_READY)  ## formatting, lint, strict types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(DEV_READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

deepod: .venv-deepod/.ready  ## an environment for two peers of benchmarks/tables.py (Python 3.11, 3 GB, CPU)

series-peers: .venv-series/.ready  ## two libraries of benchmarks/series.py, without what they ask for

image-peers: .venv-images/.ready  ## anomalib, for benchmarks/images.py, beside our torch and timm

clean:
	rm -rf .venv .venv-deepod .venv-series .venv-images build dist demo src/*.egg-info .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "unalike needs Python 3.11 to 3.13; say make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[image]'
	touch $@

$(DEV_READY): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv-deepod/.ready: benchmarks/deepod-requirements.txt
	test -x .venv-deepod/bin/python || python3.11 -m venv .venv-deepod
	.venv-deepod/bin/python -m pip install --quiet --requirement benchmarks/deepod-requirements.txt
	.venv-deepod/bin/python -c 'import deepod.models'
	touch $@

.venv-series/.ready: benchmarks/series-requirements.txt $(DEV_READY)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv-series --requirement benchmarks/series-requirements.txt
	$(BIN)/python -m benchmarks.series_tools
	touch $@

.venv-images/.ready: benchmarks/image-requirements.txt $(DEV_READY)
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target .venv-images --requirement benchmarks/image-requirements.txt
	$(BIN)/python -m benchmarks.images_tools
	touch $@
