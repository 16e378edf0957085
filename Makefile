# `make` lists the targets. Each sets .venv up when it is absent, and again when pyproject.toml has changed.

.DEFAULT_GOAL := help
.PHONY: help setup search submit export ui dashboard bench bench-gpu bench-headline bench-peft cluster-sim demo-assets docs lint \
	mutants test test-faults test-long

VENV  := .venv
STAMP := $(VENV)/.stamp
RUN   := $(VENV)/bin/python -m

# ve-fairseq asks for torchaudio and uses it nowhere here. PyPI's is built for CUDA, and one that can't be loaded beside
# this torch stops every import of transformers' models, so it is taken away.
# Every installation brings it back.
LOADS_TORCHAUDIO := $(VENV)/bin/python -c 'import torchaudio' 2>/dev/null
# $(call install,EXTRA): this project with the packages of an extra.
install = $(RUN) pip install -qq --disable-pip-version-check --no-input --editable '.[$(1)]' && \
	{ $(LOADS_TORCHAUDIO) || $(RUN) pip uninstall -qq -y torchaudio; }

# The first of these that runs and is new enough, for a name on PATH may be an empty shim; PYTHON=... takes another.
FITS := -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do $$python $(FITS) && echo $$python && break; done)

# $(call set,KEY,VALUE): KEY=VALUE as one shell word, blanks and quotes kept; nothing where there is no value.
set = $(if $(2),'$(1)=$(subst ','\'',$(2))')
SETTINGS = $(call set,task,$(TASK)) $(call set,method,$(METHOD)) $(call set,space,$(SPACE)) \
	$(call set,lm,$(LM)) $(call set,data,$(DATA)) $(call set,trials,$(TRIALS)) $(call set,study,$(STUDY)) $(OVERRIDES)
CORPUS = $(call set,lm,$(LM)) $(call set,data,$(DATA))
ENGINE = $(RUN) sp_search.cli bench engine
SHORTER = schedule.budget=24000 schedule.grace=1500# of 6,000 utterances a full trial sees each four times
EPOCHS = train_utterances=320# ten updates of 32, or forty of 8, are an epoch: behind the first, source states are kept

# What a target reads. Make takes any other variable without a word: TSK=intent, or task=intent. Here it is an error.
SEARCHED := TASK METHOD SPACE LM DATA TRIALS STUDY OVERRIDES
READS = PYTHON $($(strip $(1))_READS)
search_READS := $(SEARCHED)
submit_READS := $(SEARCHED) STORAGE RUNS DASHBOARD
export_READS := $(SEARCHED)
ui_READS := OVERRIDES
dashboard_READS := STUDY PORT
bench_READS := LM DATA OVERRIDES
bench-gpu_READS := DATA OVERRIDES
bench-peft_READS := DATA OVERRIDES
bench-headline_READS := LM DATA TRIALS OVERRIDES PAPERS
mutants_READS := FILES
cluster-sim_READS := NODES CPUS DASHBOARD COMMAND
GOALS := $(or $(MAKECMDGOALS),help)
READ := $(sort $(foreach goal,$(GOALS),$(call READS,$(goal))))
TYPED := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
# $(call near,NAME): the first variable that begins as NAME does and has its letters in this order.
near = $(shell printf '%s\n' $(READ) | grep -ix -m 1 "$$(printf %s '$(1)' | sed 's/[^A-Za-z]//g; s/./&.*/g')")
meant = $(if $(call near,$(1)),say $(call near,$(1))=$($(1)),$(if $(filter OVERRIDES,$(READ)),say OVERRIDES="$(1)=$($(1))" for a setting of sp-search,it reads $(READ)))
$(foreach name,$(filter-out $(READ) MAKEFLAGS,$(TYPED)),$(error $(name)=$($(name)): make $(GOALS) reads no such variable; $(call meant,$(name))))

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

search: $(STAMP) ## Search prompts: TASK=intent [METHOD= SPACE= LM= DATA= TRIALS= STUDY= OVERRIDES="key=value ..."]
	@set -f; $(RUN) sp_search.cli search $(SETTINGS)

submit: $(STAMP) ## Search as a job of a Ray cluster elsewhere: TASK= STUDY= STORAGE=s3://... RUNS=/shared/runs [DASHBOARD= and as search]
	@set -f; $(RUN) sp_search.cli submit $(SETTINGS) $(call set,storage,$(STORAGE)) $(call set,runs,$(RUNS)) \
		$(call set,dashboard,$(DASHBOARD))

export: $(STAMP) ## Export the best prompt of a study: TASK=intent [METHOD= LM= DATA= STUDY= OVERRIDES=]
	@set -f; $(RUN) sp_search.cli export $(SETTINGS)

ui: $(STAMP) ## Show every trial in MLflow's UI on 127.0.0.1 [OVERRIDES="port=5001"]
	@set -f; $(RUN) sp_search.cli ui $(OVERRIDES)

dashboard: $(STAMP) ## Show a study's trials in Optuna's dashboard on 127.0.0.1: STUDY=NAME [PORT=8080]
	@test -n '$(STUDY)' || { echo "make: expected the name of a study, got none; say STUDY=NAME, one of: $$(cd runs 2>/dev/null && ls -d */journal.log 2>/dev/null | sed 's,/journal.log,,' | tr '\n' ' ')" >&2; exit 2; }
	@test -f 'runs/$(STUDY)/journal.log' || { echo "make: runs/$(STUDY)/journal.log: expected the journal of a study, found none; say STUDY=NAME" >&2; exit 2; }
	@$(call install,dashboard)
	@exec $(VENV)/bin/optuna-dashboard 'runs/$(STUDY)/journal.log' --host 127.0.0.1 --port $(or $(PORT),8080)

bench: $(STAMP) ## Measure the engine beside fairseq's decoder, then trials beside a plain Tuner's, a JSON line each [LM= DATA= OVERRIDES=]
	@set -f; $(ENGINE) dtype=float32 baseline=fairseq $(CORPUS) $(OVERRIDES)
	@set -f; for depth in layers layers/2 layers/4; do $(ENGINE) depth=$$depth $(EPOCHS) baseline=fairseq $(CORPUS) $(OVERRIDES) || exit; done
	@set -f; $(ENGINE) trials=5 batch_size=8 prompt_length=20 position=infix $(EPOCHS) updates=40 baseline=fairseq $(CORPUS) $(OVERRIDES)
	@set -f; $(ENGINE) trials=8 baseline=alone $(CORPUS) $(OVERRIDES)
	@set -f; $(ENGINE) trials=8 depth=layers/2 engine.trunk_cache_gib=0 baseline=alone $(CORPUS) $(OVERRIDES)
	@set -f; $(ENGINE) lm=random:12x1024x16 updates=2 stretches=3 baseline=fairseq $(call set,data,$(DATA)) $(OVERRIDES)
	@$(RUN) sp_search.cli bench slots

bench-gpu: $(STAMP) ## Measure a GPU: parity with the CPU, speed and memory of packs; a JSON line for each LM [DATA= OVERRIDES=]
	@set -f; $(RUN) sp_search.cli bench gpu $(call set,data,$(DATA)) $(OVERRIDES)

bench-headline: $(STAMP) ## The papers' training, then a search on as much [LM= DATA= TRIALS=64 OVERRIDES= PAPERS=]
	@set -f; $(RUN) sp_search.cli bench papers train_utterances=6000 $(CORPUS) $(PAPERS)
	@set -f; summary=$$($(RUN) sp_search.cli search train_utterances=6000 trials=$(or $(TRIALS),64) \
		$(SHORTER) study=headline-$$(date +%Y%m%d-%H%M%S) $(CORPUS) $(OVERRIDES)) && cat "$$summary"

bench-peft: $(STAMP) ## Measure trials through PEFT beside packs in the engine, a JSON line each [DATA= OVERRIDES="lms=... packs=..."]
	@set -f; for dtype in float32 auto; do for batch in 8 32; do for prompt in depth=layers depth=0 position=infix; do \
		$(RUN) sp_search.cli bench peft dtype=$$dtype batch_size=$$batch $$prompt $(call set,data,$(DATA)) $(OVERRIDES) || exit; \
	done; done; done

cluster-sim: $(STAMP) ## A Ray cluster of several nodes on this machine, for a shell or a command [NODES=4 CPUS=1 DASHBOARD= COMMAND=]
	@env -u MAKEFLAGS -u MFLAGS NODES=$(or $(NODES),4) CPUS=$(or $(CPUS),1) DASHBOARD=$(DASHBOARD) cluster/laptop.sh $(or $(COMMAND),bash)

demo-assets: $(STAMP) ## Build the demo corpus and unit LM again, from nothing
	@$(RUN) sp_search.demo

# --quiet would also hide warnings from --strict, and the build would pass with them.
docs: $(STAMP) ## Build the documentation into build/site, and check it; a warning is an error
	@$(call install,docs)
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict
	@$(RUN) pytest -n 0 -m site -rs tests/test_site.py
	@echo build/site/index.html

lint: $(STAMP) ## Formatter, linter and types
	@$(RUN) ruff format --check --quiet .
	@$(RUN) ruff check --quiet .
	@$(RUN) mypy

test: lint ## Lint, then the test suite but for what the two targets below run
	@$(RUN) pytest --durations=40

test-faults: $(STAMP) ## Break searches on purpose, and compare them with one that nothing happened to; ten minutes
	@$(RUN) pytest -m faults tests/faults tests/cluster

test-long: $(STAMP) ## The slowest tests, ten seconds to a minute and a half each
	@$(RUN) pytest -m long

mutants: $(STAMP) ## Change the code where faults would be worst, and list what no test notices [FILES="sp_search/... ..."]
	@$(RUN) tests.mutants $(FILES)

setup: $(STAMP) ## Set .venv up

$(STAMP): pyproject.toml
	@'$(PYTHON)' $(FITS) || { echo "make: expected Python 3.11 or 3.12, got '$(PYTHON)'; name one with PYTHON=..." >&2; exit 2; }
	@rm -f $(STAMP)
	@echo "setting up $(VENV) with $$('$(PYTHON)' --version); torch, ray and mlflow take minutes to fetch and unpack"
	@{ $(VENV)/bin/python $(FITS) && $(RUN) pip --version >/dev/null 2>&1; } || '$(PYTHON)' -m venv --clear $(VENV)
	@$(call install,dev)
	@touch $(STAMP)
