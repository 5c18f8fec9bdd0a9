"""`cosy train` from the command to the directory that speaks."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner, Result

from cosy.api import Cosy
from cosy.checkpoint.check import check_directory
from cosy.checkpoint.layout import BACKBONE_DIRECTORY
from cosy.checkpoint.load import load_model, load_state
from cosy.cli.app import app
from cosy.cli.train import stopping
from cosy.errors import MismatchError, MissingFileError, ParameterError
from cosy.text.tokenizer import train_bpe
from cosy.train.data.corpus import Corpus
from cosy.train.runs import Run, schedule
from tests.model_dir import PRESET, write_model_dir
from tests.train.speakers import write_speakers
from tests.train.tones import SPELLING

TINY_TOKENIZER = {"n_state": 64, "n_head": 1, "n_layer": 1}
TINY_SPEAKER = {"front_channels": 4, "init_channels": 8, "growth_rate": 4, "block_layers": [1, 1, 1]}
TASKS: dict[str, dict[str, Any]] = {
    "tokenizer": {"network": TINY_TOKENIZER, "task": {"tokens": 25}},
    "speaker": {"network": TINY_SPEAKER, "task": {"tokens": 25}},
    "lm": {},
    "flow": {"task": {"max_tokens": 40}},
    "vocoder": {
        "task": {"tokens": 6, "critics": {"period_channels": [2, 4], "spectrogram_channels": 2}},
        "schedule": {"accumulate": 1},
    },
}
PART = {"lm": "llm", "flow": "flow", "vocoder": "hift"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="exporting the front ends needs the extra `train`")
    directory = write_model_dir(tmp_path_factory.mktemp("base") / "base")
    train_bpe([" ".join(SPELLING)] * 5, 270, directory / BACKBONE_DIRECTORY)
    return directory


def cosy(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def train(kind: str, corpus: Corpus, out: Path, *arguments: object, **settings: dict[str, Any]) -> Result:
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump({**TASKS.get(kind, {}), **settings}))
    data = [part for shard in corpus.shards for part in ("--data", shard)]
    small = ("--batch", 120 if kind == "lm" else 2, "--precision", "float32", "--config", config)
    return cosy("train", kind, *data, "--out", out, *small, *arguments)


def output(result: Result) -> Path:
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip())


@pytest.mark.parametrize("kind", ["lm", "flow", "vocoder"])
def test_a_directory_is_trained_further_and_speaks(kind: str, corpus: Corpus, model: Path, tmp_path: Path) -> None:
    made = output(train(kind, corpus, tmp_path / "run", "--from", model, "--steps", 2, "--learning-rate", 1e-3))
    assert made == tmp_path / "run" / "model"
    assert check_directory(made).problems == []
    before, after = (load_state(d) for d in (model / f"{PART[kind]}.pt", made / f"{PART[kind]}.safetensors"))
    assert any(not torch.equal(after[key].float(), before[key].float()) for key in after)
    for other in set(PART.values()) - {PART[kind]}:
        assert (made / f"{other}.pt").read_bytes() == (model / f"{other}.pt").read_bytes()
    speech = Cosy.load(made).say("one two", PRESET, seed=1)
    assert np.isfinite(speech.samples).all()
    assert speech.duration_s > 0.1


@pytest.mark.parametrize("kind", ["tokenizer", "speaker"])
def test_a_front_end_from_scratch_takes_its_place_in_a_directory(
    kind: str, corpus: Corpus, model: Path, tmp_path: Path
) -> None:
    made = output(train(kind, corpus, tmp_path / "run", "--like", model, "--steps", 2))
    name = {"tokenizer": "speech_tokenizer_v2.onnx", "speaker": "campplus.onnx"}[kind]
    assert (made / name).read_bytes() != (model / name).read_bytes()
    assert check_directory(made).works["clone a voice from audio"]
    alone = output(cosy("model", "export-onnx", tmp_path / "run", "--out", tmp_path / "alone.onnx"))
    assert alone.read_bytes() == (made / name).read_bytes()
    further = train(kind, corpus, tmp_path / "more", "--like", model, "--from", tmp_path / "run", "--steps", 1)
    assert output(further).is_dir()


@pytest.mark.parametrize("kind", ["lm", "flow"])
def test_an_adapter_is_trained_merged_and_hot_loaded(kind: str, corpus: Corpus, model: Path, tmp_path: Path) -> None:
    options = ("--from", model, "--lora", 2, "--steps", 3, "--learning-rate", 1e-2)
    made = output(train(kind, corpus, tmp_path / "run", *options))
    adapter = tmp_path / "run" / "adapter.safetensors"
    merged = output(cosy("model", "merge", model, adapter, "--out", tmp_path / "merged"))
    name = f"{PART[kind]}.safetensors"
    trained, again, before = load_state(made / name), load_state(merged / name), load_state(model / f"{PART[kind]}.pt")
    assert any(not torch.equal(trained[key], before[key]) for key in trained)
    for key in trained:
        torch.testing.assert_close(trained[key], again[key])
    hot, cold = Cosy.load(model, lora=adapter, recipe="float32"), Cosy.load(made, recipe="float32")
    one, two = (c.say("one two", PRESET, seed=1).samples for c in (hot, cold))
    assert np.abs(one - two).mean() < 1e-3  # random networks magnify rounding


def test_preferences_are_made_and_trained_on(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    data = [part for shard in corpus.shards for part in ("--data", shard)]
    pairs = output(cosy("train", "pairs", *data, "--from", model, "--out", tmp_path / "pairs.jsonl", "--count", 2))
    options = ("--steps", 2, "--batch", 2, "--learning-rate", 1e-3)
    made = cosy("train", "dpo", "--pairs", pairs, "--from", model, "--out", tmp_path / "run", *options)
    assert check_directory(output(made)).problems == []


def test_a_network_from_scratch_has_the_sizes_of_the_directory(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    made = output(train("lm", corpus, tmp_path / "run", "--like", model, "--steps", 1))
    assert load_model(made).config == load_model(model).config
    assert json.loads((made / "provenance.json").read_text())[0]["from"] == "random weights"


def test_a_run_can_be_exported_while_it_is_trained(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    output(train("lm", corpus, tmp_path / "run", "--from", model, "--steps", 1))
    made = output(cosy("train", "export", tmp_path / "run", "--out", tmp_path / "made"))
    assert check_directory(made).problems == []
    assert cosy("train", "export", tmp_path / "run", "--out", tmp_path / "made").exit_code == 3


def test_the_same_command_goes_on(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    output(train("lm", corpus, tmp_path / "run", "--from", model, "--steps", 1))
    output(train("lm", corpus, tmp_path / "run", "--from", model, "--steps", 2))
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 2


def test_runs_and_directories_are_averaged(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    made = []
    for seed in (1, 2):
        options = ("--from", model, "--steps", 1, "--seed", seed, "--learning-rate", 1e-2)
        made.append(output(train("lm", corpus, tmp_path / str(seed), *options)))
    of_runs = output(cosy("model", "average", *(d.parent for d in made), "--out", tmp_path / "runs"))
    of_directories = output(cosy("model", "average", *made, "--out", tmp_path / "directories"))
    states = [load_state(d / "llm.safetensors") for d in (*made, of_runs, of_directories)]
    for key in states[0]:
        torch.testing.assert_close(states[2][key], (states[0][key] + states[1][key]) / 2)
        torch.testing.assert_close(states[3][key], states[2][key])
    mixed = cosy("model", "average", made[0], tmp_path / "1", "--out", tmp_path / "x")
    assert (mixed.exit_code, "two runs or two directories" in mixed.output) == (2, True)


def test_the_card_says_what_is_there(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    made = output(train("lm", corpus, tmp_path / "run", "--from", model, "--steps", 1))
    (tmp_path / "figures.json").write_text('[{"name": "slot", "wer": {"rate": 0.125}, "heard": "x"}]')
    told = cosy("model", "card", made, "--figures", tmp_path / "figures.json").stdout
    for line in (
        "| language model | 32 wide, 2 layers, 4 / 2 heads |",
        "| `llm.safetensors` | text-speech language model |",
        "`ada`, `bob`",
        "1. trained: lm; from: base; steps: 1",
        "| [slot].wer.rate | 0.125 |",
        "The directory holds no licence",
    ):
        assert line in told
    assert (
        output(cosy("model", "card", made, "--out", tmp_path / "CARD.md")).read_text()
        == cosy("model", "card", made).stdout
    )


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "settings", "status", "told"),
    [
        (("--from", "MODEL", "--like", "MODEL"), {}, 2, "leave out --like"),
        (("--lora", 4, "--like", "MODEL"), {}, 2, "LoRA adapts a trained"),
        (("--from", "absent"), {}, 3, "absent does not exist"),
        (("--from", "MODEL"), {"schedule": {"steps": 0}}, 2, "steps must be at least 1"),
        (("--from", "MODEL"), {"schedule": {"pace": 2}}, 2, "unknown settings pace"),
        (("--from", "MODEL"), {"task": {"layers": 2}}, 2, "layers"),
        (("--from", "MODEL"), {"task": {"mix": {"noise": 2}}}, 2, "noise"),
        (("--from", "MODEL"), {"networks": {}}, 2, "unknown sections networks"),
        (("--from", "MODEL"), {"network": {"n_state": 64}}, 2, "those of the base directory"),
        (("--from", "MODEL", "--device", "abacus"), {}, 2, "abacus"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(
    corpus: Corpus, model: Path, tmp_path: Path, arguments: tuple[Any, ...], settings: Any, status: int, told: str
) -> None:
    result = train("lm", corpus, tmp_path / "run", *(model if a == "MODEL" else a for a in arguments), **settings)
    assert (result.exit_code, told in result.output) == (status, True), result.output


def test_a_front_end_is_not_trained_from_its_onnx_file(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    result = train("speaker", corpus, tmp_path / "run", "--from", model)
    assert (result.exit_code, "as ONNX" in result.output) == (3, True), result.output


def test_another_training_in_the_folder_is_not_overwritten(corpus: Corpus, model: Path, tmp_path: Path) -> None:
    output(train("lm", corpus, tmp_path / "run", "--from", model, "--steps", 1))
    result = train("lm", corpus, tmp_path / "run", "--like", model, "--steps", 1)
    assert (result.exit_code, "holds another training" in result.output) == (2, True)


def test_what_a_corpus_lacks_is_named(model: Path, tmp_path: Path) -> None:
    corpus = write_speakers(tmp_path / "bare", 1, names=("wave",))
    for shard in corpus.shards:
        (shard / "codes.npy").unlink()
    run = Run(tmp_path / "run", "lm", model, corpora=(tmp_path / "bare",))
    with pytest.raises(MissingFileError, match=r"'codes'.*cosy data encode"):
        run.make()


def test_a_folder_without_a_run_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="holds no training"):
        Run.read(tmp_path)


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", "speaker", tmp_path, fresh=True, corpora=(tmp_path,), network={"growth_rate": 4})
    run.write()
    assert Run.read(tmp_path / "run") == run
    with pytest.raises(MissingFileError, match="no checkpoint yet"):
        run.export(tmp_path / "made")
    with pytest.raises(MismatchError, match="ONNX"):
        run.weights()


def test_minutes_alone_set_no_limit_of_steps(tmp_path: Path) -> None:
    run = Run(tmp_path, "lm", tmp_path)
    assert schedule(run, {"minutes": 5.0}).steps == 10**9
    assert schedule(run, {"steps": 7}).steps == 7
    with pytest.raises(ParameterError, match="unknown settings"):
        schedule(run, {"hours": 1})


class Stopped:
    stopped = 0
    step = 3

    def stop(self) -> None:
        self.stopped += 1


def test_the_first_signal_stops_gently_and_the_second_at_once() -> None:
    trainer: Any = Stopped()
    before = signal.getsignal(signal.SIGTERM)
    with stopping(trainer) as came:
        signal.raise_signal(signal.SIGINT)
        assert (trainer.stopped, came) == (1, [signal.SIGINT])
        with pytest.raises(SystemExit, match="143"):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
