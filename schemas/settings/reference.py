"""The page of all settings, written from the settings themselves.

``python -m schemas.settings.reference docs/configuration.md``
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from pathlib import Path
from typing import cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from schemas.settings import Settings
from schemas.settings.help import allowed
from schemas.settings.loading import list_sections

_HEAD = """# Configuration

Written by `make docs` from `schemas/settings/sections.py`; a test keeps it current.

Settings come from `vigie.toml` in the working folder (or `--config FILE`), then from `VIGIE_*`
variables, then from flags; the later wins, key by key. The variable of a key is
`VIGIE_<SECTION>__<KEY>`: `VIGIE_TOPICS__PARTITIONS=8` sets `partitions` of `[topics]`. A wrong key
or value is rejected with where it was given, the key, and what is allowed. Lists of tables, such as
`[[rules]]`, come from the file alone: no variable and no flag could name one of their entries.

Options of `kafka.client` go to the Kafka client as they are. Their texts never appear in a log or
an error, but for keys known to be harmless; give passwords as variables rather than in the file,
or as files: `VIGIE_<SECTION>__<KEY>_FILE` names one that holds the text of a setting, and can be a
mounted secret that is replaced under way: [guide-security.md](guide-security.md).

```toml
[kafka]
bootstrap = "broker-1:9093,broker-2:9093"

[kafka.client]
security_protocol = "SASL_SSL"
sasl_mechanism = "SCRAM-SHA-512"
sasl_plain_username = "vigie"       # and VIGIE_KAFKA__CLIENT__SASL_PLAIN_PASSWORD_FILE
```
"""


def settings_page() -> str:
    """The page in Markdown: one table a section, one row a key."""
    sections = [
        _section(name, list_sections().get(name) or cast("type[BaseModel]", field.annotation))
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join([_HEAD, *sections])


def _section(name: str, model: type[BaseModel]) -> str:
    rows = [_row(name, key, field) for key, field in model.model_fields.items()]
    title = f"[[{name}]]" if name in list_sections() else f"[{name}]"
    head = [f"## `{title}`\n\n{cleandoc(model.__doc__ or '')}\n", "| key | default | allowed | |"]
    return "\n".join([*head, "| --- | --- | --- | --- |", *rows, ""])


def _row(section: str, key: str, field: FieldInfo) -> str:
    shown = "must be given"
    if not field.is_required():
        default = to_jsonable_python(field.get_default(call_default_factory=True))
        shown = "none" if default is None else f"`{json.dumps(default)}`"
    meaning = (field.description or "").replace("\n", " ")
    # The place of an entry of a list may be any.
    path = (section, "0", key) if section in list_sections() else (section, key)
    cells = (f"`{key}`", shown, allowed(path), meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(settings_page(), encoding="utf-8")
