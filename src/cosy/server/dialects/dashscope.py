"""DashScope's CosyVoice, as the `dashscope` SDK calls it: duplex WebSocket, speech over HTTP, voice enrolment.

    dashscope_ws       the WebSocket          dashscope_events    packets told as sentences
    dashscope_http     speech over HTTP       dashscope_results   the files its answers point to
    dashscope_voices   voice enrolment        dashscope_speech    parameters, errors
                                              dashscope_text      counting, cutting, correcting text

Source: the CosyVoice pages of Alibaba Cloud Model Studio (DashScope).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, WebSocket

from cosy.server.auth import SPEECH, Caller, allow
from cosy.server.context import Context, context_of
from cosy.server.dialects import Dialect, dashscope_http, dashscope_voices
from cosy.server.dialects.dashscope_speech import NAME, error_body
from cosy.server.dialects.dashscope_ws import DashScopeSession

router = APIRouter()
router.include_router(dashscope_http.router)
router.include_router(dashscope_voices.router)


@router.websocket("/api-ws/v1/inference")
@router.websocket("/api-ws/v1/inference/")
async def inference(
    websocket: WebSocket,
    context: Annotated[Context, Depends(context_of)],
    caller: Annotated[Caller, Depends(allow(SPEECH))],
) -> None:
    """Speak text that comes in pieces, as it comes."""
    await DashScopeSession(websocket, context, caller).serve()


def claims(path: str) -> bool:
    """What is below /api-ws/v1/inference and /api/v1/services."""
    return path.startswith(("/api-ws/v1/inference", "/api/v1/services"))


DIALECT = Dialect(NAME, router, claims, error_body)
