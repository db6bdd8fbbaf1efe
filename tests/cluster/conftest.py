"""The undisturbed run that all others are compared with, and the cluster."""

import importlib.util
import shutil
import tempfile
from pathlib import Path

import pytest
from runs import DATASETS, SMALL, result_digests, start_snakemake
from slurm_host import ClusterUnavailable, SlurmHost

PLUGINS = [
    "snakemake_executor_plugin_cluster_generic",
    "snakemake_executor_plugin_slurm",
    "snakemake_executor_plugin_kubernetes",
    "snakemake_storage_plugin_s3",
    "moto",
]


@pytest.fixture(scope="session", autouse=True)
def plugins():
    """These tests run when they are asked for; what they lack is a failure, not a reason to skip them."""
    missing = [name for name in PLUGINS if importlib.util.find_spec(name) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not installed: run `make test-cluster`")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """SHA-256 of all results of a run on this machine alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    start_snakemake(folder, "--cores", "2", "--configfile", str(SMALL), "--", *DATASETS).finish()
    digests = result_digests(folder / "results")
    assert sum(name.endswith(".tar") for name in digests) == 6
    return digests


@pytest.fixture(scope="session")
def cluster():
    """Three Slurm nodes."""
    folder = Path(tempfile.mkdtemp(prefix="slurm_"))  # pytest's own folders make paths too long for munge's socket
    try:
        with SlurmHost(folder) as host:
            yield host
    except ClusterUnavailable as error:
        pytest.fail(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
