"""What each stage costs in each kind of arithmetic that this CPU supports, and how far the result is off.

    python -m cosy.bench.stages --random-weights --threads 1

The kinds take turns, so that a busy machine slows all of them; of each, the fastest turn counts.  With one thread the
clock is that of the processor, otherwise that of the wall.  Weights and inputs are random or those of `--model`; the
bundled model is the default.  The last line is JSON.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import torch
from torch import Tensor, nn

from cosy.api import BUNDLED_MODEL
from cosy.audio.constants import FRAMES_PER_TOKEN, MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS
from cosy.bench.machine import hardware, versions
from cosy.bench.random_model import random_model
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.models.flow import Flow
from cosy.models.flow_stream import FlowStream
from cosy.models.speech_lm import SpeechLM
from cosy.models.vocoder import Vocoder
from cosy.nn.precision import KINDS, accelerate_flow, accelerate_lm, accelerate_vocoder, supported
from cosy.nn.threads import set_threads

STAGES = ("lm", "flow", "vocoder")
LM_POSITIONS = 200  # before the step; also those of the prefill
BLOCK_TOKENS = 25
WINDOW_FRAMES = 80
TURN_S = 0.05  # a turn lasts at least this long
Work = Callable[[], Tensor]
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Row:
    """One stage in one kind of arithmetic."""

    stage: str
    rows: int  # streams at once
    kind: str
    ms: float
    ratio: float  # time of float32 by this time
    error: float  # of the result: norm of the difference to float32 by the norm


def stages(
    model: LoadedModel,
    names: Sequence[str] = STAGES,
    *,
    rows: Sequence[int] = (1, 4, 8),
    visible_tokens: int = 250,
    repeats: int = 5,
) -> Iterator[Row]:
    """Measure the stages one after the other, each in all kinds; memory for all kinds of one network is needed.

    `rows`: of the language model's step.  `visible_tokens`: what the flow looks back on.
    """
    if "lm" in names:
        llms = _variants(model.llm, "lm", accelerate_lm)
        for count in rows:
            yield from _compare("lm step", count, {kind: lm_call(llm, count, 1) for kind, llm in llms.items()}, repeats)
        works = {kind: lm_call(llm, 1, LM_POSITIONS) for kind, llm in llms.items()}
        yield from _compare(f"lm prefill of {LM_POSITIONS}", 1, works, repeats)
        del llms, works
    if "flow" in names:
        flows = _variants(model.flow, "flow", accelerate_flow)
        works = {kind: flow_block(flow, visible_tokens) for kind, flow in flows.items()}
        yield from _compare(f"flow block after {visible_tokens} tokens", 1, works, repeats)
        del flows, works
    if "vocoder" in names:
        vocoders = _variants(model.hift, "vocoder", accelerate_vocoder)
        works = {kind: vocoder_window(vocoder) for kind, vocoder in vocoders.items()}
        yield from _compare(f"vocoder window of {WINDOW_FRAMES} frames", 1, works, repeats)


def _variants(network: N, name: str, change: Callable[[nn.Module, str], None]) -> dict[str, N]:
    """A copy of the network in each kind that this CPU supports."""
    found = {kind: copy.deepcopy(network) for kind in KINDS[name] if supported(kind)}
    for kind, variant in found.items():
        change(variant, kind)
    return found


def _compare(stage: str, rows: int, works: Mapping[str, Work], repeats: int) -> Iterator[Row]:
    """Time the works in turn; the first is the measure of the others."""
    clock = process_time if torch.get_num_threads() == 1 else perf_counter
    results = {kind: work() for kind, work in works.items()}
    seconds = dict.fromkeys(works, math.inf)
    for _ in range(repeats):
        for kind, work in works.items():
            work()  # what the others have pushed out of the caches comes back
            begin, calls = clock(), 0
            while calls == 0 or clock() - begin < TURN_S:
                work()
                calls += 1
            seconds[kind] = min(seconds[kind], (clock() - begin) / calls)
    wanted, slowest = results["float32"], seconds["float32"]
    for kind, result in results.items():
        error = float((result - wanted).norm() / wanted.norm())
        yield Row(stage, rows, kind, 1000 * seconds[kind], slowest / seconds[kind], error)


def lm_call(llm: SpeechLM, rows: int, positions: int) -> Work:
    """Feed each row so many positions; one follows `LM_POSITIONS`, more begin."""
    before = 0 if positions > 1 else LM_POSITIONS
    state = llm.init_state(rows, before + positions)
    x = llm.embed_speech(_tokens(rows, before + positions))
    if before:
        llm.step(x[:, :before], state)

    def work() -> Tensor:
        state.length.fill_(before)
        return llm.step(x[:, before:], state)

    return work


def flow_block(flow: Flow, visible_tokens: int) -> Work:
    """Ten steps of both guidance branches on one block."""
    generator = torch.Generator().manual_seed(1)
    stream, block = FlowStream(flow), _tokens(1, BLOCK_TOKENS)[0].tolist()
    mel = torch.randn(1, FRAMES_PER_TOKEN * visible_tokens, MEL_BANDS, generator=generator) - 6.0
    speaker = torch.randn(1, SPEAKER_DIM, generator=generator)
    state = stream.open(_tokens(1, visible_tokens), mel, speaker, visible_tokens + 2 * BLOCK_TOKENS)
    stream.push(state, [block[: stream.look_ahead]])  # completes the prompt's last block
    known, done = state.known.clone(), state.done.clone()

    def work() -> Tensor:
        state.known.copy_(known)
        state.done.copy_(done)
        return stream.push(state, [block])[0]

    return work


def vocoder_window(vocoder: Vocoder) -> Work:
    """What one push decodes: 50 new frames and what they need around them."""
    generator = torch.Generator().manual_seed(2)
    mel = torch.randn(1, MEL_BANDS, WINDOW_FRAMES, generator=generator) - 6.0
    source = 0.1 * torch.randn(1, 1, vocoder.config.hop_samples * WINDOW_FRAMES, generator=generator)
    return lambda: vocoder.decode(mel, source)


def _tokens(rows: int, count: int) -> Tensor:
    return torch.randint(SPEECH_TOKENS, (rows, count), generator=torch.Generator().manual_seed(0))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m cosy.bench.stages", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=BUNDLED_MODEL, help="model directory")
    parser.add_argument("--random-weights", action="store_true", help="the official size instead of a model directory")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 4, 8], help="streams in the language model's step")
    parser.add_argument("--visible-tokens", type=int, default=250, help="what the flow looks back on")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args(arguments)
    set_threads(args.threads)
    model = random_model() if args.random_weights else load_model(args.model, parts=[])
    given = {"rows": args.rows, "visible_tokens": args.visible_tokens, "repeats": args.repeats}
    print(f"{'stage':<32} {'rows':>4} {'kind':<9} {'ms':>9} {'x faster':>8} {'error':>8}")
    found = []
    for row in stages(model, args.stages, **given):
        print(f"{row.stage:<32} {row.rows:4} {row.kind:<9} {row.ms:9.2f} {row.ratio:8.2f} {row.error:8.1e}", flush=True)
        found.append(asdict(row))
    settings = {"model": "random weights" if args.random_weights else str(args.model), **given, "threads": args.threads}
    machine = {"hardware": hardware(), "versions": versions()}
    print(json.dumps({"bench": "stages", **machine, "settings": settings, "rows": found}))


if __name__ == "__main__":
    main()
