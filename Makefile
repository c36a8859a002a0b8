# Paths are relative, so that a checkout in a folder with spaces works. A cluster gets an environment of its own.
SHELL := /bin/bash
VENV := .venv$(if $(SLURM_CLUSTER_NAME),-$(SLURM_CLUSTER_NAME))
PYTHON ?= python3
# slurm/site.env names another CUDA build where the cluster's GPUs need it; TORCH_WHEELS is where PyTorch keeps them.
TORCH_INDEX := $(if $(TORCH_BUILD),--extra-index-url $(TORCH_WHEELS)/$(TORCH_BUILD))
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The environment alone: no packages of a cluster's module or of the person's own.
export PIP_USER := 0
export PIP_NO_DEPS := 0
export PIP_DRY_RUN := 0
export PIP_REQUIRE_HASHES := 0
export PIP_TARGET :=
export PIP_PREFIX :=
export PIP_ROOT :=
unexport PYTHONPATH PYTHONHOME PIP_PYTHON
# DVC does not start for a person whom the machine, such as a container, has no name for.
export USER := $(or $(USER),$(LOGNAME),$(shell id -un 2>/dev/null))

.DEFAULT_GOAL := help
.PHONY: help venv install data check repro test test-fast ui bench lint format reference lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

repro: check ## environment, sample data, whole pipeline; ends with the metrics
	@trackstack repair
	dvc repro
	@dvc metrics show
	@printf '%s\n' '' 'Done. Three things to try next, after `. $(VENV)/bin/activate`:' \
	  '  dvc exp run -S train.lr=0.001       # another learning rate: train and evaluate run, nothing else' \
	  '  dvc exp run -S train.seed=1         # other random numbers: how far results lie apart by chance' \
	  '  dvc exp show --only-changed         # what came of them'

test: venv ## the whole test suite
	pytest --numprocesses 3 --dist loadgroup --durations 15

test-fast: venv ## the tests for the minute between two edits: no cluster, no pipeline, no browser
	pytest --quiet --exitfirst -m "not slow"

ui: venv ## MLflow and TensorBoard, in the browser
	trackstack ui

bench: venv ## the data path beside its peers: tables and a picture (15 minutes)
	python benchmarks/data_path.py

lint: venv ## ruff (check and format), mypy and shellcheck
	ruff check .
	ruff format --check .
	mypy src
	git ls-files -z '*.sh' '*.env' .ci/run | xargs -0 shellcheck

format: venv ## let ruff correct what it can
	ruff check --fix .
	ruff format .

reference: venv ## docs/cli.md, from the commands themselves
	typer trackstack.cli utils docs --name trackstack --output docs/cli.md

check: data ## validate parameters, catalog and raw data
	trackstack check

# Only what is not there yet: a changed folder is for `trackstack check` to report, not for a pull to overwrite. Data
# that cannot be fetched is only a message, since perhaps nobody needs it; without the chosen dataset the check fails.
data: venv ## fetch the raw data that .dvc files point to
	@for pointer in data/raw/*.dvc; do \
	  [ -e "$${pointer%.dvc}" ] || output=$$(dvc pull "$$pointer" 2>&1) || echo "$$pointer: $$output" >&2; \
	done

venv: $(VENV)/.installed ## the Python environment

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("make: Python >= 3.11 is needed, not " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	@[ -z "$(TORCH_BUILD)" ] || [ -n "$(TORCH_WHEELS)" ] || { echo "make: this cluster's GPUs need torch's $(TORCH_BUILD) \
	  build; set TORCH_WHEELS to the address that PyTorch's installation page gives, without $(TORCH_BUILD)" >&2; exit 1; }
	@mkdir -p $(VENV); $(if $(FLOCK),$(FLOCK) --nonblock $(VENV)/.lock true || echo "Waiting for another make venv to end";) \
	  $(if $(FLOCK),$(FLOCK) $(VENV)/.lock) $(MAKE) --no-print-directory install

# Two at once would write into each other's files; the second one waits, and then finds all done.
FLOCK := $(shell command -v flock)

install:
	@[ -e $(VENV)/.installed ] && [ $(VENV)/.installed -nt requirements.lock ] && [ $(VENV)/.installed -nt pyproject.toml ] || { \
	  echo "Installing the packages of requirements.lock into $(VENV): a minute or two"; \
	  $(PYTHON) -m venv $(VENV) && \
	  { ! python -m pip config list | grep -E '(global|install)\.(target|prefix|root|python)=' || \
	    { echo "make: pip would install elsewhere; type: pip config unset, and the name above" >&2; false; }; } && \
	  python -m pip install --quiet --requirement requirements.lock $(TORCH_INDEX) && \
	  python -m pip install --quiet --no-deps --editable . && \
	  touch $(VENV)/.installed; }

# What does not belong in the lock: a CPU build's suffix, index addresses, trackstack, CUDA libraries (torch pins them).
lock: venv ## resolve requirements.lock anew from pyproject.toml
	python -m pip install --quiet pip-tools
	pip-compile --quiet --extra all --extra dev --strip-extras --no-emit-index-url --no-emit-find-links --no-header \
	  --no-annotate --output-file requirements.lock pyproject.toml
	sed -i -E -e 's/\+cpu$$//' -e '/^(#|$$)/d' -e '/^nvidia-ml-py/b' -e '/^(nvidia|cuda|triton|trackstack)/d' requirements.lock

clean: ## remove the environment and half-written outputs; data and results stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache data/.*.partial data/*/.*.partial results/.*.partial
