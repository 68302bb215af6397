"""Runners: what really starts an executor. Each adapter is silent unless it surprises."""
