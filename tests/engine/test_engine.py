"""The engine on a small random model, against the plain path: one request at a time, nothing scheduled."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosy.checkpoint.load import LoadedModel, load_model
from cosy.engine.async_engine import AsyncEngine
from cosy.engine.build import LibraryVoices, build_engine, fit
from cosy.engine.core import EngineOptions
from cosy.engine.protocol import Engine
from cosy.engine.scheduler import Limits, Policy
from cosy.engine.watch import Alarms
from cosy.errors import AbortedError, AudioError, EngineError, OverloadedError, ParameterError, TextError, VoiceError
from cosy.models.flow_stream import BoundedCache, FullCache, Memory
from cosy.synthesis import Synthesizer
from cosy.text.frontend import TextFrontend
from cosy.types import AudioChunk, FinishReason, InlineVoice, Samples, SpeechRequest
from cosy.voices.store import VoiceStore
from tests.model_dir import PLAIN_PRESET, PRESET
from tests.test_synthesis import ByLine

SAME_DB = 45  # below the signal: F0 integrates rounding into phase, more so in random networks than in trained ones
QUIET = EngineOptions(alarms=Alarms(silent=frozenset({-1}), shortest_loop=10**6))


@pytest.fixture(scope="module")
def model(small_model_dir: Path) -> LoadedModel:
    return load_model(small_model_dir)


@pytest.fixture(scope="module")
def oracle(model: LoadedModel) -> Synthesizer:
    return Synthesizer(model, incremental=False, frontend=ByLine(model.text_tokenizer))


@asynccontextmanager
async def running(
    model: LoadedModel, options: EngineOptions = QUIET, memory: Memory | None = None
) -> AsyncIterator[AsyncEngine]:
    frontend: TextFrontend = ByLine(model.text_tokenizer)
    voices = LibraryVoices(model, frontend, VoiceStore(Path("/nonexistent")))
    engine = build_engine(model, voices, options, frontend=frontend, memory=memory)
    await engine.start(warm_up=False)
    try:
        yield engine
    finally:
        await engine.aclose()


def request(text: Any = "hi", **options: Any) -> SpeechRequest:
    return SpeechRequest(text, **{"seed": 7, "voice": PRESET, **options})


async def spoken(engine: Engine, wanted: SpeechRequest, request_id: str | None = None) -> list[AudioChunk]:
    return [chunk async for chunk in engine.stream(wanted, request_id)]


def joined(chunks: Sequence[AudioChunk]) -> Samples:
    return np.concatenate([chunk.samples for chunk in chunks])


def plain(oracle: Synthesizer, wanted: SpeechRequest) -> Samples:
    assert wanted.voice is None or isinstance(wanted.voice, str)
    voice = LibraryVoices(oracle.model, oracle.frontend).load(wanted.voice)
    return joined(list(oracle.speak(wanted, voice)))


def assert_same(got: Samples, expected: Samples, below_db: float = SAME_DB) -> None:
    assert got.shape == expected.shape
    error = np.mean((got - expected) ** 2) / np.mean(expected**2)
    assert 10 * np.log10(error + 1e-20) < -below_db


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(work(), 60))  # type: ignore[arg-type]


async def idle(engine: AsyncEngine) -> None:
    """Until nothing is left of any request."""
    for _ in range(500):
        gauges = engine.core.gauges()
        if not gauges["streams_active"] and not gauges["streams_waiting"]:
            break
        await asyncio.sleep(0.01)
    gauges = engine.core.gauges()
    assert gauges["streams_active"] == gauges["streams_waiting"] == 0
    assert gauges["rows_lm_free"] == gauges["rows_acoustic_free"] == engine.core.options.limits.streams


REQUESTS = [
    request("hi,\nho.\nhey!"),
    request("the quick brown", seed=1),
    request("fox", seed=2, voice=PLAIN_PRESET),
    request("jumps over", seed=3, speed=1.3),
    request("lazy", seed=4, stream=False),
    request("dog\ndog", seed=5, instruction="softly"),
]


def test_it_is_an_engine(model: LoadedModel) -> None:
    async def work() -> None:
        async with running(model) as engine:
            assert isinstance(engine, Engine)
            assert engine.sample_rate_hz == 24000
            assert [voice.id for voice in engine.voices.list()][:2] == [PRESET, PLAIN_PRESET]
            assert engine.health().ready
        assert not engine.health().ready

    run(work)


@pytest.mark.parametrize("wanted", REQUESTS)
def test_one_request_sounds_as_on_the_plain_path(
    model: LoadedModel, oracle: Synthesizer, wanted: SpeechRequest
) -> None:
    async def work() -> list[AudioChunk]:
        async with running(model) as engine:
            return await spoken(engine, wanted)

    chunks = run(work)
    assert_same(joined(chunks), plain(oracle, wanted))
    assert chunks[-1].finish_reason is FinishReason.LENGTH
    ends = np.cumsum([len(chunk.samples) for chunk in chunks])
    assert [chunk.offset_samples for chunk in chunks] == [0, *ends[:-1]]
    assert [chunk.text for chunk in chunks if chunk.text] == str(wanted.text).splitlines()


@pytest.mark.parametrize("rendering_rows", [1, 3])
def test_many_at_once_sound_as_each_alone(model: LoadedModel, oracle: Synthesizer, rendering_rows: int) -> None:
    options = replace(QUIET, policy=Policy(rendering_rows=rendering_rows), limits=Limits(streams=4, load=100.0))

    async def work() -> list[list[AudioChunk]]:
        async with running(model, options) as engine:
            found = await asyncio.gather(*(spoken(engine, wanted) for wanted in REQUESTS))
            await idle(engine)
            return found

    for wanted, chunks in zip(REQUESTS, run(work), strict=True):
        assert_same(joined(chunks), plain(oracle, wanted))


def test_half_precision_of_what_is_kept_stays_close(model: LoadedModel, oracle: Synthesizer) -> None:
    import torch

    async def work() -> list[AudioChunk]:
        async with running(model, memory=FullCache(torch.float16)) as engine:
            return await spoken(engine, REQUESTS[1])

    assert_same(joined(run(work)), plain(oracle, REQUESTS[1]), 20)


def test_bounded_memory_speaks_on(model: LoadedModel) -> None:
    async def work() -> list[AudioChunk]:
        async with running(model, memory=BoundedCache(100, 50)) as engine:
            return await spoken(engine, request("the quick brown fox jumps"))

    assert np.isfinite(joined(run(work))).all()


async def arriving(pieces: Sequence[str], pause_s: float = 0.0) -> AsyncIterator[str]:
    for piece in pieces:
        await asyncio.sleep(pause_s)
        yield piece


TEXT = "The fox, the dog, and so on. Why?"


@pytest.mark.parametrize("voice", [PRESET, PLAIN_PRESET])
def test_how_text_arrives_does_not_change_the_audio(model: LoadedModel, oracle: Synthesizer, voice: str) -> None:
    cuts = [list(TEXT), [TEXT[:7], TEXT[7:20], TEXT[20:]]]

    async def work() -> list[list[AudioChunk]]:
        async with running(model) as engine:
            return [await spoken(engine, request(arriving(cut, 0.001), voice=voice)) for cut in cuts]

    found = [joined(chunks) for chunks in run(work)]
    for other in found[1:]:
        assert_same(other, found[0])
    speaker = LibraryVoices(model, oracle.frontend).load(voice)
    expected = joined(list(oracle.speak_pieces([TEXT], request("", voice=voice), speaker)))
    assert_same(found[0], expected)


def test_audio_comes_before_the_text_is_complete(model: LoadedModel) -> None:
    heard = asyncio.Event()

    async def text() -> AsyncIterator[str]:
        yield "The fox is so lazy, and so am I. "
        await asyncio.wait_for(heard.wait(), 30)
        yield "The end."

    async def work() -> None:
        async with running(model) as engine:
            async for _ in engine.stream(request(text(), voice=PLAIN_PRESET)):
                heard.set()

    run(work)


def test_a_text_that_fails_ends_its_request_with_its_error(model: LoadedModel) -> None:
    async def text() -> AsyncIterator[str]:
        yield "The quick brown fox. "
        raise OSError("the line is cut")

    async def empty() -> AsyncIterator[str]:
        yield " "

    async def work() -> None:
        async with running(model) as engine:
            with pytest.raises(OSError, match="the line is cut"):
                await spoken(engine, request(text()))
            with pytest.raises(TextError, match="nothing to speak"):
                await spoken(engine, request(empty()))
            await idle(engine)

    run(work)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (request("?!\n", voice="nobody"), VoiceError),
        (request("hi", voice=PLAIN_PRESET, mode="zero_shot"), VoiceError),
        (request("hi", voice=InlineVoice(b"no audio")), AudioError),
        (request("hi", mode="instruct"), TextError),
    ],
)
def test_what_cannot_be_served_fails_at_once_and_leaves_nothing(
    model: LoadedModel, wanted: SpeechRequest, error: type[Exception]
) -> None:
    from cosy.types import Mode

    wanted = replace(wanted, mode=None if wanted.mode is None else Mode(wanted.mode))

    async def work() -> None:
        async with running(model) as engine:
            with pytest.raises(error):
                await spoken(engine, wanted)
            await idle(engine)

    run(work)


LONG = "the quick brown fox jumps "


def test_closing_the_iterator_cancels_the_request(model: LoadedModel) -> None:
    async def work() -> None:
        async with running(model) as engine:
            stream = engine.stream(request(LONG))
            await anext(stream)
            await stream.aclose()
            await idle(engine)
            assert engine.stats()["aborted"] == 1

    run(work)


def test_a_cancelled_task_and_a_forgotten_iterator_free_their_rows(model: LoadedModel) -> None:
    async def work() -> None:
        async with running(model) as engine:
            task = asyncio.create_task(spoken(engine, request(LONG)))
            forgotten = engine.stream(request(LONG, seed=1))
            await anext(forgotten)
            task.cancel()
            del forgotten
            await idle(engine)

    run(work)


def test_abort_reaches_whoever_waits(model: LoadedModel) -> None:
    async def work() -> None:
        async with running(model) as engine:
            task = asyncio.create_task(spoken(engine, request(LONG), "mine"))
            await asyncio.sleep(0.05)
            with pytest.raises(ParameterError, match="'mine'"):
                await spoken(engine, request(), "mine")
            assert await engine.abort("mine")
            with pytest.raises(AbortedError):
                await task
            assert not await engine.abort("mine")
            await idle(engine)

    run(work)


def fails_after(calls: int, real: Callable[..., Any]) -> Callable[..., Any]:
    """The real thing, which breaks once."""
    count = iter(range(10**9))

    def call(*args: Any, **options: Any) -> Any:
        if next(count) == calls:
            raise RuntimeError("out of memory")
        return real(*args, **options)

    return call


@pytest.mark.parametrize(("runner", "stage"), [("lm", "prefill"), ("lm", "step"), ("acoustics", "render")])
def test_a_failing_stage_ends_its_requests_and_no_others(
    model: LoadedModel, oracle: Synthesizer, monkeypatch: pytest.MonkeyPatch, runner: str, stage: str
) -> None:
    async def work() -> None:
        async with running(model) as engine:
            target = {"lm": engine.core.speaking.lm, "acoustics": engine.core.rendering.acoustics}[runner]
            monkeypatch.setattr(target, stage, fails_after(0, getattr(target, stage)))
            with pytest.raises(EngineError, match="out of memory"):
                await spoken(engine, request(LONG))
            after = await spoken(engine, REQUESTS[1])
            assert_same(joined(after), plain(oracle, REQUESTS[1]))
            await idle(engine)
            assert engine.health().ready

    run(work)


def test_a_dying_thread_tells_everyone(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(model, replace(QUIET, limits=Limits(streams=1))) as engine:
            tasks = [asyncio.create_task(spoken(engine, request(LONG, seed=seed))) for seed in range(3)]
            await asyncio.sleep(0.1)
            monkeypatch.setattr(engine.core, "_admit", fails_after(0, engine.core._admit))
            for task in tasks:
                with pytest.raises(EngineError, match="restart it"):
                    await task
            assert "out of memory" in engine.health().reason
            with pytest.raises(EngineError, match="restart it"):
                await spoken(engine, request())

    run(work)


def test_a_full_house_refuses_and_says_when_to_come_again(model: LoadedModel) -> None:
    options = replace(QUIET, limits=Limits(streams=1, waiting=1, load=100.0))

    async def work() -> None:
        async with running(model, options) as engine:
            tasks = [asyncio.create_task(spoken(engine, request("the fox", seed=seed))) for seed in range(4)]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            refused = [result for result in results if isinstance(result, OverloadedError)]
            assert len(refused) == 2
            assert all(error.retry_after_s >= 1 for error in refused)
            assert engine.stats()["refused"] == 2

    run(work)


def test_who_waits_longer_than_its_deadline_is_told(model: LoadedModel) -> None:
    options = replace(QUIET, limits=Limits(streams=1, load=100.0))

    async def work() -> None:
        async with running(model, options) as engine:
            first = asyncio.create_task(spoken(engine, request(LONG)))
            await asyncio.sleep(0.02)
            with pytest.raises(OverloadedError, match="no stream became free"):
                await spoken(engine, request(deadline_s=0.05))
            await first

    run(work)


def test_a_listener_that_does_not_read_costs_no_memory(model: LoadedModel, oracle: Synthesizer) -> None:
    options = replace(QUIET, unheard_s=1.0)
    wanted = request("\n".join(["fox"] * 6))

    async def work() -> None:
        async with running(model, options) as engine:
            stream = engine.stream(wanted)
            chunks = [await anext(stream)]
            for _ in range(100):
                await asyncio.sleep(0.01)
            made = engine.stats()["audio_s"]
            assert made < 1.0 + 5.0  # at most a hop beyond the bound
            chunks += [chunk async for chunk in stream]
            assert_same(joined(chunks), plain(oracle, wanted))

    run(work)


def test_what_a_voice_begins_with_is_computed_once(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[int, int]:
        async with running(model) as engine:
            await spoken(engine, request("a"))
            units: list[int] = []
            real = engine.core.speaking.lm.model.step
            monkeypatch.setattr(
                engine.core.speaking.lm.model, "step", lambda x, *rest: (units.append(x.shape[1]), real(x, *rest))[1]
            )
            prompts = engine.core.gauges()["voices_cached"]
            await spoken(engine, request("a"))
            assert engine.core.gauges()["voices_cached"] == prompts == 1
            return units[0], len(engine.core.speaking.lm.prefixes.kept)

    first_call, prefixes = run(work)
    transcript = len(model.text_tokenizer.encode("the quick brown fox"))
    assert first_call == len(model.text_tokenizer.encode("a")) + 1 + 75  # text, task, prompt speech: not the transcript
    assert prefixes == 1
    assert transcript > 0


def test_a_loop_is_stopped_and_said(model: LoadedModel) -> None:
    options = replace(QUIET, alarms=Alarms(silent=frozenset(range(6561)), silent_run=30))

    async def work() -> list[AudioChunk]:
        async with running(model, options) as engine:
            return await spoken(engine, request("the quick brown fox"))

    last = run(work)[-1]
    assert last.finish_reason is FinishReason.SILENCE
    assert last.details["speech_tokens"] == 30
    assert any("silence" in warning for warning in last.details["warnings"])


def test_a_segment_that_went_wrong_is_said_again(model: LoadedModel) -> None:
    async def work() -> None:
        async with running(model) as engine:
            again = await spoken(engine, request("fox", stream=False, retries=2))
            once = await spoken(engine, request("fox", stream=False))
            assert engine.stats()["retries"] == 2  # a random model never ends of itself
            assert not np.array_equal(joined(again), joined(once))
            await idle(engine)

    run(work)


def test_the_collector_of_garbage_leaves_what_is_loaded_alone_while_the_engine_runs(model: LoadedModel) -> None:
    async def work() -> None:
        assert not gc.get_freeze_count()
        async with running(model):
            assert gc.get_freeze_count() > 10_000
        assert not gc.get_freeze_count()

    run(work)


def test_a_warm_engine_knows_what_things_cost(model: LoadedModel) -> None:
    async def work() -> None:
        engine = build_engine(model, frontend=ByLine(model.text_tokenizer))
        await engine.start()
        assert {work.name for work in engine.core.costs.seen} >= {"READ", "SPEAK", "RENDER"}
        assert "requests" not in engine.stats()
        await engine.aclose()

    run(work)


def test_threads_end_with_the_engine(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with running(model) as engine:
            await spoken(engine, request("a"))
            monkeypatch.setattr(engine.voices, "load", lambda _: time.sleep(0.3))
            given_up = asyncio.create_task(spoken(engine, request("b")))
            await asyncio.sleep(0.1)
            given_up.cancel()

    before = threading.active_count()
    run(work)
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("cosy")]
    assert not names
    assert threading.active_count() <= before


def test_memory_is_shared_out_fairly() -> None:
    assert fit(8, 1e5, 4 << 30).rows == 8
    few = fit(8, 4.6e6, 8 << 30)
    assert 1 <= few.rows < 8
    assert few.tokens >= 500
    with pytest.raises(ParameterError, match="GiB"):
        fit(8, 4.6e6, 1 << 30)


@pytest.fixture(autouse=True)
def no_warning_is_lost() -> Iterator[None]:
    """Nothing is left running by a test."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "cosy-engine"]
