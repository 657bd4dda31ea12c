"""A small seeded part of the fuzzing; ``python -m tests.fuzz.campaign`` runs thousands of inputs."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import KINDS
from tests.fuzz.targets import Targets, attempt


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    return Targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_input_ends_in_success_or_one_error_of_ours(targets, kind, seed):
    assert attempt(targets, kind, seed) in ("ok", "refused")
