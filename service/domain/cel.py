"""CEL expressions of routing rules: whether one compiles, with the variables a gateway gives it."""

import re

from cel_expr_python import cel

from service.domain.refusals import invalid

_TEXTS = (
    *("model", "provider", "request_type", "complexity_tier"),
    *("virtual_key_id", "virtual_key_name", "team_id", "team_name", "customer_id", "customer_name"),
)
# In percent. Of no certain type, so that both `> 80` and `> 80.0` compile.
_PERCENTAGES = ("budget_used", "tokens_used", "request")
_MAPS = ("headers", "params")
_ENVIRONMENT = cel.NewEnv(
    variables={
        **dict.fromkeys(_TEXTS, cel.Type.STRING),
        **dict.fromkeys(_PERCENTAGES, cel.Type.DYN),
        **dict.fromkeys(_MAPS, cel.Type.Map(cel.Type.STRING, cel.Type.STRING)),
    }
)
# The compiler's first fault, without its code and without a place that is none.
_FAULT = re.compile(r"(?:[A-Z_]+: )?(?:ERROR: )?(?:<input>:(?:-1:-1: )?)?([^\n]*?)(?: \[[A-Z_]+\])?(?:\n|\Z)")
_LONGEST_FAULT = 200


def check_expression(expression: str, path: str) -> None:
    """Raises RefusedError for what does not compile, nests deeper than 32 (the compiler's bound), or is no condition.

    The empty expression holds for every call.
    """
    if not expression.strip():
        return
    try:
        answers = _ENVIRONMENT.compile(expression).return_type()
    except RuntimeError as error:
        raise invalid(path, f"invalid CEL expression: {_fault(str(error))}") from error
    if answers not in (cel.Type.BOOL, cel.Type.DYN):
        raise invalid(path, f"invalid CEL expression: must be true or false, not {answers.name()[:_LONGEST_FAULT]}")


def _fault(text: str) -> str:
    match = _FAULT.match(text)
    return (match[1] if match else text)[:_LONGEST_FAULT]
