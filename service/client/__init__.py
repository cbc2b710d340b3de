"""For Python programs that call LLMs themselves: ask before a call, report after it.

async with Governance("http://127.0.0.1:8080", token="gov_…") as governance:
    async with governance.call("sk-bf-…", model="gpt-4o", estimate=Estimate(input_tokens=800)) as call:
        answer = …
        call.usage(input_tokens=812, output_tokens=233)
"""

from service.client.answers import Decision, GovernanceError, RefusedCallError, Report, UnavailableError
from service.client.call import Call, Ending, Estimate, Options
from service.client.governance import Governance
from service.client.usage_reader import UsageReader

__all__ = [
    "Call",
    "Decision",
    "Ending",
    "Estimate",
    "Governance",
    "GovernanceError",
    "Options",
    "RefusedCallError",
    "Report",
    "UnavailableError",
    "UsageReader",
]
