# Everything a developer or a new user needs: each target sets up what it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HOME_DIR ?= isocenter-home
PORT ?= 8042

.PHONY: run ocr page test check format bench system lambda test-aws test-page lock clean
.DEFAULT_GOAL := run

$(VENV)/.base: requirements/base.txt pyproject.toml
	@scripts/python-version $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what Isocenter needs (first time: about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# The browser page, from page/ into the package; without Node.js it says so and the server runs without it.
PAGE := src/isocenter/web/page_files/index.html
page: $(PAGE)
$(PAGE): $(VENV)/.base $(shell find page -name node_modules -prune -o -type f -print)
	@$(BIN)/python scripts/page_build.py

# The server on 127.0.0.1 with a small sample study in it.
run: $(VENV)/.base page
	@$(BIN)/isocenter serve --home $(HOME_DIR) --port $(PORT) --sample

# What reads text in pixels, for de-identification: an OCR engine with its models.
ocr: $(VENV)/.base
	@echo "installing what reads text in pixels"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/ocr.txt

# All checks and all tests. Many wait more than they work, so there is a process more than most machines of CI have cores.
test: check system page
	$(BIN)/pytest -n 3 --dist loadgroup

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# PostgreSQL, DCMTK, dicom3tools, curl, Chromium and Node.js: real servers and clients for the tests.
system:
	@scripts/system-packages

bench: $(VENV)/.dev
	$(BIN)/python -m bench

# The zips of the functions on AWS: the same input gives the same bytes. PYTHON_VERSION=3.12 and ARCHITECTURE=arm64
# choose what they are for; without, the Python and the processor at hand.
lambda: $(VENV)/.base
	$(BIN)/python scripts/lambda-packages $(if $(PYTHON_VERSION),--python $(PYTHON_VERSION)) $(if $(ARCHITECTURE),--architecture $(ARCHITECTURE))

# The Terraform applied to moto's server, and the zips run as Lambda runs them.
test-aws: $(VENV)/.dev
	$(BIN)/pytest tests/aws

# The page in Debian's Chromium.
test-page: $(VENV)/.dev system page
	$(BIN)/pytest tests/browser

# New locks after a change of pyproject.toml; takes uv.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --extra postgres --extra ocr --extra aws --group build --group headless --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --constraint requirements/dev.txt --extra postgres --group build pyproject.toml -o requirements/base.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --constraint requirements/dev.txt --extra postgres --extra ocr --group build --group headless pyproject.toml -o requirements/ocr.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --constraint requirements/dev.txt --group pyproject.toml:lambda -o requirements/lambda.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --constraint requirements/dev.txt --group pyproject.toml:lambda --group pyproject.toml:ocr-lambda -o requirements/ocr-lambda.txt

clean:
	rm -rf $(VENV) page/node_modules src/isocenter/web/page_files build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
