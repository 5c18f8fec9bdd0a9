"""`cosy train`: networks from scratch or further, on built corpora; what comes out speaks."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import InputError, MismatchError, ParameterError

if TYPE_CHECKING:
    from cosy.train.runs import Run
    from cosy.train.schedule import Schedule
    from cosy.train.trainer import Trainer

train_app = typer.Typer(no_args_is_help=True, help="Train networks; several GPUs: torchrun ... -m cosy train ...")


class Precision(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


WHAT = {
    "tokenizer": "Train the speech tokenizer: phones where the corpus has them, the text (CTC) where not.",
    "speaker": "Train the speaker encoder on the speakers of the corpus.",
    "lm": "Train the language model, from text to speech tokens.",
    "flow": "Train the flow, from speech tokens to mel.",
    "vocoder": "Train the vocoder, from mel to waveform, against its critics.",
}
BATCH = {
    "lm": "positions",
    "tokenizer": "batch",
    "speaker": "batch",
    "flow": "batch",
    "vocoder": "batch",
    "dpo": "batch",
}

Data = Annotated[list[Path], typer.Option(help="A corpus; may be given several times.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder of the run; one that is there is continued.", show_default=False)]
Like = Annotated[
    Path | None, typer.Option(help="Directory that gives the sizes and all other parts; by default the bundled one.")
]
Rank = Annotated[int | None, typer.Option("--lora", min=1, help="Train a low-rank adapter of this rank alone.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Updates of the weights.")]
Minutes = Annotated[float | None, typer.Option(help="Of computing; training ends with steps or minutes.")]
Batch = Annotated[int | None, typer.Option(min=1, help="Utterances or segments in a batch; positions for lm.")]
Rate = Annotated[float | None, typer.Option(help="The highest learning rate.")]
Precise = Annotated[Precision | None, typer.Option(help="Of the arithmetic; weights stay in float32.")]
Accumulate = Annotated[int | None, typer.Option(min=1, help="Batches per update.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed trains the same weights on a CPU.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")]
Config = Annotated[
    Path | None,
    typer.Option("--config", exists=True, dir_okay=False, help="YAML with schedule:, task: and network: settings."),
]
SamplesMinutes = Annotated[float | None, typer.Option(help="Write sounds and pictures this often.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write event files, too; needs cosy[train].")]


def _command(kind: str) -> Callable[..., None]:
    def train(
        data: Data,
        out: Out,
        from_: Annotated[
            Path | None,
            typer.Option("--from", help="Train this directory's network further (tokenizer, speaker: that of a run)."),
        ] = None,
        like: Like = None,
        lora: Rank = None,
        steps: Steps = None,
        minutes: Minutes = None,
        batch: Batch = None,
        learning_rate: Rate = None,
        precision: Precise = None,
        accumulate: Accumulate = None,
        seed: Seed = 0,
        device: Device = "cpu",
        config: Config = None,
        samples_minutes: SamplesMinutes = None,
        tensorboard: TensorBoard = False,
    ) -> None:
        settings = _settings(config, steps, minutes, learning_rate, precision, accumulate, seed, samples_minutes)
        task = {**settings.pop("task"), **({} if batch is None else {BATCH[kind]: batch})}
        run = _run(kind, out, data, from_, like, lora, settings.pop("network"), task)
        _train(run, settings["schedule"], device, tensorboard)

    return train


for _kind, _help in WHAT.items():
    train_app.command(_kind, help=_help + "\n\nPrints the model directory it wrote.")(_command(_kind))


@train_app.command()
def dpo(
    pairs: Annotated[Path, typer.Option(help="JSON lines as `cosy train pairs` writes them.", show_default=False)],
    out: Out,
    from_: Annotated[Path, typer.Option("--from", help="The directory whose language model is trained.")],
    beta: Annotated[float, typer.Option(help="How far to go from the model at the start: small is far.")] = 0.01,
    sft: Annotated[float, typer.Option(help="Weight of the cross-entropy of the chosen rows.")] = 1.0,
    lora: Rank = None,
    steps: Steps = None,
    minutes: Minutes = None,
    batch: Batch = None,
    learning_rate: Rate = None,
    precision: Precise = None,
    accumulate: Accumulate = None,
    seed: Seed = 0,
    device: Device = "cpu",
    config: Config = None,
    tensorboard: TensorBoard = False,
) -> None:
    """Train the language model on preferences.

    Prints the model directory it wrote.
    """
    from cosy.nn.lora import LoRA
    from cosy.train.runs import Run

    settings = _settings(config, steps, minutes, learning_rate, precision, accumulate, seed, None)
    task = {"beta": beta, "sft": sft, **settings["task"], **({} if batch is None else {"batch": batch})}
    adapter = LoRA(lora, 2.0 * lora) if lora else None
    run = Run(out, "dpo", from_.absolute(), pairs=pairs.absolute(), lora=adapter, task=task)
    _train(run, settings["schedule"], device, tensorboard)


@train_app.command()
def pairs(
    data: Data,
    from_: Annotated[Path, typer.Option("--from", help="The directory whose language model speaks.")],
    out: Annotated[Path, typer.Option(help="File of JSON lines to write.", show_default=False)],
    count: Annotated[int, typer.Option(min=1, help="Utterances, drawn by chance.")] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make preference pairs: recordings against what the model makes of their texts."""
    from cosy.checkpoint.load import load_model
    from cosy.train.data.corpus import Corpus
    from cosy.train.dpo import resynthesised, write_pairs

    model = load_model(from_, parts=("llm", "text_tokenizer"))
    sampling = model.config.llm.sampling
    made = list(resynthesised(model.llm, model.text_tokenizer, Corpus(*data), sampling, seed, count))
    if not made:
        raise InputError(f"the model said nothing for any of {count} utterances: train it before its preferences")
    write_pairs(out, made)
    typer.echo(str(out))


@train_app.command()
def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    out: Annotated[Path, typer.Option(help="The new directory; it must not exist.", show_default=False)],
) -> None:
    """Write the model directory of a run, at its end or while it is trained."""
    from cosy.train.runs import Run

    typer.echo(str(Run.read(run).export(out)))


def _settings(
    config: Path | None,
    steps: int | None,
    minutes: float | None,
    learning_rate: float | None,
    precision: Precision | None,
    accumulate: int | None,
    seed: int,
    samples_minutes: float | None,
) -> dict[str, dict[str, Any]]:
    """Sections schedule, task and network: the file's, with the options over them.

    Raises ParameterError for another section.
    """
    found = _read(config) if config else {}
    sections: dict[str, dict[str, Any]] = {name: dict(found.pop(name, {})) for name in ("schedule", "task", "network")}
    if found:
        raise ParameterError(f"{config}: unknown sections {', '.join(found)}; known are {', '.join(sections)}")
    given = {
        "steps": steps,
        "minutes": minutes,
        "learning_rate": learning_rate,
        "precision": precision.value if precision else None,
        "accumulate": accumulate,
        "samples_minutes": samples_minutes,
    }
    sections["schedule"] |= {"seed": seed, **{name: value for name, value in given.items() if value is not None}}
    return sections


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path} is not YAML: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(value, dict) for value in found.values()):
        raise ParameterError(f"{path} must hold sections of settings, such as 'schedule:' with lines below it")
    return found


def _run(
    kind: Any,
    out: Path,
    data: list[Path],
    from_: Path | None,
    like: Path | None,
    rank: int | None,
    network: Mapping[str, Any],
    task: Mapping[str, Any],
) -> Run:
    from cosy.api import find_model
    from cosy.nn.lora import LoRA
    from cosy.train.runs import PARTS, Run

    front_end = kind not in PARTS
    if from_ and like and not front_end:
        raise ParameterError("--from brings the sizes and the other parts, too; leave out --like")
    if front_end and from_ and not (from_ / "run.json").is_file():
        raise MismatchError(
            f"{from_} is no run: a model directory holds the {kind} as ONNX, whose folded weights cannot be trained; "
            "give the folder of the run it came from, or train it from scratch"
        )
    base = like or (None if front_end else from_)
    return Run(
        out,
        kind,
        find_model(base).absolute(),
        fresh=from_ is None,
        corpora=tuple(path.absolute() for path in data),
        start=from_.absolute() if front_end and from_ else None,
        lora=LoRA(rank, 2.0 * rank) if rank else None,
        network=network,
        task=task,
    )


def _train(run: Run, given: Mapping[str, Any], device: str, tensorboard: bool) -> None:
    """Train to the end, or until told to stop, and print what came out."""
    import torch

    from cosy.api import require_device
    from cosy.train import ranks
    from cosy.train.runs import finish, schedule
    from cosy.train.trainer import Trainer

    plan: Schedule = schedule(run, given)
    require_device(device)
    torch.manual_seed(plan.seed)
    with ranks.joined(device) as own:
        first = ranks.rank() == 0
        task = run.make(own)
        if first:
            run.write()
        trainer = Trainer(task, plan, run.folder, tensorboard=tensorboard)
        with stopping(trainer) as signals:
            for row in trainer.run():
                if first:
                    typer.echo(json.dumps({name: round(value, 5) for name, value in row.items()}), err=True)
        if signals:
            if first:
                typer.echo(f"stopped at step {trainer.step} and saved; the same command goes on from there", err=True)
            raise typer.Exit(128 + signals[0])
        if first:
            typer.echo(str(finish(run)))


@contextmanager
def stopping(trainer: Trainer) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM let the trainer save and end; a second one ends at once.  Yields the signals that came."""
    came: list[int] = []

    def handle(number: int, frame: object) -> None:
        came.append(number)
        trainer.stop()
        if len(came) > 1:
            sys.exit(128 + number)
        typer.echo("saving after this step; once more to leave without", err=True)

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
