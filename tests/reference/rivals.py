"""The rival methods for one picture, as loops over instances, tokens and heads, from their equations.

Each gives the sample (L, C) of a forward with its layout. N instances, L image tokens, D channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import gelu, silu

from tests.reference.attention import Angle, attend, rms_norm, rotate
from tests.reference.flux import Backbone, Pieces, forward, masked, modulated
from tests.reference.model import Inputs, backbone_time, rotary_angles
from tests.reference.regions import Box, coverage, covered_tokens
from tests.reference.weights import affine


def box_code(box: Box) -> Tensor:
    """sin and cos of 100 ** (k / 8) times each coordinate, k = 0..7."""
    values = torch.tensor(box, dtype=torch.float64)
    return torch.cat(
        [part for k in range(8) for part in ((100 ** (k / 8) * values).sin(), (100 ** (k / 8) * values).cos())]
    )


def creatilayout(  # noqa: PLR0913 (everything a method is told)
    backbone: Backbone, weights: dict[str, Tensor], inputs: Inputs, boxes: list[Box], texts_NGE: Tensor, *,
    null_slots: int, fixed_ids: bool, grid: tuple[int, int], strength: float = 1.0,
) -> Tensor:  # fmt: skip
    """SiamLayout: layout tokens as a third stream, attended to beside the text."""
    net, tokens = "position_net", []
    for box, text_GE in zip(boxes, texts_NGE, strict=True):
        for text_D in backbone.text(text_GE):
            tokens.append(torch.cat([text_D, box_code(box)]))
    null = torch.cat([weights[f"{net}.null_positive_feature"], weights[f"{net}.null_position_feature"]])
    per_instance = texts_NGE.shape[1]
    tokens += [null] * (per_instance * (null_slots - len(boxes)))
    hidden = [silu(affine(weights, f"{net}.linears.linear_1", token)) for token in tokens]
    layout = torch.stack([affine(weights, f"{net}.linears.linear_2", row) for row in hidden])
    turn = rotary_angles(backbone.transformer)
    places = [-1.0 if fixed_ids else max(grid) + slot // per_instance for slot in range(len(tokens))]
    angles = [turn((p, p, p)) for p in places] + [turn(tuple(map(float, row))) for row in inputs.img_ids]
    state = {"layout": layout}
    time_D = _time(backbone, inputs)

    def before_feed_forward(index: int, image_LD: Tensor, rows_LD: Tensor) -> Tensor:
        name, old = f"transformer_blocks.{index}", state["layout"]
        shift, scale, gate, ff_shift, ff_scale, ff_gate = affine(
            weights, f"{name}.norm1_bbox.linear", silu(time_D)
        ).chunk(6)
        own = _rows(weights, f"{name}.bbox_attn", modulated(old, shift, scale), "add_{}_proj", "norm_added_{}")
        seen = _rows(weights, f"{name}.bbox_attn", rows_LD, "to_{}", "norm_{}")
        output = _turned_attention([a + b for a, b in zip(own, seen, strict=True)], angles)
        new = old + gate * affine(weights, f"{name}.bbox_attn.to_add_out", output[: len(old)])
        hidden = affine(weights, f"{name}.ff_bbox.net.0.proj", modulated(new, ff_shift, ff_scale))
        state["layout"] = new + ff_gate * affine(weights, f"{name}.ff_bbox.net.2", gelu(hidden, approximate="tanh"))
        update = affine(weights, f"{name}.bbox_attn.to_out.0", output[len(old) :])
        return image_LD + strength * affine(weights, f"{name}.bbox_forward", update)

    def beside_single(index: int, image_LD: Tensor) -> Tensor:
        name, old = f"single_transformer_blocks.{index}", state["layout"]
        shift, scale, gate = affine(weights, f"{name}.bbox_norm.linear", silu(time_D)).chunk(3)
        rows = modulated(torch.cat([old, image_LD]), shift, scale)
        output = _turned_attention(_rows(weights, f"{name}.bbox_attn", rows, "to_{}", "norm_{}"), angles)
        hidden = gelu(affine(weights, f"{name}.bbox_proj_mlp", rows), approximate="tanh")
        update = gate * affine(weights, f"{name}.bbox_proj_out", torch.cat([output, hidden], -1))
        state["layout"] = old + update[: len(old)]
        return strength * affine(weights, f"{name}.bbox_forward", update[len(old) :])

    how = Pieces(backbone.linear, before_feed_forward=before_feed_forward, beside_single=beside_single)
    return forward(backbone, inputs, how)


def gligen(  # noqa: PLR0913 (everything a method is told)
    backbone: Backbone, weights: dict[str, Tensor], inputs: Inputs, boxes: list[Box], texts_NP: Tensor, *,
    heads: int, null_slots: int, rotary: bool, grid: tuple[int, int], strength: float = 1.0,
) -> Tensor:  # fmt: skip
    """Gated self-attention over image and grounding tokens, behind each block's attention or behind the block."""
    net = "position_net"
    null = torch.cat([weights[f"{net}.null_positive_feature"], weights[f"{net}.null_position_feature"]])
    features = [torch.cat([text, box_code(box)]) for text, box in zip(texts_NP, boxes, strict=True)]
    features += [null] * (null_slots - len(boxes))
    tokens = []
    for feature in features:
        for layer in (0, 2, 4):
            feature = affine(weights, f"{net}.linears.{layer}", feature if layer == 0 else silu(feature))
        tokens.append(feature)
    turn, (height, width) = rotary_angles(backbone.transformer), grid
    centres = [(0.0, (y1 + y2) / 2 * height, (x1 + x2) / 2 * width) for x1, y1, x2, y2 in boxes]
    centres += [(0.0, 0.0, 0.0)] * (null_slots - len(boxes))
    angles = [turn(tuple(map(float, row))) for row in inputs.img_ids] + [turn(centre) for centre in centres]

    def gated(name: str, image_LD: Tensor) -> Tensor:
        rows = torch.cat([image_LD, torch.stack([affine(weights, f"{name}.linear", token) for token in tokens])])
        rows = torch.stack([_full_norm(weights, f"{name}.norm1", row) for row in rows])
        parts = [[(row @ weights[f"{name}.attn.to_{p}.weight"].T).reshape(heads, -1) for row in rows] for p in "qkv"]
        if rotary:
            parts[:2] = [[rotate(x, *angle) for x, angle in zip(part, angles, strict=True)] for part in parts[:2]]
        output = torch.stack(attend(*parts)[: len(image_LD)])
        output = affine(weights, f"{name}.attn.to_out.0", output)
        image_LD = image_LD + strength * weights[f"{name}.alpha_attn"].tanh() * output
        normed = torch.stack([_full_norm(weights, f"{name}.norm2", row) for row in image_LD])
        hidden, gate = affine(weights, f"{name}.ff.net.0.proj", normed).chunk(2, -1)
        update = affine(weights, f"{name}.ff.net.2", hidden * gelu(gate))
        return image_LD + strength * weights[f"{name}.alpha_dense"].tanh() * update

    how = Pieces(
        backbone.linear,
        before_feed_forward=lambda index, image_LD, _: gated(f"dual.{index}", image_LD),
        after_single=lambda index, image_LD: gated(f"single.{index}", image_LD),
    )
    return forward(backbone, inputs, how)


def eligen(
    backbone: Backbone, weights: dict[str, Tensor], inputs: Inputs, covers: list[list[int]], texts_NGE: Tensor, *,
    strength: float = 1.0,
) -> Tensor:  # fmt: skip
    """Regional attention with a low-rank delta on every linear layer; covers: image tokens of each instance."""
    count, tokens, _ = texts_NGE.shape
    prompt, image = inputs.encoder_hidden_states.shape[1], inputs.hidden_states.shape[1]
    owner = [i for i in range(count) for _ in range(tokens)] + [count] * prompt
    allowed = torch.zeros(len(owner) + image, len(owner) + image, dtype=torch.bool)
    for a, of in enumerate(owner):
        for b, other in enumerate(owner):
            allowed[a, b] = of == other
        for token in range(image):
            meets = of == count or token in covers[of]
            allowed[a, len(owner) + token] = allowed[len(owner) + token, a] = meets
    allowed[len(owner) :, len(owner) :] = True

    def linear(name: str, x: Tensor) -> Tensor:
        stream, index, path = name.split(".", 2)
        own = f"{'single' if stream.startswith('single') else 'dual'}.{index}.{path.replace('.', '_')}"
        delta = x @ weights[f"{own}.down.weight"].T @ weights[f"{own}.up.weight"].T
        return backbone.linear(name, x) + strength * delta

    return forward(backbone, inputs, Pieces(linear, core=masked(allowed)), texts_NGE.flatten(0, 1))


def larender(  # noqa: PLR0913 (everything a method is told)
    backbone: Backbone, inputs: Inputs, boxes: list[Box], occluders: list[list[int]], texts_NGE: Tensor, *,
    grid: tuple[int, int], alpha: float, schedule: str, steps: int, map_minimum: float,
) -> Tensor:  # fmt: skip
    """Each image token attends to the image together with each instance's text alone; the outputs are rendered."""
    count, tokens, _ = texts_NGE.shape
    prompt = inputs.encoder_hidden_states.shape[1]
    texts = count * tokens + prompt
    planes = [list(range(i * tokens, (i + 1) * tokens)) for i in range(count)] + [list(range(count * tokens, texts))]
    cover = [
        coverage(box, *grid) if token_list else None for box in boxes if (token_list := covered_tokens(box, *grid))
    ]
    area = torch.stack([torch.as_tensor(c, dtype=torch.float64) for c in cover])
    kept = torch.zeros_like(area)
    for i, box in enumerate(boxes):
        for token in covered_tokens(box, *grid):
            kept[i, token] = area[i, token]
    progress = 1 - float(inputs.timestep[0]) + 1 / steps
    factor = {"unchanged": 1.0, "opaque": float(steps), "inverse_proportional": 1 / progress}[schedule]
    sigma = -torch.log1p(-torch.tensor(alpha, dtype=torch.float64)) * factor

    def core(query: list[Tensor], key: list[Tensor], value: list[Tensor]) -> list[Tensor]:
        outputs = []
        for row in range(texts):
            plane = next(i for i, rows in enumerate(planes) if row in rows)
            image = [texts + t for t in range(len(query) - texts) if plane == count or kept[plane, t] > 0]
            seen = planes[plane] + image
            outputs += attend([query[row]], [key[j] for j in seen], [value[j] for j in seen])
        image = list(range(texts, len(query)))
        joint = [[attend([query[row]], [key[j] for j in rows + image], [value[j] for j in rows + image])[0]
                  for rows in planes] for row in image]  # fmt: skip
        share = torch.stack(
            [torch.stack([_text_share(query[row], key, rows, image) for row in image]) for rows in planes]
        )
        low, high = share.amin(1, keepdim=True), share.amax(1, keepdim=True)
        maps = map_minimum + (1 - map_minimum) * (share - low) / (high - low)
        plane_QL = torch.cat([kept * maps[:count], torch.ones(1, len(image), dtype=torch.float64)])
        for t in range(len(image)):
            weight = []
            for i in range(count + 1):
                front = range(count) if i == count else occluders[i]
                through = torch.exp(-sum((sigma * plane_QL[j, t] for j in front), torch.zeros(())))
                weight.append(through * (1 - torch.exp(-sigma)) * plane_QL[i, t])
            total = torch.stack(weight).sum()
            outputs.append(sum(w / total * joint[t][i] for i, w in enumerate(weight)))
        return outputs

    return forward(backbone, inputs, Pieces(backbone.linear, core=core), texts_NGE.flatten(0, 1))


def _text_share(query_HC: Tensor, key: list[Tensor], rows: list[int], image: list[int]) -> Tensor:
    """What part of the joint softmax over [text; image] lies on the text, mean over heads."""
    shares = []
    for head in range(len(query_HC)):
        score = torch.stack([(query_HC[head] * key[j][head]).sum() for j in rows + image]) / query_HC.shape[1] ** 0.5
        shares.append(torch.softmax(score, 0)[: len(rows)].sum())
    return torch.stack(shares).mean()


def _time(backbone: Backbone, inputs: Inputs) -> Tensor:
    return backbone_time(backbone.transformer, inputs)[0]


def _rows(weights: dict[str, Tensor], attn: str, rows_XD: Tensor, layer: str, norm: str) -> list[list[Tensor]]:
    channels = len(weights[f"{attn}.{norm.format('q')}.weight"])
    parts = [
        [affine(weights, f"{attn}.{layer.format(p)}", row).reshape(-1, channels) for row in rows_XD] for p in "qkv"
    ]
    gains = [weights[f"{attn}.{norm.format(p)}.weight"] for p in "qk"]
    return [[rms_norm(x, gain) for x in part] for part, gain in zip(parts, gains, strict=False)] + [parts[2]]


def _turned_attention(parts: list[list[Tensor]], angles: list[Angle]) -> Tensor:
    query, key = ([rotate(x, *angle) for x, angle in zip(part, angles, strict=True)] for part in parts[:2])
    return torch.stack(attend(query, key, parts[2]))


def _full_norm(weights: dict[str, Tensor], name: str, x_D: Tensor) -> Tensor:
    centred = x_D - x_D.mean()
    unit = centred / torch.sqrt((centred * centred).mean() + 1e-5)
    return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]


TWINS: dict[str, Callable] = {"creatilayout": creatilayout, "gligen": gligen, "eligen": eligen, "larender": larender}
