# From a fresh clone to results; `make` alone lists the targets. Needs Python 3.11 or later and make.

PYTHON  ?= python3
PROFILE ?= quick
# none: what suits the machine, `gpu` where CUDA is present, else `quick`
SWEEP   ?=
RERUN   ?= quick
# A variable of the shell that happens to be called VENV doesn't count, only `make VENV=...`.
VENV := .venv

BIN   := $(VENV)/bin
# Written last, so that an interrupted installation is taken up again; older than a pin, it's brought up to date.
STAMP := $(VENV)/.installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup reproduce throughput tables figures report notebooks test test-slow verify wheel lint clean

help: ## list the targets
	@echo "Usage: make TARGET [PROFILE=$(PROFILE)] [SWEEP=$(or $(SWEEP),NAME)] [RERUN=$(RERUN)] [VENV=$(VENV)] [PYTHON=$(PYTHON)]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-11s%s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## install the exact versions of requirements.lock into .venv; the others do it where needed

reproduce: $(STAMP) ## train and score the systems, write records, tables and figures under results/
	@$(BIN)/iter-bench reproduce --profile $(PROFILE)

throughput: $(STAMP) ## measure documents/s of all systems, write records, Table 1 and Figure 3; goes on where it was
	@$(BIN)/iter-bench throughput $(SWEEP)

tables: $(STAMP) ## make every table and results/README.md again, from the records alone
	@$(BIN)/iter-bench tables

figures: $(STAMP) ## draw every figure and make results/README.md again, from the records alone
	@$(BIN)/iter-bench figures

report: $(STAMP) ## write report.html: all tables and figures on one page that needs no network
	@$(BIN)/iter-bench report

notebooks: $(STAMP) ## run the notebooks again and store their outputs
	@$(BIN)/python notebooks/execute.py

# Two processes of one thread each are faster than one process of two.
test: export OMP_NUM_THREADS = 1
test: $(STAMP) ## run the tests that take seconds
	@$(BIN)/python -m pytest -n 2 -m 'not slow and not gpu'

test-slow: $(STAMP) ## run the others: slow ones, and those for CUDA where it's present
	@$(BIN)/python -m pytest -m 'slow and not gpu' || [ $$? -eq 5 ] # 5: there are none
	@$(BIN)/python -m pytest -m gpu

verify: $(STAMP) ## check records, tables, figures and numbers of the READMEs; train RERUN anew and compare (RERUN= leaves it out)
	@$(BIN)/iter-bench verify $(if $(RERUN),--rerun $(RERUN)) README.md baselines/*/README.md

wheel: $(STAMP) ## build the wheel and the source archive into dist/
	rm -rf build dist # what an earlier build left would be packed
	@$(BIN)/python -c 'from setuptools.build_meta import *; build_sdist("dist"); build_wheel("dist")'

lint: $(STAMP) ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

clean: ## delete .venv and all caches, never results
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .benchmarks *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip resolves, but finds every package pinned; only what torch's CUDA build on Linux adds isn't in the file: torch pins
# it itself, and the CPU build hasn't got it. Bytecode is left to the first import, which compiles far less than all.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "iter-bench needs Python 3.11 or later, and '$(PYTHON)' isn't:" \
		"$$($(PYTHON) --version 2>&1 || true). Name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' can't make virtual environments: install its venv module" \
		"(Debian, Ubuntu: the package python3-venv), or name another: make PYTHON=/path/to/python" >&2; exit 1; }
	@rm -f $@
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making the virtual environment $(VENV)"; \
		$(PYTHON) -m venv $$(test ! -e $(VENV)/pyvenv.cfg || echo --clear) $(VENV); }
	@echo "Installing the versions of requirements.lock into $(VENV): minutes, once"
	$(BIN)/python -m pip install --no-compile -r requirements.lock
	$(BIN)/python -m pip install --no-compile --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@
