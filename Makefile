# The commands of this project. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help up dev demo test test-fast soak bulk conformance coverage bench pictures texts site sbom audit check format \
  format-check lint types docs lock clean

python := .venv/bin/python
# `.venv` keeps copies of the locks that it was made from, under these names. If a lock changes, make creates it again.
runtime := .venv/requirements.txt
dev := .venv/requirements-dev.txt
# The tools of `sbom` and `audit` are in an environment of their own, so that they are no part of what they look at.
tools := var/tools/requirements.txt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(runtime) ## start Temporal, the worker and the gateway; Ctrl-C stops them
	@exec $(python) -m ops.up

dev: $(dev) ## like up, and restart worker and gateway when you save their code
	@exec $(python) -m ops.up --restart-on-save

demo: $(runtime) ## load sample cases into the product that `make up` runs
	@exec $(python) -m cli demo

test: $(dev) ## run all tests; ARGS="tests/ops -k lock" runs some of them
	@exec $(python) -m pytest -c pyproject.toml $(or $(ARGS),-n 3 --dist loadfile --no-loadscope-reorder)

test-fast: $(dev) ## run the tests without a server, process, browser or database
	@exec $(python) -m pytest -c pyproject.toml -q -n 2 --dist loadfile --no-loadscope-reorder --fast $(ARGS)

soak: $(dev) ## run the tests that take minutes
	@exec $(python) -m pytest -m soak $(ARGS)

bulk: $(dev) ## import a file of 100,000 rows and kill the worker meanwhile
	@exec $(python) -m pytest -m soak tests/intake/test_hundred_thousand.py $(ARGS)

conformance: $(dev) ## run the suites that need programs of other projects
	@$(python) -m pip install --quiet --no-deps --require-hashes -r config/requirements/conformance.txt
	@mkdir -p var/conformance && cp tests/support/node_provider/package*.json var/conformance
	@npm ci --silent --no-audit --no-fund --prefix var/conformance
	@$(python) -m pytest -c pyproject.toml -q -m conformance $(ARGS) || test $$? -eq 5 # 5: there is no such test

coverage: $(dev) ## run the tests and fail below 90 % of the lines of the product
	@$(python) -m coverage erase
	@$(python) -m coverage run -m pytest -c pyproject.toml -q --timeout 600 $(or $(ARGS),-n 3 --dist loadfile --no-loadscope-reorder) \
	  || echo 'Some tests failed. The figures below can be too low.' # slower than make test: tests with clocks can fail
	@$(python) -m coverage combine -q
	@$(python) -m coverage report

bench: $(dev) ## measure speed beside the bare engine; ARGS=--quick takes a minute
	@$(python) -m scripts.bench $(ARGS)

check: format-check lint types docs ## run what CI checks before the tests

format: $(dev) ## format the code
	@$(python) -m ruff format .

format-check: $(dev) ## check the format of the code
	@$(python) -m ruff format --check .

lint: $(dev) ## run ruff
	@$(python) -m ruff check .

types: $(dev) ## run mypy in strict mode
	@$(python) -m mypy

docs: $(dev) ## check links, names, settings, commands and words of the docs
	@$(python) -m pytest -q tests/test_docs.py tests/test_english.py

texts: $(dev) ## collect the texts of the pages for translators
	@$(python) -m scripts.texts

pictures: $(dev) ## take the pictures of the docs again (needs Chromium)
	@$(python) -m scripts.pictures

site: $(dev) ## build the docs as a site in var/site that opens without a network
	@$(python) -m scripts.site

sbom: $(runtime) $(tools) ## write the list of all packages and files (CycloneDX) to var/sbom
	@$(python) -m scripts.supply.sbom

audit: $(runtime) $(tools) ## look up known vulnerabilities; exit code 3 if the database cannot be reached
	@$(python) -m scripts.supply.audit $(ARGS)

lock: ## resolve pyproject.toml into config/requirements/*.txt with hashes (needs uv)
	@$(resolve) pyproject.toml -o config/requirements/runtime.txt
	@$(resolve) pyproject.toml --extra otel -c config/requirements/runtime.txt -o config/requirements/otel.txt
	@$(resolve) pyproject.toml --extra otel --group dev -c config/requirements/otel.txt -o config/requirements/dev.txt
	@$(resolve) pyproject.toml --extra otel --group dev --group conformance -c config/requirements/dev.txt \
	  -o config/requirements/conformance.txt
	@$(resolve) --group supply -o config/requirements/supply.txt

resolve := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

clean: ## remove the environment and all caches; the state in var/ stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis docs/.cache docs/.site .coverage*
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(runtime): config/requirements/runtime.txt
	@ops/environment config/requirements/runtime.txt

$(tools): config/requirements/supply.txt
	@rm -rf var/tools && python3 -m venv var/tools
	@var/tools/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@cp $< $@

$(dev): config/requirements/dev.txt config/requirements/runtime.txt
	@ops/environment config/requirements/dev.txt
