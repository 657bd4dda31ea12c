"""2,000 whole models keep the law; one in ten is also compared with a forward that knows nothing of elasticnas.nn."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from elasticnas.testing.compositions import check_composition, compositions, draw_composition
from elasticnas.testing.compositions.parts import MAKERS
from tests.testing.reference import Reference

COUNT, CHUNKS = 2_000, 40


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the models are tiny
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whole_models_keep_the_law(chunk):
    for seed in range(chunk * COUNT // CHUNKS, (chunk + 1) * COUNT // CHUNKS):
        composition = draw_composition(seed)
        try:
            check_composition(composition)
            if seed % 10 == 0:
                equals_its_reference(composition)
        except Exception as error:
            raise AssertionError(f"composition {seed}: {error}") from error


def equals_its_reference(composition):
    axes = composition.space.axes()
    model = composition.build(axes)
    for arch in composition.architectures(2):
        x = composition.input(arch)
        with torch.no_grad():
            expected = Reference(composition, model, arch).output(x)
            with axes.at(arch):
                torch.testing.assert_close(model(x), expected, rtol=1e-8, atol=1e-8)


def test_every_kind_of_part_is_drawn_and_some_models_are_nested():
    drawn = [draw_composition(seed) for seed in range(COUNT)]
    counts = {kind: sum(kind in each.part.kinds() for each in drawn) for kind in MAKERS}
    assert min(counts.values()) >= 40, counts
    assert sum(each.batch == each.length for each in drawn) >= 500
    assert draw_composition(7) == draw_composition(7)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(composition=compositions())
def test_they_are_drawn_by_hypothesis_too(composition):
    check_composition(composition)
