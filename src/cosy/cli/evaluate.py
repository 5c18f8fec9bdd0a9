"""`cosy eval`: measure what a model directory says."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.cli.figures import tell
from cosy.errors import AudioError, InputError, MissingFileError

if TYPE_CHECKING:
    from cosy.eval.intelligibility import Sound
    from cosy.eval.recognisers import Ear

eval_app = typer.Typer(no_args_is_help=True, help="Measure what a model says.")

TEACHER = "slt"  # the voice the bundled checkpoint learned from

Model = Annotated[Path | None, typer.Option(help="Model directory; by default COSY_MODEL, else the bundled one.")]
VoiceName = Annotated[str | None, typer.Option("--voice", help="Voice; by default the first preset.")]
ReportDir = Annotated[
    Path | None,
    typer.Option("--report", help="Folder for report.md, report.json and what the run keeps; a cut run goes on there."),
]
Recognisers = Annotated[
    list[str] | None,
    typer.Option(
        help="pocketsphinx (en), syllables (zh), whisper=PATH, paraformer=DIR, or none; several: the first that knows "
        "the language.  By default pocketsphinx and syllables, which need no download.",
        show_default=False,
    ),
]
Texts = Annotated[
    Path | None, typer.Option(help="What to say, a sentence a line; by default the held-out everyday sentences.")
]
SimilarityModel = Annotated[str, typer.Option("--similarity", help="resemblyzer, campplus or wavlm=DIR.")]
Mos = Annotated[bool, typer.Option("--mos/--no-mos", help="DNSMOS, too; it takes the most time of all judges.")]
OFFLINE = {"en": "pocketsphinx", "zh": "syllables"}  # recognisers that need no download


@eval_app.command()
def intelligibility(
    model: Annotated[Path | None, typer.Option(help="Model directory; by default the bundled checkpoint.")] = None,
    teacher_dir: Annotated[
        Path | None, typer.Option(help="Teacher recordings 0.wav, 1.wav, ...: everyday sentences, then slot sentences.")
    ] = None,
    count: Annotated[int, typer.Option(min=2, max=400, help="Slot sentences beside the 20 everyday ones.")] = 40,
    prose: Annotated[
        bool, typer.Option("--prose", help="40 sentences of ordinary prose instead, by the free language model alone.")
    ] = False,
    streaming: Annotated[bool, typer.Option("--streaming/--whole", help="Speak in chunks, or all at once.")] = True,
    known_words: Annotated[
        Path | None, typer.Option(help="Words of the training: tells of them and of all others how many were missed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i is spoken with SEED + i.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures and hearings here.")] = None,
    md_file: Annotated[Path | None, typer.Option("--md", help="Write the table here, too.")] = None,
) -> None:
    """Word error rates of an offline recogniser, DNSMOS and F0 correlation, beside teacher, chance and noise.

    Needs the extra cosy[eval].  Without --teacher-dir the teacher speaks on the fly where festival is installed;
    otherwise its rows are left out.
    """
    from cosy.eval.intelligibility import acceptance_sentences, compare
    from cosy.eval.known_words import read_words
    from cosy.eval.report import as_data, markdown
    from cosy.eval.sentences import PROSE

    words = read_words(known_words) if known_words else None
    sentences = PROSE if prose else acceptance_sentences(count)
    teacher = _read(teacher_dir, len(sentences)) if teacher_dir else _synthesise(sentences)
    if teacher is None:
        typer.echo("festival is not installed: the rows that need teacher recordings are left out", err=True)
    from cosy.eval.speaker import open_speaker  # only now: missing recordings are told before a model is loaded

    rows = compare(open_speaker(model, streaming=streaming), sentences, teacher, seed)
    tell(markdown(rows, words), as_data(rows, words), md_file, json_file)


@eval_app.command()
def robustness(
    model: Model = None,
    voice: VoiceName = None,
    language: Annotated[str, typer.Option(help="Of the sentences: en or zh.")] = "en",
    count: Annotated[int, typer.Option(min=1, help="Sentences, of 1 to 60 words in turn.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i is spoken with SEED + i.")] = 0,
    tokens_only: Annotated[
        bool, typer.Option("--tokens-only", help="The language model alone: a third of the time, the same verdicts.")
    ] = False,
    report: ReportDir = None,
) -> None:
    """How often speech stops early, goes round in a loop, reaches the length limit or fails.

    Sentences with numbers, dates and names, spoken with the official sampler.  The goal is under 1 % of them.
    """
    from cosy.api import Cosy
    from cosy.engine.build import silent_tokens
    from cosy.engine.watch import Alarms
    from cosy.eval.journal import Journal, fingerprint
    from cosy.eval.robustness import Robustness, language_model_alone, run, whole_chain
    from cosy.eval.trials import trial_sentences

    sentences = trial_sentences(count, language)
    cosy = Cosy.load(model)
    speaker = cosy.voices.load(voice)
    settings = {"model": fingerprint(cosy.model.directory), "voice": speaker.name, "language": language, "seed": seed}
    journal = Journal(report and report / "trials.jsonl", settings)
    speaks = (language_model_alone if tokens_only else whole_chain)(cosy, speaker)
    trials = []
    for trial in run(sentences, speaks, journal, seed):
        trials.append(trial)
        _progress(len(trials), count)
    figures = Robustness.over(trials, Alarms(silent=silent_tokens(cosy.model)))
    _finish(report, f"# Robustness\n\n{figures.markdown()}", {"settings": settings, **figures.as_data()})


@eval_app.command()
def cloning(
    prompts: Annotated[
        Path, typer.Option(help="Folder of NAME.wav with NAME.txt, and if there are NAME.other.wav; or a meta list.")
    ],
    model: Model = None,
    texts: Texts = None,
    language: Annotated[str, typer.Option(help="Of the sentences, with commas: en, zh.")] = "en",
    modes: Annotated[str, typer.Option(help="With commas: zero_shot, cross_lingual.")] = "zero_shot,cross_lingual",
    each: Annotated[int, typer.Option(min=1, help="Sentences for a prompt, language and mode.")] = 2,
    count: Annotated[
        int | None, typer.Option(min=2, help="So many prompts; by default all.", show_default=False)
    ] = None,
    recogniser: Recognisers = None,
    similarity: SimilarityModel = "resemblyzer",
    mos: Mos = True,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i of a mode and language is spoken with SEED + i.")] = 0,
    report: ReportDir = None,
) -> None:
    """Does a clone sound like its prompt: the right one of N, equal error rate, pitch, DNSMOS, across languages.

    Beside the clones: other recordings of the same speakers, where there are any, and the prompts through the vocoder.
    """
    from cosy.api import Cosy
    from cosy.eval.cloning import Cloning, jobs
    from cosy.eval.journal import fingerprint
    from cosy.eval.meta import read_prompts
    from cosy.eval.similarity import open_judge
    from cosy.eval.speaker import ModelCloner
    from cosy.eval.takes import Bench, Judges
    from cosy.text.normalize import language_of

    voices = read_prompts(prompts)[:count]
    sentences = _sentences(texts, language.replace(" ", "").split(","))
    cosy = Cosy.load(model)
    ears = _ears(recogniser, [*sentences, *(language_of(prompt.text) for prompt in voices)])
    judges = Judges(ears, open_judge(*_named(similarity), cosy.model), mos)
    settings = {"model": fingerprint(cosy.model.directory), "prompts": str(prompts), "each": each, "seed": seed}
    bench = Bench(judges, report, settings)
    todo = list(
        jobs(ModelCloner(cosy), voices, sentences, modes=modes.replace(" ", "").split(","), each=each, seed=seed)
    )
    takes = []
    for take in bench.run(todo):
        takes.append(take)
        _progress(len(takes), len(todo))
    figures = Cloning.over(takes, voices, bench.vectors_of(voices), bench.vector)
    markdown = f"# Cloning\n\n{figures.markdown()}\n{_notes(judges.notes())}"
    if report is not None:
        from cosy.eval.plots import similarity_matrix

        similarity_matrix(report / "similarity.png", figures.similarity, figures.voices, figures.voices)
        markdown += "\n![similarity](similarity.png)\n"
    _finish(report, markdown, {"settings": settings, "notes": judges.notes(), **figures.as_data()})


@eval_app.command()
def streaming(
    model: Model = None,
    voice: VoiceName = None,
    language: Annotated[str, typer.Option(help="Of the everyday sentences: en or zh.")] = "en",
    texts: Texts = None,
    count: Annotated[int, typer.Option(min=1, help="Sentences at most.")] = 20,
    recogniser: Recognisers = None,
    seed: Annotated[int, typer.Option(min=0, help="Sentence i is spoken with SEED + i, both ways.")] = 0,
    report: ReportDir = None,
) -> None:
    """How far a stream is from the same speech made at once: SNR, mel distance, word errors."""
    from cosy.eval.speaker import open_speaker
    from cosy.eval.streaming import Streaming, compare

    sentences = _sentences(texts, [language])[language][:count]
    ears = _ears(recogniser, [language])
    speaker = open_speaker(model, voice)
    figures = Streaming(compare(speaker, sentences, language, ears[0] if ears else None, seed))
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
    _finish(report, f"# Streaming\n\n{figures.markdown()}", {"seed": seed, **figures.as_data()})


@eval_app.command()
def benchmark(
    meta: Annotated[Path, typer.Argument(help="A meta list of Seed-TTS-eval, a folder of CV3-Eval, or a .jsonl file.")],
    report: Annotated[Path, typer.Option(help="Folder for the report and all recordings; a cut run goes on there.")],
    model: Model = None,
    mode: Annotated[str, typer.Option(help="zero_shot or cross_lingual.")] = "zero_shot",
    language: Annotated[str, typer.Option(help="Of the texts; by default told by their letters.")] = "",
    count: Annotated[int | None, typer.Option(min=1, help="So many; by default all.", show_default=False)] = None,
    recogniser: Recognisers = None,
    similarity: SimilarityModel = "resemblyzer",
    mos: Mos = True,
    references: Annotated[
        bool, typer.Option("--references/--no-references", help="Judge the list's recordings, too, and their copies.")
    ] = True,
    plots: Annotated[int, typer.Option(min=0, help="Utterances to draw.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Utterance i is spoken with SEED + i.")] = 0,
) -> None:
    """Speak a benchmark's list and judge it: error rate, similarity, pitch, DNSMOS; with pictures.

    Figures of the official benchmarks need their judges: --recogniser whisper=PATH --recogniser paraformer=DIR
    --similarity wavlm=DIR.  What runs by default needs no download and is for comparing systems with each other.
    """
    from cosy.api import Cosy
    from cosy.eval.benchmark import Benchmark, draw, jobs, voices
    from cosy.eval.journal import fingerprint
    from cosy.eval.meta import read_items
    from cosy.eval.similarity import open_judge
    from cosy.eval.speaker import ModelCloner
    from cosy.eval.takes import Bench, Judges

    items = read_items(meta)[:count]
    cosy = Cosy.load(model)
    options = {"mode": mode, "language": language, "seed": seed}
    todo = list(jobs(ModelCloner(cosy), items, mode=mode, language=language, references=references, seed=seed))
    judges = Judges(_ears(recogniser, [job.language for job in todo]), open_judge(*_named(similarity), cosy.model), mos)
    settings = {"model": fingerprint(cosy.model.directory), "list": str(meta), **options}
    bench = Bench(judges, report, settings)
    takes = []
    for take in bench.run(todo):
        takes.append(take)
        _progress(len(takes), len(todo))
    told = Benchmark(takes, voices(bench, todo, takes), judges.notes(), {**settings, **judges.names()})
    _finish(report, f"# {meta.name}\n\n{told.markdown(draw(report, items, told, plots))}", told.as_data())


def _named(choice: str) -> tuple[str, Path | None]:
    """`NAME` or `NAME=PATH`."""
    name, _, path = choice.partition("=")
    return name, Path(path).expanduser() if path else None


def _ears(choices: list[str] | None, languages: Iterable[str]) -> list[Ear]:
    """The recognisers that were chosen, or the offline ones; every language must have one.  Raises ParameterError."""
    from cosy.eval.recognisers import ear_for, open_ear

    if choices == ["none"]:
        return []
    languages = dict.fromkeys(languages)
    ears = [open_ear(*_named(choice)) for choice in choices or [OFFLINE[lang] for lang in languages if lang in OFFLINE]]
    for language in languages:
        ear_for(language, ears)
    return ears


def _sentences(texts: Path | None, languages: list[str]) -> dict[str, list[str]]:
    """By language: the lines of a file, or the held-out everyday sentences.  Raises InputError."""
    from cosy.eval import sentences
    from cosy.text.normalize import language_of

    if texts is not None:
        if not texts.is_file():
            raise InputError(f"{texts} does not exist: name a file with a sentence a line")
        lines = [line.strip() for line in texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        for line in lines:
            if language_of(line) not in languages:
                raise InputError(f"{texts}: {line!r} is in {language_of(line)!r}: name that with --language, too")
        return {language: [line for line in lines if language_of(line) == language] for language in languages}
    own = {"en": getattr(sentences, "EVERYDAY", ()), "zh": getattr(sentences, "MANDARIN_EVERYDAY", ())}
    for language in languages:
        if not own.get(language):
            raise InputError(f"there are no everyday sentences in {language!r}: give a file of them with --texts")
    return {language: list(own[language]) for language in languages}


def _notes(notes: Sequence[str]) -> str:
    return "".join(f"- {note}\n" for note in notes)


def _progress(done: int, of: int) -> None:
    """To standard error, now and then."""
    if done == of or done % max(1, of // 20) == 0:
        typer.echo(f"{done} of {of}", err=True)


def _finish(report: Path | None, markdown: str, data: dict[str, Any]) -> None:
    """Figures to standard output and into the folder of the report."""
    tell(markdown, data, report and report / "report.md", report and report / "report.json")


def _read(folder: Path, count: int) -> list[Sound]:
    """Recordings `0.wav` .. of every sentence, mono.  Raises MissingFileError, AudioError."""
    import soundfile

    sounds: list[Sound] = []
    for i in range(count):
        path = folder / f"{i}.wav"
        if not path.is_file():
            raise MissingFileError(f"{path} is absent: the teacher folder needs 0.wav to {count - 1}.wav")
        wave, rate_hz = soundfile.read(path, dtype="float32")
        if wave.ndim != 1:
            raise AudioError(f"{path} has {wave.shape[1]} channels: teacher recordings must be mono")
        sounds.append((wave, rate_hz))
    return sounds


def _synthesise(sentences: tuple[str, ...]) -> list[Sound] | None:
    """The teacher's recordings, made now; None where its program is not installed."""
    if shutil.which("festival") is None:
        return None
    from cosy.train.data.teachers import synthesise

    return [(utterance.audio, utterance.rate_hz) for utterance in synthesise(TEACHER, sentences)]
