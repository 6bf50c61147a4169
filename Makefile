# Everything runs from .venv; no root, no Docker, no hub download. `make help` lists the targets.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
RUN    := $(VENV)/bin/python
RUNTIME := gateway,preprocessing,workers,serving,bucket,local,client,operators,pacs,tracing
PIP    := $(RUN) -m pip --disable-pip-version-check --quiet
SOURCES := contracts runtime jobstore imaging gateway preprocessing_service workers model_store client operators pacs deploy bench tests

.DEFAULT_GOAL := help
.PHONY: audit client help setup demo up down status viewer test test-containers unit check format lock clean

help:  ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^## / {printf "\n%s\n", substr($$0, 4)} \
	  /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Run
demo: $(VENV)/.runtime  ## Set up, send one real volume through the whole system, print the result, stop
	@$(RUN) -m deploy.local demo $(if $(VOLUME),--volume $(VOLUME))

up: $(VENV)/.runtime  ## Start the system and leave it running
	@$(RUN) -m deploy.local up

down: $(VENV)/.runtime  ## Stop it
	@$(RUN) -m deploy.local down

status: $(VENV)/.runtime  ## Say what is running
	@$(RUN) -m deploy.local status

client: $(VENV)/.runtime  ## Build the client alone as a wheel, into dist/
	@$(RUN) -m deploy.client_wheel

viewer:  ## Bundle NiiVue for the volume view of the page (Node 20; without it the page draws planes)
	@cd deploy/viewer && npm ci --no-audit --no-fund --silent && npm run --silent build

## Develop
setup: $(VENV)/.dev  ## Make .venv with everything for running, testing and training

test: $(VENV)/.dev check  ## Set up, check and run every test, two processes side by side
	@$(RUN) -m pytest tests --numprocesses 2 --dist loadgroup --no-loadscope-reorder

unit: $(VENV)/.dev  ## Only the tests that start no process
	@$(RUN) -m pytest tests/unit

test-containers: $(VENV)/.dev  ## Build all images, run docker-compose.yml and work with it (docs/operations.md)
	@$(PIP) install -c constraints.txt -e '.[containers]'
	@$(RUN) -m tests.containers

check: $(VENV)/.dev  ## Lint, types, dependency rules
	@$(VENV)/bin/ruff check $(SOURCES)
	@$(VENV)/bin/ruff format --check $(SOURCES)
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/bandit -q -ll --skip B108,B310 -r contracts runtime jobstore imaging gateway preprocessing_service workers client operators pacs deploy  # ruff explains both per line

audit: $(VENV)/.dev  ## Known vulnerabilities of what is installed, and its bill of materials (sbom.json)
	@$(PIP) install -c constraints.txt -e '.[audit]'
	@$(VENV)/bin/cyclonedx-py environment $(RUN) --pyproject pyproject.toml --of JSON -o sbom.json 2>/dev/null
	@$(RUN) -m deploy.advisories

format: $(VENV)/.dev  ## Put the code in its standard form
	@$(VENV)/bin/ruff check --fix-only $(SOURCES)
	@$(VENV)/bin/ruff format $(SOURCES)

lock: $(VENV)/.dev  ## Pin what pyproject.toml names and constraints.txt lacks (UPGRADE=1: newest of everything)
	@cp constraints.txt constraints.new
	@$(VENV)/bin/pip-compile --quiet --all-extras --strip-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) --output-file constraints.new pyproject.toml
	@sed 's/^\(torch==[0-9.]*\)+cpu/\1/' constraints.new > constraints.txt && rm constraints.new

clean:  ## Forget the local system's data (not the environment)
	@rm -rf .run

# --- environment: stamps are newer than what they were made from ---
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; name it with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing the runtime into $(VENV) (about 2 minutes the first time) ..."
	@$(PIP) install -c constraints.txt -e '.[$(RUNTIME)]'
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "installing the development tools into $(VENV) ..."
	@$(PIP) install -c constraints.txt -e '.[$(RUNTIME),training,dev]'
	@touch $@
