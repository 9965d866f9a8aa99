# Every target sets up what it needs in .venv, which nobody has to activate, and sets it up anew only when pyproject.toml changes.
#
#   make PYTHON=/path/to/python3.12 ...   takes that Python
#   make TORCH= test                      leaves PyTorch out; the tests that need it skip
#   make TORCH='torch --index-url URL'    takes another build of it

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test unit oldest simulator bounds coverage mutation gpu gpucheck fuzz bench lint types cubins clean

PYTHON ?=
PYTHONS := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3 python)
TORCH ?= torch==2.13.0
JOBS ?= 2
CAPABILITIES ?= 7.5 8.0 9.0 10.0

VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
# Python compiles what is imported when it is imported: a small part of all that is installed.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS)

# Two test processes with two threads each share a small machine best when idle threads sleep instead of spinning.
unit oldest simulator bounds coverage: export NUMBA_NUM_THREADS ?= 2
unit oldest simulator bounds coverage: export OMP_WAIT_POLICY ?= passive

help: ## say what there is (the default)
	@sed -n 's/^\([a-z]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: $(VENV)/demo.stamp ## train on real digits, let cells split and die, write what became of them to runs/demo/
	$(BIN)/python examples/demo.py

test: lint types cubins simulator bounds unit ## all checks that need no GPU

unit: export DNA_LONG = 1
unit: $(VENV)/dev.stamp $(VENV)/torch.stamp $(VENV)/browser.stamp ## the tests, on the CPU
	$(PYTEST) -m "not cudasim and not gpu"

oldest: $(OLDEST)/test.stamp ## the tests, on the CPU, with the oldest versions that pyproject.toml allows
	$(OLDEST)/bin/python -m pytest -q -n $(JOBS) -m "not cudasim and not gpu"

simulator: $(VENV)/dev.stamp $(VENV)/torch.stamp ## the tests that run CUDA kernels in Numba's simulator
	NUMBA_ENABLE_CUDASIM=1 $(PYTEST) -m cudasim

gpu: $(VENV)/dev.stamp ## the tests that run CUDA kernels on a GPU; fails where there is none
	DNA_REQUIRE_GPU=1 $(BIN)/python -m pytest -q -m gpu

gpucheck: $(VENV)/dev.stamp $(VENV)/torch.stamp ## check and time everything on a GPU; writes benchmarks/results/ (see docs/gpu.md)
	$(BIN)/python benchmarks/gpu_check.py

# tests/bounds.py fails the run where a kernel is met by none of these tests. Indices are the same for both kinds of old machines,
# and the tests of the cache start processes that check none.
bounds: export NUMBA_BOUNDSCHECK = 1
bounds: $(VENV)/dev.stamp ## the tests of the kernels, on the CPU, with every index checked
	PYTHONPATH=tests $(PYTEST) -p bounds -m "not cudasim and not gpu and not slow" -k "not x86-64 and not test_compiler" \
		$(addprefix tests/,cpu $(patsubst %,test_%.py,forward backward dense few steps loss life pool regrowth statistics deaths))

COVERAGE := $(BIN)/python -m coverage
coverage: export COVERAGE_FILE = $(CURDIR)/.coverage
coverage: $(VENV)/dev.stamp $(VENV)/torch.stamp $(VENV)/browser.stamp ## what share of lines and branches the tests run (half an hour)
	$(COVERAGE) erase
	$(COVERAGE) run -m pytest -q -n $(JOBS) -m "not cudasim and not gpu"
	NUMBA_ENABLE_CUDASIM=1 $(COVERAGE) run -m pytest -q -n $(JOBS) -m cudasim
	$(COVERAGE) combine --quiet
	$(BIN)/python benchmarks/coverage_report.py

mutation: $(VENV)/mutation.stamp ## break the code in a sample of places; what do the tests not notice? (an hour)
	$(BIN)/python benchmarks/mutation.py

fuzz: $(VENV)/dev.stamp ## give a million hostile files to all that reads files (an hour or less)
	$(BIN)/python benchmarks/fuzz_files.py

bench: $(VENV)/dev.stamp $(VENV)/torch.stamp ## what a step costs here, beside PyTorch and SciPy, and as cells grow (ten minutes)
	$(BIN)/python benchmarks/peers.py --quick
	$(BIN)/python benchmarks/extinctions.py --dry
	$(BIN)/python benchmarks/scaling.py --most 1e7 --extinctions 100
	$(BIN)/python benchmarks/against_author.py --dry
	$(BIN)/python benchmarks/plans.py --quick

lint: $(VENV)/dev.stamp ## ruff
	$(BIN)/python -m ruff check .

types: $(VENV)/dev.stamp ## mypy, strict; the tests and the check for GPUs, loosely
	$(BIN)/python -m mypy
	$(BIN)/python -m mypy --config-file tests/mypy.ini tests benchmarks/gpu

cubins: $(VENV)/dev.stamp ## compile every CUDA kernel to machine code, without a GPU
	$(BIN)/python -m dna.cuda.inspect --cc $(CAPABILITIES)

clean: ## remove all that the other targets made
	rm -rf $(VENV) $(OLDEST) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Candidates are asked, not looked up: a version manager's shim exists for Pythons that it does not start.
$(VENV)/python.stamp:
	@for python in $(PYTHONS); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version) ($$python)"; \
			"$$python" -m venv --clear $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module was found (tried: $(PYTHONS))." >&2; \
	echo "Install one (on Debian and Ubuntu: python3 and python3-venv), or name one: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1

$(VENV)/demo.stamp: pyproject.toml $(VENV)/python.stamp
	@echo "Installing dna and what the demo needs into $(VENV) (a minute or two, once)"
	$(PIP) --editable '.[demo]'
	@touch $@

# Everything of the demo's is in here too.
$(VENV)/dev.stamp: pyproject.toml $(VENV)/python.stamp
	@echo "Installing dna, its tests and its tools into $(VENV) (a few minutes, once)"
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/demo.stamp

$(OLDEST)/test.stamp: pyproject.toml tests/oldest.py $(VENV)/python.stamp
	$(BIN)/python -m venv --clear $(OLDEST)
	$(BIN)/python tests/oldest.py > $(OLDEST)/pins.txt
	$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint $(OLDEST)/pins.txt --editable '.[test]'
	@touch $@

$(VENV)/mutation.stamp: $(VENV)/dev.stamp
	$(PIP) --editable '.[dev,mutation]'
	@touch $@

# The page is tested in a headless Chromium: one that is there, else the system's package, else playwright's own download.
# A machine without any can still run the other tests; DNA_REQUIRE_BROWSER=1 makes its absence an error.
$(VENV)/browser.stamp: $(VENV)/dev.stamp
	@for name in chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && touch $@ && exit; \
	done; \
	echo "Installing a headless Chromium for the tests of the page"; \
	export DEBIAN_FRONTEND=noninteractive; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
		{ apt-get install -qq -y --no-install-recommends chromium-headless-shell || \
		apt-get install -qq -y --no-install-recommends chromium; } >/dev/null; then touch $@; \
	elif $(BIN)/python -m playwright install chromium >/dev/null 2>&1; then touch $@; \
	elif test -n "$$DNA_REQUIRE_BROWSER"; then exit 1; \
	else echo "No Chromium here: the tests that need it will skip"; fi

# A machine that has no build of PyTorch can still run the other tests; DNA_REQUIRE_TORCH=1 makes its absence an error.
$(VENV)/torch.stamp: $(VENV)/python.stamp
	@test -n "$(TORCH)" || exit 0; \
	echo "Installing PyTorch into $(VENV) for the tests that compare with it"; \
	if $(PIP) $(TORCH); then touch $@; \
	elif test -n "$$DNA_REQUIRE_TORCH"; then exit 1; \
	else echo "No PyTorch here: the tests that need it will skip"; fi
