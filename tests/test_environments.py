"""The recipes of the environment install what the lock pins."""

import importlib.util
import re

import pytest
import yaml


@pytest.fixture(scope="module")
def generate(repository):
    spec = importlib.util.spec_from_file_location("generate", repository / "envs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def locks(repository):
    return {name: (repository / "envs" / f"{name}.txt").read_text() for name in ("requirements", "cluster")}


def test_committed_recipes_are_current(repository, generate):
    recipes = generate.recipes()
    assert set(recipes) == {"conda.yaml", "Dockerfile", "splatscope.def"}
    stale = [name for name, content in recipes.items() if (repository / "envs" / name).read_text() != content]
    assert not stale, "not what the pins make; run `make envs`"


def test_conda_installs_every_pin_of_the_lock(repository, locks):
    recipe = yaml.safe_load((repository / "envs" / "conda.yaml").read_text())
    listed = [pin for part in recipe["dependencies"] if isinstance(part, dict) for pin in part["pip"]]
    # each package of the lock begins a line and has its hashes on the lines after it
    locked = [line.removesuffix(" \\") for line in locks["requirements"].splitlines() if line.endswith("\\")]
    locked = [line for line in locked if not line.startswith(" ")]
    assert len(listed) > 150 and listed == locked


def test_pins_keep_markers_and_extras(generate):
    lock = "av==18.1.0 ; python_full_version < '3.12' \\\n    --hash=sha256:ab\n    # via\n"
    lock += "moto[s3]==5.1 \\\n    --hash=sha256:cd\n"
    assert generate.pins(lock) == ["av==18.1.0 ; python_full_version < '3.12'", "moto[s3]==5.1"]


def test_containers_install_the_locks(repository, generate):
    for name in ("Dockerfile", "splatscope.def"):
        recipe = (repository / "envs" / name).read_text()
        assert "make setup" in recipe and "--require-hashes -r envs/cluster.txt" in recipe
        for package in (repository / "envs" / "apt.txt").read_text().split():
            assert re.search(rf"apt-get install .*\b{re.escape(package)}(\s|$)", recipe), package
    # everything that `make setup` reads is in the image
    rule = re.search(r"^\$\(INSTALLED\): (.+)$", (repository / "Makefile").read_text(), re.MULTILINE)[1]
    needed = re.findall(r"[\w./]+\.(?:txt|toml|py)|workflow/src", rule)
    assert needed and all(any(path.startswith(copied) for copied in generate.COPIED) for path in needed)


def test_the_workflow_names_the_image_of_this_version(repository):
    image = re.search(r'container: "docker://(.+)"', (repository / "Snakefile").read_text())[1]
    assert f"--tag {image} ." in (repository / "envs" / "Dockerfile").read_text()


def test_cluster_plugins_come_on_top_of_the_environment(generate, locks):
    """The second lock repeats no package of the first with another version, but for what stands in cluster.in."""
    first, second = (
        {re.match(r"[^=\[]+", pin)[0]: pin for pin in generate.pins(locks[name])}
        for name in ("requirements", "cluster")
    )
    assert "snakemake-executor-plugin-slurm" in second and "snakemake-executor-plugin-slurm" not in first
    assert {name for name in second if name in first and first[name] != second[name]} <= {"python-dateutil"}
