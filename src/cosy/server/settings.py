"""All settings of the server: one class, one docstring per field.

From weakest to strongest: the default, the TOML file that `--config` or COSY_CONFIG names, the environment
(COSY_ and the field's name), the command line.  Only `Settings.load` reads file and environment.
docs/settings.md is made from this class: `python -m cosy.server.settings > docs/settings.md`.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from cosy.errors import ParameterError

PREFIX = "COSY_"
ELSEWHERE = {
    "CONFIG",
    "VOICES",
    "GOLDEN",
    "DATA",
    "URL",
    "API_KEY",
    "PLAYER",
    "LOG",
}  # read by other parts, not by this
INJECTED = ("SERVICE_", "PORT_")  # what Kubernetes and Docker put beside a service named cosy
MIB = 2**20


def data_folder() -> Path:
    """Where the server keeps what it is given: under XDG_DATA_HOME, else ~/.local/share."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "cosy"


class Settings(BaseSettings):
    """What an operator can decide."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, env_prefix=PREFIX
    )

    # Network
    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback needs an API key, or `allow_open`."""
    port: int = Field(8000, ge=0, le=65535)
    """Port to listen on; 0 takes any free one."""
    allow_open: bool = False
    """Listen beyond loopback without any key: everybody who reaches the port can speak, clone and delete voices."""
    public_url: str = ""
    """Base of addresses given to clients, such as https://speech.example.org; empty: what the client called."""
    cors_origins: tuple[str, ...] = ("*",)
    """Web pages (origins) that may call the server from a browser; `*` is all."""
    trusted_proxies: str = "127.0.0.1"
    """Reverse proxies whose X-Forwarded headers are believed: addresses or networks, separated by commas."""
    keep_alive_s: float = Field(75.0, gt=0)
    """Seconds an idle connection is kept; more than a reverse proxy keeps its own."""
    stall_s: float = Field(60.0, gt=0)
    """Seconds a client may leave its audio unread before it is cut off."""
    drain_s: float = Field(30.0, ge=0)
    """Seconds that running answers have to finish once the server was told to stop."""

    # Model
    model: str = ""
    """Model directory; empty: the one that comes with the package."""
    device: str = "cpu"
    """Where the model runs: cpu, cuda, cuda:1 ..."""
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Numbers the language model and the flow compute with; half precision is for GPUs."""

    recipe: str = "auto"
    """Arithmetic on a CPU, such as `int8` or `lm=int8,flow=bfloat16`; `float32` is exact, `auto` the fastest here."""
    ai_label: bool = False
    """Put "AI-generated speech" into the metadata of whole FLAC and Opus files; no other answer has room for it."""

    # Keys
    api_keys: tuple[str, ...] = ()
    """Keys for speech and voices (not administration), beside those of `cosy keys`. In the environment a JSON list."""
    open_synthesize: bool = False
    """Let POST /synthesize in without a key: its published client sends none."""
    open_metrics: bool = False
    """Let /metrics in without a key of scope admin, though there are keys."""
    requests_per_minute: int = Field(0, ge=0)
    """Requests that a key without a limit of its own may make in a minute; 0: any number."""
    requests_at_once: int = Field(0, ge=0)
    """Answers that a key without a limit of its own may have running; 0: any number."""

    # Limits
    max_active: int = Field(64, ge=1)
    """Answers made at the same time."""
    max_queued: int = Field(64, ge=0)
    """Requests that wait for one of them to end; further ones are refused as overload."""
    queue_timeout_s: float = Field(8.0, ge=0)
    """Seconds a request waits before it is refused as overload; several published clients give up after 10."""
    max_body_bytes: int = Field(32 * MIB, ge=1024)
    """Largest request body, a single form field included."""
    max_upload_bytes: int = Field(20 * MIB, ge=1024)
    """Largest recording, decoded from base64 or as a file."""
    max_text_characters: int = Field(200_000, ge=1)
    """Longest text of one request."""
    max_socket_message_bytes: int = Field(2 * MIB, ge=1024)
    """Largest message of a client over a WebSocket."""

    # Storage
    data_dir: Path = Field(default_factory=data_folder)
    """Folder of the database and the recordings; `cosy` in the user's data folder unless named."""
    database_url: str = ""
    """Metadata database, such as postgresql://user:password@host/name; empty: SQLite in `data_dir`."""
    objects_url: str = ""
    """Where recordings are kept, such as s3://bucket/prefix; empty: `data_dir`."""

    # Voices
    presets_dir: Path | None = None
    """Folder of preset voices: `name.wav` (or mp3, flac ...) beside `name.txt`, its transcript."""
    default_voice: str = ""
    """Voice of requests that name none, and of well-known names nobody filled; empty: the model's first."""
    voice_fallback: bool = True
    """Speak well-known names that nobody filled in another voice, mostly the default; off: refuse them as unknown."""
    max_voices: int = Field(10_000, ge=1)
    """Uploaded voices kept at most."""
    require_consent: bool = False
    """Refuse uploads of voices that bring no note of the speaker's consent."""
    fetch: Literal["off", "public", "any"] | None = None
    """Recordings named by address: never, from public addresses, or from anywhere. Unset: public if the server
    listens on loopback only or has keys, else off."""
    fetch_timeout_s: float = Field(20.0, gt=0)
    """Seconds that fetching a recording may take, redirects included."""

    # Dialects
    compute_nest_rate_hz: Literal[22050, 24000] = 22050
    """Sample rate of /inference_* answers; the published client takes them for 22050 Hz."""
    strict_models: bool = False
    """Refuse model names in the OpenAI dialect that are not listed, instead of speaking with the one model there is."""
    ignore_instructions: bool = False
    """Leave `instructions` of the OpenAI dialect unread: some clients send paragraphs meant for a language model."""
    default_instruction: str = "Speak in a natural tone.<|endofprompt|>"
    """Instruction of /synthesize for requests without one."""
    default_prompt: Path | None = None
    """Recording that /synthesize speaks with when none is sent; unset: the default voice."""
    default_prompt_text: str = ""
    """Transcript of `default_prompt`."""
    task_timeout_s: float = Field(23.0, gt=0)
    """Seconds a WebSocket task waits for the client's next message."""
    idle_timeout_s: float = Field(60.0, gt=0)
    """Seconds a WebSocket without a task is kept."""
    result_ttl_s: float = Field(86_400.0, gt=0)
    """Seconds a result file of the DashScope dialect can be fetched."""

    # Browser
    studio: bool = True
    """Serve the studio, an app to speak and clone with, to browsers at `/`, and `/voice-cloner.html`."""

    # Log
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""

    @field_validator("max_upload_bytes")
    @classmethod
    def _fits(cls, value: int, info: Any) -> int:
        if value > info.data.get("max_body_bytes", value):
            raise ValueError("must not exceed max_body_bytes, for it would never be reached")
        return value

    @classmethod
    def settings_customise_sources(cls, settings_cls: Any, init_settings: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
        """Nothing is read behind the caller's back: that is for `load`, at the edge."""
        return (init_settings,)

    @classmethod
    def load(cls, flags: Mapping[str, Any] | None = None, config: str | os.PathLike[str] | None = None) -> Settings:
        """Flags over environment over file over defaults.  Raises ParameterError that says what is wrong, and where."""
        path = config or os.environ.get("COSY_CONFIG")
        sources = [
            (f"the settings file {path}", _from_file(Path(path)) if path else {}),
            ("the environment", _from_environment()),
            ("the command line", {name: value for name, value in (flags or {}).items() if value is not None}),
        ]
        for place, values in sources:
            _check_names(values, place)
        merged = {name: value for _, values in sources for name, value in values.items()}
        try:
            return cls(**merged)
        except ValidationError as error:
            raise ParameterError(_explain(error, sources)) from error

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False  # a name may point anywhere

    @property
    def database(self) -> str:
        """Address of the metadata database."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'cosy.db').absolute()}"

    @property
    def objects(self) -> str:
        """Address of the object store."""
        return self.objects_url or str((self.data_dir / "objects").absolute())


def _from_file(path: Path) -> dict[str, Any]:
    try:
        path.read_bytes()
        return TomlConfigSettingsSource(Settings, toml_file=path)()
    except OSError as error:
        raise ParameterError(f"cannot read the settings file {path}: {error.strerror}; check --config") from error
    except ValueError as error:
        raise ParameterError(f"the settings file {path} is not TOML: {error}") from error


def _from_environment() -> dict[str, Any]:
    names = (name.removeprefix(PREFIX) for name in os.environ if name.startswith(PREFIX))
    ours = {name.lower() for name in names if name not in ELSEWHERE and not name.startswith(INJECTED)}
    try:
        known = EnvSettingsSource(Settings)()
    except SettingsError as error:
        raise ParameterError(f'{error} of the environment: a list is written as JSON, such as ["a", "b"]') from error
    return dict.fromkeys(ours) | known


def from_text(name: str, text: str) -> Any:
    """A value as it stands in an assignment: lists are JSON.  Raises ParameterError for a list that is not."""
    field = Settings.model_fields.get(name)
    if field is None or not isinstance(field.default, tuple):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ParameterError(f'{name} is a list, written as JSON, such as ["a", "b"]; got {text!r}') from None


def _check_names(values: Mapping[str, Any], place: str) -> None:
    for name in values:
        if name not in Settings.model_fields:
            near = get_close_matches(name, Settings.model_fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            choices = ", ".join(Settings.model_fields)
            raise ParameterError(f"unknown setting {name!r} in {place}; {hint}There are: {choices}")


def _explain(error: ValidationError, sources: list[tuple[str, dict[str, Any]]]) -> str:
    """Every mistake and its place.  Values stay out of it where they may be secret."""
    told = []
    for each in error.errors():
        name = str(each["loc"][0])
        place = next((place for place, values in reversed(sources) if name in values), "the defaults")
        shown = "" if name in ("api_keys", "database_url") else f", got {each['input']!r}"
        told.append(f"setting {name!r} of {place}: {each['msg']}{shown}")
    return "; ".join(told)


INTRODUCTION = """\
# Settings of the server

Made by `python -m cosy.server.settings`; do not edit.

Each is a flag of `cosy serve` (`--set name=value`; the common ones have a flag of their own), a variable of the
environment (`COSY_` and the name in capitals), or a line of the TOML file that `--config` or `COSY_CONFIG` names.
Flags go before the environment, that before the file, that before the default. An unknown name is an error.

| setting | default | meaning |
|---|---|---|
"""


def reference() -> str:
    """docs/settings.md."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default_factory or field.default in ("", None, ()) else _shown(field.default)
        rows.append(f"| `{name}` | {default} | {' '.join((field.description or '').split())} |\n")
    return INTRODUCTION + "".join(rows)


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`".replace("|", "\\|")  # a bar would end the cell


if __name__ == "__main__":
    print(reference(), end="")
