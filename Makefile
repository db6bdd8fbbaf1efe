# Every target is a line or two over the real commands; read them to know how to run SplatScope by hand.
BIN := .venv/bin
INSTALLED := .venv/installed
CLUSTER := .venv/cluster
EXPORTS := .venv/exports

.PHONY: setup demo test test-slow test-cluster test-cluster-smoke slurm test-exports chaos chaos-smoke fuzz lint chromium bench-report config lock envs paper paper-smoke real bench-splat bench-splat-cuda bench-sim sheet-sim train-mini apt clean

setup: $(INSTALLED)

# Debian packages that no Python package brings: venv for the environment, g++ for the native rasterizer.
apt:
	apt-get update && apt-get install -y --no-install-recommends $$(cat envs/apt.txt)

# The lock names everything; without dependencies, because envs/overrides.txt takes some away that packages ask for.
$(INSTALLED): envs/requirements.txt pyproject.toml setup.py $(wildcard workflow/src/splatscope/splats/engine/*)
	python3 -c "import ensurepip, venv" && command -v g++ >/dev/null || $(MAKE) apt
	test -x $(BIN)/python || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps --require-hashes -r envs/requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --reinstall-package splatscope -e .
	touch $@

# What the tests look at pages with.
chromium:
	command -v chromium >/dev/null || \
	  (apt-get update && apt-get install -y --no-install-recommends $$(cat envs/apt-chromium.txt))

# The embedded phantom, all the way to an annotated dataset and its report.
demo: setup
	. $(BIN)/activate && snakemake --cores all
	@echo "Open results/report.html; the dataset is in results/dataset/sampled, the figures in results/summary.json"

# Both papers' tables and figures beside ours, on the embedded phantom and simulator: results/paper/report.html.
paper: setup
	. $(BIN)/activate && snakemake --cores all paper --configfile config/paper_mini.yaml

# The same at its smallest, in a folder of its own: does every part of it run?
paper-smoke: setup
	mkdir -p results/paper_smoke && cp -r config results/paper_smoke/
	. $(BIN)/activate && snakemake --cores all --directory results/paper_smoke paper --configfile config/paper_smoke.yaml

# Without Chromium (and without the right to install it) the tests of pages are skipped and say so.
test: setup
	-@$(MAKE) --silent chromium
	. $(BIN)/activate && pytest -n 2 -m "not slow and not cluster and not exports"

test-slow: setup
	. $(BIN)/activate && pytest -m slow

# The workflow on three Slurm nodes of this machine, one of which is lost, on S3, and with a shared cache. As root.
# The plugins lie apart, because the one for Slurm makes every start of Snakemake wait where no Slurm answers.
test-cluster: setup $(CLUSTER)/installed slurm
	. $(BIN)/activate && PYTHONPATH=$(CURDIR)/$(CLUSTER) pytest -m cluster tests/cluster

# The lost node alone.
test-cluster-smoke: setup $(CLUSTER)/installed slurm
	. $(BIN)/activate && PYTHONPATH=$(CURDIR)/$(CLUSTER) pytest -m cluster tests/cluster/test_slurm.py -k lost_node

slurm:
	which slurmd slurmctld munged sbatch >/dev/null || \
	  (apt-get update && apt-get install -y --no-install-recommends $$(cat envs/apt-cluster.txt))

$(CLUSTER)/installed: envs/cluster.txt | setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(CLUSTER) --compile-bytecode --no-deps --require-hashes -r $<
	touch $@

# YOLO exports read by ultralytics' own loader (AGPL-3.0), the COCO export by FiftyOne; installed apart: nothing else uses them.
test-exports: setup $(EXPORTS)/installed
	. $(BIN)/activate && PYTHONPATH=$(CURDIR)/$(EXPORTS) pytest -m exports tests/exports

$(EXPORTS)/installed: envs/exports.txt | setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(EXPORTS) --compile-bytecode --no-deps --require-hashes -r $<
	touch $@

# Seeded faults (kill -9, full disk, flipped bits, ...), after which the same command must give the same bytes.
chaos: setup
	. $(BIN)/activate && python tests/chaos/campaign.py --faults $(or $(FAULTS),112) --seed $(or $(SEED),1) --seconds 12 --parallel 2

# Ten of them, on simulated operations alone.
chaos-smoke: setup
	. $(BIN)/activate && python tests/chaos/campaign.py --plan smoke --faults 10 --seed $(or $(SEED),1) --seconds 8

lint: setup
	. $(BIN)/activate && ruff check . && ruff format --check . && snakefmt --check Snakefile workflow/rules && snakemake --lint

# 200,000 broken files for every parser, guided by coverage; takes an hour or two (FUZZ="--executions 5000 shard" less).
fuzz: setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r envs/fuzz.txt
	. $(BIN)/activate && python tests/fuzz/run.py $(FUZZ)

# Real photographs and real endoscopy through the whole workflow; the figures of bench/RESULTS.md.
real: setup
	. $(BIN)/activate && python bench/real_sequences.py $(or $(DATA),../shared/data)

# The splat engine beside OpenSplat (a checkout of its sources) and gsplat's PyTorch reference; results/bench/splat.json.
bench-splat: setup
	. $(BIN)/activate && python bench/splat_engine.py --opensplat $(or $(OPENSPLAT),OpenSplat) \
	  --run results --run results/real/fox_given_poses/results

# The same on CUDA, beside a training loop of gsplat's own parts; results/bench/splat_cuda.json.
bench-splat-cuda: setup
	. $(BIN)/activate && python bench/splat_cuda.py

# The simulator beside Newton, MuJoCo and Blender Cycles, which get an environment of their own; results/bench/sim.json.
bench-sim: setup
	test -x results/bench/peers/bin/python || $(BIN)/uv venv --quiet --python 3.11 results/bench/peers
	$(BIN)/uv pip install --quiet --python results/bench/peers/bin/python -r bench/peers/simulators.txt
	. $(BIN)/activate && python bench/sim_engine.py --peers results/bench/peers/bin/python

# The report of 10,000 frames: its size, and how long Chromium takes to open it; results/bench/report.json.
bench-report: setup chromium
	. $(BIN)/activate && python bench/report_size.py --run results

# 24 random frames of the simulated operations: results/simulate/contact.jpg.
sheet-sim: setup
	. $(BIN)/activate && snakemake --cores all results/simulate/contact.jpg

# The small diffusion model in resources/mini, from real frames (DATA), TAEF2's autoencoder and the frames of a finished
# demo. Takes hours; interrupted, the same command goes on.
train-mini: setup
	. $(BIN)/activate && python -m splatscope.restyle.mini --shards results/simulate/*.tar results/render/sampled/*.tar \
	  --real $(or $(DATA),../shared/data)/laparoscopy_intermountain/images --taef2 $(or $(DATA),../shared/data)/taef2

# The default configuration, its schema and docs/configuration.md, from the typed model.
config: setup
	$(BIN)/python -m splatscope.config.generate

# The hash-pinned environment, from the list of what is needed.
lock:
	cd envs && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --overrides overrides.txt requirements.in -o requirements.txt
	cd envs && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --constraints requirements.txt cluster.in -o cluster.txt \
	  $$(grep -oE '^[a-z0-9.-]+==' requirements.txt | sed 's/==//; s/^/--no-emit-package /' | sort -u)
	cd envs && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --overrides overrides.txt --constraints requirements.txt exports.in -o exports.txt \
	  $$(grep -oE '^[a-z0-9.-]+==' requirements.txt | sed 's/==//; s/^/--no-emit-package /' | sort -u)
	cd envs && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header fuzz.in -o fuzz.txt
	$(MAKE) envs

# The recipes for conda, Docker and Apptainer, from the locks.
envs: setup
	$(BIN)/python envs/generate.py

clean:
	rm -rf results .snakemake
