"""Rates and hops, each stated once; ratios are derived."""

SAMPLE_RATE_HZ = 24_000  # of the mel, the vocoder and all output
FRONT_END_RATE_HZ = 16_000  # of the speech tokenizer's and the speaker encoder's features

TOKEN_RATE_HZ = 25
FRAMES_PER_TOKEN = 2
FRAME_RATE_HZ = TOKEN_RATE_HZ * FRAMES_PER_TOKEN  # 50
HOP_SAMPLES = SAMPLE_RATE_HZ // FRAME_RATE_HZ  # 480, one mel frame
TOKEN_SAMPLES = HOP_SAMPLES * FRAMES_PER_TOKEN  # 960, one speech token

MEL_BANDS = 80
N_FFT = 4 * HOP_SAMPLES  # 1920
MEL_FLOOR = 1e-5  # linear magnitude under which the log-mel is cut
SPEAKER_DIM = 192
SPEECH_TOKENS = 3**8  # 6561, FSQ: eight dimensions of three levels

MIN_PROMPT_S = 3.0
MAX_PROMPT_S = 30.0
