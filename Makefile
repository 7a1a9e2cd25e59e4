# Thin: every target makes its own environment in .venv and then runs one command.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# The tests start hundreds of processes: without bytecode each would compile Google's clients again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test lint lint-workflows types fuzz simulate mutants kills breakages bench bench-judge bench-safe rollouts watchdog fleet drain test-servers bench-checks house pulumi test-pulumi lock clean

demo: $(READY) ## the whole story on the local Cloud Run, under 90 s
	$(BIN)/spillway demo

test: $(READY) lint types ## lint, types, tests: what CI runs
	$(BIN)/python -m pytest -q -n $${SPILLWAY_TEST_PROCESSES:-3} --dist worksteal

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

fuzz: $(READY) ## TIMES (20) the inputs that the tests name, of which CI draws a quarter, from a seed that is printed; SEED repeats a run
	@seed=$${SEED:-$$(date +%s)}; times=$${TIMES:-20}; echo "fuzz: SEED=$$seed TIMES=$$times"; \
	SPILLWAY_FUZZ=$$times $(BIN)/python -m pytest -q -n $${SPILLWAY_TEST_PROCESSES:-2} --dist worksteal \
	  --hypothesis-seed=$$seed tests/test_fuzz_*.py

mutants: $(READY) ## plant every known slip, one at a time: which test finds it
	$(BIN)/python -m tests.mutants

kills: $(READY) ## kill -9 at PAIRS (60) pairs of API call boundaries for each of four commands
	$(BIN)/python -m bench.kills $${PAIRS:-60}

breakages: $(READY) ## a roll-back with each of the 1,024 sets of ten breakages; SEED chooses the fresh processes
	$(BIN)/python -m bench.breakages $${SEED:-$$(date +%s)}

bench: $(READY) ## how fast the checks are, beside ruff, the parser and git grep; images known again; what starting costs; what the middleware costs a message; many conversations beside k6 (which Go builds into the user's cache)
	$(BIN)/python -m bench.checks_speed
	$(BIN)/python -m bench.log_look
	$(BIN)/python -m bench.images_speed
	$(BIN)/python -m bench.startup
	$(BIN)/python -m bench.telemetry
	@test -x $(SERVERS)/bin/k6 || ! command -v go >/dev/null || GOBIN=$(SERVERS)/bin nice -n 10 go install go.k6.io/k6@v1.8.1
	$(BIN)/python -m bench.probe_load

bench-judge: $(READY) ## how right the judge is: beside an oracle, other tools, on 20,000 whole rollouts (an hour); QUICK=--quick: seconds
	$(BIN)/python -m bench.judge $(QUICK)

bench-safe: $(READY) ## RUNS (50) of the demo's chapter (b): first bad run to new connections safe, median and p95
	$(BIN)/python -m bench.safe $${RUNS:-50}

watchdog: $(READY) ## rollouts whose driver is killed at once: jobs on a schedule bring the good one to 100 %, the bad one back
	SPILLWAY_WATCHDOG=1 $(BIN)/python -m pytest -q tests/e2e/test_watchdog.py

fleet: $(READY) ## 500 services in four tasks on virtual time; 20 real ones in four tasks of a job on a schedule
	SPILLWAY_FLEET=1 $(BIN)/python -m pytest -q -s tests/test_fleet_in_time.py tests/e2e/test_fleet.py

drain: $(READY) ## SOCKETS (200) with agent runs over three instances of a revision that was sent back: asked to go, then deleted with it
	SPILLWAY_DRAIN_SOCKETS=$${SOCKETS:-200} $(BIN)/python -m pytest -q -s tests/e2e/test_draining.py

rollouts: $(READY) ## TIMES (20) whole rollouts of each kind of candidate, with users on real sockets
	SPILLWAY_ROLLOUTS=$${TIMES:-20} $(BIN)/python -m pytest -q -n $${SPILLWAY_TEST_PROCESSES:-2} --dist worksteal \
	  tests/e2e/test_whole_rollouts.py

SERVERS := $(HOME)/.cache/spillway
test-servers: $(READY) ## real servers that nobody here wrote, probed: into the user's cache from Python's and npm's registries, and with Go
	@test -x $(SERVERS)/servers/bin/python || $(PYTHON) -m venv $(SERVERS)/servers
	$(SERVERS)/servers/bin/python -m pip install -q -r tests/servers/requirements.txt
	@test -x $(SERVERS)/bin/centrifugo || ! command -v go >/dev/null || \
	  GOBIN=$(SERVERS)/bin go install github.com/centrifugal/centrifugo/v6@v6.9.1
	@! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --ignore-scripts --prefix $(SERVERS)/servers/node socket.io@4.8.4
	SPILLWAY_SERVERS=1 $(BIN)/python -m pytest -q -rs tests/servers

bench-checks: $(READY) ## how right the checks are: precision and recall of every rule
	$(BIN)/python -m bench.checks_corpus

SEEDS ?= 5000
FROM  ?= 0
house: $(READY) ## rooms, arrows and floors of the tree, and its statements
	@$(BIN)/python -m bench.house

simulate: $(READY) ## rollouts under faults drawn from seeds, on all cores: make simulate SEEDS=50000 FROM=0
	@$(BIN)/python -m tests.simulation $(SEEDS) $(FROM)

lint-workflows: $(READY) ## docs/workflows by the linter of their format, which Go builds into the user's cache
	@test -x $(HOME)/.cache/spillway/bin/actionlint || GOBIN=$(HOME)/.cache/spillway/bin go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7
	$(BIN)/python -m pytest -q tests/test_workflows.py

pulumi: $(READY) ## Pulumi's CLI and its Python language host, into the user's cache; three minutes with Go
	@$(BIN)/python -m pipeline.cloudrun.pulumi.get

test-pulumi: $(READY) ## the program through Pulumi's real engine, and from the shell
	$(BIN)/python -m pytest -q -rs -m pulumi tests/pulumi

# uv where it is on the machine, else its own copy inside .venv; plain pip where neither can be had.
$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if command -v uv >/dev/null 2>&1; then uv=uv; \
	elif test -x $(BIN)/uv || $(BIN)/python -m pip install -q uv; then uv=$(BIN)/uv; fi; \
	set -ex; \
	if test -n "$$uv"; then install="$$uv pip install -q --python $(BIN)/python"; \
	else install="$(BIN)/python -m pip install -q"; fi; \
	$$install --require-hashes -r requirements.lock; \
	$$install --no-deps --no-build-isolation -e .
	touch $(READY)

lock: ## names, versions and hashes of everything, from pyproject.toml
	uv pip compile -q pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .spillway
