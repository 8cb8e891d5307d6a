# The habits of this project, one command each. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help up dev demo test test-fast soak bulk bench pictures texts site check format lint types docs lock clean

python := .venv/bin/python
# What an environment was made from lies in it, so a change of a lock makes it anew.
runtime := .venv/requirements.txt
dev := .venv/requirements-dev.txt

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: $(runtime) ## start Temporal, worker and gateway; Ctrl-C stops them
	@exec $(python) -m ops.up

dev: $(dev) ## like up; worker and gateway start again when their code is saved
	@exec $(python) -m ops.up --restart-on-save

demo: $(runtime) ## load the sample story into what `make up` runs
	@exec $(python) -m cli demo

test: $(dev) ## run the tests; ARGS="tests/ops -k lock" runs some of them
	@exec $(python) -m pytest -c pyproject.toml $(or $(ARGS),-n 3 --dist loadfile --no-loadscope-reorder)

test-fast: $(dev) ## tests that start no server: half a minute
	@exec $(python) -m pytest -c pyproject.toml -q -n 2 --dist loadfile $(addprefix tests/,$(fast)) $(ARGS)

fast := domain policy test_architecture.py test_sentences.py plugins/test_check_words.py channels/test_text.py \
  $(addprefix activities/test_,artefact.py dataset_file.py deployment_request.py folder.py onboarding_request.py \
    payment_request.py releases.py screening.py) \
  $(addprefix api/,test_markdown.py test_temporal_calls.py pages/test_forms.py pages/test_reasons.py) \
  $(addprefix intake/test_,amount_column.py expressions.py mapping.py rows.py seed.py tables.py xlsx_file.py) \
  $(addprefix workflows/test_,ahead.py bounds.py folding.py gate.py moments.py naming.py)

soak: $(dev) ## the tests that take minutes
	@exec $(python) -m pytest -m soak $(ARGS)

bulk: $(dev) ## a file of 100,000 rows, with a worker that is killed: minutes
	@exec $(python) -m pytest -m soak tests/intake/test_hundred_thousand.py $(ARGS)

bench: $(dev) ## measure, beside the bare engine; ARGS=--quick takes a minute
	@$(python) -m scripts.bench $(ARGS)

check: format-check lint types docs ## what CI checks before the tests

format: $(dev) ## format the code
	@$(python) -m ruff format .

.PHONY: format-check
format-check: $(dev)
	@$(python) -m ruff format --check .

lint: $(dev) ## ruff
	@$(python) -m ruff check .

types: $(dev) ## mypy, strict
	@$(python) -m mypy

docs: $(dev) ## links, names, settings and commands in the docs
	@$(python) -m pytest -q -k "not session and not follows" tests/test_docs.py

texts: $(dev) ## collect the texts of the pages for translators
	@$(python) -m scripts.texts

pictures: $(dev) ## take the pictures of the docs anew, of the demo (needs Chromium)
	@$(python) -m scripts.pictures

site: $(dev) ## build the docs as a site in var/site, to be read offline
	@$(python) -m scripts.site

lock: ## resolve pyproject.toml into the hash-locked requirements files (needs uv)
	@$(resolve) pyproject.toml -o requirements.txt
	@$(resolve) pyproject.toml --extra otel -c requirements.txt -o requirements-otel.txt
	@$(resolve) pyproject.toml --extra otel --group dev -c requirements-otel.txt -o requirements-dev.txt

resolve := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock"

clean: ## remove the environment and all caches; the state in var/ stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(runtime): requirements.txt
	@ops/environment requirements.txt

$(dev): requirements-dev.txt requirements.txt
	@ops/environment requirements-dev.txt
