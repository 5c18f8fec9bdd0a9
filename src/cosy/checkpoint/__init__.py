"""Model directories: the official layout, key names, loading, converting, fetching and checking.

hyperyaml   `cosyvoice2.yaml` as plain data; tags never construct anything
sections    which keys it may hold
layout      which files a directory has; YAML and JSON <-> `ModelConfig`
files       reading .pt and .safetensors without running what they hold
keys        the spellings of state-dict keys -> the one the models use
speakers    `spk2info`: the voices a directory brings along
load        strict loading, key by key
convert     .pt <-> safetensors, float32 / float16 / bfloat16
pull        the official files from a hub
onnx        the two front ends as ONNX files, written and run
check       what is there, what is wrong with it, what works without the rest
"""
