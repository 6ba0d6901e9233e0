# Every target installs what it needs: `make reproduce-table1` on a fresh clone is enough.
BUDGET ?= auto
DEVICE ?= auto
SEEDS ?=
ROWS ?=
JOBS ?= 1
RESULTS ?= results
ARGS ?=
TABLE ?= table4
PARTS ?=
PYTHON ?= python3

# make would ignore a misspelt variable.
ifeq ($(MAKELEVEL),0)
$(foreach name,$(filter-out BUDGET DEVICE SEEDS ROWS JOBS RESULTS ARGS TABLE PARTS PYTHON SHELL MAKE MAKEFLAGS,$(.VARIABLES)),$(if $(filter command,$(origin $(name))),$(error there is no variable $(name): see make help)))
endif

TABLES := $(sort $(patsubst experiments/%/table.yaml,%,$(wildcard experiments/*/table.yaml)))
$(foreach name,$(patsubst reproduce-%,%,$(filter reproduce-%,$(MAKECMDGOALS))),$(if $(filter $(name),$(TABLES)),,$(error there is no table $(name): expected one of $(TABLES))))

BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help $(TABLES:%=reproduce-%) learning-rates report readme test check format benchmark data clean
.DEFAULT_GOAL := help

help:  ## this list
	@echo "Targets:"
	@for table in $(TABLES); do sed -nE "s/^title: *\"?([^\"]*)\"?$$/  reproduce-$$table|run \1/p" experiments/$$table/table.yaml; done | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-20s %s\n", $$1, $$2}'
	@echo "Variables: BUDGET=smoke|quick|paper|auto  SEEDS=0,1,2  ROWS=bp,ff_supervised  DEVICE=auto|cpu|cuda"
	@echo "           JOBS=2 (runs side by side)  TABLE=table4 (of learning-rates)  PARTS=deep_nets (of benchmark)"
	@echo "           RESULTS=my-results (a folder of your own)  PYTHON=python3.12"
	@echo "           ARGS='tracking=none precision=fp32' (any options of a run; rerun=true trains recorded runs again)"

$(TABLES:%=reproduce-%): reproduce-%: $(INSTALLED)
	$(BIN)/python scripts/reproduce.py $* --budget '$(BUDGET)' --seeds '$(SEEDS)' --rows '$(ROWS)' --device '$(DEVICE)' --jobs '$(JOBS)' --results '$(RESULTS)' $(ARGS)

learning-rates: $(INSTALLED)  ## choose the learning rates of a table's rows: TABLE=table4
	$(BIN)/python scripts/learning_rates.py '$(TABLE)' --rows '$(ROWS)' --jobs '$(JOBS)' --results '$(RESULTS)' $(if $(filter-out auto,$(DEVICE)),'device=$(DEVICE)') $(ARGS)

report: $(INSTALLED)  ## write the report from the records
	$(BIN)/python scripts/report.py --results '$(RESULTS)'

readme: $(INSTALLED)  ## write the report, and its summary into README.md
	$(BIN)/python scripts/report.py --results '$(RESULTS)' --readme README.md

test: $(INSTALLED)  ## the tests, under four minutes
	$(BIN)/python -m pytest --numprocesses 2

check: $(INSTALLED)  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)  ## format, and apply the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: $(INSTALLED)  ## time and memory of training on this machine, compared with bare matrix products
	$(BIN)/python scripts/benchmark.py --device '$(DEVICE)' --output '$(RESULTS)/benchmark' $(if $(PARTS),--parts '$(PARTS)')

data: $(INSTALLED)  ## find or download the data sets and check them
	$(BIN)/python scripts/fetch_data.py

clean:  ## remove the environment, caches, the HTML report and checkpoints; records stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist results/report results/checkpoints results/work
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than Python 3.11: name a newer version, as in make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
