"""An implicit label: metadata of a whole file that says that its speech was made by a machine.

The audio itself is copied, not coded again.
"""

from __future__ import annotations

import io

import av

from cosy.audio.encode import FORMATS, find_format

AI_LABEL = "AI-generated speech"

# Format -> container and options of FFmpeg.  Raw samples and AAC frames have no place for a comment.
_CONTAINERS = {
    "flac": ("flac", {}),
    "opus": ("ogg", {"page_duration": "20000"}),
    "wav": ("wav", {}),
    "mp3": ("mp3", {"write_xing": "0"}),
}
_SAFE = ("flac", "opus")  # their comment stands in a block that every file of the format has


def label(data: bytes, format: str, *, change_head: bool = False, text: str = AI_LABEL) -> bytes:
    """The file `data` of a format with a comment: a Vorbis comment in FLAC and Opus.

    With `change_head` also WAV gets one (a LIST INFO chunk before the samples, which then no longer start at
    byte 44) and MP3 (an ID3v2 TXXX frame in front): some contracts and players want those heads bare.
    All else comes back as it is.  Raises ParameterError for an unknown format.
    """
    name = next(key for key, kind in FORMATS.items() if kind is find_format(format))
    if not data or name not in (_CONTAINERS if change_head else _SAFE):
        return data
    container, options = _CONTAINERS[name]
    file = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as source, av.open(file, "w", format=container, options=options) as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        target.metadata["comment"] = text
        for packet in source.demux(audio=0):
            if packet.dts is not None:  # the last, empty one only says that the file is over
                packet.stream = stream
                target.mux(packet)
    return file.getvalue() or data  # FFmpeg writes no head for a file without samples
