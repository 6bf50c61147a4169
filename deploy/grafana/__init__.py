"""Dashboards for Grafana, written by generate.py; provisioning files beside them."""
