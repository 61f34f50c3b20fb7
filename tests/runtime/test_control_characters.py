import json

from bostruct.runtime.control_characters import visible_json, visible_lines, visible_text

ATTACK = "a\x1b[2J\x07b\r\n\x9bc\u202ed\ud800\u2028"


def test_what_a_terminal_obeys_is_shown():
    assert visible_text(ATTACK) == r"a\x1b[2J\x07b\r\n\x9bc\u202ed\ud800\u2028"
    assert visible_text("σ = 0.1 Å ± 5 %, α → β") == "σ = 0.1 Å ± 5 %, α → β"
    assert visible_text(ATTACK).encode().decode().isprintable()


def test_lines_stay_lines():
    assert visible_lines("one\ntwo\x1b\n") == "one\ntwo\\x1b\n"


def test_json_keeps_its_meaning():
    text = json.dumps({"a": ATTACK, "σ": [1, "\U000e0001"]}, ensure_ascii=False, indent=1)
    shown = visible_json(text)
    assert json.loads(shown) == {"a": ATTACK, "σ": [1, "\U000e0001"]}
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "σ" in shown
