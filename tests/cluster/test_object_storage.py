"""Results in an object store, and results shared between checkouts."""

import hashlib
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import DATASETS, NOT_RESULTS, REPOSITORY, SMALL, result_digests, start_snakemake

pytestmark = pytest.mark.cluster

CREDENTIALS = {"SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "test", "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "test"}
EPISODES = [f"results/simulate/episode_{index:06d}.json" for index in range(3)]


@pytest.fixture
def store(tmp_path):
    """A local S3 server: its address, and a client."""
    import boto3  # one of the cluster's plugins brings it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "moto.log", "wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, config=Config(retries={"max_attempts": 0}), **keys)
    try:
        for _ in range(200):
            try:
                client.list_buckets()
                break
            except BotoCoreError:
                assert server.poll() is None, (tmp_path / "moto.log").read_text()
                time.sleep(0.1)
        yield address, client
    finally:
        server.kill()
        server.wait()


def test_results_in_s3_have_the_same_bytes(store, tmp_path, undisturbed):
    address, client = store
    storage = ["--default-storage-provider", "s3", "--default-storage-prefix", "s3://studies/one"]
    arguments = ["--cores", "2", *storage, "--storage-s3-endpoint-url", address, "--configfile", str(SMALL)]
    start_snakemake(tmp_path / "run", *arguments, "--", *DATASETS, environment=CREDENTIALS).finish()
    stored = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="studies", Prefix="one/results/"):
        for key in (entry["Key"] for entry in page["Contents"]):
            name = key.removeprefix("one/results/")
            if Path(name).parts[0] not in NOT_RESULTS and not name.endswith(".snakemake_timestamp"):
                body = client.get_object(Bucket="studies", Key=key)["Body"].read()
                stored[name] = hashlib.sha256(body).hexdigest()
    assert stored == undisturbed
    assert not list((tmp_path / "run" / "results").rglob("*.tar"))  # nothing but logs stays here


@pytest.fixture
def other_checkout(tmp_path):
    """The workflow and its library a second time, elsewhere."""
    source = tmp_path / "checkout"
    source.mkdir()
    shutil.copy2(REPOSITORY / "Snakefile", source)
    for part in ("config", "profiles", "resources", "workflow"):
        shutil.copytree(REPOSITORY / part, source / part)
    return source


def test_a_second_checkout_takes_what_the_first_has_made(tmp_path, undisturbed, other_checkout):
    cache = tmp_path / "cache"
    cache.mkdir()
    arguments = ["--cores", "2", "--cache", "--configfile", str(SMALL)]
    shared = {"environment": {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}}
    start_snakemake(tmp_path / "first", *arguments, "--", *EPISODES, **shared).finish()
    second = tmp_path / "second"
    output = start_snakemake(second, *arguments, "--", *EPISODES, **shared, source=other_checkout).finish()
    made = {name: digest for name, digest in undisturbed.items() if name.startswith("simulate/")}
    assert result_digests(tmp_path / "first" / "results") == made
    assert result_digests(second / "results") == made
    assert output.count("from cache.") == len(made)
    assert not any(log.stat().st_size for log in (second / "results" / "logs").rglob("*.log")), "a job ran"

    changed = ["--config", "simulate={'max_duration_s': 0.5}"]
    start_snakemake(tmp_path / "third", *arguments, *changed, "--", EPISODES[0], **shared).finish()
    log = tmp_path / "third" / "results" / "logs" / "simulate_episode" / "000000.log"
    assert log.stat().st_size, "other settings, and yet it was taken from the cache"
