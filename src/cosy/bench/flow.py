"""How long a block of the flow takes: computed once, against the whole sequence again (the official way).

    python -m cosy.bench.flow --blocks 10 --prompt 125
    python -m cosy.bench.flow --bounded 50  # which is not exact, once something has left it
    python -m cosy.bench.flow --small

Both ways run in turn on the same tokens, with random weights.  On the CPU the seconds are those of this process, which
other load disturbs little; on a GPU they are the clock's.  Prints a table and one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import NamedTuple

import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import EstimatorConfig, FlowConfig, FlowEncoderConfig
from cosy.models.flow import Flow
from cosy.models.flow_stream import BoundedCache, FlowState, FlowStream, FullCache, Recompute

SMALL = FlowConfig(
    input_size=64,
    encoder=FlowEncoderConfig(
        input_size=64, output_size=64, attention_heads=4, linear_units=128, num_blocks=2, up_blocks=1
    ),
    estimator=EstimatorConfig(channels=64, attention_head_dim=16, num_heads=4, n_blocks=1, num_mid_blocks=2),
)


class Row(NamedTuple):
    """One block."""

    frames: int  # visible, prompt included
    incremental_s: float
    recompute_s: float
    difference: float  # greatest, of the two mels


def main() -> None:
    args = arguments()
    torch.manual_seed(0)
    flow = Flow(SMALL if args.small else FlowConfig()).eval().to(args.device)
    dtype = getattr(torch, args.storage) if args.storage else None
    capacity = args.prompt + flow.config.encoder.static_chunk_size * (args.blocks + 1)
    prompt, tokens = random_input(flow, args.prompt, capacity - args.prompt)
    memory = FullCache(dtype) if args.bounded is None else BoundedCache(args.prompt, args.bounded, dtype)
    ways = FlowStream(flow, memory), FlowStream(flow, Recompute())
    with timed(args.device) as opening:
        states = tuple(way.open(*prompt, capacity) for way in ways)
    rows = [one_block(ways, states, tokens, args.device) for _ in range(args.blocks)]
    report(args, rows, opening.seconds, states[0].bytes)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cosy.bench.flow", description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a tiny network, to try the script")
    parser.add_argument("--prompt", type=int, default=125, help="prompt tokens (25 per second)")
    parser.add_argument("--blocks", type=int, default=10, help="blocks to time (1 s of audio each)")
    parser.add_argument("--storage", choices=["float16", "bfloat16", "float32"], help="of keys and values")
    parser.add_argument("--bounded", type=int, help="keep the prompt and so many tokens before a block, not all")
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def random_input(flow: Flow, prompt: int, count: int) -> tuple[tuple[Tensor, Tensor, Tensor], list[int]]:
    """A prompt and tokens to speak after it."""
    config, device = flow.config, flow.spk_embed_affine_layer.weight.device
    ids = torch.randint(config.vocab_size, (1, prompt + count))
    mel = torch.randn(1, FRAMES_PER_TOKEN * prompt, config.output_size)
    voice = ids[:, :prompt], mel, torch.randn(1, config.spk_embed_dim)
    a, b, c = (t.to(device) for t in voice)
    return (a, b, c), ids[0, prompt:].tolist()


def one_block(ways: tuple[FlowStream, ...], states: tuple[FlowState, ...], tokens: list[int], device: str) -> Row:
    """Give both ways the tokens that complete one more block."""
    stream, state = ways[0], states[0]
    known, done, prompt = int(state.known), int(state.done), int(state.prompt_frames) // FRAMES_PER_TOKEN
    end = max(done, prompt // stream.chunk * stream.chunk) + stream.chunk  # the first one may begin in the prompt
    new = tokens[known - prompt : end + stream.look_ahead - prompt]
    mels, watches = [], []
    for way, kept in zip(ways, states, strict=True):
        with timed(device) as watch:
            mels.append(way.push(kept, [new])[0])
        watches.append(watch)
    difference = float((mels[0] - mels[1]).abs().max())
    return Row(FRAMES_PER_TOKEN * end, watches[0].seconds, watches[1].seconds, difference)


@dataclass
class Watch:
    seconds: float = 0.0


@contextmanager
def timed(device: str) -> Iterator[Watch]:
    """Measure what runs inside."""
    watch, clock = Watch(), process_time if device == "cpu" else synchronized_clock
    start = clock()
    yield watch
    watch.seconds = clock() - start


def synchronized_clock() -> float:
    torch.cuda.synchronize()
    return perf_counter()


def report(args: argparse.Namespace, rows: list[Row], open_s: float, state_bytes: int) -> None:
    print(f"prompt of {args.prompt} tokens: {open_s:.2f} s once per voice; state {state_bytes / 1e6:.0f} MB")
    print(f"{'visible frames':>14} {'incremental s':>14} {'recompute s':>12} {'ratio':>6} {'difference':>11}")
    for row in rows:
        ratio = row.recompute_s / row.incremental_s
        print(f"{row.frames:14} {row.incremental_s:14.3f} {row.recompute_s:12.3f} {ratio:6.1f} {row.difference:11.1e}")
    fast, slow = sum(row.incremental_s for row in rows), sum(row.recompute_s for row in rows)
    print(f"{'total':>14} {fast:14.3f} {slow:12.3f} {slow / fast:6.1f}")
    device = torch.cuda.get_device_name() if args.device != "cpu" else platform.processor() or platform.machine()
    settings = {**vars(args), "hardware": device, "threads": torch.get_num_threads(), "torch": torch.__version__}
    result = {"open_s": open_s, "state_bytes": state_bytes, "ratio": slow / fast, "rows": [r._asdict() for r in rows]}
    print(json.dumps({"bench": "flow", **settings, **result}))


if __name__ == "__main__":
    main()
