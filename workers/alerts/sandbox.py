"""Templates of other people, run so that they can take neither time nor memory nor secrets.

What bounds them:

- They call nothing, define nothing and include nothing: values, conditions, loops, filters, tests.
- The filters are those below. Each one charges what it makes to the budget of the rendering.
- A loop charges every turn with the number of nodes in its body, so that loops in loops end soon.
- Arithmetic is of numbers alone, and small ones: text times a number is a way to fill the memory.
- The text that comes out is counted while it comes out.

A template that exceeds its budget is an error, as one that is not understood.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from workers.alerts.words import number

__all__ = ["TemplateProblemError", "compiled", "rendered"]

MAX_STEPS: Final = 100_000
"""Steps of one rendering: some tens of milliseconds."""
_MAX_TEXT: Final = 20_000
_MAX_NUMBER: Final = 1e15
_MAX_DEPTH: Final = 64
_BUDGET: Final = "budget of this rendering"  # no name that a template can write
_FORMAT: Final = re.compile(r"%[-+ 0#]{0,3}\d{0,2}(\.\d{1,2})?[sdfegx%]")

_ALLOWED: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const,
    nodes.For, nodes.If, nodes.Assign, nodes.Filter, nodes.Test, nodes.Getattr, nodes.Getitem,
    nodes.Slice, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Pos,
    nodes.List, nodes.Tuple, nodes.Keyword,
)  # fmt: skip
_OF_LOOP: Final = frozenset({"first", "index", "index0", "last", "length", "revindex"})
_LACKING: Final[dict[type[nodes.Node], str]] = {
    nodes.Call: "nothing can be called: use a filter, as in {{ peak|round(1) }}",
    nodes.Concat: "`~` is not there: write the texts side by side, or use join",
    nodes.Pow: "`**` is not there",
}


class TemplateProblemError(ValueError):
    """A template cannot be used, and why; in words for who wrote it."""


class _Budget:
    """Counts down what a rendering may take."""

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def charge(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TemplateProblemError("it takes too long: less loops, or shorter ones")


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    intercepted_unops = frozenset({"+", "-"})

    def call_binop(self, _context: Context, operator_: str, left: Any, right: Any) -> Any:
        if not (_is_number(left) and _is_number(right)):
            raise TemplateProblemError(f"`{operator_}` is of numbers")
        return _bounded(_OPERATORS[operator_](left, right))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Members of a mapping by their names, even if they are called `items`; no methods."""
        if isinstance(obj, Mapping):
            return self.getitem(obj, attribute)
        if isinstance(obj, LoopContext) and attribute in _OF_LOOP:
            return super().getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A member of a mapping or a list, or a part of a text."""
        try:
            return obj[argument]
        except (LookupError, TypeError):
            return self.undefined(obj=obj, name=argument)

    def call_unop(self, _context: Context, operator_: str, arg: Any) -> Any:
        if not _is_number(arg):
            raise TemplateProblemError(f"`{operator_}` is of numbers")
        return -arg if operator_ == "-" else arg


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _bounded(value: Any) -> Any:
    if not abs(value) < _MAX_NUMBER:
        raise TemplateProblemError("a number became too large")
    return value


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that pays for what it makes."""

    @pass_context
    def charged(context: Context, value: Any, *args: Any, **options: Any) -> Any:
        budget: _Budget = context[_BUDGET]
        if isinstance(value, Undefined):
            str(value)  # a name that is not known is an error here as well
        budget.charge(8 + _size(value))
        made = function(value, *args, **options)
        budget.charge(_size(made))
        return made

    return charged


def _size(value: object) -> int:
    if isinstance(value, str):
        if len(value) > _MAX_TEXT:
            raise TemplateProblemError(f"a text became longer than {_MAX_TEXT} characters")
        return len(value) // 64
    return len(value) if isinstance(value, list | tuple | Mapping) else 0


@pass_context
def _turns(context: Context, items: Iterable[Any], weight: int) -> Iterator[Any]:
    budget: _Budget = context[_BUDGET]
    if isinstance(items, str) or not isinstance(items, list | tuple | Mapping):
        str(items)
        raise TemplateProblemError("a loop is over a list, such as incidents or channels")
    for item in items:
        budget.charge(weight)
        yield item


def _format(pattern: Any, *values: Any) -> str:
    rest = _FORMAT.sub("", str(pattern))
    if "%" in rest:
        raise TemplateProblemError(f"format takes %s, %d, %.1f and the like, not {pattern!r}")
    return str(pattern) % values


def _join(items: Any, separator: str = "", attribute: str = "") -> str:
    texts = [
        str(item.get(attribute, "") if attribute and isinstance(item, Mapping) else item)
        for item in (items if isinstance(items, list | tuple | Mapping) else [items])
    ]
    if sum(map(len, texts)) + len(separator) * len(texts) > _MAX_TEXT:
        raise TemplateProblemError(f"a text became longer than {_MAX_TEXT} characters")
    return separator.join(texts)


def _replace(text: Any, old: str, new: str) -> str:
    whole = str(text)
    if len(whole) + whole.count(str(old)) * len(str(new)) > _MAX_TEXT:
        raise TemplateProblemError(f"a text became longer than {_MAX_TEXT} characters")
    return whole.replace(str(old), str(new))


def _truncate(text: Any, length: int = 100) -> str:
    whole = str(text)
    return whole if len(whole) <= length else f"{whole[: max(length - 1, 0)]}…"


def _round(value: Any, places: int = 0) -> float:
    return round(float(value), places)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@pass_context
def _default(_context: Context, value: Any, other: Any = "", *, boolean: bool = False) -> Any:
    if isinstance(value, Undefined) or (boolean and not value):
        return other
    return value


_FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "capitalize": lambda text: str(text).capitalize(),
    "count": len,
    "first": lambda items: items[0] if items else "",
    "float": float,
    "format": _format,
    "int": int,
    "join": _join,
    "last": lambda items: items[-1] if items else "",
    "length": len,
    "lower": lambda text: str(text).lower(),
    "number": lambda value: number(float(value)),
    "replace": _replace,
    "round": _round,
    "string": str,
    "title": lambda text: str(text).title(),
    "tojson": _json,
    "trim": lambda text: str(text).strip(),
    "truncate": _truncate,
    "upper": lambda text: str(text).upper(),
}
_TESTS: Final = (
    "defined", "undefined", "none", "number", "string", "mapping", "sequence", "true", "false",
    "eq", "ne", "lt", "le", "gt", "ge", "in", "equalto", "even", "odd",
)  # fmt: skip


def _environment() -> _Environment:
    environment = _Environment(
        undefined=StrictUndefined, autoescape=False, optimized=False, trim_blocks=True,
        lstrip_blocks=True, cache_size=0,
    )  # fmt: skip
    environment.globals = {}
    environment.filters = {name: _charged(function) for name, function in _FILTERS.items()}
    environment.filters |= {"default": _default, "d": _default, _TURNS: _turns}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


_TURNS: Final = "turns of a loop"  # no name that a template can write
_ENVIRONMENT: Final = _environment()


@lru_cache(maxsize=1024)
def compiled(source: str) -> Template:
    """A template that is allowed to run.

    Raises:
        TemplateProblemError: it is not understood, or does what templates may not.
    """
    try:
        tree = _ENVIRONMENT.parse(source)
        _check(tree, depth=0)
        for loop in list(tree.find_all(nodes.For)):
            weight = nodes.Const(1 + sum(1 for _ in loop.find_all(nodes.Node)))
            loop.iter = nodes.Filter(loop.iter, _TURNS, [weight], [], None, None)
            loop.iter.set_environment(_ENVIRONMENT)
            loop.iter.set_lineno(loop.lineno)
        code = _ENVIRONMENT.compile(tree)
    except (TemplateError, RecursionError, SyntaxError, OverflowError) as error:
        raise TemplateProblemError(_words(error)) from error
    return Template.from_code(_ENVIRONMENT, code, {})


def rendered(source: str, values: Mapping[str, Any], *, limit: int) -> str:
    """What comes out of a template.

    Raises:
        TemplateProblemError: it cannot be used, or took more than it may.
    """
    template = compiled(source)
    try:
        return "".join(_counted(template.generate({**values, _BUDGET: _Budget()}), limit))
    except TemplateProblemError:
        raise
    # A filter gets whatever the template's author gives it.
    except (
        TemplateError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
        ValueError,
    ) as error:  # fmt: skip
        raise TemplateProblemError(_words(error)) from error


def _counted(pieces: Iterable[str], limit: int) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > limit:
            raise TemplateProblemError(f"more than {limit} characters come out")
        yield piece


def _check(node: nodes.Node, *, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise TemplateProblemError(f"line {node.lineno}: it is nested too deep")
    if not isinstance(node, _ALLOWED):
        reason = _LACKING.get(type(node), f"{type(node).__name__.lower()} is not there")
        raise TemplateProblemError(f"line {node.lineno}: {reason}")
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateProblemError(f"line {node.lineno}: a loop cannot be recursive")
    if isinstance(node, nodes.Const) and _is_number(node.value):
        _bounded(node.value)
    for child in node.iter_child_nodes():
        _check(child, depth=depth + 1)


def _words(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return f"line {line}: {text}" if line else text
