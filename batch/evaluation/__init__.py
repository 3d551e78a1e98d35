"""Offline evaluation: cases, metrics, baselines, tuning, the gate, and the report with its plots."""
