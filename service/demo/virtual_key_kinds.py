"""The kinds of virtual keys a demo tree cycles through."""

from service.demo.plans import BudgetPlan, LimitPlan, ProviderPlan, RateLimitPlan, VirtualKeyKind

# A prime number of kinds, so that teams of any size differ from one another.
VIRTUAL_KEY_KINDS = (
    VirtualKeyKind(
        purpose="chat-production",
        description="Answers customers in the web chat.",
        limits=LimitPlan(
            budgets=(BudgetPlan(8, "1d"), BudgetPlan(60, "1M")),
            rate_limit=RateLimitPlan(tokens=(4_000_000, "1d"), requests=(600, "1m")),
            max_parallel_requests=20,
            calendar_aligned=True,
        ),
        providers=(
            ProviderPlan(
                provider="openai",
                weight=0.7,
                models=("gpt-4o", "gpt-4o-mini"),
                provider_keys=("openai-key-1",),
            ),
            ProviderPlan(provider="azure", weight=0.3, models=("gpt-4o",), provider_keys=("azure-key-1",)),
        ),
        mcp_tools={"docs-search": ("search",)},
        metadata={"environment": "production", "service": "web-chat"},
    ),
    VirtualKeyKind(
        purpose="ci-runner",
        description="Used by the test suite on every push.",
        limits=LimitPlan(
            budgets=(BudgetPlan(1, "1d"),),
            rate_limit=RateLimitPlan(requests=(120, "1h")),
            max_parallel_requests=4,
        ),
        providers=(ProviderPlan(provider="openai", weight=1, models=("gpt-4o-mini",)),),
        metadata={"environment": "ci"},
    ),
    VirtualKeyKind(
        purpose="batch-enrichment",
        description="Nightly enrichment of the product catalogue.",
        limits=LimitPlan(budgets=(BudgetPlan(20, "1w"),), rate_limit=RateLimitPlan(tokens=(30_000_000, "1w"))),
        providers=(
            ProviderPlan(
                provider="vertex",
                weight=0.8,
                models=("gemini-2.5-flash",),
                provider_keys=("vertex-key-1",),
                limits=LimitPlan(rate_limit=RateLimitPlan(tokens=(6_000_000, "1d"))),
            ),
            ProviderPlan(provider="bedrock", provider_keys=("bedrock-key-1",)),
        ),
    ),
    VirtualKeyKind(
        purpose="research-agent",
        description="Long-running agent experiments.",
        limits=LimitPlan(budgets=(BudgetPlan(60, "30d", override_mode="cycles"),)),
        providers=(ProviderPlan(provider="anthropic", weight=1, blacklisted_models=("claude-3-5-haiku",)),),
        mcp_tools={"repository": ("*",), "issue-tracker": ("list_issues", "read_issue")},
        metadata={"environment": "research", "project": "long-context"},
        created_by_user_id="user-17",
    ),
    VirtualKeyKind(
        purpose="contractor",
        description="Given to an agency for one project.",
        limits=LimitPlan(budgets=(BudgetPlan(25, "1M"),)),
        providers=(
            ProviderPlan(provider="openai", weight=1, models=("gpt-4o-mini",), provider_keys=("openai-key-batch",)),
        ),
        expires_in_days=-3,
        delete_after_expire=False,
    ),
    VirtualKeyKind(
        purpose="notebook",
        description="Data notebooks; the team's limits are enough.",
        providers=(ProviderPlan(provider="openai", weight=1),),
    ),
    VirtualKeyKind(
        purpose="support-assistant",
        description="Suggests answers to support agents.",
        limits=LimitPlan(
            budgets=(BudgetPlan(60, "1Q", quarter_start_month=4),),
            rate_limit=RateLimitPlan(tokens=(3_000_000, "5h"), requests=(2_000, "1d")),
            calendar_aligned=True,
        ),
        providers=(
            ProviderPlan(
                provider="anthropic",
                weight=1,
                models=("claude-sonnet-4", "claude-3-5-haiku"),
                provider_keys=("anthropic-key-1",),
                limits=LimitPlan(budgets=(BudgetPlan(25, "1M"),)),
            ),
        ),
        mcp_tools={"issue-tracker": ("read_issue", "comment")},
        disable_content_logging=True,
    ),
    VirtualKeyKind(
        purpose="playground",
        description="Anyone may try any model here, for little money.",
        limits=LimitPlan(budgets=(BudgetPlan(5, "1d"),), calendar_aligned=True),
        allow_all_providers=True,
        expires_in_days=60,
        delete_after_expire=True,
    ),
    VirtualKeyKind(
        purpose="legacy-reports",
        description="Replaced by batch-enrichment; kept for its history.",
        providers=(ProviderPlan(provider="bedrock", models=("amazon.nova-pro",)),),
        is_active=False,
    ),
    VirtualKeyKind(
        purpose="evaluation",
        limits=LimitPlan(rate_limit=RateLimitPlan(requests=(1_500, "1h"))),
        providers=(
            ProviderPlan(provider="openai", weight=0.4, blacklisted_models=("o3",)),
            ProviderPlan(provider="anthropic", weight=0.4),
            ProviderPlan(provider="vertex", weight=0.2),
        ),
        metadata={"environment": "evaluation"},
    ),
    VirtualKeyKind(
        purpose="code-assistant",
        description="Editor plug-in of the whole team.",
        limits=LimitPlan(
            budgets=(BudgetPlan(15, "1d"), BudgetPlan(80, "1M")),
            rate_limit=RateLimitPlan(tokens=(10_000_000, "5h")),
            max_parallel_requests=30,
        ),
        providers=(ProviderPlan(provider="anthropic", weight=0.9, models=("claude-sonnet-4", "claude-opus-4")),),
        mcp_tools={"repository": ("*",)},
    ),
    VirtualKeyKind(
        purpose="webhook",
        limits=LimitPlan(budgets=(BudgetPlan(10, "1w"),)),
        providers=(ProviderPlan(provider="vertex", weight=1, models=("gemini-2.5-flash",)),),
    ),
    VirtualKeyKind(purpose="reserved", description="Made ahead; may call nothing yet."),
    VirtualKeyKind(
        purpose="internal-tool",
        limits=LimitPlan(budgets=(BudgetPlan(10, "1M"),)),
        providers=(ProviderPlan(provider="openai", weight=1),),
    ),
    VirtualKeyKind(
        purpose="prototype",
        providers=(ProviderPlan(provider="anthropic", weight=1),),
    ),
    VirtualKeyKind(
        purpose="scheduled-job",
        limits=LimitPlan(rate_limit=RateLimitPlan(requests=(500, "1h"))),
        providers=(ProviderPlan(provider="openai", weight=1, models=("gpt-4o-mini",)),),
    ),
    VirtualKeyKind(
        purpose="student",
        providers=(ProviderPlan(provider="openai", weight=1, models=("gpt-4o-mini",)),),
    ),
    VirtualKeyKind(
        purpose="sandbox",
        providers=(ProviderPlan(provider="anthropic", weight=1),),
    ),
    VirtualKeyKind(purpose="archive", is_active=False),
    VirtualKeyKind(purpose="spare"),
    VirtualKeyKind(
        purpose="smoke-test",
        limits=LimitPlan(budgets=(BudgetPlan(1, "1d"),)),
        providers=(ProviderPlan(provider="openai", weight=1, models=("gpt-4o-mini",)),),
    ),
    VirtualKeyKind(purpose="on-hold", is_active=False),
    VirtualKeyKind(
        purpose="mobile-app",
        providers=(ProviderPlan(provider="openai", weight=1),),
    ),
)

# Keys of a customer itself, of no team.
CUSTOMER_VIRTUAL_KEY_KINDS = (
    VirtualKeyKind(
        purpose="shared-gateway",
        description="The fallback of every program that has no key of its own.",
        limits=LimitPlan(
            budgets=(BudgetPlan(12, "1d"), BudgetPlan(80, "1M")),
            rate_limit=RateLimitPlan(tokens=(12_000_000, "1d"), requests=(900, "1m")),
            max_parallel_requests=60,
        ),
        providers=(
            ProviderPlan(
                provider="openai",
                weight=0.5,
                models=("gpt-4o", "gpt-4o-mini"),
                provider_keys=("openai-key-1", "openai-key-batch"),
            ),
            ProviderPlan(provider="azure", weight=0.3, provider_keys=("azure-key-1",)),
            ProviderPlan(provider="vertex", weight=0.2, provider_keys=("vertex-key-1",)),
            ProviderPlan(provider="bedrock", provider_keys=("bedrock-key-1",)),
        ),
        mcp_tools={"docs-search": ("*",)},
        metadata={"environment": "production"},
    ),
    VirtualKeyKind(
        purpose="incident-response",
        description="Unlimited for a day of trouble; watched.",
        limits=LimitPlan(budgets=(BudgetPlan(100, "1d", override_mode="cycles"),)),
        providers=(ProviderPlan(provider="anthropic", weight=1),),
    ),
    VirtualKeyKind(
        purpose="back-office",
        limits=LimitPlan(budgets=(BudgetPlan(30, "1M"),)),
        providers=(ProviderPlan(provider="openai", weight=1),),
    ),
)
