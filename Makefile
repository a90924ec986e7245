# Two commands carry the book: `make book` and `make test`. Each installs what it needs first.

# The interpreter that makes the environment: the first of these that is new enough, unless PYTHON names one.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PROFILE ?= quick
PORT ?= 8000

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# What is computed and configured stays inside _build, so that a fresh clone starts cold and an empty
# home folder stays empty.
export V1LIB_CACHE ?= $(CURDIR)/_build/cache
export MPLCONFIGDIR ?= $(CURDIR)/_build/config/matplotlib
export IPYTHONDIR ?= $(CURDIR)/_build/config/ipython
export JUPYTER_CONFIG_DIR ?= $(CURDIR)/_build/config/jupyter
export OMP_NUM_THREADS ?= 2

.DEFAULT_GOAL := help
.PHONY: help env book test check notebooks serve lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1	\2/' | expand -t 20

env: $(STAMP)  ## install exactly requirements.lock into .venv

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found: install it, or name it with PYTHON=/path/to/python make env." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "$(PYTHON) is not Python 3.11 or newer: name one that is with PYTHON=/path/to/python make env." >&2; exit 1; }
	@"$(PYTHON)" -m book.install

book: $(STAMP)  ## execute, check and build the book (PROFILE=quick, standard or paper)
	@$(PY) -m book.build --profile $(PROFILE)

test: $(STAMP)  ## every check: lint, types, unit tests, notebooks, the built book in a browser
	@$(PY) -m tests.run_all

check: $(STAMP)  ## the quick loop of a minute: lint, types, fast unit tests
	@$(PY) -m tests.run_all --quick

notebooks: $(STAMP)  ## execute the repository's notebooks in place at quick (NOTEBOOKS="01_recording ..." for some)
	@$(PY) -m book.execute $(NOTEBOOKS)
	@$(PY) -m book.readme_picture

serve: $(STAMP)  ## show the built book on this machine (PORT=8000)
	@test -d _build/$(PROFILE)/html || { echo "There is no built book yet: run \`make book\` first." >&2; exit 1; }
	@echo "The book is at http://localhost:$(PORT); stop with Ctrl-C."
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/$(PROFILE)/html $(PORT)

lock: $(STAMP)  ## renew requirements.lock from pyproject.toml
	@$(PY) -m book.lock

clean:  ## remove what was built and computed (the environment stays; `rm -r .venv` removes it)
	@rm -rf _build .pytest_cache .mypy_cache .ruff_cache
