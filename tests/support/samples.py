"""Sounds and pictures as a run leaves them."""

import wave

from ablate.attempt.artifacts import Artifact
from dashboards.samples import Samples

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8cf"
    "c0f01f0005000180a0c0d5ae0000000049454e44ae426082"
)


def make_wav(path, seconds=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * int(16000 * seconds)))


def make_samples(folder, utterances=2, seconds=0.1):
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(utterances):
        for what in ("output", "original", "conversion"):
            make_wav(folder / f"u{index}-{what}.wav", seconds)
            files.append(folder / f"u{index}-{what}.wav")
        (folder / f"u{index}.png").write_bytes(PNG)
        files.append(folder / f"u{index}.png")
    (folder / "manifest.json").write_text("{}")
    files.append(folder / "manifest.json")
    made = tuple(Artifact(f"samples/step-000000700/{f.name}", f, 1) for f in files)
    return Samples(label="phase_fixed-s0", step=700, files=made)
