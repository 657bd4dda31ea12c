"""What a composition computes, without elasticnas.nn: plain torch on weights cut by index lists made by hand."""

import itertools
import math

import torch
import torch.nn.functional as F

from elasticnas.testing.compositions.sizes import parse

ACTIVATIONS = {"gelu": F.gelu, "silu": F.silu}


def length_of(x, dim):
    """L2 norm, with the epsilon under the root that keeps what is 0 from becoming NaN."""
    return (x.square().sum(dim, keepdim=True) + 1e-12).sqrt()


class Reference:
    """One architecture of a composition, on the supernet's full weights."""

    def __init__(self, composition, model, arch):
        self.composition, self.model, self.arch = composition, model, arch
        self.options = composition.space.choices()
        self.h = self.places([["hidden"]])

    def full(self, name):
        if name.isdigit():
            return int(name)
        if name == "double":
            return 2 * max(self.options["inner"])
        if name == "across":
            return max(self.options["heads"]) + max(self.options["head_dim"])
        return max(self.options[name])

    def active(self, name):
        if name.isdigit():
            return int(name)
        value = self.arch
        for part in name.split("."):
            value = value[int(part)] if part.isdigit() else getattr(value, part)
        return value

    def places(self, terms, extra=()):
        """Positions of the active units; every factor keeps its first ones. ``extra`` are sizes of factors in front."""
        found, offset = [], 0
        for factors in terms:
            sizes = [*extra, *((self.full(name), self.active(name)) for name in factors)]
            for units in itertools.product(*(range(active) for _, active in sizes)):
                position = 0
                for unit, (full, _) in zip(units, sizes, strict=True):
                    position = position * full + unit
                found.append(offset + position)
            offset += math.prod(full for full, _ in sizes)
        return found

    def output(self, given):
        model, h = self.model, self.h
        x = given if model.table is None else model.table.weight[given][..., h]
        if self.composition.classified:
            x = torch.cat([model.token.weight[:, h].expand(len(x), 1, len(h)), x], 1)
        x = x + model.positions.weight[: x.shape[1], h]
        x = self.run(self.composition.part, model.body, x)
        return x[:, 0] if self.composition.classified else x

    def run(self, part, module, x):
        return getattr(self, part.kind.replace(" ", "_").replace("-", "_"))(part, module, x)

    def affine(self, linear, x, rows, columns):
        out = x @ linear.weight[rows][:, columns].T
        return out if linear.bias is None else out + linear.bias[rows]

    def normed(self, x, weight, bias, eps):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias

    def layer_norm(self, part, module, x):
        return self.normed(x, module.weight[self.h], module.bias[self.h], 1e-5)

    def rms_norm(self, part, module, x):
        return self.root_mean_square(module, x, self.h)

    def root_mean_square(self, module, x, places):
        eps = torch.finfo(x.dtype).eps
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * module.weight[places]

    def linear(self, part, module, x):
        return self.affine(module, x, self.h, self.h)

    def feed_forward(self, part, module, x):
        inner, act = self.places(parse(part.options["inner"])), ACTIVATIONS[part.options["activation"]]
        up = self.affine(module.up, x, inner, self.h)
        mixed = act(self.affine(module.gate, x, inner, self.h)) * up if part.options["gated"] else act(up)
        return self.affine(module.down, mixed, self.h, inner)

    def between(self, part, module, x):
        inner = self.places(parse(part.options["inner"]))
        return self.affine(module.down, torch.tanh(self.affine(module.up, x, inner, self.h)), self.h, inner)

    def beside(self, part, module, x):
        inner, both = parse(part.options["inner"]), [*parse(part.options["inner"]), ["hidden"]]
        left = self.affine(module.left, x, self.places(inner), self.h)
        mixed = self.root_mean_square(module.norm, torch.cat([left, x], -1), self.places(both))
        return self.affine(module.out, mixed, self.h, self.places(both))

    def gate(self, part, module, x):
        gate, rank = module.gate, self.places(parse(part.options["rank"]))
        seen = x if part.options["layers"] == 1 else F.relu(self.affine(gate.cross, x, rank, self.h))
        return 2 * torch.sigmoid(self.affine(gate.perceive, seen, self.h, self.h if seen is x else rank)) * x

    def scale(self, part, module, x):
        return x * module.scale.weight[self.h] + torch.tanh(module.shift.weight[:, self.h])

    def parameters(self, part, module, x):
        held = module.held.values() if hasattr(module.held, "values") else module.held
        first, second = (each.weight for each in held)
        return (x + first[self.h] + second[:, self.h]) * torch.sigmoid(first[self.h])

    def parametrized(self, part, module, x):
        for linear in module[::2]:
            stored = linear.parametrizations.weight
            if part.options["norm"]:
                weight = stored.original0 * stored.original1 / stored.original1.norm(dim=1, keepdim=True)
            else:
                weight = (stored.original + stored.original.T) / 2
            x = x @ weight[self.h][:, self.h].T
            x = torch.tanh(x if linear.bias is None else x + linear.bias[self.h])
        return x

    def shared_module(self, part, module, x):
        (inside,) = part.parts
        return self.run(inside, module.first, torch.tanh(self.run(inside, module.first, x)))

    def shared_weight(self, part, module, x):
        return self.affine(module.two, torch.tanh(self.affine(module.one, x, self.h, self.h)), self.h, self.h)

    def residual(self, part, module, x):
        return x + self.run(part.parts[0], module.part, x)

    def sequence(self, part, module, x):
        for inside, each in zip(part.parts, module, strict=True):
            x = self.run(inside, each, x)
        return x

    def hooked(self, part, module, x):
        return 0.75 * self.run(part.parts[0], module, torch.tanh(x) if part.options["before"] else x)

    def stack(self, part, module, x):
        depth, y = part.options["depth"], x
        for position, (inside, layer) in enumerate(zip(part.parts, module.layers, strict=True)):
            if isinstance(depth, tuple):
                y = self.run(inside, layer.module, y) if self.active(depth[position]) else y
            elif position < (depth if isinstance(depth, int) else self.arch.depth):
                y = self.run(inside, layer, y)
        return 0.5 * x + 1.5 * y if part.options["subclass"] else y

    def skip(self, part, module, x):
        out = self.run(part.parts[0], module.module, x) if self.active(part.options["alive"]) else x
        return 0.5 * out if part.options["subclass"] else out

    def branches(self, part, module, x):
        wanted = (type(self.arch.odd), self.arch.odd)
        chosen = [(type(option), option) for option in part.options["of"]].index(wanted)
        out = self.run(part.parts[chosen], list(module.candidates.values())[chosen], x)
        return x + out if part.options["subclass"] else out

    def widths(self, part, module, x):
        (inside,) = part.parts
        if part.options["form"] == "same":
            return self.run(inside, module.candidates["shared"], x)
        wide = self.places([["2", "hidden"]] if part.options["form"] == "product" else [["hidden"], ["half"]])
        first, last = module[0].candidates["shared"], module[2]
        between = self.affine(first[1], self.run(inside, first[0], x), wide, self.h)
        return self.affine(last, torch.tanh(between), self.h, wide)

    def attention(self, part, module, x):
        given = part.options
        factors, head_dim = parse(given["heads"])[0], parse(given["head_dim"])[0]
        if given["kv_heads"] is None:
            group, kv = (1, 1), factors
        else:
            kv, most = [given["kv_heads"]], self.full("heads")
            group = (most // self.full(kv[0]), self.active("heads") // self.active(kv[0]))
            group = (1, 1) if kv == ["heads"] else group
        g, k = math.prod(map(self.active, kv)), math.prod(map(self.active, head_dim))
        keys = self.places([[*kv, *head_dim]])
        queries = [
            (a * group[0] + b) * self.size(head_dim) + c
            for a in self.places([kv])
            for b in range(group[1])
            for c in self.places([head_dim])
        ]
        batch, length = x.shape[:2]
        q = self.affine(module.query, x, queries, self.h).reshape(batch, length, g, group[1], k)
        key, value = (
            self.affine(linear, x, keys, self.h).reshape(batch, length, g, k) for linear in (module.key, module.value)
        )
        out = torch.zeros(batch, length, g, group[1], k, dtype=x.dtype)
        for a in range(g):
            for b in range(group[1]):
                head = self.softmax if given["kind"] == "softmax" else self.linrec
                out[:, :, a, b] = head(q[:, :, a, b], key[:, :, a], value[:, :, a], given["causal"], given["key_norm"])
        return self.affine(module.out, out.reshape(batch, length, -1), self.h, queries)

    def size(self, factors):
        return math.prod(map(self.full, factors))

    def softmax(self, q, k, v, causal, key_norm):
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        if causal:
            n = q.shape[1]
            scores = scores.masked_fill(torch.arange(n)[None] > torch.arange(n)[:, None], -math.inf)
        return scores.softmax(-1) @ v

    def linrec(self, q, k, v, causal, key_norm):
        """EASRec, arXiv:2402.00390v1, Eq. 5, position by position."""
        width = q.shape[-1]
        q, k = F.elu(q), F.elu(k)
        q = q / length_of(q, -1)
        if key_norm == "token":
            k, factor = k / length_of(k, -1), width**-0.5
        else:
            factor = 1.0 / width
        rows = []
        for n in range(q.shape[1]):
            seen = slice(n + 1) if causal else slice(None)
            columns = k[:, seen] if key_norm == "token" else k[:, seen] / length_of(k[:, seen], 1)
            rows.append(factor * q[:, n : n + 1] @ (columns.transpose(1, 2) @ v[:, seen]))
        return torch.cat(rows, 1)

    def pointwise_attention(self, part, module, x):
        """HSTU, arXiv:2402.17152, Eq. 1 to 3, with the mean over the positions that are seen."""
        head_dim, (batch, length) = part.options["head_dim"], x.shape[:2]
        places, heads, width = self.places([["heads", head_dim]]), self.active("heads"), self.active(head_dim)
        q, k, v = (
            F.silu(self.affine(linear, x, places, self.h)).reshape(batch, length, heads, width)
            for linear in (module.query, module.key, module.value)
        )
        out = torch.zeros_like(v)
        for i in range(length):
            seen = range(i + 1) if part.options["causal"] else range(length)
            for j in seen:
                bias = module.distances[i - j if part.options["causal"] else i - j + 7]
                weight = F.silu((q[:, i] * k[:, j]).sum(-1, keepdim=True) + bias)
                out[:, i] += weight * v[:, j] / len(seen)
        mixed = self.normed(out.flatten(2), module.norm.weight[places], module.norm.bias[places], 1e-6)
        return self.affine(module.out, F.silu(self.affine(module.gate, x, places, self.h)) * mixed, self.h, places)
