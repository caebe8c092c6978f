# Everything a developer, CI or a newcomer runs. `make` alone lists it.
#
# Needs Python 3.11 to 3.13 and make; the rest comes into the checkout (.tools, .venv).
#   TORCH_BACKEND=cpu   the small torch without CUDA (remembered in .venv once it is set up)
#   PYTHON=python3.12   which Python makes the environment
#   UV=/path/to/uv      a uv of your own instead of the pinned one
#   ARGS="..."          options for the command behind demo, test, bench, soak and chaos
#   TESTS="..."         the files of make test, instead of all

VENV := .venv
BIN := $(VENV)/bin
UV ?= .tools/bin/uv
UV_READY := $(filter .tools/bin/uv,$(UV))
TORCH_BACKEND ?= $(shell cat $(VENV)/torch-backend 2>/dev/null || echo default)
INSTALLED := $(VENV)/.installed-$(TORCH_BACKEND)
ARGS ?=
export ARGS

# The first Python on the PATH that fits.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && command -v "$$python" && break; done)

# A slow line may need minutes for the largest wheels.
export UV_HTTP_TIMEOUT ?= 300

.DEFAULT_GOAL := help
.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

# ---- the environment --------------------------------------------------------------------------

.PHONY: setup
setup: $(INSTALLED) ## Make the environment in .venv (every other target does it by itself)

# Debian's Python refuses to install into itself (PEP 668), and may come without pip or venv:
# `pip --target` is allowed by the first, a throw-away environment helps without the second.
BOOTSTRAP = PIP_ROOT_USER_ACTION=ignore PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 \
	$(1) -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	--require-hashes --target .tools -r requirements/build.txt

.tools/bin/uv: requirements/build.txt
	@test -n "$(PYTHON)" || { echo "Vigie needs Python 3.11, 3.12 or 3.13 on the PATH" \
	"(or make PYTHON=/path/to/python)." >&2; exit 1; }
	@echo "Fetching uv into .tools"
	@rm -rf .tools
	@if "$(PYTHON)" -m pip --version >/dev/null 2>&1; then \
		$(call BOOTSTRAP,"$(PYTHON)"); \
	elif "$(PYTHON)" -c 'import ensurepip' >/dev/null 2>&1; then \
		"$(PYTHON)" -m venv .tools/pip && $(call BOOTSTRAP,.tools/pip/bin/python) && \
		rm -rf .tools/pip; \
	elif command -v uv >/dev/null 2>&1; then \
		mkdir -p .tools/bin && \
		printf '#!/bin/sh\nexec "%s" "$$@"\n' "$$(command -v uv)" > .tools/bin/uv && \
		chmod +x .tools/bin/uv; \
	else \
		echo "This Python has neither pip nor ensurepip, and there is no uv on the PATH." \
			"On Debian or Ubuntu: apt install python3-pip." >&2; exit 1; \
	fi
	@touch $@

$(BIN)/python: | $(UV_READY)
	$(UV) venv --quiet --no-python-downloads --python \
		"$$("$(PYTHON)" -c 'import sys; print(sys.executable)')" $(VENV)

$(INSTALLED): requirements/dev.txt requirements/install.sh pyproject.toml | $(BIN)/python $(UV_READY)
	UV="$(UV)" requirements/install.sh $(BIN)/python requirements/dev.txt $(TORCH_BACKEND)
	$(UV) pip install --python $(BIN)/python --quiet --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-*
	@touch $@

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-emit-index-url --override requirements/overrides.txt \
	--custom-compile-command "make requirements" $(UPGRADE)

.PHONY: requirements
requirements: $(UV_READY) ## Pin the dependencies of pyproject.toml (UPGRADE=--upgrade for newer ones)
	$(COMPILE) --group build --output-file requirements/build.txt
	$(COMPILE) --all-extras --group dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --constraint requirements/dev.txt --output-file requirements/image.txt pyproject.toml \
		--extra excel --extra notify --extra oidc --extra plot --extra postgres --extra registry \
		--extra tracing

# ---- see it -----------------------------------------------------------------------------------

.PHONY: demo
demo: $(INSTALLED) ## Watch Vigie find faults in a simulated plant (Kafka, Ray and all)
	$(BIN)/vigie demo $(ARGS)

# ---- check it ---------------------------------------------------------------------------------

.PHONY: lint
lint: $(INSTALLED) ## Check style, formatting and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: type
type: $(INSTALLED) ## Check types, strictly
	$(BIN)/mypy

# What the third lane runs beside the types: contracts, faults, several releases and nodes.
FAULTS := tests/contract tests/chaos tests/upgrade tests/integration/test_cluster.py

# Three lanes side by side, which together take two cores for little longer than the longest takes
# alone: the tests that compute, those that wait for brokers, processes and a browser, and the types
# with the contract of the Kafka client and the runs full of faults. No test is in two lanes, or in
# none. One thread each: with more, small models spend their time waiting for each other's. The
# second lane is shown as it goes, the others at the end. 5: no test was selected.
define IN_LANES
logs=$$(mktemp -d); trap 'rm -rf "$$logs"' EXIT; export OMP_NUM_THREADS=1; \
lane() { failed=0; for step in "$$@"; do \
	eval "$$step"; case $$? in 0|5) ;; *) failed=1;; esac; \
done; return $$failed; }; \
pytest="$(BIN)/pytest -p no:cacheprovider"; \
lane "$$pytest -m '($(1)) and not kafka and not ray' $$ARGS --ignore tests/browser" \
	>"$$logs/computing" 2>&1 & \
computing=$$!; \
lane $(BIN)/mypy \
	"$$pytest -m '($(1)) and (kafka or ray) and not chaos' $$ARGS $(FAULTS)" \
	"$$pytest -m '($(1)) and chaos' $$ARGS tests/chaos" >"$$logs/faults" 2>&1 & \
faults=$$!; \
lane "$$pytest -m '($(1)) and (kafka or ray)' $$ARGS $(addprefix --ignore ,$(FAULTS))" \
	"$$pytest -m '($(1)) and not kafka and not ray' $$ARGS tests/browser"; \
failed=$$?; \
wait $$computing || failed=1; wait $$faults || failed=1; \
cat "$$logs/computing" "$$logs/faults"; exit $$failed
endef

.PHONY: peers
peers: ## Install the peers of the tests (Debian, as root): PostgreSQL, Alertmanager, Chromium
	requirements/peers.sh

.PHONY: helm
helm: ## Make Helm for the tests of the chart, where Go is (two minutes)
	requirements/helm.sh

.PHONY: test
test: lint ## Check everything that a change may break (TESTS=tests/unit: only these tests)
	@$(if $(TESTS),$(BIN)/mypy && $(BIN)/pytest -m 'not slow' $$ARGS $(TESTS),$(call IN_LANES,not slow))

.PHONY: test-all
test-all: lint ## The same with the tests that take minutes
	@$(call IN_LANES,slow or not slow)

.PHONY: audit
audit: $(INSTALLED) ## Look for known vulnerabilities of what is pinned (needs the network)
	$(BIN)/python -m deploy.audit $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure throughput, latency, recovery beside a plain loop (ARGS="--only vigie|crash")
	$(BIN)/python -m benchmarks.throughput $(ARGS)
	$(BIN)/python -m benchmarks.recovery $(ARGS)

.PHONY: soak
soak: $(INSTALLED) ## Run the stream for as long as told (ARGS="--minutes 60") and watch it
	$(BIN)/python benchmarks/soak.py $(ARGS)

.PHONY: chaos
chaos: $(INSTALLED) ## Harm a running pipeline for as long as told (ARGS="--seconds 600 --seed 7")
	$(BIN)/python -m tests.chaos $(ARGS)

# ---- keep it ----------------------------------------------------------------------------------

.PHONY: docs
docs: $(INSTALLED) ## Write docs/schemas, docs/configuration.md, docs/openapi.json from the code
	$(BIN)/python -m schemas.export docs/schemas
	$(BIN)/python -m schemas.settings.chart deploy/helm/vigie/values.schema.json
	$(BIN)/python -m schemas.settings.reference docs/configuration.md
	$(BIN)/python -m workers.api.export docs/openapi.json

.PHONY: docs-figures
docs-figures: $(INSTALLED) ## Run docs/autoencoders.md: write its pictures and what its commands print
	$(BIN)/python -m tests.docs.walkthrough

.PHONY: release
release: $(INSTALLED) ## Make wheel, source archive, chart, bills of materials, checksums in dist/
	$(BIN)/python -m deploy.release --uv "$(UV)" $(ARGS)

.PHONY: hooks
hooks: $(INSTALLED) ## Let git run the checks before each commit
	$(BIN)/pre-commit install

.PHONY: clean
clean: ## Remove caches and build outputs
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './.tools/*' -prune \
		-exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove the environment as well
	rm -rf $(VENV) .tools
