"""Make golden.npz: the networks' equations once more, in plain numpy and float64, on small seeded random weights.

    python tests/golden/make.py

Nothing of scamo is imported: what the tests compare with is a second reading of the layout, not the code under test.
Weights are rounded to float16, so that float32 holds them exactly. Keys: `<network>/weights/<parameter name>`,
`<network>/<what>`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

LEVEL_LISTS = [
    (5, 3),
    (8, 8),
    (8, 6, 5),
    (8, 8, 8),
    (8, 5, 5, 5),
    (8, 8, 6, 5),
    (7, 5, 5, 5, 5),
    (8, 8, 8, 6, 5),
    (8, 8, 8, 5, 5, 5),
]
MARGIN = 1e-3  # how far a value stays from where rounding or the choice of a token would flip


# Tokenizer


def bound(z, levels):
    half = (np.array(levels) - 1) * 1.001 / 2
    offset = np.where(np.array(levels) % 2 == 0, 0.5, 0.0)
    return np.tanh(z + np.arctanh(offset / half)) * half - offset


def indices(z, levels):
    """Rounded values, counted from the lowest, are the digits of a number whose first digit counts fastest."""
    digits = np.round(bound(z, levels)) + [n // 2 for n in levels]
    return (digits @ [math.prod(levels[:i]) for i in range(len(levels))]).astype(int)


def codes(ids, levels):
    rows = []
    for number in ids:
        digits = []
        for n in levels:
            digits.append((number % n - n // 2) / (n // 2))
            number //= n
        rows.append(digits)
    return np.array(rows)


def conv(x, w, name, stride=1, padding=0, dilation=1):
    """x [channels, time] -> [out, time']; one output column at a time."""
    kernel, bias = w[name + ".weight"], w[name + ".bias"]
    size = kernel.shape[2]
    x = np.pad(x, ((0, 0), (padding, padding)))
    count = (x.shape[1] - dilation * (size - 1) - 1) // stride + 1
    taps = [slice(t * stride, t * stride + dilation * size, dilation) for t in range(count)]
    return np.stack([np.einsum("oik,ik->o", kernel, x[:, tap]) for tap in taps], axis=1) + bias[:, None]


def residual(x, w, name):
    for block, dilation in enumerate((9, 3, 1)):
        inner = conv(np.maximum(x, 0), w, f"{name}.{block}.conv1", padding=dilation, dilation=dilation)
        x = x + conv(np.maximum(inner, 0), w, f"{name}.{block}.conv2")
    return x


def latent(x, w):
    """Normalised features [T, D] -> z [T // 4, channels]."""
    y = np.maximum(conv(x.T, w, "vqvae.encoder.model.0", padding=1), 0)
    for part in ("vqvae.encoder.model.2", "vqvae.encoder.model.3"):
        y = residual(conv(y, w, part + ".0", stride=2, padding=1), w, part + ".1.model")
    y = conv(y, w, "vqvae.encoder.model.4", padding=1)
    return y.T @ w["vqvae.quantizer.project_in.weight"].T + w["vqvae.quantizer.project_in.bias"]


def reconstruct(ids, levels, w):
    project = w["vqvae.quantizer.project_out.weight"], w["vqvae.quantizer.project_out.bias"]
    y = (codes(ids, levels) @ project[0].T + project[1]).T
    y = np.maximum(conv(y, w, "vqvae.decoder.model.0", padding=1), 0)
    for part in ("vqvae.decoder.model.2", "vqvae.decoder.model.3"):
        y = residual(y, w, part + ".0.model").repeat(2, axis=1)
        y = conv(y, w, part + ".2", padding=1)
    y = np.maximum(conv(y, w, "vqvae.decoder.model.4", padding=1), 0)
    return conv(y, w, "vqvae.decoder.model.6", padding=1).T


def tokenizer_weights(random, width, code, channels, features):
    shapes = {
        "vqvae.encoder.model.0": (width, features, 3),
        "vqvae.encoder.model.4": (code, width, 3),
        "vqvae.quantizer.project_in": (channels, code),
        "vqvae.quantizer.project_out": (code, channels),
        "vqvae.decoder.model.0": (width, code, 3),
        "vqvae.decoder.model.4": (width, width, 3),
        "vqvae.decoder.model.6": (features, width, 3),
    }
    for part in "23":
        shapes[f"vqvae.encoder.model.{part}.0"] = (width, width, 4)
        shapes[f"vqvae.decoder.model.{part}.2"] = (width, width, 3)
        for stack in (f"vqvae.encoder.model.{part}.1.model", f"vqvae.decoder.model.{part}.0.model"):
            for block in range(3):
                shapes[f"{stack}.{block}.conv1"] = (width, width, 3)
                shapes[f"{stack}.{block}.conv2"] = (width, width, 1)
    weights = {}
    for name, shape in shapes.items():
        scale = 6.0 if name.endswith("project_in") else 1.3  # wide enough to reach all levels
        weights[name + ".weight"] = half(random.normal(size=shape) * scale / math.sqrt(math.prod(shape[1:])))
        weights[name + ".bias"] = half(random.normal(size=shape[0]) * 0.1)
    return weights


# Transformer


def norm(x, scale):
    return scale * x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)


def turn(x, position):
    """One head's vector at a position: consecutive pairs as complex numbers, each turned by its own angle."""
    pairs = x[0::2] + 1j * x[1::2]
    pairs = pairs * np.exp(1j * position * 10000.0 ** (-np.arange(len(pairs)) * 2 / len(x)))
    return np.stack([pairs.real, pairs.imag], axis=1).ravel()


def attention(x, texts, heads, w, name):
    q, k, v = np.split(x @ w[name + ".c_attn.weight"].T, 3, axis=-1)
    size = x.shape[1] // heads
    out = np.zeros_like(x)
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        queries, keys = ([turn(row, i) for i, row in enumerate(m[:, part])] for m in (q, k))
        for i in range(len(x)):
            seen = range(max(i + 1, texts)) if i < texts else range(i + 1)
            score = np.array([queries[i] @ keys[j] for j in seen]) / math.sqrt(size)
            weight = np.exp(score - score.max())
            out[i, part] = (weight / weight.sum()) @ v[list(seen), part]
    return out @ w[name + ".c_proj.weight"].T


def logits(text, tokens, layers, heads, w):
    """Rows that predict token 0, 1, ... and what follows the last."""
    head = w.get("lm_head.weight", w["transformer.wte.weight"])
    x = text @ w["llama_proj.weight"].T + w["llama_proj.bias"]
    x = np.concatenate([x, w["transformer.wte.weight"][list(tokens)]]) if len(tokens) else x
    for i in range(layers):
        name = f"transformer.h.{i}"
        x = x + attention(norm(x, w[name + ".rms_1.scale"]), len(text), heads, w, name + ".attn")
        y = norm(x, w[name + ".rms_2.scale"])
        gate = y @ w[name + ".mlp.c_fc1.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (y @ w[name + ".mlp.c_fc2.weight"].T)) @ w[name + ".mlp.c_proj.weight"].T
    return (norm(x, w["transformer.ln_f.scale"]) @ head.T)[len(text) - 1 :]


def transformer_weights(random, codes, layers, width, text_width, hidden, tied):
    shapes = {"transformer.wte": (codes + 2, width), "llama_proj": (width, text_width)}
    if not tied:
        shapes["lm_head"] = (codes + 1, width)
    for i in range(layers):
        shapes[f"transformer.h.{i}.attn.c_attn"] = (3 * width, width)
        shapes[f"transformer.h.{i}.attn.c_proj"] = (width, width)
        shapes[f"transformer.h.{i}.mlp.c_fc1"] = shapes[f"transformer.h.{i}.mlp.c_fc2"] = (hidden, width)
        shapes[f"transformer.h.{i}.mlp.c_proj"] = (width, hidden)
    weights = {name + ".weight": half(random.normal(size=s) * 1.5 / math.sqrt(s[1])) for name, s in shapes.items()}
    weights["llama_proj.bias"] = half(random.normal(size=width) * 0.1)
    for name in [f"transformer.h.{i}.rms_{j}" for i in range(layers) for j in (1, 2)] + ["transformer.ln_f"]:
        weights[name + ".scale"] = half(1 + random.normal(size=width) * 0.2)
    return weights


def greedy(text, count, codes, layers, heads, w):
    """Tokens of the reference's loop, and the smallest lead of a chosen token; the padding id is no choice."""
    tokens, lead = [], np.inf
    while len(tokens) < count:
        row = logits(text, tokens, layers, heads, w)[-1][: codes + 1]
        second, first = np.sort(row)[-2:]
        lead = min(lead, first - second)
        if row.argmax() == codes:
            break
        tokens.append(int(row.argmax()))
    return tokens, lead


# The file


def half(x):
    return x.astype(np.float16).astype(np.float64)


def put(golden, network, weights, **values):
    golden.update({f"{network}/weights/{name}": value.astype(np.float16) for name, value in weights.items()})
    golden.update({f"{network}/{name}": np.asarray(value) for name, value in values.items()})


def make_quantiser(golden):
    for levels in LEVEL_LISTS:
        random = np.random.default_rng(math.prod(levels))
        z = random.normal(size=(200, len(levels))).astype(np.float32).astype(np.float64) * 2
        z = z[(np.abs(bound(z, levels) % 1 - 0.5) > MARGIN).all(axis=1)]
        put(golden, "fsq-" + "-".join(map(str, levels)), {}, z=z, bound=bound(z, levels), indices=indices(z, levels))


def make_tokenizer(golden, name, levels, features, first_seed):
    for seed in range(first_seed, first_seed + 1000):
        random = np.random.default_rng(seed)
        weights = tokenizer_weights(random, 8, 6, len(levels), features)
        motions = {f"x_{frames}": half(random.normal(size=(frames, features))) for frames in (4, 10, 33)}
        z = {key: latent(x, weights) for key, x in motions.items()}
        if min((np.abs(bound(v, levels) % 1 - 0.5)).min() for v in z.values()) > MARGIN:
            break
    else:
        raise RuntimeError("no seed keeps the margin")
    ids = {key.replace("x", "indices"): indices(v, levels) for key, v in z.items()}
    back = {key.replace("indices", "reconstruction"): reconstruct(v, levels, weights) for key, v in ids.items()}
    motions = {key: x.astype(np.float16) for key, x in motions.items()}
    back = {key: x.astype(np.float32) for key, x in back.items()}
    put(golden, name, weights, levels=levels, **motions, **ids, **back)


def make_transformer(golden, name, tied, first_seed):
    codes, layers, heads, width, text_width, hidden = 15, 2, 2, 16, 6, 256
    for seed in range(first_seed, first_seed + 1000):
        random = np.random.default_rng(seed)
        weights = transformer_weights(random, codes, layers, width, text_width, hidden, tied)
        texts = {n: half(random.normal(size=(n, text_width))) for n in (1, 3, 6)}
        runs = {n: greedy(text, 24, codes, layers, heads, weights) for n, text in texts.items()}
        lengths = sorted(len(tokens) for tokens, _ in runs.values())
        # One motion that the model ends itself and one cut at the limit, all by a clear lead.
        if min(lead for _, lead in runs.values()) > MARGIN and 1 < lengths[0] < lengths[-1] == 24:
            break
    else:
        raise RuntimeError("no seed keeps the margin")
    put(
        golden,
        name,
        weights,
        shape=(codes, layers, heads, width, text_width),
        **{f"text_{n}": text for n, text in texts.items()},
        **{f"tokens_{n}": tokens for n, (tokens, _) in runs.items()},
        **{f"logits_{n}": logits(texts[n], run, layers, heads, weights) for n, (run, _) in runs.items()},
    )


def main():
    golden = {}
    make_quantiser(golden)
    make_tokenizer(golden, "tokenizer", (8, 5, 5, 5), 263, 100)
    make_tokenizer(golden, "tokenizer-kit", (5, 3), 251, 200)
    make_transformer(golden, "transformer", False, 300)
    make_transformer(golden, "transformer-tied", True, 400)
    path = Path(__file__).with_name("golden.npz")
    np.savez_compressed(path, **golden)
    print(f"{path}: {len(golden)} arrays, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
