"""Several listeners at once, and text that is spoken while it is being written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from cosy import AsyncEngine, Cosy, SpeechRequest, build_engine


async def written() -> AsyncIterator[str]:
    """Words as a language model would write them."""
    for word in "The weather is fine today. We could walk along the river, and have a cup of tea.".split():
        yield word + " "
        await asyncio.sleep(0.05)


async def listen(engine: AsyncEngine, name: str, text: str | AsyncIterator[str]) -> None:
    start, seconds, first = time.perf_counter(), 0.0, 0.0
    async for chunk in engine.stream(SpeechRequest(text, voice="anna")):
        first = first or time.perf_counter() - start
        seconds += len(chunk.samples) / chunk.rate_hz
    took = time.perf_counter() - start
    print(f"{name}: first audio after {1000 * first:.0f} ms, {seconds:.1f} s of speech in {took:.1f} s")


async def main() -> None:
    engine = build_engine(Cosy.load().model)
    await engine.start()
    try:
        await asyncio.gather(
            listen(engine, "a sentence", "Good morning, how are you today?"),
            listen(engine, "another", "It is nice to meet you."),
            listen(engine, "as it is written", written()),
        )
    finally:
        await engine.aclose()


if __name__ == "__main__":
    asyncio.run(main())
