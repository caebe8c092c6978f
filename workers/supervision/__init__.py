"""Keeps worker processes alive: starts, watches, replaces, scales and drains them."""
