# Two commands do all set-up on a fresh machine with Python 3.11 or later: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKERS ?= 2
BENCHES = startup log ingest query growth concurrency training contrasts verdicts mirror

.PHONY: help demo test thorough cover raise check lint types format sizes docs bench clean

help:  ## print this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

demo: $(VENV)/.installed  ## train four phases of a codec, compare them, write the report
	$(BIN)/ablate demo

# Tests of one file share trained runs or a server, so a file stays on one worker.
test: $(VENV)/.installed  ## run the tests, on WORKERS=2 processes
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=40 --durations-min=8

thorough: export ABLATE_THOROUGH = 1
thorough: test  ## run the tests with every fault as often as the documents say: hours

# Trainings and real processes take their time as it is; the tests of single modules are measured.
cover: $(VENV)/.installed  ## compare what the unit tests cover with its floors
	rm -rf .coverage && mkdir .coverage
	$(BIN)/coverage run -m pytest -q -n $(WORKERS) -m "not training" tests/unit --ignore tests/unit/trainer
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage json --quiet -o .coverage/report.json
	$(BIN)/python -m tests.tools.coverage_floors

raise: $(VENV)/.installed  ## raise the floors to what the last `make cover` found
	$(BIN)/python -m tests.tools.coverage_floors --raise

check: lint test  ## lint and test, as CI does

lint: $(VENV)/.installed types  ## look for faults in style, types and imports; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed  ## check the types, strictly in the code, in basic mode in the tests
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/pyright --project tests --pythonpath $(BIN)/python

format: $(VENV)/.installed  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sizes: $(VENV)/.installed  ## print lengths of functions and modules, and the share of tests
	$(BIN)/python -m tests.tools.sizes

docs: $(VENV)/.installed  ## write the generated pages anew, build the site in build/site
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/generate_keys.py
	$(BIN)/python docs/build.py

bench: $(VENV)/.installed  ## run the benchmarks one after the other: most of an hour, nothing else beside it
	$(foreach name,$(BENCHES),$(BIN)/python benchmarks/$(name).py &&) true

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or later is needed: make PYTHON=python3.11')"
	@echo "installing into $(VENV), torch among the rest: this takes a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev,docs]'
	touch $@

clean:  ## delete the environment and what was built
	rm -rf $(VENV) build
