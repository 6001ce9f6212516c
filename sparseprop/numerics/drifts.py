"""Drifts of numerical neurons: an expression, which can be written to files, or a function, which cannot."""

import ast
import math
import re
import unicodedata

import numpy as np

from .. import _validation
from ..errors import ParameterError, shown, unknown_name
from .wide import Wide, wide

__all__ = ["Drift", "Expression", "Function", "drift_of"]

# By their names in numpy, and in mpmath for the tests. None of them has an effect.
FUNCTIONS = {
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "sqrt": "sqrt", "abs": "fabs", "sin": "sin",
    "cos": "cos", "tan": "tan", "arctan": "atan", "arcsinh": "asinh", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
}  # fmt: skip
CONSTANTS = {"pi": math.pi}
_OPERATORS = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
_WHAT = f"V, numbers, named constants, + - * / **, parentheses and the functions {', '.join(FUNCTIONS)} of one argument"


class Drift:
    """What a numerical neuron moves with: a function of V, and a key by which equal ones share a table."""

    key: tuple

    def __call__(self, V):
        raise NotImplementedError

    def __eq__(self, other):
        return isinstance(other, Drift) and self.key == other.key

    def __hash__(self):
        return hash(self.key)


class Function(Drift):
    """A vectorised Python function of V."""

    def __init__(self, function):
        self.function, self.key = function, ("function", function)

    def __call__(self, V):
        return self.function(V)

    def __repr__(self) -> str:
        return f"<{getattr(self.function, '__qualname__', repr(self.function))}>"

    def exact(self, V, functions):
        """The value in another arithmetic, if the function can."""
        return self.function(V)


class Expression(Drift):
    """A drift as text, read by a parser of its own: nothing but what `_WHAT` says is evaluated.

    Parameters
    ----------
    text : str
    constants : dict
        Numbers by name.
    """

    def __init__(self, text, constants):
        self.text, self.constants = text, {}
        for given, value in constants.items():
            # As Python's parser does with the names in the expression: the micro sign is a Greek mu.
            name = unicodedata.normalize("NFKC", given) if isinstance(given, str) else ""
            if not name.isidentifier() or name in {"V", *FUNCTIONS, *CONSTANTS}:
                raise ParameterError(
                    f"NumericalIF.constants must have names that are free (not V, pi or a function), got {shown(given)}"
                )
            if name in self.constants:
                raise ParameterError(
                    f"NumericalIF.constants must have different names, got {shown(given)}, which Python reads as "
                    f"{name!r}, twice"
                )
            self.constants[name] = value
        constants = self.constants
        self.key = ("expression", text, tuple(sorted(constants.items())))
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            remedy = " (multiplication is written *)" if re.search(r"\d\s*[A-Za-z_(]|\)\s*[\w(]", text) else ""
            raise ParameterError(
                f"NumericalIF.drift must be an expression of {_WHAT}, got {shown(text)} ({error}){remedy}"
            ) from None
        self._used = set()
        try:
            self._check(self._tree)
        except RecursionError:
            raise ParameterError(
                f"NumericalIF.drift must be an expression that is less nested, got {len(text)} characters beginning "
                f"with {text[:40]!r}; give it as a function"
            ) from None
        unused = set(constants) - self._used
        if unused:
            raise ParameterError(
                f"NumericalIF.constants: {sorted(unused)[0]!r} does not occur in the drift {shown(text)}"
            )

    def _check(self, node):
        """Refuse everything but arithmetic."""
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
                self._refuse(node)
        elif isinstance(node, ast.Name):
            known = ["V", *self.constants, *CONSTANTS]
            if node.id not in known:
                raise unknown_name("name in NumericalIF.drift", node.id, [*known, *FUNCTIONS])
            self._used.add(node.id)
        elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            self._check(node.left)
            self._check(node.right)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.UAdd, ast.USub)):
            self._check(node.operand)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in FUNCTIONS:
                raise unknown_name("function in NumericalIF.drift", node.func.id, FUNCTIONS)
            if len(node.args) != 1 or node.keywords:
                self._refuse(node)
            self._check(node.args[0])
        else:
            self._refuse(node)

    def _refuse(self, node):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            raise ParameterError(
                f"NumericalIF.drift must be an expression in which a power is written **, got {ast.unparse(node)!r} "
                f"in {shown(self.text)}"
            )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func
        if isinstance(node, ast.Attribute) and node.attr in {*FUNCTIONS, *CONSTANTS}:
            raise ParameterError(
                f"NumericalIF.drift must be an expression in which functions are given by their names alone, "
                f"{node.attr}, got {ast.unparse(node)!r} in {shown(self.text)}"
            )
        raise ParameterError(
            f"NumericalIF.drift must be an expression of {_WHAT}, got {ast.unparse(node)!r} in {self.text!r}"
        )

    def _value(self, node, V, functions, number):
        if isinstance(node, ast.Constant):
            # Whole numbers stay so: as exponents they are exact. All arithmetic is that of floating-point numbers, in
            # which no power takes long.
            return node.value if isinstance(node.value, int) and abs(node.value) < 2**31 else number(node.value)
        if isinstance(node, ast.Name):
            return V if node.id == "V" else number(self.constants.get(node.id, CONSTANTS.get(node.id)))
        if isinstance(node, ast.BinOp):
            left, right = (self._value(part, V, functions, number) for part in (node.left, node.right))
            if isinstance(left, int):
                left = number(left)
            return _OPERATORS[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, V, functions, number)
            return -value if isinstance(node.op, ast.USub) else value
        argument = self._value(node.args[0], V, functions, number)
        return functions[node.func.id](number(argument) if isinstance(argument, int) else argument)

    @np.errstate(all="ignore")
    def __call__(self, V):
        functions = {name: getattr(np, name) for name in FUNCTIONS}
        try:
            value = self._value(self._tree, wide(V), functions, wide)
        except (ZeroDivisionError, OverflowError) as error:
            raise ParameterError(f"NumericalIF.drift {self.text!r} has no value: {error}") from None
        return value if isinstance(V, Wide) else wide(value).astype(float)

    def exact(self, V, functions):
        """The value in the arithmetic of an mpmath context."""
        table = {name: getattr(functions, other) for name, other in FUNCTIONS.items()}
        return self._value(self._tree, V, table, functions.mpf)

    def __repr__(self) -> str:
        return repr(self.text)


def drift_of(given, constants):
    """The drift that a user described.

    Parameters
    ----------
    given : str, callable or Drift
    constants : dict or None

    Raises
    ------
    ParameterError
        For what is neither, and for an expression that is more than arithmetic.
    """
    if isinstance(given, Drift):
        return given
    constants = {} if constants is None else constants
    if not isinstance(constants, dict):
        raise ParameterError(f"NumericalIF.constants must be a dict of numbers by name, got {constants!r}")
    constants = {name: _validation.real(value, f"NumericalIF.constants[{name!r}]") for name, value in constants.items()}
    if isinstance(given, str):
        return Expression(given, constants)
    if not callable(given):
        raise ParameterError(
            f"NumericalIF.drift must be a function of V or an expression such as '-V', got {shown(given)}"
        )
    if constants:
        raise ParameterError("NumericalIF.constants must be left out for a function, which has its own")
    return Function(given)
