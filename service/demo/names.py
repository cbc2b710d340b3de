"""Made-up names, each unique at any size: after the last combination they go round again with a number."""

_FIRST = (
    *("Halden", "Brightwater", "Kestrelo", "Marlowe", "Tamarind", "Ospreya", "Calder", "Juniperon", "Lindqvist"),
    *("Vantora", "Ashgrove", "Meridiem", "Fernhill", "Solvane", "Pinemark", "Arlenne", "Corvano", "Duskwood"),
    *("Elmsford", "Fairlight", "Greystoke", "Hollowell", "Inverlee", "Jasperline", "Kingsmere", "Larkspur"),
    *("Northolm", "Oakhaven", "Peregrin", "Quillon", "Rosendale", "Saltmarsh", "Thornbury", "Umberto"),
    *("Valemont", "Westerly", "Yarrowby", "Zephyrine", "Bellamyre", "Cedarholm"),
)
_SECOND = (
    *("Robotics", "Insurance", "Health", "Logistics", "Media", "Energy", "Bank", "Foods", "Airways", "Retail"),
    *("Pharma", "Motors", "Telecom", "Studios", "Shipping", "Analytics", "Textiles", "Housing", "Learning"),
    *("Capital", "Mining", "Travel", "Games", "Optics", "Security", "Agriculture", "Paper", "Semiconductors"),
    *("Hospitality", "Legal"),
)
_TEAMS = (
    *("Platform", "Search", "Payments", "Support", "Data Science", "Mobile", "Growth", "Fraud", "Marketing"),
    *("Developer Tools", "Internal IT", "Research", "Checkout", "Localisation", "Compliance", "Sales"),
    *("Onboarding", "Content", "Forecasting", "Reliability", "Procurement", "Design", "Human Resources"),
)
# Trees of other seeds begin elsewhere in the list: up to this many customers each, they fit side by side.
_CUSTOMERS_PER_SEED = 100


def customer_name(seed: int, number: int) -> str:
    round_number, place = divmod(seed * _CUSTOMERS_PER_SEED + number, len(_FIRST) * len(_SECOND))
    second, first = divmod(place, len(_FIRST))
    name = f"{_FIRST[first]} {_SECOND[(second + 7 * first) % len(_SECOND)]}"
    return numbered(name, round_number)


def team_name(customer: str, *, customer_number: int, number: int) -> str:
    """The name of a customer's team `number`; team names are unique in the whole deployment."""
    name = _TEAMS[(5 * customer_number + number) % len(_TEAMS)]
    return f"{customer} / {numbered(name, number // len(_TEAMS))}"


def virtual_key_name(owner: str, purpose: str, *, repeat: int) -> str:
    """`halden-robotics/platform/ci-runner`: virtual keys are named as programs are."""
    path = owner.lower().replace(" / ", "/").replace(" ", "-")
    return f"{path}/{purpose}" if repeat == 0 else f"{path}/{purpose}-{repeat + 1}"


def numbered(name: str, repeat: int) -> str:
    return name if repeat == 0 else f"{name} {repeat + 1}"
