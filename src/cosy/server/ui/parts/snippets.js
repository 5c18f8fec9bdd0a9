// How to speak with a voice from elsewhere: one ready example per interface.

import { base } from "../api.js";

const TEXT = "Hello, this is my voice.";

const origin = () => base.href.replace(/\/$/, "");
const quoted = (text) => JSON.stringify(text);

export const SNIPPETS = {
  curl: (id) => `curl ${origin()}/v1/audio/speech \\
  -H "Authorization: Bearer $COSY_API_KEY" -H "Content-Type: application/json" \\
  -d '${JSON.stringify({ model: "cosyvoice2", voice: id, input: TEXT, response_format: "wav" }).replace(/'/g, "'\\''")}' \\
  -o hello.wav`,
  Python: (id) => `from cosy.client import Client

with Client(${quoted(origin())}, api_key="KEY") as client:
    client.speech(${quoted(TEXT)}, ${quoted(id)}).save("hello.wav")`,
  "OpenAI SDK": (id) => `from openai import OpenAI

client = OpenAI(base_url=${quoted(`${origin()}/v1`)}, api_key="KEY")
with client.audio.speech.with_streaming_response.create(
    model="cosyvoice2", voice=${quoted(id)}, input=${quoted(TEXT)}, response_format="wav"
) as answer:
    answer.stream_to_file("hello.wav")`,
  SiliconFlow: (id) => `import requests

answer = requests.post(
    ${quoted(`${origin()}/v1/audio/speech`)},
    headers={"Authorization": "Bearer KEY"},
    json={"model": "FunAudioLLM/CosyVoice2-0.5B", "voice": ${quoted(id)}, "input": ${quoted(TEXT)}, "response_format": "wav"},
)
answer.raise_for_status()
open("hello.wav", "wb").write(answer.content)`,
  PAI: (id) => `curl ${origin()}/api/v1/audio/speech \\
  -H "Authorization: Bearer $COSY_API_KEY" -H "Content-Type: application/json" \\
  -d '${JSON.stringify({
    model: "CosyVoice2-0.5B",
    stream: false,
    input: { mode: "fast_replication", reference_audio_id: id, text: TEXT },
  }).replace(/'/g, "'\\''")}'`,
  DashScope: (id) => `import dashscope
from dashscope.audio.tts_v2 import SpeechSynthesizer

dashscope.api_key = "KEY"
dashscope.base_websocket_api_url = ${quoted(`${origin().replace(/^http/, "ws")}/api-ws/v1/inference`)}
audio = SpeechSynthesizer(model="cosyvoice-v2", voice=${quoted(id)}).call(${quoted(TEXT)})
open("hello.mp3", "wb").write(audio)`,
};
