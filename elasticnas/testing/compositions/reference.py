"""reference: a composition computed without elasticnas.nn, on tensors sliced by hand."""

from collections.abc import Callable
from math import erf, sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elasticnas.testing.compositions import formulas
from elasticnas.testing.compositions.parts import Part
from elasticnas.testing.compositions.sizes import size_of
from elasticnas.testing.compositions.units import Units

if TYPE_CHECKING:
    from elasticnas.testing.compositions.draw import Composition

__all__ = ["reference"]


def reference(composition: "Composition", model: Any, arch: Any, given: Tensor) -> Tensor:
    """Compute the output of a model for an architecture.

    Only full-size tensors are taken from the model; active units, running modules and formulas are implemented here.
    """
    units = Units(composition.space, arch)
    table = None if composition.reads == "features" else units.cut(model.table.weight, "rows", "hidden")
    x = given if table is None else table[given]
    if composition.classified:
        token = units.cut(model.token.weight, "1", "hidden")
        x = torch.cat([token.repeat(len(x), 1, 1), x], 1)
    x = x + units.cut(model.positions.weight, "9", "hidden")[: x.shape[1]]
    x = _run(composition.part, model.body, units, x)
    if composition.scored:
        assert table is not None
        x = x @ table.T
    return x[:, 0] if composition.classified else x


def _run(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    return _FORWARDS[part.kind](part, module, units, x)


def _linear(module: Any, units: Units, x: Tensor, inputs: str, outputs: str) -> Tensor:
    out = x @ units.cut(module.weight, outputs, inputs).T
    return out if module.bias is None else out + units.cut(module.bias, outputs)


def _gelu(x: Tensor) -> Tensor:
    phi = torch.tensor([0.5 * (1 + erf(value / sqrt(2))) for value in x.flatten().tolist()], dtype=x.dtype)
    return x * phi.reshape(x.shape)


def _silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def _sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def _layer_norm(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    return formulas.layer_norm(x, units.cut(module.weight, "hidden"), units.cut(module.bias, "hidden"))


def _feed_forward(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    inner, activate = part.options["inner"], {"gelu": _gelu, "silu": _silu}[part.options["activation"]]
    up = _linear(module.up, units, x, "hidden", inner)
    gated = part.options["gated"]
    inside = activate(_linear(module.gate, units, x, "hidden", inner)) * up if gated else activate(up)
    return _linear(module.down, units, inside, inner, "hidden")


def _bottleneck(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    inner = part.options["inner"]
    return _linear(module.down, units, _linear(module.up, units, x, "hidden", inner).tanh(), inner, "hidden")


def _concatenation(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    both = part.options["inner"] + "+hidden"
    x = torch.cat([_linear(module.left, units, x, "hidden", part.options["inner"]), x], -1)
    return _linear(module.out, units, formulas.rms_norm(x, units.cut(module.norm.weight, both)), both, "hidden")


def _allowed(x: Tensor, causal: bool, padded: bool) -> tuple[Tensor, Tensor]:
    """Return ``(B, N, N)`` bool, True where a query (row) attends to a key, and ``(B, N)``, True where padded."""
    padding = x[..., 0] > 1 if padded else torch.zeros(x.shape[:2], dtype=torch.bool)
    seen = ~padding[:, None, :].repeat(1, x.shape[1], 1)
    return (seen.tril() if causal else seen), padding


def _heads(x: Tensor, count: int) -> list[Tensor]:
    """Split ``(B, N, count * k)`` into one ``(B, N, k)`` for each head."""
    width = x.shape[-1] // count
    return [x[..., head * width : (head + 1) * width] for head in range(count)]


def _attention(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    options = part.options
    module = module.attention if options["padded"] else module
    heads, kv, width = options["heads"], options["kv_heads"] or options["heads"], options["head_dim"]
    count, groups = units.active(heads), units.active(kv)
    queries = f"{kv}*{width}"
    if kv != heads:  # rows (kv_heads group head_dim): fewer heads drop the last ones of every group
        most = units.full(heads) // units.full(kv)
        kept = [g * most + r for g in range(groups) for r in range(count // groups)]
        places = torch.cat([head * units.full(width) + units.places(width) for head in kept])
        cut = (module.query.weight[places][:, units.places("hidden")], module.query.bias[places])
        query, out = x @ cut[0].T + cut[1], module.out.weight[units.places("hidden")][:, places]
    else:
        query = _linear(module.query, units, x, "hidden", queries)
        out = units.cut(module.out.weight, "hidden", queries)
    key, value = (_linear(each, units, x, "hidden", queries) for each in (module.key, module.value))
    mixed = _attend(options, _heads(query, count), _heads(key, groups), _heads(value, groups), x)
    found = mixed @ out.T + units.cut(module.out.bias, "hidden")
    return torch.where(_allowed(x, False, options["padded"])[1][..., None], 0.0, found)


def _attend(options: Any, q: list[Tensor], k: list[Tensor], v: list[Tensor], x: Tensor) -> Tensor:
    """Return the outputs of all heads, concatenated; query heads of a group share a key and value head."""
    seen, padding = _allowed(x, options["causal"], options["padded"])
    samples = []
    for sample, sees in enumerate(seen):
        found = []
        for head, query in enumerate(q):
            group = head * len(k) // len(q)
            operands = query[sample], k[group][sample], v[group][sample]
            if options["kind"] == "linrec":
                found.append(formulas.linrec(*operands, sees, options["key_norm"]))
            else:
                # padded positions attend to themselves, since softmax needs a key; their outputs are 0 later
                own = sees | (torch.eye(len(sees), dtype=torch.bool) & padding[sample][:, None])
                found.append(formulas.softmax_attention(*operands, own))
        samples.append(torch.cat(found, -1))
    return torch.stack(samples)


def _pointwise(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    causal, padded = part.options["causal"], part.options["padded"]
    module, width = module.attention if padded else module, f"heads*{part.options['head_dim']}"
    parts = {
        n: _silu(_linear(getattr(module, n), units, x, "hidden", width)) for n in ("query", "key", "value", "gate")
    }
    seen, padding = _allowed(x, causal, padded)
    place = torch.arange(x.shape[1])
    distance = place[:, None] - place
    biases = module.distances[distance.clamp_min(0) if causal else distance + module.length - 1]
    count = units.active("heads")
    heads = zip(*(_heads(parts[name], count) for name in ("query", "key", "value")), strict=True)
    found = [
        torch.stack([formulas.pointwise(q[b], k[b], v[b], seen[b], biases) for b in range(len(x))]) for q, k, v in heads
    ]
    norm = units.cut(module.norm.weight, width), units.cut(module.norm.bias, width)
    inside = parts["gate"] * formulas.layer_norm(torch.cat(found, -1), *norm, eps=1e-6)
    return torch.where(padding[..., None], 0.0, _linear(module.out, units, inside, width, "hidden"))


def _gate(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    rank, gate, inside = part.options["rank"], module.gate, x
    if part.options["layers"] == 2:
        inside = _linear(gate.cross, units, x, "hidden", rank).clamp_min(0)
    return 2 * _sigmoid(_linear(gate.perceive, units, inside, rank if inside is not x else "hidden", "hidden")) * x


def _scale(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    return x * units.cut(module.scale.weight, "hidden") + units.cut(module.shift.weight, "1", "hidden").tanh()


def _parameters(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    first = module.again.weight  # the container's first parameter, under its second name
    second = next(p for p in module.held.parameters() if p is not first)
    x = x + units.cut(first, "hidden") + units.cut(second, "1", "hidden")
    return x * _sigmoid(units.cut(first, "hidden"))


def _parametrized(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    for linear in list(module)[::2]:
        held = linear.parametrizations.weight
        if part.options["norm"]:  # weight norm: g v / |v|, rows of full size
            weight = held.original0 * held.original1 / held.original1.pow(2).sum(1, keepdim=True).sqrt()
        else:
            weight = (held.original + held.original.T) / 2
        x = x @ units.cut(weight, "hidden", "hidden").T
        x = (x if linear.bias is None else x + units.cut(linear.bias, "hidden")).tanh()
    return x


def _shared_module(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    inside = part.parts[0]
    return _run(inside, module.first, units, _run(inside, module.first, units, x).tanh())


def _shared_weight(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    weight = units.cut(module.one.weight, "hidden", "hidden")
    x = (x @ weight.T + units.cut(module.one.bias, "hidden")).tanh()
    return x @ weight.T + units.cut(module.two.bias, "hidden")


def _residual(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    return x + _run(part.parts[0], module.part, units, x)


def _sequence(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    for inside, each in zip(part.parts, module, strict=True):
        x = _run(inside, each, units, x)
    return x


def _hooked(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    return 0.75 * _run(part.parts[0], module, units, x.tanh() if part.options["before"] else x)


def _stack(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    depth, out = part.options["depth"], x
    chosen = isinstance(depth, tuple)
    runs = [size_of(name, units.arch) for name in depth] if chosen else None
    count = len(part.parts) if chosen or isinstance(depth, int) else units.arch.depth
    for position, inside in enumerate(part.parts[:count]):
        layer = module.layers[position]
        if runs is None or runs[position]:
            out = _run(inside, layer.module if chosen else layer, units, out)
    return 0.5 * x + 1.5 * out if part.options["subclass"] else out


def _skip(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    out = _run(part.parts[0], module.module, units, x) if size_of(part.options["alive"], units.arch) else x
    return 0.5 * out if part.options["subclass"] else out


def _branches(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    options = [(type(option), option) for option in part.options["of"]]
    position = options.index((type(units.arch.odd), units.arch.odd))
    out = _run(part.parts[position], list(module.candidates.values())[position], units, x)
    return x + out if part.options["subclass"] else out


def _widths(part: Part, module: Any, units: Units, x: Tensor) -> Tensor:
    if part.options["form"] == "same":
        return _run(part.parts[0], module.candidates["shared"], units, x)
    wide = "2*hidden" if part.options["form"] == "product" else "hidden+half"
    inside, out = module[0].candidates["shared"][0], module[0].candidates["shared"][1]
    x = _linear(out, units, _run(part.parts[0], inside, units, x), "hidden", wide)
    return _linear(module[2], units, x.tanh(), wide, "hidden")


_FORWARDS: dict[str, Callable[[Part, Any, Units, Tensor], Tensor]] = {
    "layer norm": _layer_norm,
    "rms norm": lambda part, module, units, x: formulas.rms_norm(x, units.cut(module.weight, "hidden")),
    "linear": lambda part, module, units, x: _linear(module, units, x, "hidden", "hidden"),
    "feed-forward": _feed_forward,
    "bottleneck": _bottleneck,
    "concatenation": _concatenation,
    "attention": _attention,
    "pointwise attention": _pointwise,
    "gate": _gate,
    "scale": _scale,
    "parameters": _parameters,
    "parametrized": _parametrized,
    "shared module": _shared_module,
    "shared weight": _shared_weight,
    "residual": _residual,
    "sequence": _sequence,
    "hooked": _hooked,
    "stack": _stack,
    "skip": _skip,
    "branches": _branches,
    "widths": _widths,
}
