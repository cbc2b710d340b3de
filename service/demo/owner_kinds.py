"""The kinds of customers and teams a demo tree cycles through."""

from service.demo.plans import BudgetPlan, LimitPlan, RateLimitPlan, TeamKind

CUSTOMER_LIMITS = (
    LimitPlan(
        budgets=(BudgetPlan(400, "1M"), BudgetPlan(3_000, "1Y")),
        rate_limit=RateLimitPlan(tokens=(400_000_000, "1M"), requests=(3_000, "1m")),
        max_parallel_requests=200,
        calendar_aligned=True,
    ),
    LimitPlan(
        budgets=(BudgetPlan(60, "1d"), BudgetPlan(500, "30d")),
        rate_limit=RateLimitPlan(tokens=(20_000_000, "1d"), requests=(20_000, "1h")),
    ),
    LimitPlan(budgets=(BudgetPlan(250, "1M", override_mode="forever"),)),
)

# By the number of the customer, round and round: most stay with UTC.
TIME_ZONES = ("Europe/Berlin", *["UTC"] * 29, "America/New_York", *["UTC"] * 29)

TEAM_KINDS = (
    TeamKind(
        limits=LimitPlan(
            budgets=(BudgetPlan(25, "1d"), BudgetPlan(120, "1M")),
            rate_limit=RateLimitPlan(tokens=(50_000_000, "1w"), requests=(600, "1m")),
            max_parallel_requests=50,
            calendar_aligned=True,
        ),
        profile={"contact": "platform-oncall@example.com", "cost_center": "CC-4100"},
        config={"default_model": "gpt-4o", "log_prompts": False},
        claims={"groups": ["engineering", "platform"]},
    ),
    TeamKind(limits=LimitPlan(budgets=(BudgetPlan(80, "30d"),))),
    TeamKind(
        limits=LimitPlan(
            budgets=(BudgetPlan(200, "1Q", quarter_start_month=2),),
            rate_limit=RateLimitPlan(requests=(5_000, "1h")),
            calendar_aligned=True,
        ),
        profile={"contact": "research@example.com"},
        config={"default_model": "claude-sonnet-4", "retention_days": 30},
    ),
    TeamKind(
        limits=LimitPlan(budgets=(BudgetPlan(60, "1w"),), rate_limit=RateLimitPlan(tokens=(8_000_000, "1d"))),
        claims={"groups": ["support"], "regions": ["emea", "apac"]},
    ),
    TeamKind(limits=LimitPlan()),
)
