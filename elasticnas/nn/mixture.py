"""Mixture: candidates mixed by probability, each computed sliced."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from elasticnas.axes import Axis, Choice, Relaxed, SizeLike, Weighted, active_size, pad_to_full
from elasticnas.errors import AxisError
from elasticnas.nn.module import ElasticModule
from elasticnas.nn.share import contribute, fit_share

__all__ = ["Mixture"]


class Mixture(ElasticModule):
    """The candidate that the architecture chooses; under probabilities, the sum of p_i times candidate i.

    Candidates are branches (one module per option: ``{"softmax": a, "linrec": b}``, or a list in the order of the
    options) or one module at several sizes (its weights are then shared). In a relaxed scope each candidate
    runs *sliced* to its own sizes and is padded with zeros before it is added: the cost is the sum of the
    candidates' costs, not their number times the largest.

    Args:
        candidates: A mapping from option to module, a list in the order of the options, or one module for all.
        choice: The Axis of a field of the space; or one option: only that candidate is then kept.
        inputs: The size of the input's last dimension, where candidates differ in it.
        outputs: Likewise of the output's; None for the same.

    Raises:
        AxisError: The options and the candidates do not match, or the axis is derived from several choices.

    Source: EASRec, arXiv:2402.00390v1, Eq. 11.
    """

    def __init__(
        self,
        candidates: "Mapping[Any, nn.Module] | Sequence[nn.Module] | nn.Module",
        choice: Any,
        inputs: SizeLike | None = None,
        outputs: SizeLike | None = None,
    ) -> None:
        super().__init__()
        self.choice, self.inputs, self.outputs = choice, inputs, inputs if outputs is None else outputs
        self.shared = isinstance(candidates, nn.Module) and not isinstance(candidates, (nn.ModuleList, nn.ModuleDict))
        if self.shared:
            assert isinstance(candidates, nn.Module)
            self.candidates = nn.ModuleDict({"shared": candidates})
            return
        if isinstance(candidates, (Mapping, nn.ModuleDict)):
            named = {str(key): module for key, module in candidates.items()}
        else:
            modules: list[nn.Module] = list(candidates)  # type: ignore[arg-type]
            options = _choice(choice).options if isinstance(choice, Axis) else range(len(modules))
            named = {str(option): module for option, module in zip(options, modules, strict=False)}
            if len(named) != len(modules):
                raise AxisError(f"{len(modules)} candidates for the {len(options)} options {list(options)}")
        wanted = [str(option) for option in (_choice(choice).options if isinstance(choice, Axis) else [choice])]
        if missing := [option for option in wanted if option not in named]:
            raise AxisError(f"no candidate for the options {missing}; the candidates are {sorted(named)}")
        self.candidates = nn.ModuleDict({option: named[option] for option in wanted})

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Run the chosen candidate, or mix them; further arguments go to each candidate."""
        active = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        if not isinstance(active, Weighted):
            return self._run(active, x, *args, **kwargs)
        relaxed = isinstance(self.choice.axes.frame(), Relaxed)
        if self.shared and not relaxed:
            return self._run(None, x, *args, **kwargs)  # hard masks: the one module already runs at its sizes
        choice = _choice(self.choice)
        sliced = relaxed or self.inputs is not None
        out: Tensor | None = None
        for option in choice.options:
            position = active.quantity.options.index(option)
            share = fit_share(active.weights[..., position], x)
            part = self._sliced(choice, option, x, *args, **kwargs) if sliced else self._run(option, x, *args, **kwargs)
            out = contribute(share, part, out)
        assert out is not None
        return out

    def chosen(self) -> nn.Module:
        """The candidate that runs, for a model that needs more of it than its output.

        Raises:
            AxisError: The open scope mixes candidates.
        """
        active = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        if isinstance(active, Weighted):
            raise AxisError(f"{self.choice!r} is masked in this scope: no one candidate is chosen")
        return self.candidates["shared" if self.shared else str(active)]

    def _sliced(self, choice: Choice, option: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with self.choice.axes.narrowed(choice, choice.index(option)):
            if isinstance(self.inputs, Axis):
                x = x[..., : active_size(self.inputs)]
            out = self._run(option, x, *args, **kwargs)
            return pad_to_full(out, self.outputs) if isinstance(self.outputs, Axis) else out

    def _run(self, option: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out = self.candidates["shared" if self.shared else str(option)](x, *args, **kwargs)
        assert isinstance(out, Tensor)
        return out

    def plain(self, memo: dict[Any, Any]) -> "Mixture":
        """The same with one option; the other candidates are gone."""
        option = self.choice.at() if isinstance(self.choice, Axis) else self.choice
        sizes = copy.deepcopy((self.inputs, self.outputs), memo)
        if self.shared:
            return Mixture(copy.deepcopy(self.candidates["shared"], memo), option, *sizes)
        return Mixture({option: copy.deepcopy(self.candidates[str(option)], memo)}, option, *sizes)


def _choice(axis: Axis) -> Choice:
    if len(axis.quantity.choices) != 1 or axis.quantity.choices[0].name != axis.name:
        raise AxisError(f"{axis.name} follows from {[c.name for c in axis.quantity.choices]}; a Mixture takes a field")
    return axis.quantity.choices[0]
