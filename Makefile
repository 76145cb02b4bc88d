# The commands: `make preflight`, `make remediate` and `make test`. `make help` names the rest.
PYTHON ?= python3
VENV ?= .venv
INVENTORY ?= inventories/local
ARGS ?=
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help preflight remediate test lint unit integration browser molecule bench docs build lab-up lab-down clean

help:  ## What there is
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Pinned requirements in a virtual environment of the clone's own; made again when a pin changes.
$(VENV)/.preflight: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("%s is Python %d.%d; goready.preflight needs 3.11 or newer: make PYTHON=python3.12 ..." % (sys.executable, *sys.version_info[:2]) if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing requirements.txt into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.preflight requirements-dev.txt
	@echo "Installing requirements-dev.txt into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Ansible ends with 0 where no host matches: a misspelt inventory or --limit would pass the gate.
define some_host
@if $(BIN)/ansible-playbook $(1).yml -i $(INVENTORY) $(ARGS) --list-hosts 2>/dev/null | sed -n 1,4p | grep -q 'hosts (0)'; then \
  echo "$(1): no host matches INVENTORY=$(INVENTORY) $(ARGS): nothing was verified" >&2; exit 2; fi
endef

preflight: $(VENV)/.preflight  ## Verify this machine, or INVENTORY=... with ARGS='...'
	$(call some_host,preflight)
	@$(BIN)/ansible-playbook preflight.yml -i $(INVENTORY) $(ARGS)

remediate: $(VENV)/.preflight  ## Verify, mend what failed and may be mended, verify again
	$(call some_host,remediate)
	@$(BIN)/ansible-playbook remediate.yml -i $(INVENTORY) $(ARGS)

test: $(VENV)/.test  ## Everything CI runs
	@tests/run all

lint unit integration browser molecule: $(VENV)/.test
	@tests/run $@

lint:     ## Linters, sanity, documentation, the built tarball
unit:     ## Unit and property tests
integration: ## The playbook as a user runs it, on this machine
browser:  ## The HTML report in headless Chromium
molecule: ## Real hosts: the playbook as a user runs it

bench: $(VENV)/.test  ## Side by side: setup, this verification, a playbook of one task a check
	@tests/lab/install && $(BIN)/python bench/run.py $(ARGS)

docs: $(VENV)/.test  ## Write docs/checks/ from the catalogue
	@PYTHONPATH=collections $(BIN)/python docs/generate.py

build: $(VENV)/.preflight  ## The collection's tarball
	@$(BIN)/ansible-galaxy collection build --force

lab-up: $(VENV)/.test  ## Start real test hosts: ARGS='web1 web2:arm64'
	@tests/lab/install && $(BIN)/python tests/lab/lab.py up $(ARGS)

lab-down:  ## Remove the test hosts
	@$(BIN)/python tests/lab/lab.py down $(ARGS)

clean:  ## Remove what make made
	rm -rf $(VENV) reports tests/output .ansible goready-preflight-*.tar.gz
