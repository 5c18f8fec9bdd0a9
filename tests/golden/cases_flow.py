"""Golden cases of the token-to-mel flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cosy.config import EstimatorConfig, FlowConfig, FlowEncoderConfig
from cosy.models.flow import Flow
from cosy.models.flow_decoder import NOISE_BLOCK, fixed_noise, time_grid
from cosy.models.flow_loss import FlowDraws, flow_loss
from cosy.models.flow_stream import FlowStream
from cosy.nn.estimator import conditions
from cosy.nn.masks import build_masks
from tests.golden import Case, close


def flow_config(spec: dict[str, Any]) -> FlowConfig:
    names, enc, est = spec["hyper_parameters"], spec["hyper_parameters"]["enc"], spec["hyper_parameters"]["est"]
    return FlowConfig(
        vocab_size=names["vocab_size"],
        input_size=names["input_size"],
        spk_embed_dim=names["spk_embed_dim"],
        token_mel_ratio=names["token_mel_ratio"],
        pre_lookahead_len=names["pre_lookahead_len"],
        encoder=FlowEncoderConfig(
            input_size=names["input_size"],
            output_size=enc["size"],
            attention_heads=enc["heads"],
            linear_units=enc["ff"],
            num_blocks=enc["blocks"],
            up_blocks=enc["up_blocks"],
            static_chunk_size=enc["chunk"],
            pre_lookahead_len=names["pre_lookahead_len"],
        ),
        estimator=EstimatorConfig(
            channels=est["channels"],
            attention_head_dim=est["head_dim"],
            num_heads=est["heads"],
            n_blocks=est["n_blocks"],
            num_mid_blocks=est["num_mid_blocks"],
            static_chunk_size=est["chunk"],
        ),
    )


def flow_of(case: Case) -> Flow:
    flow = Flow(flow_config(case.spec))
    case.load(flow)
    return flow


def check(case: Case, got: dict[str, Tensor]) -> None:
    """Every expected tensor is there and close."""
    expected = {name: case.tensors[f"out.{name}"] for name in case.spec["outputs"]}
    assert got.keys() >= expected.keys(), f"{case.name}: not computed: {sorted(expected.keys() - got.keys())}"
    for name, value in expected.items():
        close(f"{case.name} {name}", got[name].reshape(value.shape), value, case.spec["tolerance"])


def inputs(case: Case) -> dict[str, Tensor]:
    return {name: case.tensors[f"in.{name}"] for name in case.spec["inputs"]}


class Watch:
    """First output of each named module while the block runs."""

    def __init__(self, **modules: nn.Module) -> None:
        self.seen: dict[str, Tensor] = {}
        self.hooks = [module.register_forward_hook(self.keeper(name)) for name, module in modules.items()]

    def keeper(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def keep(module: nn.Module, args: Any, output: Tensor) -> None:
            self.seen.setdefault(name, output)

        return keep

    def __enter__(self) -> dict[str, Tensor]:
        return self.seen

    def __exit__(self, *error: object) -> None:
        for hook in self.hooks:
            hook.remove()


def noise(case: Case) -> None:
    buffer = fixed_noise(NOISE_BLOCK)[0]
    grid = time_grid(case.spec["args"]["n_timesteps"])
    middle = NOISE_BLOCK // 2 - 500
    got = {
        "noise_first": buffer[:, : case.tensors["out.noise_first"].shape[1]],
        "noise_last": buffer[:, -case.tensors["out.noise_last"].shape[1] :],
        "noise_mid": buffer[:, middle : middle + case.tensors["out.noise_mid"].shape[1]],
        "noise_row_mean": buffer.mean(dim=1),
        "t_grid": grid,
        "t_used": grid[:-1],
        "dt_used": grid.diff(),
    }
    check(case, got)


@torch.inference_mode()
def encoder(case: Case) -> None:
    flow, given = flow_of(case), inputs(case)
    net, lens = flow.encoder, given["lens"].long()
    parts = {
        "after_embed": net.embed,
        "after_pre_lookahead": net.pre_lookahead_layer,
        **{f"after_stack1_layer{i}": layer for i, layer in enumerate(net.encoders)},
        "after_upsample_conv": net.up_layer,
        "after_up_embed": net.up_embed,
        **{f"after_stack2_layer{i}": layer for i, layer in enumerate(net.up_encoders)},
    }
    ends = {"after_stack1": net.encoders[-1], "after_stack2": net.up_encoders[-1]}
    padded = None if bool((lens == given["x"].shape[1]).all()) else lens
    with Watch(**parts, **ends) as seen:
        seen["out"] = net(
            given["x"], padded, streaming=case.spec["args"]["streaming"], lookahead=given.get("lookahead")
        )
    seen["mu"] = flow.encoder_proj(seen["out"])
    rate = {name: value.shape[1] // given["x"].shape[1] for name, value in seen.items()}
    check(case, {name: clear_padding(value, rate[name] * lens) for name, value in seen.items()})


def clear_padding(x: Tensor, lengths: Tensor) -> Tensor:
    """`x` [B, T, C] with zeros from each length on."""
    return x * (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]


@torch.inference_mode()
def estimator(case: Case) -> None:
    flow, given = flow_of(case), inputs(case)
    net, mask = flow.decoder.estimator, given["mask"].mT
    frames, lens = mask.shape[1], mask.sum(dim=(1, 2)).long()
    down, middle, up = net.down_blocks[0], net.mid_blocks, net.up_blocks[0]
    parts = {
        "time_embedding": net.time_mlp,
        "down_resnet": down[0],
        **{f"down_attn_block{i}": block for i, block in enumerate(down[1])},
        "down_conv": down[2],
        **{f"mid{i}_resnet": stage[0] for i, stage in enumerate(middle)},
        "up_resnet": up[0],
        "up_conv": up[2],
        "final_block": net.final_block,
    }
    ends = {"down_attn_last": down[1][-1], "mid_last_attn_last": middle[-1][1][-1], "up_attn_last": up[1][-1]}
    chunk = net.chunk if case.spec["args"]["streaming"] else None
    masks = build_masks(frames, None if bool((lens == frames).all()) else lens, chunk)
    condition = conditions(given["mu"].mT, given["spks"], given["cond"].mT)
    with Watch(**parts, **ends) as seen:
        out = net(given["x"].mT, condition, net.time_vectors(given["t"]), masks)
    got = {name: value if value.ndim == 2 else clear_padding(value, lens) for name, value in seen.items()}
    check(case, {**got, "out": out.mT})


@torch.inference_mode()
def cfm(case: Case) -> None:
    flow, given, args = flow_of(case), inputs(case), case.spec["args"]
    mu, cond = given["mu"].mT, given["cond"].mT
    start = fixed_noise(mu.shape[1]) * args["temperature"]
    masks = flow.decoder.masks(mu.shape[1], None, args["streaming"], mu.device)
    states = [x.mT for x in flow.decoder.states(mu, cond, given["spks"], start, masks, args["n_timesteps"])]
    out = flow.solve(mu, cond, given["spks"], streaming=args["streaming"], noise=start, n_timesteps=args["n_timesteps"])
    check(case, {"out": out, "states": torch.cat([states[k - 1] for k in args["state_steps"]])})


@torch.inference_mode()
def infer(case: Case) -> None:
    flow, given = flow_of(case), {name: t.long() if "token" in name else t for name, t in inputs(case).items()}
    check(
        case,
        {
            f"mel_streaming{streaming:d}_finalize{finalize:d}": flow.inference(
                **given, streaming=streaming, finalize=finalize
            )
            for streaming, finalize in case.spec["args"]["combos"]
        },
    )


@torch.inference_mode()
def session(case: Case) -> None:
    flow, given, got = flow_of(case), inputs(case), {}
    for k, (visible, offset, streaming, finalize) in enumerate(case.spec["args"]["calls"]):
        call = {**given, "token": given["token"][:, :visible]}
        mel = flow.inference(**call, streaming=streaming, finalize=finalize)
        got[f"mel_{k}"] = mel[:, :, flow.config.token_mel_ratio * offset :]
    check(case, got)
    incremental_session(case, flow, given)


def incremental_session(case: Case, flow: Flow, given: dict[str, Tensor]) -> None:
    """The chunk-masked calls again, each block computed once: one voice, tokens in the pieces of the calls."""
    stream, calls = FlowStream(flow), case.spec["args"]["calls"]
    tokens, P = given.pop("token")[0].tolist(), given["prompt_token"].shape[1]
    voice = stream.open(**given)
    for k, (visible, offset, streaming, finalize) in enumerate(calls):
        if not streaming:
            continue
        ends = sorted({end for end, *_ in calls[: k + 1] if end <= visible})
        state = stream.start([voice], voice.capacity + visible)
        mels = [stream.push(state, [tokens[a:b]])[0] for a, b in zip([0, *ends], ends, strict=False)]
        if finalize:
            mels += stream.finish(state)
        got = torch.cat(mels, dim=1)[None, :, flow.config.token_mel_ratio * offset :]
        expected = case.tensors[f"out.mel_{k}"]
        if not finalize and (P + visible - stream.look_ahead) % stream.chunk:
            expected = expected[:, :, : got.shape[2]]  # the call also computed an incomplete block
        close(f"{case.name} mel_{k}, incrementally", got, expected, case.spec["tolerance"])


def loss(case: Case) -> None:
    flow, given = flow_of(case), inputs(case)
    draws = FlowDraws(
        streaming=case.spec["args"]["streaming"],
        cond_len=given["cond_len"].long(),
        t=given["t"],
        noise=given["z"].mT,
        keep=given["cfg_keep"].bool(),
    )
    value, _ = flow_loss(
        flow, given["token"].long(), given["token_len"].long(), given["feat"], given["embedding"], draws
    )
    value.backward()
    gradients = {name: parameter.grad for name, parameter in flow.named_parameters()}
    norm = torch.cat([g.flatten() for g in gradients.values() if g is not None]).norm()
    check(
        case,
        {"loss": value, "grad_norm": norm, **{f"grad:{name}": g for name, g in gradients.items() if g is not None}},
    )


def kind(name: str) -> Callable[[Case], bool]:
    return lambda case: case.spec.get("module") == "flow" and case.spec.get("kind") == name


RUNNERS = [(kind(run.__name__), run) for run in (noise, encoder, estimator, cfm, infer, session, loss)]
