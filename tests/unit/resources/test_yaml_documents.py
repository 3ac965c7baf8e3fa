"""Reading YAML: scalars of the 1.2 core schema, and every text that is refused."""

import pytest

from ncgd.resources.yaml_documents import MAX_BYTES, MAX_DEPTH, parse


def value(text: str) -> object:
    parsed = parse(f"key: {text}".encode())
    assert not parsed.problems, parsed.problems
    (document,) = parsed.documents
    assert isinstance(document, dict)
    return document["key"]


@pytest.mark.parametrize(
    "text",
    ["65000:1", "on", "off", "yes", "no", "y", "0123", "-007", "12:30", "12:30:45", "2026-01-01", "::1", "1_000",
     "2026-01-01T00:00:00Z", "0b11", "169.254.1.2", "10.0.0.0/8", "<<", "=", "1e", ".", "+", "9" * 100, "4_2", "0x",
     "٣"],
)  # fmt: skip
def test_scalars_that_stay_text(text: str) -> None:
    assert value(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4200000001", 4200000001),
        ("-1", -1),
        ("+7", 7),
        ("0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("0.1", 0.1),
        (".5", 0.5),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'65010'", "65010"),
        ('"true"', "true"),
        ("''", ""),
        ("[1, a, [], {}]", [1, "a", [], {}]),
        (".inf", float("inf")),
    ],
)
def test_scalars_that_become_values(text: str, expected: object) -> None:
    result = value(text)
    assert result == expected
    assert type(result) is type(expected)


def test_several_documents() -> None:
    assert parse(b"a: 1\n---\n---\nb: 2\n").documents == ({"a": 1}, None, {"b": 2})
    assert parse(b"# nothing here\n").documents == ()
    assert parse("\ufeffa: ü\n".encode()).documents == ({"a": "ü"},)


BOMB = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("data", "reason", "text"),
    [
        (b"a: 1\nb: 2\na: 3\n", "DuplicateKey", "line 3, column 1: the key 'a'"),
        (b"a: 1\n---\nb:\n  c: 1\n  c: 2\n", "DuplicateKey", "line 5, column 3: the key 'c'"),
        (BOMB.encode(), "AliasRefused", "line 1, column 4"),
        (b"a: *b", "AliasRefused", "line 1, column 4"),
        (b"a: !!python/object:os.system x", "TagRefused", "tags"),
        (b"a: !!binary eA==", "TagRefused", "tags"),
        (b"a: [1\n\nb: 2", "YamlSyntax", "line 3, column 2: did not find expected ',' or ']'"),
        (b"a: [1\n\nb: 2", "YamlSyntax", "(while parsing a flow sequence that starts in line 1)"),
        (b"a: b: c", "YamlSyntax", "line 1, column 5: mapping values are not allowed"),
        (b"a:\n\t- b", "YamlSyntax", "line 2"),
        (b"a: \x07", "YamlSyntax", "control characters"),
        (b"1: a", "KeyNotString", "line 1, column 1"),
        (b"[a]: b", "KeyNotString", "line 1, column 1"),
        (b"a: 1\nb: \xff\n", "NotUTF8", "line 2: byte 8 (0xff)"),
        ("a: 1".encode("utf-16"), "NotUTF8", "line 1: byte 0"),
        (b"[" * 100_000, "TooDeep", f"{MAX_DEPTH} levels"),
        (b"- " * 100_000, "TooDeep", f"{MAX_DEPTH} levels"),
        (b"#" * (10 * 1024 * 1024), "FileTooLarge", "1024 KiB"),
    ],
)
def test_refusals(data: bytes, reason: str, text: str) -> None:
    parsed = parse(data)
    assert parsed.documents == ()
    (problem,) = parsed.problems
    assert problem.reason == reason
    assert text in problem.message
    assert problem.is_error


def test_every_duplicate_key_is_reported_and_their_number_is_bounded() -> None:
    assert len(parse(b"a: 1\na: 2\n---\nb: 1\nb: 2\n").problems) == 2
    assert len(parse(b"a: 1\n" * 10_000).problems) == 21


def test_the_largest_file_is_read() -> None:
    assert parse(b"a: 1\n#" + b"-" * (MAX_BYTES - 6)).documents == ({"a": 1},)
