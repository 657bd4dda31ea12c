"""Mixture: a weighted sum of candidates, each computed at its own sliced sizes."""

import ast
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import (
    Axis,
    Choice,
    OptionWeights,
    Relaxed,
    Size,
    SizeLike,
    layout_of,
    narrow_last,
    pad_last,
    require_sizes,
)
from elasticnas.errors import AxisError
from elasticnas.nn.module import ElasticModule, replicate
from elasticnas.nn.share import contribute, fit_share

__all__ = ["Mixture"]


class Mixture(ElasticModule):
    """The candidate that the architecture chooses; in a relaxed scope, the sum over i of p_i times candidate i.

    Candidates are branches (one module per option: ``{"softmax": a, "linrec": b}``, or a list in the order of the
    options) or one module at several sizes, whose weights are then shared. In a relaxed scope each candidate runs
    *sliced* to its own sizes, and its output is padded with zeros before it is added: the cost is the sum of the
    candidates' costs, not their number times the largest.

    Args:
        candidates: A mapping from option to module, a list in the order of the axis's options, or one module for all.
        choice: The Axis of a field of the space, or one option: then only that candidate of a mapping is kept.
        inputs: Size of the input's last dimension, if it differs between candidates.
        outputs: Size of the output's last dimension; None means ``inputs``.

    Raises:
        AxisError: The options do not match the candidates, or the axis is not a field of the space.

    Source: EASRec, arXiv:2402.00390v1, Eq. 11.
    """

    def __init__(
        self,
        candidates: "Mapping[Any, nn.Module] | Sequence[nn.Module] | nn.Module",
        choice: object,
        inputs: SizeLike | None = None,
        outputs: SizeLike | None = None,
    ) -> None:
        super().__init__()
        self.choice: Any = choice
        self.inputs, self.outputs = inputs, inputs if outputs is None else outputs
        if self.inputs is not None:
            require_sizes("Mixture", inputs=self.inputs)
        if self.outputs is not None:
            require_sizes("Mixture", outputs=self.outputs)
        if isinstance(choice, Size):
            _ = _choice_of(choice)
        if isinstance(candidates, nn.Module) and not isinstance(candidates, (nn.ModuleList, nn.ModuleDict)):
            self.shared, self.candidates = True, nn.ModuleDict({"shared": candidates})
        else:
            self.shared, self.candidates = False, nn.ModuleDict(_candidates_by_key(candidates, choice))
        options = choice.options if isinstance(choice, Axis) else (choice,)
        self._keys = {repr(option): "shared" if self.shared else _key(option) for option in options}

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Run the chosen candidate, or return the weighted sum of all; further arguments go to each candidate."""
        active = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        if not isinstance(active, OptionWeights):
            return self._run(active, x, *args, **kwargs)
        relaxed = isinstance(self.choice.scopes.frame(), Relaxed)
        if self.shared and not relaxed:
            return self._run(None, x, *args, **kwargs)  # hard masks already give the shared module its sizes
        choice = _choice_of(self.choice)
        sliced = relaxed or self.inputs is not None
        out: Tensor | None = None
        for position, option in enumerate(active.quantity.options):  # without options that no architecture has
            share = fit_share(active.weights[..., position], x)
            part = (
                self._run_sliced(choice, option, x, *args, **kwargs)
                if sliced
                else self._run(option, x, *args, **kwargs)
            )
            out = contribute(share, part, out)
        assert out is not None
        return out

    def chosen(self) -> nn.Module:
        """Return the candidate that runs, for a model that needs more than its output.

        Raises:
            AxisError: The choice is masked in the open scope.
        """
        active = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        if isinstance(active, OptionWeights):
            raise AxisError(f"{self.choice!r} is masked in this scope, so that no single candidate is chosen")
        return self.candidates[self._keys[repr(active)]]

    def idle(self) -> list[nn.Module]:
        """Return the candidates that the architecture does not choose."""
        chosen = self.chosen()
        return [candidate for candidate in self.candidates.values() if candidate is not chosen]

    def _run_sliced(self, choice: Choice, option: Any, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        """Run one candidate sliced to its own sizes: narrow its input and pad its output to the outer scope's sizes."""
        outer = [None if size is None else layout_of(size) for size in (self.inputs, self.outputs)]
        with self.choice.scopes.narrowed(choice, choice.index(option)):
            if self.inputs is not None and outer[0] is not None:
                x = narrow_last(x, outer[0], layout_of(self.inputs))
            out = self._run(option, x, *args, **kwargs)
            if self.outputs is not None and outer[1] is not None:
                out = pad_last(out, layout_of(self.outputs), outer[1])
            return out

    def _run(self, option: Any, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        out = self.candidates["shared" if self.shared else self._keys[repr(option)]](x, *args, **kwargs)
        assert isinstance(out, Tensor)
        return out

    def plain(self, memo: dict[Any, Any]) -> "Mixture":
        """Return a copy with a fixed option, without the other candidates."""
        option = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        key = self._keys[repr(option)]

        def changes() -> dict[str, Any]:
            # copied first: other references to the candidate then find its copy in the memo
            return {"choice": option, "candidates": nn.ModuleDict({key: copy.deepcopy(self.candidates[key], memo)})}

        made: Mixture = replicate(self, memo, changes)
        return made


def _candidates_by_key(candidates: Any, choice: object) -> dict[str, nn.Module]:
    """Return the candidate of every option by the option's key.

    Raises:
        AxisError: The options do not match the candidates.
    """
    options = _choice_of(choice).options if isinstance(choice, Axis) else (choice,)
    keys = [_key(option) for option in options]
    if len(set(keys)) != len(options) or len(set(options)) != len(options):
        raise AxisError(f"the options {list(options)} have equal values or names: give them different names")
    if isinstance(candidates, (Mapping, nn.ModuleDict)):
        found = {key: _candidate_for(candidates, option, options) for key, option in zip(keys, options, strict=True)}
        if missing := [option for key, option in zip(keys, options, strict=True) if found[key] is None]:
            raise AxisError(f"no candidate for the options {missing}; the candidates are {list(candidates)}")
        used = {id(module) for module in found.values()}
        if isinstance(choice, Axis) and (others := [n for n, module in candidates.items() if id(module) not in used]):
            raise AxisError(f"the candidates {others} match no option; the options are {list(options)}")
        return {key: module for key, module in found.items() if module is not None}
    if not isinstance(choice, Axis):
        raise AxisError(
            f"choice={choice!r} is one option, but the candidates are a list, which follows the order of an axis's "
            "options: give a mapping from options to candidates"
        )
    modules: list[nn.Module] = list(candidates)
    if len(modules) != len(options):
        raise AxisError(f"{len(modules)} candidates for the {len(options)} options {list(options)}")
    return dict(zip(keys, modules, strict=True))


def _candidate_for(candidates: Any, option: Any, options: Sequence[Any]) -> nn.Module | None:
    """Return the candidate for an option, found by its value, or by its text unless that is another option."""
    for name, module in candidates.items():
        if type(name) is type(option) and name == option:
            return module  # type: ignore[no-any-return]
    texts = [text for text in (_key(option), str(option)) if text not in options]
    return next((module for name, module in candidates.items() if name in texts), None)


def _key(option: Any) -> str:
    """Return the name of an option's candidate in the ModuleDict; ambiguous strings are quoted."""
    if not isinstance(option, str):
        return str(option).replace(".", "_")  # torch allows no dot in the name of a module
    ambiguous = not option or "." in option or hasattr(nn.ModuleDict(), option) or _is_literal(option)
    return repr(option).replace(".", "_") if ambiguous else option


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def _choice_of(axis: Size) -> Choice:
    """Return the choice of an axis that is a field of the space."""
    if not isinstance(axis, Axis):
        raise AxisError(f"a Mixture chooses by a field of the space, not by {axis!r}")
    if len(axis.quantity.choices) != 1 or axis.quantity.choices[0].name != axis.name:
        names = [choice.name for choice in axis.quantity.choices]
        raise AxisError(f"{axis.name} is derived from {names}; a Mixture takes a field of the space")
    return axis.quantity.choices[0]
