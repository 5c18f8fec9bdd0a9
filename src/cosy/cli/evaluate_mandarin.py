"""`cosy eval mandarin`: are the syllables and tones of a model's Mandarin right?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosy.cli.figures import tell

if TYPE_CHECKING:
    from cosy.eval.intelligibility import Sound
    from cosy.eval.mandarin import Sentence

# Variants of espeak-ng.  The bundled checkpoint learns from the first (`recipes/bundled.py`), and the judge never heard
# them; the others are relatives of those the judge learned from (`recipes/mandarin_judge.py`), kept back to test it.
TEACHERS = {
    "teacher": "f1 f2 f3 f5 m1 m2 m5 m6".split(),
    "other voices": "Michael belinda benjamin klatt3 quincy steph2".split(),
}


def mandarin(
    model: Annotated[Path | None, typer.Option(help="Model directory; by default the bundled checkpoint.")] = None,
    voice: Annotated[str | None, typer.Option(help="Voice; by default the first preset.")] = None,
    count: Annotated[int, typer.Option(min=2, max=159, help="Sentences, of 159.")] = 159,
    streaming: Annotated[bool, typer.Option("--streaming/--whole", help="Speak in chunks, or all at once.")] = True,
    judge_only: Annotated[bool, typer.Option("--judge-only", help="No model: what is the judge itself worth?")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i is spoken with SEED + i.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures and hearings here.")] = None,
    md_file: Annotated[Path | None, typer.Option("--md", help="Write the tables here, too.")] = None,
) -> None:
    """Syllable and tone errors of a model's Mandarin, heard by an offline judge, beside teachers and chance.

    The judge comes with the package.  It learned from espeak-ng, as the bundled checkpoint did, though in other
    voices: the figures are partly circular.  The teachers speak where the extra cosy[train] is installed; otherwise
    their rows are left out.
    """
    from cosy.eval.mandarin import as_data, compare, held_out_sentences, markdown
    from cosy.eval.mandarin_judge import MandarinJudge

    sentences = held_out_sentences()[:count]
    taught = {}
    if judge_only or find_spec("espeakng_loader"):
        taught = {name: _spoken_by(variants, sentences) for name, variants in TEACHERS.items()}
    else:
        typer.echo("espeakng_loader is not installed: the rows that need teacher recordings are left out", err=True)
    speaker = None
    if not judge_only:
        from cosy.eval.speaker import open_speaker

        speaker = open_speaker(model, voice, streaming=streaming)
    rows = compare(MandarinJudge.load(), speaker, sentences, taught, seed)
    tell(markdown(rows), as_data(rows), md_file, json_file)


def _spoken_by(variants: Sequence[str], sentences: Sequence[Sentence]) -> list[Sound]:
    """Every sentence by another voice."""
    from cosy.eval.syllables import written
    from cosy.train.data.espeak import speak
    from cosy.train.data.plan import espeak_voice

    rng, sounds = random.Random(0), []
    for sentence in sentences:
        pieces = [(each.base, each.usual.replace("ü", "v") + each.marks) for each in written(sentence.pinyin)]
        utterance = speak(espeak_voice(rng, variants), "zh", pieces)
        sounds.append((utterance.audio, utterance.rate_hz))
    return sounds
