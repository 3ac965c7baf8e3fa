"""Entries in and out of an ip-masq-agent configuration, with all else of its text as it was. Pure.

The text must be one that ``agent_config.parse`` takes.
"""

from collections.abc import Collection, Sequence
from typing import Any

import yaml

from ncgd.resources.agent_config import LIST, ConfigUneditable

_UNEDITABLE = f"it is valid, but {LIST} cannot be changed in it without changing more"


def has_list(text: str) -> bool:
    """Whether the configuration has a list of its own; else the defaults hold."""
    return LIST in _settings(text)


def with_list(text: str, entries: Sequence[str] | None) -> str:
    """The text with these entries as its list, in whatever order; None: without a list, so that the defaults hold.

    Raises ConfigUneditable where more than the list would change.
    """
    settings = _settings(text)
    is_there, present = LIST in settings, settings.pop(LIST, None) or ()
    if is_there == (entries is not None) and set(present) == set(entries or ()):
        return text
    try:
        if entries is None:
            made = _without_list(text)
        else:
            removed = [entry for entry in present if entry not in entries]
            made = _with_entries(text, removed, [entry for entry in entries if entry not in present])
        after = _settings(made)
        has_alias = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
    except yaml.YAMLError as error:
        raise ConfigUneditable(_UNEDITABLE) from error
    is_made = LIST in after, set(after.pop(LIST, None) or ())
    if has_alias or after != settings or is_made != (entries is not None, set(entries or ())):
        raise ConfigUneditable(_UNEDITABLE)
    return made


def _settings(text: str) -> dict[Any, Any]:
    given = yaml.safe_load(text)
    return given if isinstance(given, dict) else {}


def _with_entries(text: str, remove: Collection[str], add: Sequence[str]) -> str:
    """The list is made where there is none."""
    for entry in remove:
        text = _without(text, entry)
    if add and not has_list(text):
        return _with_list(text, add)
    for entry in add:
        text = _with(text, entry)
    return text


def _without_list(text: str) -> str:
    pair = _find(text)
    if pair is None:
        return text
    begin, end = pair[0].start_mark.index, _end_of(pair[1])
    if _is_flow(text):
        rest = text[end:].lstrip()
        if rest.startswith(","):
            return text[:begin] + rest[1:].lstrip()
        return text[:begin].rstrip().removesuffix(",") + text[end:]
    line_end = text.find("\n", end)
    return text[:begin] + ("" if line_end < 0 else text[line_end + 1 :])


def _with_list(text: str, entries: Sequence[str]) -> str:
    """At the end or, in a flow mapping (JSON), at the beginning."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode) and root.flow_style:
        quoted = ", ".join(f'"{entry}"' for entry in entries)
        at = root.start_mark.index + 1
        return f'{text[:at]}"{LIST}": [{quoted}]{", " if root.value else ""}{text[at:]}'
    lines = "".join(f"- {entry}\n" for entry in entries)
    gap = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{gap}{LIST}:\n{lines}"


def _is_flow(text: str) -> bool:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return isinstance(root, yaml.MappingNode) and bool(root.flow_style)


def _end_of(value: yaml.Node) -> int:
    """Where a list ends; a block list as YAML has it goes on to the next key."""
    is_block = isinstance(value, yaml.SequenceNode) and not value.flow_style and value.value
    return int(value.value[-1].end_mark.index if is_block else value.end_mark.index)


def _find(text: str) -> tuple[yaml.Node, yaml.Node] | None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return None
    return next(((key, value) for key, value in root.value if key.value == LIST), None)


def _with(text: str, entry: str) -> str:
    pair = _find(text)
    if pair is None:
        return text
    value = pair[1]
    if not isinstance(value, yaml.SequenceNode):  # null: the same as an empty list
        at, end = value.start_mark.index, value.end_mark.index
        return f"{text[:at]}{'' if text[at - 1 : at] == ' ' else ' '}[{entry}]{text[end:]}"
    if not value.value:
        at = value.end_mark.index - 1
        return text[:at] + _like(text, entry) + text[at:]
    last = value.value[-1]
    begin, end = last.start_mark.index, last.end_mark.index
    if value.flow_style:
        before = value.value[-2].end_mark.index if len(value.value) > 1 else value.start_mark.index
        gap = text[before:begin].lstrip(",[")
        return f"{text[:end]},{gap if len(value.value) > 1 or gap.strip(' ') else ' '}{_like(text, entry)}{text[end:]}"
    line_begin = text.rfind("\n", 0, begin) + 1
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    return f"{text[:line_end]}\n{text[line_begin:begin]}{entry}{text[line_end:]}"


def _without(text: str, entry: str) -> str:
    pair = _find(text)
    if pair is None or not isinstance(pair[1], yaml.SequenceNode):
        return text
    sequence = pair[1]
    items = sequence.value
    found = next((number for number, item in enumerate(items) if item.value == entry), None)
    if found is None:
        return text
    begin, end = items[found].start_mark.index, items[found].end_mark.index
    if sequence.flow_style:
        if found:
            begin = items[found - 1].end_mark.index
        elif len(items) > 1:
            end = items[1].start_mark.index
        return text[:begin] + text[end:]
    begin = text.rfind("\n", 0, begin) + 1
    line_end = text.find("\n", end)
    if len(items) == 1:
        key_end = text.find(":", pair[0].end_mark.index) + 1
        return f"{text[:key_end]} []{'' if line_end < 0 else text[line_end:]}"
    if line_end < 0:
        return text[: begin - 1]
    return text[:begin] + text[line_end + 1 :]


def _like(text: str, entry: str) -> str:
    """Quoted where the text is JSON."""
    return f'"{entry}"' if text.lstrip().startswith("{") else entry
