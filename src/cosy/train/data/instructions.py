"""What people write to ask for a way of speaking, in English and Chinese, by the style it asks for (`speakers.STYLES`).

The instructions of the neutral style ask for nothing that could be heard: a model learns not to read them out.
"""

from __future__ import annotations

INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "": (
        "Speak clearly.", "Say it calmly.", "Read this like a story.", "Use a natural voice.", "Speak normally.",
        "Read the following text.", "请用自然的语气说话。", "用平静的语气说。", "请清楚地朗读。", "正常地说。",
    ),
    "slow": (
        "Speak slowly.", "Speak slower.", "Please talk more slowly.", "Read this very slowly.", "Slow down.",
        "Say it at a slow pace.", "慢一点说。", "请说慢一点。", "用缓慢的语速说。",
        "请用较慢的语速朗读。", "语速慢一些。",
    ),
    "fast": (
        "Speak quickly.", "Speak faster.", "Please talk faster.", "Read this very fast.", "Speed up.",
        "Say it at a fast pace.", "快一点说。", "请说快一点。", "用很快的语速说。",
        "请用较快的语速朗读。", "语速快一些。",
    ),
    "high": (
        "Speak in a high voice.", "Use a higher pitch.", "Speak with a high pitch.", "Raise your voice's pitch.",
        "Talk higher.", "用高音说。", "请把音调提高一点。", "用更高的声调说。", "声音高一点。", "音调高一些。",
    ),
    "low": (
        "Speak in a low voice.", "Use a lower pitch.", "Speak with a deep voice.", "Lower your voice's pitch.",
        "Talk lower.", "用低音说。", "请把音调降低一点。", "用低沉的声音说。", "声音低一点。", "音调低一些。",
    ),
    "whisper": (
        "Whisper.", "Please whisper.", "Say it in a whisper.", "Whisper this to me.", "Speak in a whispering voice.",
        "小声耳语。", "用耳语说。", "请悄悄地说。", "用气声说。", "轻轻地耳语。",
    ),
    "soft": (
        "Speak softly.", "Speak quietly.", "Use a soft voice.", "Lower the volume of your voice.", "Say it gently.",
        "轻声说。", "请小声一点。", "用轻柔的声音说。", "温柔地说。", "声音轻一点。",
    ),
    "loud": (
        "Speak loudly.", "Speak louder.", "Use a loud voice.", "Say it with energy.", "Shout it out.",
        "大声说。", "请大声一点。", "用响亮的声音说。", "有力地说。", "声音大一点。",
    ),
    "cheerful": (
        "Speak with a happy voice.", "Use a cheerful tone.", "Sound happy.", "Say it with joy.",
        "Please read this in an excited voice.", "用开心的语气说。", "请高兴地说。", "用欢快的语气说。", "兴奋地说。",
        "快乐地说。",
    ),
    "sad": (
        "Speak with a sad voice.", "Use a sad tone.", "Sound sad.", "Say it with sorrow.",
        "Please read this in a gloomy voice.", "用伤心的语气说。", "请难过地说。", "用悲伤的语气说。", "失落地说。",
        "低落地说。",
    ),
}  # fmt: skip
