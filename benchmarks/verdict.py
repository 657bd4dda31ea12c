"""The verdict about elastify for one family and one space: its small model against one filled by hand."""

import ast
import inspect
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from elasticnas import Space, elastify
from elasticnas.elastic.model import ElasticModel
from elasticnas.errors import ElasticNASError
from tests.elastic.zoo.family import Family

__all__ = ["VERDICTS", "Verdict", "judge", "proposed_rules"]

QUIET, ALARM, PASTED = "right and quiet", "right with a warning", "right by the pasted rule"
REFUSED, CRASHED, WRONG = "refused", "crashed", "wrong"
VERDICTS = (QUIET, ALARM, PASTED, REFUSED, CRASHED, WRONG)

TOLERANCE = 1e-4  # relative; several models compute in float32 in places, a wrong unit shows as 0.01 and more


@dataclass
class Verdict:
    """What elastify did with a family in a space.

    Attributes:
        verdict: One of ``VERDICTS``. Crashed is an error that is none of elasticnas.
        why: The last error, empty if there was none.
        warned: Warnings of elasticnas, those of a first attempt without rules excluded.
        rules: The rules pasted from the first error.
        first_error: The error without rules.
        forward: Largest difference of the output, relative to its largest value.
        gradients: Largest difference of a parameter's gradient, relative to its largest value.
        seconds: Time of elastify in all attempts.
    """

    family: str
    space: str
    verdict: str = ""
    why: str = ""
    warned: tuple[str, ...] = ()
    rules: dict[str, str] | None = None
    first_error: str = ""
    forward: float | None = None
    gradients: float | None = None
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        return asdict(self)


def sizes_space(family: Family, name: str) -> type[Space]:
    """The space of one choice with two options; sizes that follow it are properties, as a user would write them."""
    choice, *following = family.spaces[name]
    full, small = family.full, family.small(name)
    body: dict[str, Any] = {"__annotations__": {choice: Literal[full[choice], small[choice]]}, "__module__": __name__}
    for size in following:
        body[size] = property(_follows(choice, full[choice], full[size], small[choice], small[size]))
    return type("Sizes", (Space,), body)


def _follows(choice: str, full: int, size: int, small: int, smaller: int) -> Any:
    if size * small != smaller * full:
        return lambda self: {full: size, small: smaller}[getattr(self, choice)]
    if size % full == 0:
        return lambda self: size // full * getattr(self, choice)
    return lambda self: getattr(self, choice) * size // full


def factory(family: Family, name: str) -> Any:
    """``build`` with the sizes that the space changes as its arguments."""

    def build(**sizes: int) -> nn.Module:
        return family.build(**{**family.full, **sizes})

    arguments = [inspect.Parameter(size, inspect.Parameter.POSITIONAL_OR_KEYWORD) for size in family.spaces[name]]
    build.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return build


def proposed_rules(message: str) -> dict[str, str] | None:
    """The rules to paste of an error's message, None if it has none."""
    start = message.find("rules={")
    if start < 0:
        return None
    begin = start + len("rules=")
    for end in range(begin, len(message)):
        if message[end] == "}":
            try:
                return ast.literal_eval(message[begin : end + 1])
            except (SyntaxError, ValueError):
                continue
    return None


def judge(family: Family, name: str) -> Verdict:
    """Try without rules, then once with the rules of the error, and compare with the model filled by hand."""
    found = Verdict(family.name, name)
    torch.manual_seed(0)
    try:
        _measure(family, name, found)
    except Exception as error:  # of elasticnas, of the model's code, of torch
        found.verdict = REFUSED if isinstance(error, ElasticNASError) else CRASHED
        found.why = _line(error)
        return found
    right = max(found.forward or 0.0, found.gradients or 0.0) < TOLERANCE
    found.verdict = (PASTED if found.rules else ALARM if found.warned else QUIET) if right else WRONG
    return found


def _measure(family: Family, name: str, found: Verdict) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = _attempts(family, name, found, caught)
        model.double().eval()
        _disturb(model.network)
        output = _run(family, name, model)
        found.warned = tuple(str(w.message) for w in caught if w.filename == __file__)  # they point to their caller
    small = family.build(**family.small(name)).double().eval()
    family.fill(model.network, small, family.full, family.small(name))
    _compare(family, name, (model.network, output), small, found)


def _run(family: Family, name: str, model: ElasticModel) -> Tensor:
    choice, sizes = next(iter(family.spaces[name])), family.small(name)
    with model.at(model.space(**{choice: sizes[choice]})):
        return family.output(model(**family.example(sizes)))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _attempts(family: Family, name: str, found: Verdict, caught: list[Any]) -> ElasticModel:
    try:
        return _elastify(family, name, None, found)
    except ElasticNASError as error:
        found.first_error, found.rules = _line(error), proposed_rules(str(error))
        if found.rules is None:
            raise
    caught.clear()
    return _elastify(family, name, found.rules, found)


def _elastify(family: Family, name: str, rules: dict[str, str] | None, found: Verdict) -> ElasticModel:
    example = {key: _single(value) for key, value in family.example(family.full).items()}
    given = {"example": example} if "example" in inspect.signature(elastify).parameters else {}
    start = time.perf_counter()
    try:
        return elastify(factory(family, name), sizes_space(family, name), rules, **given)
    finally:
        found.seconds += round(time.perf_counter() - start, 3)


def _single(value: Any) -> Any:
    """Models are built in float32, and so is what a user passes to them."""
    return value.float() if isinstance(value, Tensor) and value.is_floating_point() else value


def _compare(family: Family, name: str, supernet: tuple[nn.Module, Tensor], small: nn.Module, found: Verdict) -> None:
    network, output = supernet
    sizes = family.small(name)
    expected = family.output(small(**family.example(sizes)))
    if output.shape != expected.shape:
        raise ValueError(f"the output has the shape {tuple(output.shape)}, the small model's {tuple(expected.shape)}")
    found.forward = _difference(output, expected, 0.0)
    for result in (output, expected):
        (result * torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)).sum().backward()
    found.gradients = _gradients(family, network, small, family.full, sizes)


def _disturb(network: nn.Module) -> None:
    """Random weights everywhere: the start values of norms and biases hide mistakes."""
    torch.manual_seed(1)
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, 1.0 if "norm" in name.lower() or "ln_" in name else 0.0, 0.3)


def _gradients(family: Family, network: nn.Module, small: nn.Module, full: Any, sizes: Any) -> float:
    own = dict(small.named_parameters())
    largest = max(float(p.grad.abs().max()) for p in own.values() if p.grad is not None)
    differences = [0.0]
    for name, parameter in network.named_parameters():
        expected = torch.zeros_like(parameter)
        if name in own and own[name].grad is not None:
            places = family.places(name, tuple(parameter.shape), tuple(own[name].shape), full, sizes)
            expected[places] = own[name].grad
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        # some gradients are zero but for rounding, such as those of a key's bias
        differences.append(_difference(gradient, expected, 1e-3 * largest))
    return max(differences)


def _difference(found: Tensor, expected: Tensor, least: float) -> float:
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max()) / max(float(expected.abs().max()), least)
