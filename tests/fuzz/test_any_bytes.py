"""Every parser gives a result or an InputError, whatever the bytes: broken seeds, noise, and what fuzzing once found.

`make fuzz` does the same for hundreds of thousands of inputs, guided by coverage.
"""

from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parsers import PARSERS

from splatscope.errors import InputError
from splatscope.memory import memory_limit

CRASHES = Path(__file__).parent / "crashes"
MEMORY = 2**30  # bytes
QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", params=PARSERS)
def parser(request, tmp_path_factory):
    made = PARSERS[request.param]()
    path = tmp_path_factory.mktemp(request.param) / made.file

    def read(content: bytes):
        path.write_bytes(content)
        with memory_limit(MEMORY):
            return made.read(path)

    return request.param, made, read


def test_seeds_are_read(parser):
    _, made, read = parser
    for seed in made.seeds:
        read(seed)


def test_any_bytes_and_broken_seeds_are_read_or_refused(parser):
    _, made, read = parser

    @QUICK
    @given(st.binary(max_size=300), st.integers(0, 2**32), st.integers(1, 3))
    def check(noise: bytes, number: int, rounds: int) -> None:
        random = Random(number)
        content = random.choice(made.seeds)
        for _ in range(rounds):
            content = made.mutate(content, random)
        for tried in (content, noise):
            try:
                read(tried)
            except InputError as error:
                assert str(error).encode(), "a message that no log takes"

    check()


def test_inputs_that_once_did_worse(parser):
    name, _, read = parser
    for path in sorted((CRASHES / name).glob("*")):
        try:
            read(path.read_bytes())
        except InputError as error:
            assert str(error).encode(), f"{path.name}: a message that no log takes"
        except Exception as error:
            pytest.fail(f"{path}: {error!r}")
