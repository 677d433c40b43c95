# Everything is installed into this folder: .venv (Python packages), .meltano (Meltano's plugins),
# .demo (the demo's PostgreSQL), .bench (the benchmarks' peers), .targets (targets for the tests),
# .site (scripts of the documentation site).
# Needed beforehand: Python 3.11 or newer, git, make.

# Commands such as `make PYTHON=/opt/python3.12/bin/python3 test` choose another Python.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
# What an installation depends on; a newer file means: install again.
DEMO_READY := $(VENV)/.demo-installed
FLEET_READY := $(VENV)/.fleet-installed
TOOLS_READY := $(VENV)/.tools-installed
MEASURES_READY := $(VENV)/.measures-installed
PLUGINS_READY := .meltano/.plugins-installed
# Two scripts of the site come from npm, as docs/site/package-lock.json has them.
SITE_READY := .site/.installed
# Other people's targets, each in its own environment, since their requirements conflict.
TARGETS := $(patsubst tests/targets/%.txt,.targets/%/.installed,$(wildcard tests/targets/*.txt))
# Faster than pip; Meltano brings it along.
UV := $(BIN)/uv pip install --quiet
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Many tests wait for a database or for other processes, so there are more of them than processors.
PYTEST = $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal
PROCESSES ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) * 3 / 2 )))
MELTANO := MELTANO_PROJECT_ROOT='$(CURDIR)' MELTANO_CLI_DISABLE_VERSION_CHECK=true MELTANO_CLI_LOG_LEVEL=warning $(BIN)/meltano

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo fleet-demo psql test test-longer targets test-workers coverage mutation lint types docs-check docs-site check format \
  openapi golden docs soak fleet-soak bench package-check install-test release lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(PLUGINS_READY) ## Sync a simulated Rutter into an embedded PostgreSQL, twice (with keys in .env: the real one)
	@$(BIN)/rutterctl demo

fleet-demo: $(FLEET_READY) ## Show a fleet: webhooks, two workers of which one is killed, how long rows take
	@$(BIN)/rutterctl demo --fleet

psql: $(DEMO_READY) ## Look at what the demo landed; make psql SQL='select …' prints one answer
	@$(BIN)/rutterctl demo --psql -- $(if $(SQL),--command "$$SQL")

test: $(TOOLS_READY) $(PLUGINS_READY) ## Run the tests, but for those that take long
	@$(PYTEST) -m 'not longer' $(ARGS)

test-longer: $(TOOLS_READY) $(PLUGINS_READY) targets ## Run the others: other targets, dbt, kills of fleets, the pages' commands
	@$(PYTEST) -m longer $(ARGS)

targets: $(TARGETS) ## Install the targets that the tests load into

test-workers: $(TOOLS_READY) $(PLUGINS_READY) ## Run the tests of rows, faults and progress with 1, 8 and 32 workers
	@set -e; for workers in $${WORKERS:-1 8 32}; do \
	  echo "With $$workers workers:"; \
	  TEST_WORKERS=$$workers $(PYTEST) --quiet -m any_workers $(ARGS); \
	done

lint: $(TOOLS_READY) ## Check style and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/zizmor --offline --quiet .github

types: $(TOOLS_READY) ## Check types
	@$(BIN)/mypy

docs-check: $(TOOLS_READY) ## Check the documentation: generated parts, links, pages that nothing links to
	@$(BIN)/python scripts/check_streams.py
	@failed=0; \
	  $(BIN)/python scripts/build_docs.py --check || failed=1; \
	  $(BIN)/python scripts/check_links.py || failed=1; \
	  exit $$failed

docs-site: $(TOOLS_READY) $(SITE_READY) ## Build the documentation as a site, into site/; open site/index.html to read it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict
	@$(BIN)/python scripts/check_site.py

check: lint types docs-check docs-site test test-longer ## All of the checks above

format: $(TOOLS_READY) ## Format the code, and fix what ruff can fix
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

openapi: $(TOOLS_READY) ## Make an API document: make openapi VERSION=2024-08-31 SOURCE=file-or-URL
	@if [ -z '$(VERSION)' ]; then \
	  echo "Say which version to make, and from which description. For example:" >&2; \
	  echo "  make openapi VERSION=2024-08-31 SOURCE=description.yaml" >&2; \
	  echo "A version that is derived from others (scripts/openapi_fixes.json) takes no SOURCE." >&2; \
	  exit 2; \
	fi
	@$(BIN)/python scripts/update_openapi.py --version '$(VERSION)' $(if $(SOURCE),'$(SOURCE)') $(ARGS)

golden: $(TOOLS_READY) ## Write the snapshots of the catalog and missing examples; review the diff
	@$(BIN)/python scripts/check_streams.py
	@$(BIN)/python scripts/new_examples.py
	@UPDATE_GOLDEN=1 $(BIN)/python -m pytest --quiet tests/project/test_golden_catalog.py $(ARGS)

docs: $(TOOLS_READY) ## Write the generated parts of README.md and docs/
	@$(BIN)/python scripts/check_streams.py
	@$(BIN)/python scripts/build_docs.py

soak: $(TOOLS_READY) ## Test random histories, thousands or SOAK_HISTORIES=n, then minutes of faults
	@SOAK_HISTORIES=$${SOAK_HISTORIES:-5000} $(PYTEST) tests/sync/test_histories.py $(ARGS)
	@FAULT_SOAK_CONNECTIONS=$${FAULT_SOAK_CONNECTIONS:-200} \
	  FAULT_SOAK_SECONDS=$${FAULT_SOAK_SECONDS:-180} \
	  $(BIN)/python -m pytest tests/sync/test_fault_soak.py $(ARGS)

fleet-soak: $(TOOLS_READY) ## Minutes of fleets that are killed, stopped, cut off, and of two versions
	@FLEET_SOAK_SECONDS=$${FLEET_SOAK_SECONDS:-300} \
	  FLEET_SOAK_CONNECTIONS=$${FLEET_SOAK_CONNECTIONS:-60} \
	  FLEET_SOAK_WORKERS=$${FLEET_SOAK_WORKERS:-4} \
	  $(BIN)/python -m pytest tests/fleet/test_fleet_harm.py \
	  tests/fleet/test_fleet_outages.py tests/fleet/test_fleet_versions.py $(ARGS)

coverage: $(MEASURES_READY) $(PLUGINS_READY) targets ## Say which lines no test runs; ARGS=tests/unit measures some tests only
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

mutation: $(MEASURES_READY) ## Say which changes of a module no test notices: make mutation MODULE=errors; without MODULE: a list
	@$(BIN)/python scripts/mutation.py $(MODULE) $(ARGS)

bench: $(DEMO_READY) ## Measure the tap and its peers, into docs/benchmarks.md; ARGS=--quick only tries it out
	@$(BIN)/python -m benchmarks $(ARGS)

package-check: $(TOOLS_READY) ## Build wheel and sdist into dist/, and run the wheel alone with each Python here
	@rm -rf dist
	@$(BIN)/python -m hatchling build --directory dist
	@$(BIN)/python scripts/check_wheel.py dist/*.whl

install-test: $(TOOLS_READY) ## Install as the README says, with packages of the index, and sync
	@INSTALL_TEST=1 $(BIN)/python -m pytest tests/end_to_end/test_docs_commands.py -k index $(ARGS)

release: $(TOOLS_READY) ## Date the changelog, fill in addresses: make release REPOSITORY=https://HOST/OWNER/tap-rutter
	@$(BIN)/python scripts/release.py $(if $(REPOSITORY),--repository '$(REPOSITORY)') \
	  $(if $(DATE),--date '$(DATE)')

lock: $(TOOLS_READY) ## Bring uv.lock up to date with pyproject.toml
	@$(BIN)/uv lock

clean: ## Remove everything that make and the demo have made
	rm -rf $(VENV) .meltano .demo .bench .targets .site site .mutation .coverage build dist .pytest_cache .mypy_cache \
	  .ruff_cache .hypothesis

$(BIN)/python:
	@python='$(PYTHON)'; \
	for candidate in $${python:-python3.14 python3.13 python3.12 python3.11 python3 python}; do \
	  if "$$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$("$$candidate" --version)"; \
	    "$$candidate" -m venv $(VENV) && exit 0; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with the venv module was found." >&2; \
	echo "Install one (Debian and Ubuntu: apt install python3 python3-venv), or name it:" >&2; \
	echo "  make PYTHON=/path/to/python3.12 …" >&2; \
	exit 1

$(DEMO_READY): pyproject.toml | $(BIN)/python
	@echo "Installing tap-rutter, Meltano and PostgreSQL into $(VENV); a minute or so, once"
	@$(PIP) install --upgrade 'pip>=25.1'
	@$(PIP) install --editable '.[demo]'
	@touch $@

$(FLEET_READY): $(DEMO_READY)
	@echo "Installing what a fleet needs into $(VENV)"
	@$(PIP) install --editable '.[demo,fleet]'
	@touch $@

$(TOOLS_READY): $(DEMO_READY)
	@echo "Installing the tools for tests and checks into $(VENV)"
	@$(UV) --python $(BIN)/python --group dev
	@touch $@

$(MEASURES_READY): scripts/requirements-measures.txt $(TOOLS_READY)
	@echo "Installing what measures tests into $(VENV)"
	@$(PIP) install --requirement $<
	@touch $@

$(PLUGINS_READY): meltano.yml $(DEMO_READY)
	@echo "Installing Meltano's plugins, as meltano.yml defines them"
	@$(MELTANO) install
	@touch $@

$(SITE_READY): docs/site/package.json docs/site/package-lock.json
	@command -v npm >/dev/null || { echo "The site needs npm, which comes with Node.js, for its scripts" >&2; exit 1; }
	@mkdir -p $(@D) && cp $^ $(@D)
	@npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# If one cannot be installed, its own test is skipped, with this message.
.targets/%/.installed: tests/targets/%.txt | $(DEMO_READY)
	@echo "Installing $* into $(@D), for the tests"
	@$(BIN)/python -m venv --clear $(@D)
	@$(UV) --python $(@D)/bin/python --requirement $< \
	  && touch $@ || echo "$* cannot be installed here: its test is skipped" >&2
