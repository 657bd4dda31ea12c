"""A whole step of the paper's supernet against Eq. 3 to 14 written out in plain torch, forward and all gradients."""

import pytest
import torch
import torch.nn.functional as F

import elasticnas
from easrec.config import ModelConfig, TrainConfig
from easrec.data import Batch
from easrec.losses import BatchLoss
from easrec.model import supernet

ITEMS, LENGTH, HEADS, SIZES = 11, 6, 2, ((4, 6), (6, 10), (8, 12))
HIDDEN, SMALL = 8, 1e-12


def small(attention):
    return ModelConfig(
        hidden=8,
        inner=12,
        length=LENGTH,
        layers=3,
        heads=HEADS,
        dropout=0.0,
        hidden_pruning=(0.5, 0.25, 0.0),
        inner_pruning=(0.5, 1 / 6, 0.0),
        attention=attention,
        gate_input="position",
        mixing="block",
        weights="shared",
    )


def norm(w, name, x):
    return F.layer_norm(x, (x.shape[-1],), w[f"{name}.weight"][: x.shape[-1]], w[f"{name}.bias"][: x.shape[-1]])


def rows_of_heads(width):
    """Rows of the shared projections that heads of ``width / HEADS`` units have: the first of each full head."""
    full, own = HIDDEN // HEADS, width // HEADS
    return [head * full + unit for head in range(HEADS) for unit in range(own)]


def attention(w, layer, x, kind):
    """Softmax attention, or Eq. 5 in its causal form, position by position."""
    width, rows = x.shape[-1], rows_of_heads(x.shape[-1])
    own = width // HEADS

    def project(name):
        made = F.linear(x, w[f"{layer}.{name}.weight"][rows][:, :width], w[f"{layer}.{name}.bias"][rows])
        return made.unflatten(-1, (HEADS, own)).transpose(1, 2)

    query, key, value = project("query"), project("key"), project("value")
    outputs = []
    for n in range(x.shape[1]):
        q, k, v = query[:, :, n], key[:, :, : n + 1], value[:, :, : n + 1]
        if kind == "softmax":
            weights = ((k @ q.unsqueeze(-1)).squeeze(-1) / own**0.5).softmax(-1)
            outputs.append((weights.unsqueeze(-2) @ v).squeeze(-2))
        else:
            # rows of elu(Q) and columns of elu(K) have the norm 1, but for SMALL; each has the factor 1 / sqrt(d)
            q, k = F.elu(q), F.elu(k)
            q = q / (q.square().sum(-1, keepdim=True) + SMALL).sqrt() / own**0.5
            k = k / (k.square().sum(-2, keepdim=True) + SMALL).sqrt() / own**0.5
            outputs.append((q.unsqueeze(-2) @ (k.transpose(-1, -2) @ v)).squeeze(-2))
    joined = torch.stack(outputs, 2).transpose(1, 2).flatten(2)
    return F.linear(joined, w[f"{layer}.out.weight"][:width][:, rows], w[f"{layer}.out.bias"][:width])


def gate(w, name, x):
    """Eq. 6 and 7: every candidate has its own weights."""
    crossed = torch.relu(F.linear(x, w[f"{name}.cross.weight"], w[f"{name}.cross.bias"]))
    return 2.0 * torch.sigmoid(F.linear(crossed, w[f"{name}.perceive.weight"], w[f"{name}.perceive.bias"]))


def block(w, number, index, x, embedded, kind):
    """T_i of layer ``number`` (Eq. 9, post-norm) on the first units of its input."""
    hidden, inner = SIZES[index]
    name, x = f"layers.layers.{number}.candidates.shared", x[..., :hidden]
    mixed = norm(w, f"{name}.attention_norm", x + attention(w, f"{name}.attention", x, kind))
    gates = [gate(w, f"{name}.gates.{which}.candidates.{index}", embedded) for which in ("first", "second")]
    up = F.linear(gates[0] * mixed, w[f"{name}.up.weight"][:inner, :hidden], w[f"{name}.up.bias"][:inner])
    fed = F.linear(gates[1] * F.gelu(up), w[f"{name}.down.weight"][:hidden, :inner], w[f"{name}.down.bias"][:hidden])
    return norm(w, f"{name}.norm", mixed + fed)


def loss_by_hand(w, inputs, targets, p, q, kind):
    """Eq. 3, 4 and 11 to 13 with the softmax cross entropy over all items."""
    raw = w["items.weight"][inputs] + w["positions.weight"][: inputs.shape[1]]
    embedded = [norm(w, "norm", raw[..., :hidden]) for hidden, _ in SIZES]
    y, output = None, 0.0
    for number in range(3):
        mixed = torch.zeros(*inputs.shape, HIDDEN, dtype=raw.dtype)
        for index, (hidden, _) in enumerate(SIZES):
            own = block(w, number, index, embedded[index] if y is None else y, embedded[index], kind)
            mixed = mixed + p[index] * F.pad(own, (0, HIDDEN - hidden))
        y = mixed
        output = output + q[number] * y
    scores = output @ w["items.weight"].T
    return F.cross_entropy(scores[..., 1:].flatten(0, 1), targets.flatten() - 1, reduction="mean")


@pytest.mark.parametrize("kind", ["softmax", "linrec"])
@pytest.mark.parametrize("one_hot", [False, True])
def test_a_supernet_step_is_what_the_equations_say(kind, one_hot):
    torch.manual_seed(0)
    model = supernet(small(kind), ITEMS, True).double()
    for parameter in model.parameters():  # start values of norms and biases would hide mistakes
        parameter.data.add_(torch.randn_like(parameter), alpha=0.3)
    generator = torch.Generator().manual_seed(1)
    inputs, targets = (torch.randint(1, ITEMS + 1, (3, LENGTH), generator=generator) for _ in range(2))
    alpha, beta = (torch.randn(3, dtype=torch.float64, generator=generator, requires_grad=True) for _ in range(2))
    given = [value for _, value in model.named_parameters()]

    def shares(logits):
        if one_hot:  # straight-through: a single candidate, with the gradient of the softmax
            soft = logits.softmax(-1)
            return F.one_hot(soft.argmax(), 3).to(soft) + soft - soft.detach()
        return logits.softmax(-1)

    p, q = shares(alpha), shares(beta)
    with elasticnas.axes_of(model).relaxed({"candidate": p, "depth": q}):
        found = BatchLoss(TrainConfig(), torch.ones(ITEMS + 1).numpy())(model, Batch(inputs, targets))
    ours = torch.autograd.grad(found, [alpha, beta, *given], allow_unused=True)

    weights = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    p, q = shares(alpha), shares(beta)
    expected = loss_by_hand(weights, inputs, targets, p, q, kind)
    theirs = torch.autograd.grad(expected, [alpha, beta, *weights.values()], allow_unused=True)

    near = {"rtol": 1e-8, "atol": 1e-10}
    torch.testing.assert_close(found, expected, **near)
    for name, one, other in zip(["alpha", "beta", *weights], ours, theirs, strict=True):
        one, other = (torch.zeros_like(other if one is None else one) if g is None else g for g in (one, other))
        if name == "items.weight":  # the row of padding has no gradient
            one, other = one[1:], other[1:]
        torch.testing.assert_close(one, other, **near, msg=lambda text, name=name: f"{name}: {text}")
