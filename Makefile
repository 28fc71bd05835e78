# make demo    train the digits network, with what it needs, in .venv
# make test    run the tests
# make test-gpu  run the tests that need a GPU, with measurements
# make bench   print the ratio tables against C, JAX and others
# make lint    ruff
#
# Python 3.11 or newer, pip and make are all that must be there; PYTHON=... chooses another interpreter.

PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11 python,$(if \
  $(shell $(p) -c 'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null),$(p))))
VENV   := .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check --quiet

PYTEST_ARGS ?= -n 2
BENCH       ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-gpu bench lint clean FORCE

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

demo: $(VENV)/.has-examples
	$(PY) examples/digits.py --out out

test: $(VENV)/.has-dev
	$(PY) -m pytest $(PYTEST_ARGS)

# An interpreter that has what this needs is taken as it is, and nothing is downloaded; else one is made.
test-gpu:
	@for py in $(PY) $(PYTHON); do \
	  if $$py -c 'import hypothesis, llvmlite, numpy, platformdirs, pytest, scipy, tvm, xdist' 2>/dev/null; then \
	    PYTHONPATH=.:tests exec $$py -m pytest -s -n 0 -rs tests/gpu; fi; done; \
	  $(MAKE) $(VENV)/.has-dev $(VENV)/.has-tvm && PYTHONPATH=.:tests $(PY) -m pytest -s -n 0 -rs tests/gpu

bench: $(VENV)/.has-bench
	$(PY) -m benchmarks $(BENCH)

lint: $(VENV)/.has-dev
	$(PY) -m ruff check .

clean:
	rm -rf $(VENV) out build *.egg-info

# The environment is made once. It is made again if its interpreter is gone or the tree has moved, which
# would leave it pointing at another copy of the sources.
ifneq ($(shell cat $(VENV)/.made 2>/dev/null && $(PY) -c 'import pip' 2>&1),$(CURDIR))
$(VENV)/.made: FORCE
endif

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer found; set PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf $(VENV)
	@# Some distributions split ensurepip off: then the pip outside fills the environment.
	$(PYTHON) -m venv $(VENV) 2>/dev/null || \
	  { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) install --quiet pip; }
	@echo "$(CURDIR)" > $@

# One stamp for each extra, renewed when pyproject.toml changes.
$(VENV)/.has-%: pyproject.toml $(VENV)/.made
	$(PIP) install --editable '.[$*]'
	@touch $@
