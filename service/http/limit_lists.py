"""All budgets and all rate limits, with live usage. They are made and changed with their owners."""

from service.domain.entities import Budget, RateLimit
from service.governance.tree.limit_lists import show_budgets, show_rate_limits
from service.http.contract import API, FROM_MEMORY, Contract, Route
from service.http.reading import lists_all
from service.store.limits import list_budget_ids, list_rate_limit_ids

list_budgets = lists_all("budgets", show_budgets, list_budget_ids)
list_rate_limits = lists_all("rate_limits", show_rate_limits, list_rate_limit_ids)

_BUDGETS = Contract(
    says="List all budgets, whoever's they are", query=(FROM_MEMORY,), answer={"budgets": list[Budget], "count": int}
)
_RATE_LIMITS = Contract(
    says="List all rate limits, whoever's they are",
    query=(FROM_MEMORY,),
    answer={"rate_limits": list[RateLimit], "count": int},
)

ROUTES = (
    Route("GET", f"{API}/budgets", "read", list_budgets, _BUDGETS),
    Route("GET", f"{API}/rate-limits", "read", list_rate_limits, _RATE_LIMITS),
)
