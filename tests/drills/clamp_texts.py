"""Hostile clamp texts and mutated saved clamps: each is a clamp that works, or one clear error.

By hand, in large: `PYTHONPATH=.:tests python tests/drills/clamp_texts.py 10000`.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from small_models import small_model, small_sequences

from coopetition_interp.interventions import (
    Clamp,
    bind,
    clamp_from_dict,
    clamp_to_dict,
    parse_clamp,
    run_clamped,
)

MODEL, SEQUENCES = small_model(dtype=torch.float32), small_sequences(dtype=torch.float32)

TEXTS = [
    "PreviousTokenHeads(heads=[(0, 1), (0, 3)], strength=0.5, label_rows_only=True)",
    "BlockPreviousToken(heads=[(0, 2)])",
    "InductionHeads([(1, 3)], strength=0.9)",
    "MatchHeads(heads=[(1, 0)], temperature=0.3)",
    "AblateHeads(heads=[(0, 2), (1, 1)])",
    "AblateEmbedding()",
    "SilenceExemplarAttention(heads=[(1, 2)])",
    "HeadTemperature(heads=[(1, 2)], temperature=2.0, detach=True)",
    "CopyFromHead(head=(1, 2))",
    "Preserve(patterns=(0, 1), values=True)",
    "PerfectLayer0(detach=True)",
    "GraftIn(checkpoint='donor.safetensors', layer=0)",
]
VALUES = [
    "0", "1", "-1", "2", "1e-320", "1e999", "-1e999", "nan", "True", "None", "''", "b'ab'", "...",
    "9" * 400, "9" * 5000, "1e6", "1e-7", "1j", "1+2j", "[]", "()", "{}", "{[]: 1}", "{1, 2}",
    "[[0]]",
    "[(0,)]", "[(True, False)]", "[(0, 1, 2)]", "[{0: 1, 1: 2}]", "{(0, 1): 2}", "[b'\\0\\1']",
    "['01']", "[" * 60 + "0" + "]" * 60, "'\\0'", "'x' * 9", "-" * 3000 + "1", "AblateEmbedding()",
    "CANARY", "AblateHeads([(0, 0)])", "lambda: 0", "[i for i in (1, 2)]", "f'{CANARY}'",
    "[(0, 0)] * 3", "[(0, 0), *[(1, 1)]]", "1 if CANARY else 0", "(x := 1)",
]  # fmt: skip
WHOLE = [
    "", " ", "\0", "(", "((((", "a" + ".b" * 4000, "a" + "()" * 4000, "-" * 9000 + "1",
    "not " * 2000,
    "1" + "+1" * 4000, "[" * 9000, "a" + "[0]" * 2500, "CANARY", "CANARY.x", "AblateHeads" * 5000,
    "AblateHeads(" * 50 + ")" * 50, "AblateHeads(heads=[" + "(0, 1), " * 50_000 + "])", "\ud800",
    "AblateHeads((0, 1)\n\n\n)", "AblateHeads(heads=[(0, 1)]); CANARY", "AblateHeads(**CANARY)",
    "AblateHeads(*CANARY)", "eval('CANARY')", "Clamp()", "HeadsClamp([(0, 1)])", "# nothing",
    "AblateHeads(heads=[(0, 0)], heads=[(1, 1)])", "lambda:" * 1000 + "1", "É" * 300, "\x1b[31m",
]  # fmt: skip
JSON_VALUES = [
    None, True, False, 0, -1, 7, 2.5, float("nan"), float("inf"), 1e-320, 10**400, "", "x" * 5000,
    "\0", [], [[]], [[0]], [[0, 1]], [[True, False]], [[[0, 1]]], {}, {"kind": "AblateEmbedding"},
    {"kind": []}, [{}], [["0", "1"]], [[0, 1]] * 300, {"a": 1}, [None], "os", "__main__",
]  # fmt: skip


def hostile_text(chance: random.Random, canary: str) -> str:
    """A text that a careless or a malicious user could type as a clamp."""
    text = chance.choice(WHOLE) if chance.random() < 0.25 else chance.choice(TEXTS)
    for _ in range(chance.randrange(4)):
        how = chance.randrange(6)
        at = chance.randrange(len(text) + 1)
        if how == 0:
            text = text[:at] + chance.choice("()[]{},=.'\"\\\n\0 0aé-*:#") + text[at:]
        elif how == 1:
            text = text[:at] + text[at + chance.randrange(1, 8) :]
        elif how == 2 and "=" in text:
            name, _, rest = text.partition("=")
            end = min((i for i in map(rest.find, ("], ", ")")) if i >= 0), default=len(rest))
            text = f"{name}={chance.choice(VALUES)}{rest[end:]}"
        elif how == 3:
            text = text.replace(")", f", {chance.choice(VALUES)})", 1)
        elif how == 4:
            text = f"{text[:at]}{chance.choice(VALUES)}{text[at:]}"
        else:
            name = chance.choice(TEXTS).partition("(")[0]
            text = f"{name}({chance.choice(VALUES)})"
    return text.replace("CANARY", canary)


def mutated_dict(chance: random.Random) -> object:
    """A saved clamp with some of its values, or itself, replaced."""
    saved = json.loads(json.dumps(clamp_to_dict(parse_clamp(chance.choice(TEXTS)))))
    for _ in range(chance.randrange(1, 4)):
        how = chance.randrange(5)
        key = chance.choice([*saved, "module", "strange"])
        if how == 0:
            saved.pop(key, None)
        elif how == 1 and chance.random() < 0.2:
            return chance.choice(JSON_VALUES)
        elif how == 2:
            saved = {"kind": chance.choice(["During", "AblateHeads"]), "clamp": saved, **saved}
        else:
            saved[key] = chance.choice(JSON_VALUES)
    return saved


def outcome(make: Callable[[], Clamp], again: Callable[[Clamp], Clamp]) -> str:
    """ "clamp" or "error" where all is as it should be, else how it is not."""
    try:
        clamp = make()
    except ValueError as error:
        return _is_clear(error)
    except Exception as error:
        return f"broken: {type(error).__name__} when made"
    try:
        if again(clamp) != clamp:
            return "broken: another clamp comes back"
    except ValueError as error:
        return f"broken: does not come back: {type(error).__name__}: {str(error)[:60]}"
    try:
        with torch.no_grad():
            logits = run_clamped(MODEL, SEQUENCES, bind([clamp], MODEL))
    except (ValueError, FileNotFoundError) as error:
        return _is_clear(error)
    except Exception as error:
        return f"broken: {type(error).__name__} when run"
    if not torch.isfinite(logits).all():
        return "broken: the logits are not finite"
    return "clamp"


def _is_clear(error: Exception) -> str:
    message = str(error)
    if len(message) >= 600:
        return "broken: an error of 600 characters or more"
    if not message or not message.isprintable():
        return f"broken: an error that does not print on one line: {message[:200]!r}"
    return "error"


def drill(n: int, seed: int = 0) -> Counter[str]:
    """Outcomes of `n` texts and `n` saved clamps."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "executed"
        canary = f"open({str(trace)!r}, 'w')"
        for _ in range(n):
            text = hostile_text(chance, canary)
            counts[outcome(lambda t=text: parse_clamp(t), lambda c: parse_clamp(str(c)))] += 1
            data = mutated_dict(chance)
            counts[
                outcome(
                    lambda d=data: clamp_from_dict(d), lambda c: clamp_from_dict(clamp_to_dict(c))
                )
            ] += 1
        if trace.exists():
            counts["broken: executed"] += 1
    return counts


if __name__ == "__main__":
    for what, count in sorted(drill(int(sys.argv[1])).items()):
        print(f"{count:>7}  {what}")
