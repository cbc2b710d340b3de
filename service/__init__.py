"""LLM governance: customers, teams and virtual keys with budgets and limits, asked before each call, told after it."""
